#!/usr/bin/env python3
"""Which text to learn a model from: it is learned (forward only, as `ingot pack` does by itself) from mixes of what it writes
and of files, packed to one size, and measured on texts of other kinds, none of which it was learned from. Prints
the divergence on each and the worst, which is what a default is to be judged by.

usage: bench_calibration_text.py TEXTS [MODEL] [--tokens 16384] [--measure 4096] [--mix self --mix self:1+files:1 ...]
TEXTS: a folder with wiki.txt, c4.txt and code.txt to learn from, and the five that are measured on. In a mix, `files` is
those three together.
"""
import argparse
import json
import math
import pathlib
import shutil
import sys

from benchlib import INGOT, MODELS, Run, scratch

LEARNED = ("wiki.txt", "c4.txt", "code.txt")
MEASURED = {"encyclopedia": "wikitext2_tok_test.txt", "technical": "technical.txt", "multilingual": "multilingual.txt",
            "drama": "tinyshakespeare.txt", "stories": "tinystories.txt"}
MIXES = ("self", "self:3+files:1", "self:1+files:1", "self:1+files:3", "files")


def texts_of(mix, folder):
    """Arguments of --calib."""
    texts = []
    for part in mix.split("+"):
        name, _, weight = part.partition(":")
        if name == "self":
            texts.append(part)
        elif name == "files":
            texts += [f"{folder / one}:{float(weight or 1) / len(LEARNED):.6g}" for one in LEARNED]
        else:
            sys.exit(f"{part}: self or files, with a weight")
    return texts


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("texts", type=pathlib.Path)
    ap.add_argument("model", type=pathlib.Path, nargs="?", default=MODELS / "smollm2-135m")
    ap.add_argument("--tokens", type=int, default=16384, help="that the model is learned from")
    ap.add_argument("--measure", type=int, default=4096, help="tokens of each text that are measured on")
    ap.add_argument("--mix", action="append")
    ap.add_argument("--size", default="68MB", help="of the file, so that what is compared is of one size")
    args = ap.parse_args()
    work = scratch()
    # Alone: with ingot-calibrate beside it, `ingot` would take gradients.
    program = work / "ingot"
    shutil.copy(INGOT, program)
    rows = []
    for mix in args.mix or MIXES:
        target = work / "m.ingot"
        run = Run([program, "pack", args.model, "-o", target, "--force", "-q", "--size", args.size, "--calib-tokens", args.tokens,
                   "--calib", *texts_of(mix, args.texts)])
        pathlib.Path(f"{target}.stats.safetensors").unlink()
        found = {}
        for kind, name in MEASURED.items():
            got = json.loads(Run([program, "eval", target, "--reference", args.model, "--text", args.texts / name, "--tokens",
                                  args.measure, "--cache", work / f"{kind}.cache", "--json"]).out)
            found[kind] = (got["kl_mean"], got["kl_mean_stderr"])
        rows.append((mix, found))
        print(f"{mix}: {run.cpu:.0f} s of CPU time to pack, "
              + ", ".join(f"{kind} {kl:.4f} ± {error:.4f}" for kind, (kl, error) in found.items()), flush=True)
    best = {kind: min(found[kind][0] for _, found in rows) for kind in MEASURED}
    print(f"\n{args.tokens} tokens learned, {args.measure} measured of each text, files of {args.size}\n")
    print("| learned from | " + " | ".join(MEASURED) + " | worst against the best |")
    print("| --- |" + " --- |" * (len(MEASURED) + 1))
    for mix, found in rows:
        worst = max(found[kind][0] / best[kind] for kind in MEASURED)
        print(f"| {mix} | " + " | ".join(f"{kl:.4f} ± {error:.4f}" for kl, error in found.values()) + f" | {worst:.3f}x |")
    chosen = min(rows, key=lambda row: max(row[1][kind][0] / best[kind] for kind in MEASURED))
    print(f"\nlowest worst case: {chosen[0]}; geometric means: "
          + ", ".join(f"{mix} {math.exp(sum(math.log(kl) for kl, _ in found.values()) / len(found)):.4f}"
                      for mix, found in rows))


if __name__ == "__main__":
    main()
