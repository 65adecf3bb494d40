"""llama.cpp's side of tools/bench/quality, run in the peers' environment (tools/bench/setup_peers).

usage: quality_llama.py JOB.json     prints one JSON object a line

JOB: {"source": BF16.gguf, "folder": where files are made, "types": [...], "imatrix": FILE.npz or null,
      "tokens": ids.npy, "context": 512}
Quantizes the source to every type, then runs all of them over the same windows, side by side with
the source itself: KL divergence of the type's next-token distribution from the source's, on the second half
of every window.
"""
import ctypes
import json
import pathlib
import sys

import llama_cpp
import numpy as np

TYPES = {  # llama_ftype
    "Q4_0": 2, "Q8_0": 7, "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18,
    "IQ2_XS": 20, "IQ3_XXS": 23, "IQ3_S": 26, "IQ3_M": 27, "IQ2_S": 28, "IQ4_XS": 30,
}


def quantize(source, target, kind, imatrix):
    p = llama_cpp.llama_model_quantize_default_params()
    p.ftype, p.nthread = TYPES[kind], 2
    entries = None
    if imatrix is not None:
        entries = (llama_cpp.llama_model_imatrix_data * (len(imatrix) + 1))()
        for i, (name, values) in enumerate(imatrix.items()):
            entries[i].name = name.encode()
            entries[i].data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            entries[i].size = values.size
        p.imatrix = entries
    if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), p) != 0:
        sys.exit(f"llama.cpp could not quantize to {kind}")


def log_softmax(x):
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def logits(model, ids, first):
    model.reset()
    model.eval(ids)
    return log_softmax(model.scores[first:len(ids)].astype(np.float32))


def main():
    job = json.load(open(sys.argv[1]))
    ids = np.load(job["tokens"])
    context, folder = job["context"], pathlib.Path(job["folder"])
    imatrix = dict(np.load(job["imatrix"])) if job["imatrix"] else None
    if imatrix is not None:
        imatrix = {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in imatrix.items()}
    files = {}
    for kind in job["types"]:
        files[kind] = folder / f"{kind}.gguf"
        quantize(job["source"], files[kind], kind, imatrix)

    def load(path):
        return llama_cpp.Llama(str(path), n_ctx=context, n_batch=context, n_threads=2, n_threads_batch=2,
                               logits_all=True, verbose=False)

    source, models = load(job["source"]), {k: load(f) for k, f in files.items()}
    first = context // 2
    sums = {k: {"kl": [], "nll": [], "top1": 0} for k in models}
    reference_nll, positions = [], 0
    for begin in range(0, len(ids) - context + 1, context):
        window = ids[begin:begin + context].tolist()
        target = np.array(window[first + 1:])
        rows = np.arange(len(target))
        base = logits(source, window[:-1], first)
        p = np.exp(base)
        reference_nll.append(-base[rows, target].mean())
        positions += len(target)
        for kind, model in models.items():
            q = logits(model, window[:-1], first)
            sums[kind]["kl"].append(float((p * (base - q)).sum(axis=1).mean()))
            sums[kind]["nll"].append(float(-q[rows, target].mean()))
            sums[kind]["top1"] += int((q.argmax(axis=1) == base.argmax(axis=1)).sum())
    for kind, s in sums.items():
        kl = np.array(s["kl"])
        print(json.dumps({
            "type": kind, "file": str(files[kind]), "kl_mean": kl.mean(),
            "kl_stderr": kl.std(ddof=1) / np.sqrt(len(kl)), "top1": s["top1"] / positions,
            "delta_ppl_percent": 100 * (np.exp(np.mean(s["nll"]) - np.mean(reference_nll)) - 1),
            "positions": positions}), flush=True)


if __name__ == "__main__":
    main()
