#!/usr/bin/env python3
"""The processor at the limits of its memory and of its products: what `ingot bench` measures of two models in several
forms, held against what should be reached. For a quiet machine: one command gives every figure of docs/benchmarks.md's
"The processor at its limits". A row says what was measured, what to reach, and where there is one the limit beside it.

usage: bench_cpu.py [--model smollm2-135m] [--large synthetic-1.1b] [--threads N] [--runs 5] [--text wiki.txt]
                    [--only REGEX] [--list]
The rows against BLAS and float32 need numpy in the Python that runs this; those against llama.cpp the peers
(setup_peers) and each model's GGUF (make_smollm2, make_synthetic --gguf). Parts, for --only: see --list.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time

from benchlib import INGOT, MODELS, PEER_PYTHON, Run, bench_program, median, need, peer, row, scratch, spread, warm

# One thread's sgemm over the shapes of linear_bench's exact prefill, 512 tokens by 2048 rows: processor time, so that
# other work on the machine counts on neither side.
SGEMM = """
import json, sys, time
import numpy as np
best = {}
for cols in (576, 1536, 2048):
    x, w = np.random.rand(512, cols).astype('f4'), np.random.rand(2048, cols).astype('f4')
    rates = []
    for _ in range(9):
        begin = time.process_time(); x @ w.T
        rates.append(2 * 512 * 2048 * cols / (time.process_time() - begin) / 1e9)
    best[cols] = sorted(rates)[len(rates) // 2]
print(json.dumps(best))
"""
# Of one file at each thread count: tokens a second of decode at 128 positions and of a prompt of 512, and the seconds
# from nothing to a first token.
LLAMA = """
import json, sys, time, llama_cpp
path, counts = sys.argv[1], [int(n) for n in sys.argv[2].split(",")]
result = {}
for threads in counts:
    begin = time.perf_counter()
    m = llama_cpp.Llama(path, n_ctx=1024, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False)
    m.eval([1]); load = time.perf_counter() - begin
    m.reset(); begin = time.perf_counter(); m.eval([i % 1000 + 5 for i in range(512)])
    prefill = 512 / (time.perf_counter() - begin)
    m.reset(); m.eval(list(range(5, 133))); begin = time.perf_counter()
    for i in range(16): m.eval([20 + i])
    result[threads] = {"decode": 16 / (time.perf_counter() - begin), "prefill": prefill, "load": load}
    del m
print(json.dumps(result))
"""
QUANTIZE = """
import json, sys, llama_cpp
p = llama_cpp.llama_model_quantize_default_params(); p.ftype = getattr(llama_cpp, "LLAMA_FTYPE_MOSTLY_" + sys.argv[3])
p.allow_requantize = True; p.nthread = 2
print(json.dumps(llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), p)))
"""
# What keeps one processor busy.
BUSY = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
RECIPES = {
    "int4": ["--codec", "int4_rtn", "--group", "128"],
    "int4 whole": ["--codec", "int4_rtn", "--group", "128", "--rule", "*=int4_rtn:group=128"],
    "int4 g256": ["--codec", "int4_rtn", "--group", "256"],
    "16 bits": ["--codec", "lossless_v1"],
    "nested": ["--codec", "nested_v1"],
    "fp8": ["--codec", "fp8_hybrid_v1"],
    "int8": ["--codec", "int8_rtn", "--group", "128"],
    "int4 rotated": ["--codec", "int4_rtn", "--group", "128", "--transform", "hadamard"],
    "int8 rotated": ["--codec", "int8_rtn", "--group", "128", "--transform", "hadamard"],
    "entropy 4": ["--codec", "entropy_v1", "--rate", "4"],
    "entropy 2": ["--codec", "entropy_v1", "--rate", "2"],
}


class Bench:
    """One model in the forms that rows ask for, each packed once."""

    def __init__(self, name, args):
        self.args, self.name, self.work, self.files = args, name, scratch(), {}
        self.source = need(MODELS / name, "make_smollm2, or make_synthetic MODELS/synthetic-1.1b --gguf")
        self.threads = args.threads or os.cpu_count()

    def artifact(self, recipe):
        if recipe not in self.files:
            path = self.work / f"{re.sub('[^a-z0-9]', '', recipe)}.ingot"
            Run([INGOT, "pack", self.source, "-o", path, "-q", "--fast", *RECIPES[recipe]])
            self.files[recipe] = path
        return self.files[recipe]

    def run(self, recipe, *options, runs=None):
        result = json.loads(Run([INGOT, "bench", self.artifact(recipe), "--json", "--runs", runs or self.args.runs,
                                 "--threads", self.threads, *options]).out)
        result["by"] = {(s["kind"], s["batch"], s["context"], s.get("planes", 0)): s for s in result["speeds"]}
        return result


def small_batches(bench, recipe, factor):
    r = bench.run(recipe, "--rows", "1,5", "--batch", "1,8", "--context", "128", "--prompt", "512", "--no-load")
    by = r["by"]
    prefill = by["prefill", 1, 512, 0]["tokens_per_s"]
    one, five = by["rows", 1, 128, 0]["median_s"], by["rows", 5, 128, 0]["median_s"]
    ratio = five / max(one, 5 / prefill)
    name = f"{bench.name}, {recipe}"
    row(f"{name}: a step of 5 rows over the longer of one row's and of 5 rows' prefill", f"{ratio:.2f}x",
        f"<= {factor}x", ratio <= factor)
    single, eight = by["decode", 1, 128, 0]["tokens_per_s"], by["decode", 8, 128, 0]["tokens_per_s"]
    share = eight / min(8 * single, prefill)
    floor = by["decode", 8, 128, 0]
    limit = max(floor["limit_read_s"], floor["limit_products_s"]) / (8 / min(8 * single, prefill))
    row(f"{name}: tokens/s of 8 sequences over the lesser of 8 times one's and prefill's", f"{share:.2f}x (at its own "
        f"limit {1 / limit:.2f}x)", ">= 0.8x", share >= 0.8)
    for kind, key in (("prefill of 512", ("prefill", 1, 512, 0)), ("decode", ("decode", 1, 128, 0))):
        reach = 0.70 if kind != "decode" and recipe != "16 bits" else None
        got = by[key]["share_of_limit"]
        row(f"{name}: {kind}, share of the machine's limit", f"{got:.2f}", f">= {reach}" if reach else "-",
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
    if "avx512bw" in pathlib.Path("/proc/cpuinfo").read_text():
        env["OPENBLAS_CORETYPE"] = "SkylakeX"  # it would take AVX2 on processors that it does not know
    try:
        sgemm = json.loads(subprocess.run([sys.executable, "-c", SGEMM], env=env, check=True,
                                          capture_output=True).stdout)
    except subprocess.CalledProcessError:
        print("skip: no numpy here, so no sgemm to compare with")
        return
    lines = json.loads(Run([bench_program("linear_bench"), "--benchmark_filter=Prefill/.*exact",
                            "--benchmark_format=json"]).out)["benchmarks"]
    for cols, blas in sgemm.items():
        ours = [2 * 512 * 2048 * int(cols) / (b["cpu_time"] * 1e3) for b in lines
                if f"x{cols}/exact" in b["name"] and "bf16" in b["name"]]
        row(f"exact prefill, bf16 weights, 2048 x {cols}, over numpy's sgemm ({blas:.0f} GFLOP/s), one thread",
            f"{ours[0] / blas:.2f}x", ">= 0.7x", ours[0] / blas >= 0.7)


def first_token(path, threads, *options):
    return Run([INGOT, "run", path, "-p", "a", "-n", "1", "--greedy", "-q", "--threads", threads, *options]).wall


def drop(path):
    """The file's pages leave the page cache; whether the system did so cannot be asked."""
    os.sync()
    with open(path, "rb") as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_cold(path):
    drop(path)
    begin = time.perf_counter()
    warm(path)
    return time.perf_counter() - begin


