#!/usr/bin/env python3
"""Logits and perplexity of ingot against transformers in float32.

usage: parity.py LOGITS MODEL_DIR... [--tokens N] [--perplexity TEXT] [--windows N] [--context N]

LOGITS is build/<preset>/bin/logits. Per model: the largest difference over the largest magnitude of all
logits of one sequence, whether every argmax is equal, and (with --perplexity) the perplexity of both on
the same windows (llama-perplexity's: second half of each scored). Exit status 1 when a relative error
exceeds 1e-4, an argmax differs, or a perplexity differs by more than 0.05 %.
Needs torch and transformers.
"""
import argparse
import pathlib
import subprocess
import sys

import numpy as np
import torch
import transformers

MAX_ERROR, MAX_PERPLEXITY_PERCENT = 1e-4, 0.05


def ingot_logits(program, model, sequences, vocab):
    """Yields a float32 array, ids x vocab, per sequence."""
    lines = "".join(" ".join(map(str, ids)) + "\n" for ids in sequences)
    with subprocess.Popen([program, model], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        run.stdin.write(lines.encode())
        run.stdin.close()
        for ids in sequences:
            data = run.stdout.read(4 * vocab * len(ids))
            if len(data) < 4 * vocab * len(ids):
                raise SystemExit(f"{model}: {program} stopped early")
            yield np.frombuffer(data, "<f4").reshape(len(ids), vocab)


def torch_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0].float().numpy()


def nll(logits, ids, first):
    """Sum over targets ids[first + 1:] of their negative log-likelihood, float64."""
    rows = logits[first:len(ids) - 1].astype(np.float64)
    top = rows.max(axis=1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(rows - top).sum(axis=1))
    return float((log_sum - rows[np.arange(len(rows)), ids[first + 1:]]).sum()), len(rows)


def check(args, folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()
    vocab = model.get_output_embeddings().weight.shape[0]
    length = min(args.tokens, model.config.max_position_embeddings)
    ids = np.random.default_rng(1).integers(3, vocab, length).tolist()
    ours = next(ingot_logits(args.logits, folder, [ids], vocab))
    theirs = torch_logits(model, ids)
    error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    same = bool((ours.argmax(1) == theirs.argmax(1)).all())
    good = error <= MAX_ERROR and same
    line = f"{pathlib.Path(folder).name:26} relative error {error:.2e}  argmax equal {same}"
    if args.perplexity:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        text = tokenizer(pathlib.Path(args.perplexity).read_text(errors="replace"))["input_ids"]
        context = min(args.context, model.config.max_position_embeddings)
        windows = [text[i:i + context] for i in range(0, len(text) - context + 1, context)]
        windows = windows[:args.windows]
        sums = np.zeros(3)
        for window, mine in zip(windows, ingot_logits(args.logits, folder, windows, vocab)):
            own, count = nll(mine, window, context // 2)
            sums += (own, nll(torch_logits(model, window), window, context // 2)[0], count)
        own, reference = np.exp(sums[0] / sums[2]), np.exp(sums[1] / sums[2])
        percent = 100 * (own / reference - 1)
        good &= abs(percent) <= MAX_PERPLEXITY_PERCENT
        line += f"  perplexity {own:.4f}, transformers {reference:.4f} ({percent:+.5f} %)"
    print(line, flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("logits")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--perplexity", metavar="TEXT")
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--context", type=int, default=512)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    return 0 if all([check(args, folder) for folder in args.models]) else 1


if __name__ == "__main__":
    sys.exit(main())
