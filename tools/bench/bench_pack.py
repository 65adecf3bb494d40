#!/usr/bin/env python3
"""Packs the 1.1B synthetic checkpoint with int4 g128, signed and digested, against llama.cpp's Q4_0
quantizer on the same weights, in turn; then `inspect` and `verify` of the result against their floors.

usage: bench_pack.py [--runs 3]    needs make_synthetic MODELS/synthetic-1.1b --gguf, and the peers
"""
import argparse
import json
import shutil
import subprocess

from benchlib import INGOT, MODELS, Run, bench_program, median, need, peer, row, scratch, spread, warm

QUANTIZE = """
import json, resource, sys, llama_cpp
p = llama_cpp.llama_model_quantize_default_params()
p.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0; p.nthread = int(sys.argv[3])
before = resource.getrusage(resource.RUSAGE_SELF)
rc = llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), p)
after = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps(dict(rc=rc, peak=after.ru_maxrss * 1024,
    cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)))
"""


def strace_bytes(argv):
    """Bytes that read calls returned, by strace; None where it is not installed."""
    if not shutil.which("strace"):
        return None
    run = subprocess.run(["strace", "-f", "-e", "trace=read,pread64,readv,preadv", *map(str, argv)],
                         capture_output=True, text=True)
    return sum(int(line.rsplit("=", 1)[1].split()[0]) for line in run.stderr.splitlines()
               if " = " in line and line.rsplit("=", 1)[1].split()[0].isdigit())


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--runs", type=int, default=3)
    args = ap.parse_args()
    how = "tools/bench/make_synthetic MODELS/synthetic-1.1b --gguf"
    source = need(MODELS / "synthetic-1.1b", how)
    gguf = need(MODELS / "synthetic-1.1b.gguf", how)
    work = scratch()
    Run([INGOT, "keygen", work / "bench"])
    target, peer_target = work / "m.ingot", work / "q4_0.gguf"
    bytes_in = (source / "model.safetensors").stat().st_size
    ours, theirs, ratios, peaks = [], [], [], []
    for _ in range(args.runs):
        warm(source / "model.safetensors", gguf)
        run = Run([INGOT, "pack", source, "-o", target, "--codec", "int4_rtn", "--group", "128", "--rule",
                   "*=int4_rtn:group=128", "--sign", work / "bench.key", "--force", "-q"])
        other = peer(QUANTIZE, gguf, peer_target, "2")
        if other["rc"] != 0:
            raise SystemExit("llama_model_quantize failed")
        ours.append(bytes_in / run.cpu / 1e6)
        theirs.append(gguf.stat().st_size / other["cpu"] / 1e6)
        ratios.append(ours[-1] / theirs[-1])
        peaks.append(run.peak_bytes)
        print(f"pack {run.wall:.2f} s wall, {run.user:.2f} user + {run.system:.2f} system; "
              f"llama.cpp {other['cpu']:.2f} CPU-s, peak {other['peak'] / 2**20:.0f} MiB", flush=True)
    print(f"MB of 16-bit weights a CPU-second: ingot {spread(ours)}, llama.cpp Q4_0 {spread(theirs)}")
    print(f"written: {target.stat().st_size / 1e6:.1f} MB against {peer_target.stat().st_size / 1e6:.1f} MB")
    row("pack, bytes a CPU-second against llama.cpp Q4_0", spread(ratios), ">= 2.5x", median(ratios) >= 2.5)
    row("pack, peak RSS", f"{max(peaks) / 2**20:.0f} MiB", "<= 1024 MiB", max(peaks) <= 2**30)

    warm(target)
    inspects = [Run([INGOT, "inspect", target]).wall * 1e3 for _ in range(7)]
    row("inspect", f"{spread(inspects)} ms", "<= 30 ms", median(inspects) <= 30)
    read = strace_bytes([INGOT, "inspect", target])
    if read is not None:
        row("inspect, bytes read (shared libraries included)", read, "< 1 MiB", read < 2**20)
    floors = json.loads(Run([bench_program("floors_bench"), target, "2"]).out)
    limit = max(floors["digest_seconds"], floors["read_seconds"])
    verifies = [Run([INGOT, "verify", target]).wall for _ in range(5)]
    print(f"BLAKE3 one core {floors['digest_one_core_gbps']} GB/s, two {floors['digest_seconds']:.4f} s; "
          f"read once {floors['read_seconds']:.4f} s; verify (whole process) {spread(verifies)} s")
    row("verify, share of the slower floor", f"{limit / min(verifies):.2f}", ">= 0.8",
        limit / min(verifies) >= 0.8)


if __name__ == "__main__":
    main()
