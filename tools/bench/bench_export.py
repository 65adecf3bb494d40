#!/usr/bin/env python3
"""Perplexity of an exported directory in transformers against `ingot eval` of the artifact, on the same
windows.

usage: bench_export.py TEXT [MODEL] [--codec int4_rtn] [--tokens 8192]
Needs a Python with torch and transformers: run it with that one.
"""
import argparse
import json
import math
import pathlib

from benchlib import INGOT, MODELS, Run, row, scratch


def transformers_perplexity(directory, text, context, tokens):
    """llama-perplexity's windows: non-overlapping, scored on the second half."""
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(pathlib.Path(directory) / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    ids = tokenizer(text)["input_ids"]
    total, count = 0.0, 0
    for begin in range(0, min(len(ids), tokens) // context * context, context):
        window = torch.tensor([ids[begin:begin + context]])
        with torch.no_grad():
            logits = model(window).logits[0].double()
        first = context // 2
        log_probs = torch.log_softmax(logits[first:-1], -1)
        total -= log_probs.gather(1, window[0, first + 1:, None]).sum().item()
        count += context - first - 1
    return math.exp(total / count), count


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("text", type=pathlib.Path)
    ap.add_argument("model", type=pathlib.Path, nargs="?", default=MODELS / "smollm2-135m")
    ap.add_argument("--codec", default="int4_rtn")
    ap.add_argument("--tokens", type=int, default=8192)
    ap.add_argument("--context", type=int, default=512)
    args = ap.parse_args()
    work = scratch()
    Run([INGOT, "pack", args.model, "-o", work / "m.ingot", "--codec", args.codec, "-q"])
    Run([INGOT, "export", work / "m.ingot", "-o", work / "out"])
    ours = json.loads(Run([INGOT, "eval", work / "m.ingot", "--reference", args.model, "--text", args.text,
                           "--context", args.context, "--tokens", args.tokens, "--json"]).out)
    text = args.text.read_text()
    for name, directory, value in (("reference", args.model, ours["reference_perplexity"]),
                                   ("exported artifact", work / "out", ours["perplexity"])):
        theirs, count = transformers_perplexity(directory, text, args.context, args.tokens)
        difference = abs(value / theirs - 1) * 100
        limit = 0.05 if name == "reference" else 0.1
        row(f"perplexity of the {name}, ingot {value:.5f}, transformers {theirs:.5f} over {count} "
            f"positions ({ours['tokens']})", f"{difference:.4f} %", f"<= {limit} %", difference <= limit)


if __name__ == "__main__":
    main()
