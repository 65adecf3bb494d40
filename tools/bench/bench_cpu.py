#!/usr/bin/env python3
"""The processor at the limits of its memory and of its products: what `ingot bench` measures of one model in several
forms, held against what should be reached. For a quiet machine: one command gives every figure of docs/benchmarks.md's
"The processor at its limits".

usage: bench_cpu.py [--model smollm2-135m] [--threads N] [--runs 5] [--text wiki.txt] [--only REGEX]
The row against BLAS needs numpy in the Python that runs this; the one against llama.cpp the peers (setup_peers).
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

from benchlib import INGOT, MODELS, PEER_PYTHON, Run, bench_program, median, need, peer, row, scratch, spread, warm

# One thread's sgemm over the shapes of linear_bench's exact prefill: 512 tokens by 2048 rows.
SGEMM = """
import json, sys, time
import numpy as np
best = {}
for cols in (576, 1536, 2048):
    x, w = np.random.rand(512, cols).astype('f4'), np.random.rand(2048, cols).astype('f4')
    rates = []
    for _ in range(9):
        begin = time.perf_counter(); x @ w.T
        rates.append(2 * 512 * 2048 * cols / (time.perf_counter() - begin) / 1e9)
    best[cols] = sorted(rates)[len(rates) // 2]
print(json.dumps(best))
"""
LLAMA = """
import json, sys, time, llama_cpp
path, threads, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
m = llama_cpp.Llama(path, n_ctx=1024, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False)
decode, prefill = [], []
for _ in range(runs):
    m.reset(); begin = time.perf_counter(); m.eval([i % 1000 + 5 for i in range(512)])
    prefill.append(512 / (time.perf_counter() - begin))
    m.reset(); m.eval(list(range(5, 133))); begin = time.perf_counter()
    for i in range(16): m.eval([20 + i])
    decode.append(16 / (time.perf_counter() - begin))
print(json.dumps({"decode": decode, "prefill": prefill}))
"""
QUANTIZE = """
import json, sys, llama_cpp
p = llama_cpp.llama_model_quantize_default_params(); p.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0
p.allow_requantize = True; p.nthread = 2
print(json.dumps(llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), p)))
"""
RECIPES = {
    "int4": ["--codec", "int4_rtn", "--group", "128"],
    "int4 g256": ["--codec", "int4_rtn", "--group", "256"],
    "16 bits": ["--codec", "lossless_v1"],
    "nested": ["--codec", "nested_v1"],
    "fp8": ["--codec", "fp8_hybrid_v1"],
    "int8": ["--codec", "int8_rtn", "--group", "128"],
}


class Bench:
    def __init__(self, args):
        self.args, self.work, self.files = args, scratch(), {}
        self.source = need(MODELS / args.model, "make_smollm2")

    def artifact(self, recipe):
        if recipe not in self.files:
            path = self.work / f"{re.sub('[^a-z0-9]', '', recipe)}.ingot"
            Run([INGOT, "pack", self.source, "-o", path, "-q", *RECIPES[recipe]])
            self.files[recipe] = path
        return self.files[recipe]

    def run(self, recipe, *options):
        threads = ["--threads", self.args.threads] if self.args.threads else []
        result = json.loads(Run([INGOT, "bench", self.artifact(recipe), "--json", "--runs", self.args.runs,
                                 *threads, *options]).out)
        result["by"] = {(s["kind"], s["batch"], s["context"], s.get("planes", 0)): s for s in result["speeds"]}
        return result


def small_batches(bench, recipe, factor):
    r = bench.run(recipe, "--rows", "1,5", "--batch", "1,8", "--context", "128", "--prompt", "512", "--no-load")
    by = r["by"]
    prefill = by["prefill", 1, 512, 0]["tokens_per_s"]
    one, five = by["rows", 1, 128, 0]["median_s"], by["rows", 5, 128, 0]["median_s"]
    ratio = five / max(one, 5 / prefill)
    row(f"{recipe}: a step of 5 rows over the longer of one row's and of 5 rows' prefill", f"{ratio:.2f}x",
        f"<= {factor}x", ratio <= factor)
    single, eight = by["decode", 1, 128, 0]["tokens_per_s"], by["decode", 8, 128, 0]["tokens_per_s"]
    share = eight / min(8 * single, prefill)
    row(f"{recipe}: tokens/s of 8 sequences over the lesser of 8 times one's and prefill's", f"{share:.2f}x", ">= 0.8x",
        share >= 0.8)
    for kind, key in (("prefill of 512", ("prefill", 1, 512, 0)), ("decode", ("decode", 1, 128, 0))):
        reach = 0.70 if kind != "decode" and recipe != "16 bits" else None
        got = by[key]["share_of_limit"]
        row(f"{recipe}: {kind}, share of the machine's limit", f"{got:.2f}", f">= {reach}" if reach else "-",
            reach is None or got >= reach)


def caches(bench):
    times = {}
    for kv in ("f16", "int8", "int4"):
        times[kv] = bench.run("int4", "--kv", kv, "--batch", "1", "--context", "4096", "--no-prefill", "--no-load")
    base = times["f16"]["by"]["decode", 1, 4096, 0]["median_s"]
    for kv, bytes_reach in (("int8", 0.53), ("int4", 0.30)):
        speed = base / times[kv]["by"]["decode", 1, 4096, 0]["median_s"]
        row(f"keys and values {kv}: speed at 4096 positions over f16", f"{speed:.2f}x", ">= 1x", speed >= 1)
        share = times[kv]["kv_bytes_per_token"] / times["f16"]["kv_bytes_per_token"]
        row(f"keys and values {kv}: bytes of full pages over f16", f"{share:.3f}x", f"<= {bytes_reach}x",
            share <= bytes_reach)
    kl = json.loads(Run([bench_program("kv_bench"), bench.artifact("16 bits"), bench.args.text, "2048", "2"]).out)
    for kv, reach in (("int8", 0.001), ("int4", 0.01)):
        row(f"keys and values {kv}: KL against f16 over 2 x 2048 tokens", f"{kl[kv]['kl']:.6f}", f"<= {reach}",
            kl[kv]["kl"] <= reach)


def exact_prefill(bench):
    env = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    try:
        sgemm = json.loads(subprocess.run([sys.executable, "-c", SGEMM], env=env, check=True,
                                          capture_output=True).stdout)
    except subprocess.CalledProcessError:
        print("skip: no numpy here, so no sgemm to compare with")
        return
    lines = json.loads(Run([bench_program("linear_bench"), "--benchmark_filter=Prefill/.*exact",
                            "--benchmark_format=json"]).out)["benchmarks"]
    for cols, blas in sgemm.items():
        ours = [b["GFLOP/s"] / 1e9 for b in lines if f"x{cols}/exact" in b["name"] and "bf16" in b["name"]]
        row(f"exact prefill, bf16 weights, 2048 x {cols}, over numpy's sgemm ({blas:.0f} GFLOP/s), one thread",
            f"{ours[0] / blas:.2f}x", ">= 0.7x", ours[0] / blas >= 0.7)


def loading(bench):
    path = bench.artifact("int4")
    warm(path)
    threads = str(bench.args.threads or os.cpu_count())
    floor = json.loads(Run([bench_program("floors_bench"), path, threads]).out)
    walls = [Run([INGOT, "run", path, "-p", "a", "-n", "1", "--greedy", "-q"]).wall for _ in range(9)]
    ratio = median(walls) / floor["digest_seconds"]
    row(f"start to first token, every byte verified, over BLAKE3 of the file ({floor['digest_seconds'] * 1e3:.1f} ms)",
        f"{ratio:.2f}x", "<= 1.25x", ratio <= 1.25)


def modes(bench):
    by = bench.run("nested", "--compare-modes", "--context", "128", "--no-load")["by"]
    four, eight, sixteen = (by["decode", 1, 128, planes]["median_s"] for planes in (1, 2, 3))
    for name, slow, reach in (("8 bits", eight, 1.7), ("16 bits", sixteen, 3.0)):
        row(f"nested: the 4-bit prefix against {name}", f"{slow / four:.2f}x", f">= {reach}x", slow / four >= reach)


def llama_cpp(bench):
    gguf = MODELS / f"{bench.args.model}-q4_1.gguf"
    if not PEER_PYTHON.exists() or not gguf.exists():
        print(f"skip: {PEER_PYTHON if not PEER_PYTHON.exists() else gguf} is absent, so no llama.cpp to compare with")
        return
    q4 = bench.work / "q4_0.gguf"
    if peer(QUANTIZE, gguf, q4) != 0:
        sys.exit("llama_model_quantize failed")
    threads = bench.args.threads or os.cpu_count()
    pairs = {"decode": [], "prefill": []}
    for _ in range(bench.args.runs):
        theirs = peer(LLAMA, q4, str(threads), "1")
        ours = bench.run("int4", "--batch", "1", "--context", "128", "--prompt", "512", "--no-load", "--runs", "1")["by"]
        pairs["decode"].append(ours["decode", 1, 128, 0]["tokens_per_s"] / theirs["decode"][0])
        pairs["prefill"].append(ours["prefill", 1, 512, 0]["tokens_per_s"] / theirs["prefill"][0])
    for kind, ratios in pairs.items():
        row(f"int4 g128 {kind} against llama.cpp Q4_0, {threads} threads", spread(ratios), ">= 0.8x",
            median(ratios) >= 0.8)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--model", default="smollm2-135m")
    ap.add_argument("--threads", type=int, default=0)
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--text", type=pathlib.Path, default=pathlib.Path("../shared/text/wiki.txt"))
    ap.add_argument("--only", default="")
    args = ap.parse_args()
    bench = Bench(args)
    bf16 = "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text()
    parts = {
        "batches int4": lambda: small_batches(bench, "int4", 1.25),
        "batches int4 g256": lambda: small_batches(bench, "int4 g256", 1.25),
        "batches 16 bits": lambda: small_batches(bench, "16 bits", 1.1 if bf16 else 1.25),
        "batches int8": lambda: small_batches(bench, "int8", 1.25),
        "batches fp8": lambda: small_batches(bench, "fp8", 1.25),
        "caches": lambda: caches(bench),
        "exact": lambda: exact_prefill(bench),
        "load": lambda: loading(bench),
        "modes": lambda: modes(bench),
        "llama.cpp": lambda: llama_cpp(bench),
    }
    for name, part in parts.items():
        if re.search(args.only, name):
            part()


if __name__ == "__main__":
    main()
