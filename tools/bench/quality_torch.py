"""The torch peers' side of tools/bench/quality, run in their environment (tools/bench/setup_peers): gptqmodel, hqq and
bitsandbytes.

usage: quality_torch.py JOB.json     prints one JSON object a line, each as soon as it is known
       quality_torch.py --versions   prints {peer: package's version}

JOB: {"model": Hugging Face folder, "folder": where files are made, "peers": [names], "context": 512,
      "tokens": ids.npy, "calibration": ids.npy}
The model is read in float32. Each peer quantizes the layers' linear weights (the embedding stays as it is) and
dequantizes them by its own code; these go into the float32 model, which is run over the same windows as its source.
Bits are those of the tensors that the package stores: codes, scales, zero points, constants.
"""
import importlib.metadata
import json
import os
import pathlib
import sys

import numpy as np
import torch
from quality_windows import Windows, emit

torch.set_num_threads(int(os.environ.get("INGOT_PEERS_THREADS", "1")))  # one: as quality_llama.py
GROUP = 64


def bits_of(tensors):
    return sum(8 * t.numel() * t.element_size() for t in tensors)


def linear_layers(model):
    """name -> torch.nn.Linear of the layers; not the head, which is the embedding."""
    return {name: m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and ".layers." in name}


def bitsandbytes_nf4(job, weights):
    """nf4 in blocks of 64 with float32 maxima: 4.5 bits. Also the package's default."""
    from bitsandbytes import functional
    out, bits = {}, 0
    for name, w in weights.items():
        codes, state = functional.quantize_4bit(w, blocksize=GROUP, quant_type="nf4", compress_statistics=False)
        bits += bits_of([codes, state.absmax])
        out[name] = functional.dequantize_4bit(codes, state)
    return out, bits


def hqq_int4(job, weights):
    """4 bits, groups of 64 along the input, half-quadratic optimised zero points; scales and zeros as the package
    stores them at its usual compute type, float16."""
    from hqq.core.quantize import Quantizer
    out, bits = {}, 0
    for name, w in weights.items():
        codes, meta = Quantizer.quantize(w, nbits=4, group_size=GROUP, axis=1, optimize=True, round_zero=True,
                                         device="cpu", compute_dtype=torch.float16)
        meta["scale"], meta["zero"] = meta["scale"].half(), meta["zero"].half()
        bits += bits_of([codes, meta["scale"], meta["zero"]])
        meta["compute_dtype"] = torch.float32
        meta["scale"], meta["zero"] = meta["scale"].float(), meta["zero"].float()
        out[name] = Quantizer.dequantize(codes, meta).reshape(w.shape)
    return out, bits


def gptqmodel_int4(job, weights):
    """GPTQ, 4 bits, groups of 64, symmetric, reordered within groups: the package's defaults. Through its own file,
    since only a loaded model has the zero points that its dequantizer expects."""
    os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")  # it fails with fewer, and asks for one on two cores
    from gptqmodel import BACKEND, GPTQModel, QuantizeConfig
    model = GPTQModel.load(job["model"], QuantizeConfig(bits=4, group_size=GROUP, offload_to_disk=False),
                           device="cpu", dtype=torch.float32)
    ids = np.load(job["calibration"]).reshape(-1, job["context"])
    model.quantize([{"input_ids": w.tolist(), "attention_mask": [1] * len(w)} for w in ids], batch_size=1,
                   backend=BACKEND.GPTQ_TORCH)
    path = str(pathlib.Path(job["folder"]) / "gptqmodel")
    model.save(path)
    layers = dict(GPTQModel.load(path, device="cpu", backend=BACKEND.GPTQ_TORCH).model.named_modules())
    out, bits = {}, 0
    for name, w in weights.items():
        layer = layers[name]
        bits += bits_of([layer.qweight, layer.qzeros, layer.scales])  # not g_idx: it is i // group
        out[name] = layer.dequantize_weight().detach().T.float().reshape(w.shape)
    return out, bits


PEERS = {  # name: label, method
    "gptqmodel": ("gptqmodel int4 g64", gptqmodel_int4),
    "hqq": ("hqq int4 g64", hqq_int4),
    "bitsandbytes": ("bitsandbytes nf4 b64", bitsandbytes_nf4),
}


def main():
    if sys.argv[1] == "--versions":
        emit({name: " ".join(f"{p} {importlib.metadata.version(p)}" for p in (name, "torch")) for name in PEERS})
        return
    from transformers import AutoModelForCausalLM
    job = json.loads(pathlib.Path(sys.argv[1]).read_text())
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32).eval()
    layers = linear_layers(model)
    source = {name: m.weight.detach().clone() for name, m in layers.items()}

    @torch.no_grad()
    def logits(ids):
        return model(torch.tensor([ids])).logits[0].numpy()

    windows = Windows(np.load(job["tokens"]), job["context"], job["folder"])
    windows.add_source(logits)
    for name in job["peers"]:
        label, method = PEERS[name]
        weights, bits = method(job, source)
        with torch.no_grad():
            for layer, w in weights.items():
                layers[layer].weight.copy_(w)
        count = sum(w.numel() for w in source.values())
        emit({"peer": name, "label": label, "bits": bits / count, "bytes": None, **windows.score(logits)})


if __name__ == "__main__":
    main()
