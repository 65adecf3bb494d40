#!/usr/bin/env python3
"""What compression costs an RWKV model, by Ingot and by the reference of tools/fixtures/make_rwkv_fixtures.py over the
exported weights: perplexity of source and artifact, and the difference of their changes.

usage: bench_rwkv.py BIN MODEL... [--text FILE] [--tokens N] [--codec NAME] [--group G]
  BIN    build/<preset>/bin, with ingot and logits
  MODEL  with the original project's names: a folder with a .pth, or a .bin of rwkv.cpp
  --text FILE  for models of 256 tokens, whose ids are its bytes; others run their ids.txt or random ids
Exit status 1 where the changes differ by more than 0.1 % of the perplexity.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fixtures"))
import make_rwkv_fixtures as fixtures  # noqa: E402

BOUND = 0.1  # percent


def reference_logits(folder, ids):
    config = json.loads((folder / "config.json").read_text())
    z = load_file(folder / "model.safetensors")
    layers = config["num_hidden_layers"]
    for i in range(layers):
        stem = f"blocks.{i}.att.time_maa_w2"
        if stem + ".0" in z:
            z[stem] = np.stack([z.pop(f"{stem}.{j}") for j in range(5)])
    version = {"rwkv": "4", "rwkv5": "5.2", "rwkv6": "6", "rwkv7": "7"}[config["model_type"]]
    inner = config["attention_hidden_size"]
    size = config.get("head_size", config.get("head_dim"))
    model = dict(version=version, hidden=config["hidden_size"], inner=inner, layers=layers,
                 heads=inner // size if size else None)
    reference = fixtures.Reference(model, z)
    reference.head_eps = lambda: 1e-5 * config.get("head_size_divisor", 8) ** 2
    return np.stack([reference.step(i) for i in ids])


def perplexity(logits, ids):
    x = logits[:-1].astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    return np.exp(np.mean(np.log(np.exp(x).sum(-1)) - x[np.arange(len(ids) - 1), ids[1:]]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--codec", default="int4_rtn")
    parser.add_argument("--group", default="64")
    a = parser.parse_args()
    worst = 0.0
    print(f"{'model':28} {'tokens':>6} {'ppl':>10} {'packed':>10} {'delta':>9} {'reference':>9}  percent")
    for model in a.models:
        with tempfile.TemporaryDirectory() as tmp:
            work = pathlib.Path(tmp)
            mine, theirs = [], []
            for name, options in (("source", ["--codec", "raw"]),
                                  ("packed", ["--codec", a.codec, "--group", a.group])):
                subprocess.run([a.bin / "ingot", "pack", model, "-o", work / name, "--no-tokenizer", "-q", *options],
                               check=True)
                subprocess.run([a.bin / "ingot", "export", work / name, "-o", work / f"{name}.x", "-q"], check=True)
                if name == "source":
                    vocabulary = json.loads((work / "source.x/config.json").read_text())["vocab_size"]
                    ids = np.random.default_rng(0).integers(0, vocabulary, a.tokens)
                    if vocabulary == 256 and a.text:
                        ids = np.frombuffer(a.text.read_bytes()[:a.tokens], np.uint8).astype(np.int64)
                    elif (model / "ids.txt").exists():
                        ids = np.array([int(i) for i in (model / "ids.txt").read_text().split()])
                out = subprocess.run([a.bin / "logits", work / name, *map(str, ids)], capture_output=True, check=True)
                mine.append(perplexity(np.frombuffer(out.stdout, np.float32).reshape(len(ids), -1), ids))
                theirs.append(perplexity(reference_logits(work / f"{name}.x", ids), ids))
        deltas = [(p[1] / p[0] - 1) * 100 for p in (mine, theirs)]
        worst = max(worst, abs(deltas[0] - deltas[1]))
        print(f"{model.name:28} {len(ids):6} {mine[0]:10.4f} {mine[1]:10.4f} {deltas[0]:9.4f} {deltas[1]:9.4f}",
              flush=True)
    print(f"largest difference of the changes: {worst:.6f} % (bound {BOUND})")
    return 0 if worst <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
