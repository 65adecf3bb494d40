#!/usr/bin/env python3
"""What the arithmetic alone costs: the source's own weights computed in BF16 and FP16, as it is mostly run, against
float32: KL divergence over the windows of tools/bench/quality. The yardstick of `pack --target quality`.

usage: bench_arithmetic.py [--windows 100] [--model DIR] [--text FILE]     in a Python with torch and transformers
"""
import argparse
import pathlib
import tempfile

import torch
from benchlib import MODELS
from quality_peers import TEXT
from quality_windows import Windows
from transformers import AutoModelForCausalLM, AutoTokenizer

CONTEXT = 512


def load(path, dtype):
    model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype).eval()

    @torch.no_grad()
    def logits(ids):
        return model(torch.tensor([ids])).logits[0].float().numpy()

    return logits


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=100, help=f"of {CONTEXT} tokens")
    parser.add_argument("--model", default=MODELS / "smollm2-135m")
    parser.add_argument("--text", default=TEXT, type=pathlib.Path)
    args = parser.parse_args()
    ids = AutoTokenizer.from_pretrained(args.model)(args.text.read_text(encoding="utf-8"))["input_ids"]
    with tempfile.TemporaryDirectory() as folder:
        windows = Windows(ids[:args.windows * CONTEXT], CONTEXT, folder)
        windows.add_source(load(args.model, torch.float32))
        for dtype in (torch.bfloat16, torch.float16):
            r = windows.score(load(args.model, dtype))
            print(f"{str(dtype):16s} KL {r['kl_mean']:.6f} +- {r['kl_stderr']:.6f}  top-1 {r['top1']:.4f}  "
                  f"dPPL {r['delta_ppl_percent']:+.3f} %  ({r['positions']} positions)", flush=True)


if __name__ == "__main__":
    main()