def loading(bench):
    path = bench.artifact("int4")
    warm(path)
    floor = json.loads(Run([bench_program("floors_bench"), path, bench.threads]).out)
    digest = floor["digest_seconds"]
    eager = [first_token(path, bench.threads) for _ in range(9)]
    lazy = [first_token(path, bench.threads, "--verify", "lazy") for _ in range(9)]
    for name, walls in (("every byte first", eager), ("--verify lazy", lazy)):
        ratio = median(walls) / digest
        row(f"{bench.name}: start to first token, every byte verified, {name}, over BLAKE3 of the file "
            f"({digest * 1e3:.1f} ms)", f"{ratio:.2f}x", "<= 1.25x", ratio <= 1.25)
    cold = []
    for _ in range(3):
        reading = read_cold(path)
        drop(path)
        cold.append(first_token(path, bench.threads) / reading)
    row(f"{bench.name}: the same from a cold page cache, over reading the file cold", spread(cold), "<= 1x",
        median(cold) <= 1)
    return median(eager)


def large_decode(bench):
    r = bench.run("int4", "--batch", "1", "--context", "128", "--prompt", "512", "--no-load")
    one = r["by"]["decode", 1, 128, 0]
    share = r["weight_bytes_per_step"] * one["tokens_per_s"] / r["limits"]["read_bytes_per_s"]
    row(f"{bench.name}, int4: bytes of weights a second over the read rate ({r['limits']['read_bytes_per_s'] / 1e9:.1f} "
        "GB/s)", f"{share:.2f}", ">= 0.85", share >= 0.85)


