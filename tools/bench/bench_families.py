#!/usr/bin/env python3
"""What packing costs each family, against the same weights in transformers.

usage: bench_families.py BIN MODEL_DIR... [--pack OPTIONS] [--text FILE] [--tokens N] [--windows N]
                         [--context N] [--json FILE]

BIN is build/<preset>/bin. Every directory (tests/fixtures/models/*, any Hugging Face model) is packed
(by default --codec int4_rtn --group 64), exported as float32, and both are run over the same windows of
tokens: ingot from the artifact, transformers from the exported weights. The two perplexities must agree
within 0.1 %; beside them stands the perplexity of the source, which tells what the codec cost. A model
with a tokenizer is evaluated by `ingot eval` on --text; the others, random weights without a tokenizer,
on random ids through the example program `logits`, an encoder on predicting its own input. Exit status
1 where a pair differs by more. What transformers has no class for runs in ingot's float32 forward
instead. Needs torch and transformers.
"""
import argparse
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile

import numpy as np
import transformers

from parity import NoReference, encode, ingot_logits, load_reference, nll, torch_logits, trained_length

MAX_PERCENT = 0.1


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"{command[0]} exited with {done.returncode}")
    return done.stdout


def own_nll(logits, ids):
    """An encoder's: how well each position predicts its own token."""
    rows = logits.astype(np.float64)
    top = rows.max(axis=1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(rows - top).sum(axis=1))
    return float((log_sum - rows[np.arange(len(ids)), ids]).sum()), len(ids)


def perplexity(windows, logits_of, first, masked):
    total = np.zeros(2)
    for window, logits in zip(windows, logits_of):
        total += own_nll(logits, window) if masked else nll(logits, window, first)
    return float(np.exp(total[0] / total[1]))


class Reference:
    """A checkpoint in transformers, or where that has no class for it in ingot's float32 forward, whose
    parity with other references the tests show."""

    def __init__(self, args, folder):
        self.folder, self.program = folder, args.bin / "logits"
        self.config = json.loads((folder / "config.json").read_text())
        self.vocab, self.length = self.config.get("vocab_size"), 1 << 20
        try:
            self.model = load_reference(folder)
            self.vocab = self.model.get_output_embeddings().weight.shape[0]
            self.length = trained_length(self.model.config)
        except NoReference:
            self.model = None
        self.name = "transformers" if self.model else "ingot's float32 forward"

    def logits(self, windows):
        if self.model is None:
            return ingot_logits(self.program, self.folder, windows, self.vocab)
        return (torch_logits(self.model, window) for window in windows)


def on_random_ids(args, folder, artifact, exported):
    reference, source = Reference(args, exported), Reference(args, folder)
    name = type(reference.model).__name__
    masked = "MaskedLM" in name or "PreTraining" in name
    vocab = reference.vocab
    context = min(args.context, reference.length, args.tokens)
    rng = np.random.default_rng(1)
    windows = [rng.integers(3, vocab, context).tolist() for _ in range(args.windows)]
    first = context // 2
    own = perplexity(windows, ingot_logits(args.bin / "logits", artifact, windows, vocab), first, masked)
    theirs = perplexity(windows, reference.logits(windows), first, masked)
    before = perplexity(windows, source.logits(windows), first, masked)
    return own, theirs, before, reference.name


def on_text(args, folder, artifact, exported):
    reference, source = Reference(args, exported), Reference(args, folder)
    context = min(args.context, reference.length)
    result = json.loads(run(args.bin / "ingot", "eval", artifact, "--reference", folder, "--text",
                            args.text, "--context", context, "--windows", "llama", "--tokens",
                            context * args.windows, "--json"))
    # Tokens are fewer than characters.
    text = pathlib.Path(args.text).read_text(errors="replace")[:4 * context * args.windows]
    ids, bos = encode(folder, text, False), encode(folder, "", True)[:1]
    # llama-perplexity's windows: the tokens back to back, BOS in place of each window's first where the
    # model adds one.
    ids = (bos + ids)[:context * args.windows]
    windows = [bos + ids[i:i + context][len(bos):] for i in range(0, len(ids) - context + 1, context)]
    theirs = perplexity(windows, reference.logits(windows), context // 2, False)
    before = perplexity(windows, source.logits(windows), context // 2, False)
    return result["perplexity"], theirs, before, reference.name


def measure(args, folder):
    with tempfile.TemporaryDirectory(prefix="ingot_families_") as work:
        artifact, exported = pathlib.Path(work, "m.ingot"), pathlib.Path(work, "exported")
        masked = "Masked" in (folder / "config.json").read_text()
        has_tokenizer = any((folder / n).exists() for n in ("tokenizer.json", "tokenizer.model"))
        run(args.bin / "ingot", "pack", folder, "-o", artifact, "-q", *shlex.split(args.pack),
            *([] if has_tokenizer else ["--no-tokenizer"]))
        run(args.bin / "ingot", "export", artifact, "-o", exported, "-q")
        by = on_text if has_tokenizer and args.text and not masked else on_random_ids
        own, theirs, before, by_name = by(args, folder, artifact, exported)
    percent = 100 * (own / theirs - 1)
    good = abs(percent) <= MAX_PERCENT
    print(f"{folder.name:24} source {before:10.4f}  artifact {own:10.4f}  exported weights in "
          f"{by_name} {theirs:10.4f}  ({percent:+.5f} %){'' if good else '  MISSED'}", flush=True)
    return {"model": folder.name, "source": before, "artifact": own, "exported": theirs, "by": by_name,
            "percent": percent, "good": good}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--pack", default="--codec int4_rtn --group 64", help="options of ingot pack")
    parser.add_argument("--text", help="for models with a tokenizer")
    parser.add_argument("--tokens", type=int, default=64, help="longest window of random ids")
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    results, failed = [], False
    for folder in args.models:
        if not (folder / "config.json").exists():
            continue
        try:
            results.append(measure(args, folder))
            failed |= not results[-1]["good"]
        except (RuntimeError, ValueError, OSError) as error:
            print(f"{folder.name:24} failed: {error}", flush=True)
            failed = True
    print(f"{len(results)} models, largest difference "
          f"{max((abs(r['percent']) for r in results), default=0):.5f} %")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
