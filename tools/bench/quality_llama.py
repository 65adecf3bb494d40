"""llama.cpp's side of tools/bench/quality, run in the peers' environment (tools/bench/setup_peers).

usage: quality_llama.py JOB.json     prints one JSON object a line, each as soon as it is known
       quality_llama.py --versions   prints {type: package's version}

JOB: {"source": BF16.gguf, "folder": where files are made, "peers": [types], "imatrix": FILE.npz or null,
      "tokens": ids.npy, "context": 512}
Runs the source over all windows, then quantizes it to one type after the other and runs each over the same windows:
KL divergence of the type's next-token distribution from the source's, on the second half of every window.
"""
import ctypes
import json
import pathlib
import sys

import llama_cpp
import numpy as np
from quality_windows import Windows, emit

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


def load(path, context):
    """A function of token ids to their logits. One thread: several wait for each other by spinning, which costs more
    than it gives on a shared machine (measured: 1.7 and 4.7 CPU-seconds a window)."""
    model = llama_cpp.Llama(str(path), n_ctx=context, n_batch=context, n_threads=1, n_threads_batch=1,
                            logits_all=True, verbose=False)

    def logits(ids):
        model.reset()
        model.eval(ids)
        return model.scores[:len(ids)]
    return logits


def main():
    if sys.argv[1] == "--versions":
        emit({kind: f"llama-cpp-python {llama_cpp.__version__}" for kind in TYPES})
        return
    job = json.loads(pathlib.Path(sys.argv[1]).read_text())
    imatrix = None
    if job["imatrix"]:
        imatrix = {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in np.load(job["imatrix"]).items()}
    windows = Windows(np.load(job["tokens"]), job["context"], job["folder"])
    windows.add_source(load(job["source"], job["context"]))
    for kind in job["peers"]:
        path = pathlib.Path(job["folder"]) / f"{kind}.gguf"
        quantize(job["source"], path, kind, imatrix)
        emit({"peer": kind, "file": str(path), **windows.score(load(path, job["context"]))})


if __name__ == "__main__":
    main()