def memory(bench):
    prompt = "The history of the world is long. " * 60
    run = Run([INGOT, "run", bench.artifact("int4"), "-p", prompt, "-n", "16", "--greedy", "--ignore-eos", "--stats",
               "-q"])
    sizes = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
    line = next(line for line in run.err.splitlines() if line.startswith("memory: "))
    number = {name: float(value) * sizes[unit]
              for name, value, unit in re.findall(r"(weights|cache|at most) ([0-9.]+) ([kMG]?B)", line)}
    ratio = number["at most"] / (number["weights"] + number["cache"])
    row(f"{bench.name}, int4: peak memory over weights ({number['weights'] / 1e6:.0f} MB) and cache "
        f"({number['cache'] / 1e6:.0f} MB)", f"{ratio:.2f}x", "<= 1.10x", ratio <= 1.1)


def disturbed(bench):
    options = ("--batch", "1", "--context", "128", "--no-prefill", "--no-load")
    ratios = []
    for _ in range(bench.args.runs):
        alone = bench.run("int4", *options)["by"]["decode", 1, 128, 0]["tokens_per_s"]
        busy = subprocess.Popen([sys.executable, "-c", BUSY, str(min(os.sched_getaffinity(0)))])
        try:
            ratios.append(bench.run("int4", *options)["by"]["decode", 1, 128, 0]["tokens_per_s"] / alone)
        finally:
            busy.kill()
            busy.wait()
    row(f"{bench.name}, int4: decode with one processor busy elsewhere, over undisturbed", spread(ratios), ">= 0.6x",
        median(ratios) >= 0.6)


def logits(path, compute, ids):
    import numpy as np
    run = subprocess.run([bench_program("logits"), path, *map(str, ids)], check=True, capture_output=True,
                         env=dict(os.environ, INGOT_COMPUTE=compute))
    return np.frombuffer(run.stdout, "f4").reshape(len(ids), -1).astype("f8")


