#!/usr/bin/env python3
"""Decode speed against llama.cpp Q4_0 on the same weights, each side at its own best thread count, and the time from
start to first token against reading the artifact once from memory.

usage: bench_run.py [--runs 3] [--tokens 64] [135m] [1.1b]
needs MODELS/smollm2-135m (make_smollm2) and MODELS/synthetic-1.1b with its GGUF, and the peers
"""
import argparse
import json
import re

from benchlib import INGOT, MODELS, Run, bench_program, median, need, peer, row, scratch, spread

DECODE = """
import json, sys, time, llama_cpp
path, tokens, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
best = {}
for threads in (1, 2):
    m = llama_cpp.Llama(path, n_ctx=512, n_threads=threads, n_threads_batch=threads, verbose=False)
    speeds = []
    for _ in range(runs):
        m.reset(); m.eval([1, 5, 9, 11])
        begin = time.perf_counter()
        for i in range(tokens): m.eval([20 + i])
        speeds.append(tokens / (time.perf_counter() - begin))
    best[threads] = max(speeds)
    del m
print(json.dumps(best))
"""
QUANTIZE = """
import json, sys, llama_cpp
p = llama_cpp.llama_model_quantize_default_params(); p.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0
p.allow_requantize = True; p.nthread = 2
print(json.dumps(llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), p)))
"""


def our_decode(artifact, tokens, threads):
    run = Run([INGOT, "run", artifact, "-p", "The history of", "-n", tokens, "--greedy", "--ignore-eos",
               "--threads", threads])
    match = re.search(r"decode [0-9]+ steps, ([0-9.]+) tokens/s", run.err)
    if not match:
        raise SystemExit(f"no decode speed in: {run.err}")
    return float(match.group(1))


def decode_row(name, source, gguf, work, args):
    artifact, q4 = work / f"{name}.ingot", work / f"{name}-q4_0.gguf"
    Run([INGOT, "pack", source, "-o", artifact, "--codec", "int4_rtn", "--group", "128", "--rule",
         "*=int4_rtn:group=128", "-q"])
    if peer(QUANTIZE, gguf, q4) != 0:
        raise SystemExit("llama_model_quantize failed")
    ours, theirs = {1: [], 2: []}, {1: [], 2: []}
    for _ in range(args.runs):
        for threads in (1, 2):
            ours[threads].append(our_decode(artifact, args.tokens, threads))
        for threads, speed in peer(DECODE, q4, str(args.tokens), "1").items():
            theirs[int(threads)].append(speed)
    best_ours = max(ours, key=lambda t: median(ours[t]))
    best_theirs = max(theirs, key=lambda t: median(theirs[t]))
    for threads in (1, 2):
        print(f"{name}, {threads} threads: ingot {spread(ours[threads])} tokens/s, "
              f"llama.cpp {spread(theirs[threads])}")
    ratios = [a / b for a, b in zip(ours[best_ours], theirs[best_theirs])]
    row(f"decode {name} int4 g128 ({artifact.stat().st_size / 1e6:.0f} MB) against llama.cpp Q4_0 "
        f"({q4.stat().st_size / 1e6:.0f} MB), best threads {best_ours} and {best_theirs}",
        spread(ratios), ">= 0.8x", median(ratios) >= 0.8)
    return artifact


def first_token_row(artifact):
    floors = json.loads(Run([bench_program("floors_bench"), artifact, "2"]).out)
    walls = [Run([INGOT, "run", artifact, "-p", "a", "-n", "1", "--greedy"]).wall for _ in range(7)]
    print(f"start to first token (whole process) {spread(walls)} s; reading its bytes once from memory: "
          f"{floors['read_seconds']:.4f} s by read(), {floors['memory_seconds']:.4f} s as mapped loads, "
          f"two threads; digest alone {floors['digest_seconds']:.4f} s")
    ratio = min(walls) / floors["read_seconds"]
    row("load to first token over reading the file once (read, page cache)", f"{ratio:.2f}x", "<= 1.5x",
        ratio <= 1.5)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--tokens", type=int, default=64)
    ap.add_argument("models", nargs="*", default=["135m", "1.1b"])
    args = ap.parse_args()
    work = scratch()
    if "135m" in args.models:
        decode_row("135m", need(MODELS / "smollm2-135m", "make_smollm2"),
                   need(MODELS / "smollm2-135m-q4_1.gguf", "make_smollm2"), work, args)
    if "1.1b" in args.models:
        how = "tools/bench/make_synthetic MODELS/synthetic-1.1b --gguf"
        first_token_row(decode_row("1.1b", need(MODELS / "synthetic-1.1b", how),
                                   need(MODELS / "synthetic-1.1b.gguf", how), work, args))


if __name__ == "__main__":
    main()
