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
import json
import pathlib
import subprocess
import sys

import numpy as np
import tokenizers
import torch
import transformers

MAX_ERROR, MAX_PERPLEXITY_PERCENT = 1e-4, 0.05


class NoReference(Exception):
    pass


def load_reference(folder):
    """The class that a checkpoint was made from, in float32."""
    config = json.loads((pathlib.Path(folder) / "config.json").read_text())
    name = (config.get("architectures") or ["nothing"])[0]
    model_class = getattr(transformers, name, None)
    if model_class is None:
        raise NoReference(f"transformers has no class {name}")
    # transformers' eager attention adds Falcon's ALiBi twice, in the scores and in the mask.
    attention = "sdpa" if config.get("alibi") else "eager"
    return model_class.from_pretrained(folder, dtype=torch.float32,
                                       attn_implementation=attention).eval()


def trained_length(config, otherwise=1 << 20):
    """Tokens of the longest sequence; RoBERTa's table starts at row 2."""
    for key in ("max_position_embeddings", "n_positions", "seq_length", "context_length"):
        if getattr(config, key, None):
            return getattr(config, key) - (2 if config.model_type == "roberta" else 0)
    return otherwise


def encode(folder, text, add_special=True):
    """Ids by the checkpoint's own tokenizer.json, which transformers' classes may amend."""
    path = pathlib.Path(folder) / "tokenizer.json"
    if path.exists():
        return tokenizers.Tokenizer.from_file(str(path)).encode(
            text, add_special_tokens=add_special).ids
    return transformers.AutoTokenizer.from_pretrained(folder)(
        text, add_special_tokens=add_special)["input_ids"]


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
        out = model(torch.tensor([ids]))
    logits = out.logits if hasattr(out, "logits") else out.prediction_logits
    return logits[0].float().numpy()


def nll(logits, ids, first):
    """Sum over targets ids[first + 1:] of their negative log-likelihood, float64."""
    rows = logits[first:len(ids) - 1].astype(np.float64)
    top = rows.max(axis=1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(rows - top).sum(axis=1))
    return float((log_sum - rows[np.arange(len(rows)), ids[first + 1:]]).sum()), len(rows)


def check(args, folder):
    model = load_reference(folder)
    vocab = model.get_output_embeddings().weight.shape[0]
    length = min(args.tokens, trained_length(model.config))
    ids = np.random.default_rng(1).integers(3, vocab, length).tolist()
    ours = next(ingot_logits(args.logits, folder, [ids], vocab))
    theirs = torch_logits(model, ids)
    error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    same = bool((ours.argmax(1) == theirs.argmax(1)).all())
    good = error <= MAX_ERROR and same
    line = f"{pathlib.Path(folder).name:26} relative error {error:.2e}  argmax equal {same}"
    if args.perplexity:
        context = min(args.context, trained_length(model.config))
        # Enough text for these windows: tokens are fewer than characters.
        text = pathlib.Path(args.perplexity).read_text(errors="replace")[:4 * context * args.windows]
        text = encode(folder, text)
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
    transformers.utils.logging.disable_progress_bar()
    return 0 if all([check(args, folder) for folder in args.models]) else 1


if __name__ == "__main__":
    sys.exit(main())