def kernels(bench):
    try:
        import numpy as np
    except ImportError:
        print("skip: no numpy here, so no logits to compare")
        return
    ids = Run([bench_program("tokenize"), bench.source, bench.args.text]).out.split()[:256]
    for recipe in ("int4", "int8", "int4 rotated", "int8 rotated", "fp8", "16 bits"):
        exact, fast = (logits(bench.artifact(recipe), compute, ids) for compute in ("exact", "fast"))
        error = np.linalg.norm(fast - exact) / np.linalg.norm(exact)
        log_p, log_q = (x - x.max(1, keepdims=True) for x in (exact, fast))
        log_p, log_q = (x - np.log(np.exp(x).sum(1, keepdims=True)) for x in (log_p, log_q))
        kl = float((np.exp(log_p) * (log_p - log_q)).sum(1).mean())
        whole = recipe in ("fp8", "16 bits")  # no int8 activations
        row(f"{bench.name}, {recipe}: logits of the kernels against float32 of the same weights, 256 tokens",
            f"KL {kl:.2g}, relative error {error:.2g}", "relative error <= 1e-4" if whole else "KL <= 0.0005",
            error <= 1e-4 if whole else kl <= 0.0005)
    lines = json.loads(Run([bench_program("linear_bench"), "--benchmark_filter=Dispatch/int4g128/1536x576/fast/1t|"
                            "Prefill/int4g128/2048x2048/fast", "--benchmark_format=json",
                            "--benchmark_min_time=0.01"]).out)["benchmarks"]
    for line in lines:
        row(f"rows of {line['name']} against float32 of the same weights, relative error", f"{line['error']:.2g}",
            "<= 1e-2", line["error"] <= 1e-2)


def equal_bits(bench):
    tests = INGOT.parent / "loader_tests"
    if not tests.exists():
        print(f"skip: {tests} is absent, so whether a row's bits depend on its batch is not shown")
        return
    run = Run([tests, "--gtest_brief=1", "--gtest_filter=*Batch*:*ATokenIsTheSame*"], check=False)
    row("a row's logits in any batch up to 32, any thread count (loader_tests)",
        "equal" if run.code == 0 else "differ", "equal bit for bit", run.code == 0)


def entropy(bench):
    for recipe in ("entropy 4", "entropy 2"):
        sizes = json.loads(Run([INGOT, "inspect", "--json", bench.artifact(recipe)]).out)
        bits = sizes["bits_per_weight_linear_resident"]
        resident = "int8" if bits > 6 else "int4"
        ratios = []
        for _ in range(bench.args.runs):
            ours, theirs = (bench.run(r, "--batch", "1", "--context", "128", "--no-prefill", "--no-load", runs=1)
                            ["by"]["decode", 1, 128, 0]["tokens_per_s"] for r in (recipe, resident))
            ratios.append(ours / theirs)
        row(f"{bench.name}: entropy_v1 at {recipe.split()[1]} bits ({bits:.2f} in memory) over {resident} g128, decode",
            spread(ratios), ">= 0.9x", median(ratios) >= 0.9)


def modes(bench):
    by = bench.run("nested", "--compare-modes", "--context", "128", "--no-load")["by"]
    four, eight, sixteen = (by["decode", 1, 128, planes]["median_s"] for planes in (1, 2, 3))
    for name, slow, reach in (("8 bits", eight, 1.7), ("16 bits", sixteen, 3.0)):
        row(f"nested: the 4-bit prefix against {name}", f"{slow / four:.2f}x", f">= {reach}x", slow / four >= reach)


def read_share(path, config):
    """Bytes of a GGUF that a token reads: all, less the table of embeddings where the head is another."""
    c = json.loads(config.read_text())
    table, layers = c["vocab_size"] * c["hidden_size"], c["num_hidden_layers"]
    if c.get("tie_word_embeddings"):
        return path.stat().st_size
    kv = c["hidden_size"] // c["num_attention_heads"] * c["num_key_value_heads"]
    layer = c["hidden_size"] * (2 * c["hidden_size"] + 2 * kv + 3 * c["intermediate_size"])
    return path.stat().st_size * (1 - table / (2 * table + layers * layer))


