#!/usr/bin/env python3
"""What a change that should change nothing changed: two builds side by side on the same inputs.

usage: compare_builds.py BEFORE AFTER [--callgrind] [--pairs N]

BEFORE and AFTER are folders of programs (build/release/bin). Prints a line for each comparison and exits 1 where
one differs or passes its bound:
  artifacts   every recipe and three rotated or allocated forms of three small models, digest against digest
  logits      every model under tests/fixtures/models, exact and int8 activations, byte for byte
  --callgrind instructions of pack, load, prefill and decode (valgrind), AFTER / BEFORE, at most 1.02
  --pairs N   seconds of the same commands, N pairs in turn, median of BEFORE / AFTER, at least 0.97
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from benchlib import ROOT, Run, median

FIXTURES = ROOT / "tests/fixtures/models"
PACKED = ("llama", "mixtral", "mamba2")
RECIPES = ("int4_rtn int2_rtn int3_rtn int8_rtn int4_gptq int2_gptq int3_gptq int5_gptq int6_gptq int8_gptq "
           "int4_g8_fp16_v1 int4_awq_v1 int4_opt_llama_v1 int4_residual_v1 fp8_hybrid_v1 nested_v1 entropy_v1 "
           "lossless_v1 raw").split()
FORMS = [["--codec", name] for name in RECIPES]
FORMS += [["--codec", name, "--transform", "hadamard"] for name in ("int4_gptq", "int4_residual_v1", "int4_rtn")]
MOST_INSTRUCTIONS, LEAST_SPEED = 1.02, 0.97


def fixtures():
    return sorted(p.parent for p in FIXTURES.glob("*/config.json")) + sorted(
        p for kind in ("*.pth", "*.bin", "*.gguf") for p in FIXTURES.glob(f"*/{kind}")
        if not (p.parent / "config.json").exists())


def compare_artifacts(before, after, work):
    bad = 0
    for name in PACKED:
        source = FIXTURES / name
        for form in FORMS:
            digests = []
            for side, programs in (("before", before), ("after", after)):
                target = work / f"{side}.ingot"
                target.unlink(missing_ok=True)
                run = Run([programs / "ingot", "pack", source, "-o", target, *form, "--no-tokenizer", "-q"], check=False)
                digests.append(hashlib.sha256(target.read_bytes()).hexdigest() if run.code == 0
                               else f"exit {run.code}: {run.err.strip()[-200:]}")
            if digests[0] != digests[1] or digests[0].startswith("exit"):
                bad += 1
                print(f"DIFFERS artifact {name} {' '.join(form)}: {digests[0]} -> {digests[1]}")
    print(f"artifacts: {len(PACKED) * len(FORMS) - bad} of {len(PACKED) * len(FORMS)} equal")
    return bad


def logits(program, source, compute):
    folder = source if source.is_dir() else source.parent
    ids = (folder / "ids.txt").read_text()
    done = subprocess.run([program, source], input=ids.encode(), capture_output=True,
                          env={**os.environ, "INGOT_COMPUTE": compute})
    return hashlib.sha256(done.stdout).hexdigest() if done.returncode == 0 else done.stderr.decode().strip()


def compare_logits(before, after):
    bad = count = 0
    for source in fixtures():
        for compute in ("exact", "fast"):
            count += 1
            pair = [logits(side / "logits", source, compute) for side in (before, after)]
            if pair[0] != pair[1]:
                bad += 1
                print(f"DIFFERS logits {source.name} {compute}: {pair[0]} -> {pair[1]}")
    print(f"logits: {count - bad} of {count} equal")
    return bad


def commands(programs, work, source):
    """Command lines of one side; the artifact is there already."""
    artifact = work / "timed.ingot"
    ids = [str(i % 60) for i in range(96)]
    return {
        "pack": [programs / "ingot", "pack", source, "-o", work / "again.ingot", "--codec", "int4_rtn", "--force", "-q"],
        "load": [programs / "logits", artifact, "1"],
        "prefill": [programs / "logits", artifact, *ids],
        "decode": [programs / "ingot", "run", artifact, "-p", "Once", "-n", "48", "--greedy", "--threads", "1"],
    }


def instructions(command, work):
    out = work / "callgrind.out"
    done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *command],
                          capture_output=True, env={**os.environ, "INGOT_ISA": "avx2", "INGOT_THREADS": "1"})
    if done.returncode != 0:
        sys.exit(done.stderr.decode()[-2000:])
    return int(re.search(rb"Collected : (\d+)", done.stderr)[1])


def compare_costs(before, after, work, source, arguments):
    bad = 0
    Run([before / "ingot", "pack", source, "-o", work / "timed.ingot", "--codec", "int4_rtn", "--force", "-q"])
    pairs = {name: (command, commands(after, work, source)[name])
             for name, command in commands(before, work, source).items()}
    for name, (old, new) in pairs.items():
        if arguments.callgrind:
            ratio = instructions(new, work) / instructions(old, work)
            bad += ratio > MOST_INSTRUCTIONS
            print(f"{'MISS' if ratio > MOST_INSTRUCTIONS else 'ok  '} {name}: instructions {ratio:.4f}", flush=True)
        if arguments.pairs:
            ratios = [Run(old).wall / Run(new).wall for _ in range(arguments.pairs)]
            ratio = median(ratios)
            bad += ratio < LEAST_SPEED
            print(f"{'MISS' if ratio < LEAST_SPEED else 'ok  '} {name}: speed {ratio:.3f} "
                  f"({min(ratios):.3f}..{max(ratios):.3f})", flush=True)
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=pathlib.Path)
    parser.add_argument("after", type=pathlib.Path)
    parser.add_argument("--callgrind", action="store_true")
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--model", type=pathlib.Path, help="for the costs (default: tests/fixtures/models/llama)",
                        default=FIXTURES / "llama")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        bad = compare_artifacts(arguments.before, arguments.after, work)
        bad += compare_logits(arguments.before, arguments.after)
        if arguments.callgrind or arguments.pairs:
            bad += compare_costs(arguments.before, arguments.after, work, arguments.model, arguments)
    sys.exit(1 if bad else 0)


main()