def llama_cpp(bench):
    gguf = next((p for p in (MODELS / f"{bench.name}-q4_1.gguf", MODELS / f"{bench.name}.gguf") if p.exists()), None)
    if not PEER_PYTHON.exists() or gguf is None:
        print(f"skip: {PEER_PYTHON if gguf else 'the GGUF of ' + bench.name} is absent, so no llama.cpp to compare with")
        return
    counts = ",".join(str(n) for n in range(1, bench.threads + 1))
    options = ("--batch", "1", "--context", "128", "--prompt", "512", "--no-load")
    path = bench.artifact("int4 whole")
    for kind in ("Q4_0", "Q4_K_M"):
        theirs_file = bench.work / f"{kind}.gguf"
        if peer(QUANTIZE, gguf, theirs_file, kind) != 0:
            sys.exit("llama_model_quantize failed")
        warm(theirs_file)
        ours, theirs, loads = {"decode": [], "prefill": []}, {"decode": [], "prefill": []}, []
        for _ in range(bench.args.runs):
            counted = peer(LLAMA, theirs_file, counts)
            r = bench.run("int4 whole", *options, runs=1)
            ours["decode"].append(r["by"]["decode", 1, 128, 0]["tokens_per_s"])
            ours["prefill"].append(r["by"]["prefill", 1, 512, 0]["tokens_per_s"])
            for name, speeds in theirs.items():
                speeds.append(max(c[name] for c in counted.values()))  # at its best thread count
            loads.append(first_token(path, bench.threads) / min(c["load"] for c in counted.values()))
        read = read_share(theirs_file, bench.source / "config.json")
        share = read * median(theirs["decode"]) / r["limits"]["read_bytes_per_s"]
        sizes = f"{path.stat().st_size / 1e6:.0f} MB and {theirs_file.stat().st_size / 1e6:.0f} MB"
        ratios = {name: [a / b for a, b in zip(ours[name], theirs[name])] for name in ours}
        reach = min(1.4, 0.95 / share)
        row(f"{bench.name}, int4 g128: decode against llama.cpp {kind}, which takes {share:.2f} of the read rate "
            f"({sizes})", spread(ratios["decode"]), f">= {reach:.2f}x",
            median(ratios["decode"]) >= reach)
        of_rate = r["by"]["prefill", 1, 512, 0]["share_of_limit"]
        row(f"{bench.name}, int4 g128: prefill of 512 against llama.cpp {kind}; of the product rate {of_rate:.2f}",
            spread(ratios["prefill"]), ">= 1.5x, or >= 0.70 of the rate",
            median(ratios["prefill"]) >= 1.5 or of_rate >= 0.7)
        row(f"{bench.name}: start to first token over llama.cpp's load to one token, {kind}, which verifies nothing",
            spread(loads), "<= 0.15x", median(loads) <= 0.15)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--model", default="smollm2-135m")
    ap.add_argument("--large", default="synthetic-1.1b", help="empty: leave its rows out")
    ap.add_argument("--threads", type=int, default=0)
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--text", type=pathlib.Path, default=pathlib.Path("../shared/text/wiki.txt"))
    ap.add_argument("--only", default="", help="parts whose name has this")
    ap.add_argument("--list", action="store_true", help="the parts' names")
    args = ap.parse_args()
    bf16 = "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text()
    recipes = {"int4": 1.25, "int4 g256": 1.25, "16 bits": 1.1 if bf16 else 1.25, "int8": 1.25, "fp8": 1.25}
    parts = {f"batches {recipe}": lambda bench, recipe=recipe, factor=factor: small_batches(bench, recipe, factor)
             for recipe, factor in recipes.items()}
    parts |= {"caches": caches, "exact": exact_prefill, "load": loading, "modes": modes, "memory": memory,
              "disturbed": disturbed, "kernels": kernels, "equal": equal_bits, "entropy": entropy,
              "llama.cpp": llama_cpp}
    large = {"large batches int4": lambda bench: small_batches(bench, "int4", 1.25), "large decode": large_decode,
             "large load": loading, "large memory": memory, "large llama.cpp": llama_cpp}
    if args.list:
        print("\n".join([*parts, *(large if args.large else {})]))
        return
    for model, own in ((args.model, parts), (args.large, large if args.large else {})):
        chosen = [part for name, part in own.items() if re.search(args.only, name)]
        bench = Bench(model, args) if chosen else None
        for part in chosen:
            part(bench)


if __name__ == "__main__":
    main()
