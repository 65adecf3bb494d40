#!/usr/bin/env python3
"""Packs sources of every kind, exports the artifacts, and compares transformers' logits of what was exported with the
artifact's own.

usage: export_parity.py BIN [SOURCE...] [--codec NAME]
  BIN     build/<preset>/bin
  SOURCE  Hugging Face folders, GGUF files, .pth files; none: every model of tests/fixtures/models and tests/fixtures/gguf,
          and a LLaMA around each quantized matrix of tests/fixtures/quantized
A row is the largest difference over the largest logit; 1e-4 is the most. What transformers has no class for is compared
with ingot's own forward of the exported folder, and said so. Exit status 1 where a row is worse, or a class drops or misses
a weight. Needs torch and transformers.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures"
MAX_ERROR = 1e-4
GATE = "model.layers.0.mlp.gate_proj"


class Skip(Exception):
    pass


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True)
    if done.returncode != 0:
        raise ValueError(done.stderr.decode("utf-8", "replace").strip().splitlines()[-1])
    return done.stdout


def around(fixture, folder):
    """A LLaMA of one layer whose gate is the fixture's first quantized matrix, and everything else random."""
    expected = json.loads((fixture / "expected.json").read_text())
    name, rows, cols = next(((n, *v["shape"]) for n, v in expected.items() if len(v["shape"]) == 2 and n.endswith("weight")),
                            (None, 0, 0))
    if name is None:
        raise Skip("no matrix of a linear layer")
    stem = name[:-len("weight")]
    generator = torch.Generator().manual_seed(3)
    normal = lambda *shape: torch.randn(shape, generator=generator) * 0.2
    tensors = {"model.embed_tokens.weight": normal(32, cols) * 5, "lm_head.weight": normal(32, cols),
               "model.layers.0.mlp.up_proj.weight": normal(rows, cols), "model.layers.0.mlp.down_proj.weight": normal(cols, rows)}
    for norm in ("model.norm", "model.layers.0.input_layernorm", "model.layers.0.post_attention_layernorm"):
        tensors[norm + ".weight"] = torch.ones(cols)
    for part in "qkvo":
        tensors[f"model.layers.0.self_attn.{part}_proj.weight"] = normal(cols, cols)
    with safe_open(fixture / "model.safetensors", "pt") as file:
        metadata = dict(file.metadata() or {})
        for key in file.keys():
            if key.startswith(stem) and not key.endswith(".bias"):
                tensors[GATE + "." + key[len(stem):]] = file.get_tensor(key)
    if name in metadata:
        metadata = {GATE + ".weight": metadata[name], "tensor_names": json.dumps([GATE + ".weight"])}
    folder.mkdir()
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors", metadata=metadata or None)
    config = json.loads((fixture / "config.json").read_text())
    heads = 1 if cols % 4 else 2
    config.update(model_type="llama", architectures=["LlamaForCausalLM"], hidden_size=cols, intermediate_size=rows,
                  num_hidden_layers=1, num_attention_heads=heads, num_key_value_heads=heads, vocab_size=32, rms_norm_eps=1e-5,
                  max_position_embeddings=64, hidden_act="silu", tie_word_embeddings=False)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def reference_of(folder):
    """The exported model in transformers, and what its class did not find in the file or did not take from it."""
    config = json.loads((folder / "config.json").read_text())
    kind = getattr(transformers, (config.get("architectures") or ["?"])[0], None)
    if kind is None:
        auto = transformers.AutoModelForMaskedLM if config["model_type"] in ("bert", "roberta", "distilbert") \
            else transformers.AutoModelForCausalLM
        try:
            transformers.AutoConfig.from_pretrained(folder)
        except (ValueError, KeyError):
            raise Skip(f"transformers has no {config['model_type']}") from None
        kind = auto
    attention = "sdpa" if config.get("alibi") else "eager"
    model, info = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention, output_loading_info=True)
    model.config.use_cache = False
    # The pooler and what predicts sentences are no part of a masked-LM, and left out.
    info = {k: [n for n in v if "pooler" not in n and "seq_relationship" not in n] for k, v in info.items() if k in (
        "missing_keys", "unexpected_keys", "mismatched_keys")}
    lost = {k: sorted(v) for k, v in info.items() if v}
    return model.eval(), lost


def compare(args, source, work):
    artifact, exported = work / "m.ingot", work / "exported"
    shutil.rmtree(exported, ignore_errors=True)
    run(args.bin / "ingot", "pack", source, "-o", artifact, "--codec", args.codec, "--fast", "--no-tokenizer", "--force", "-q")
    run(args.bin / "ingot", "export", artifact, "-o", exported, "--dtype", "f32", "-q")
    config = json.loads((exported / "config.json").read_text())
    length = 24
    ids = np.random.default_rng(4).integers(3, config["vocab_size"], length).tolist()
    ours = np.frombuffer(run(args.bin / "logits", artifact, *ids), "<f4").reshape(length, -1)
    try:
        model, lost = reference_of(exported)
        with torch.no_grad():
            out = model(torch.tensor([ids]))
        theirs = (out.logits if hasattr(out, "logits") else out.prediction_logits)[0].float().numpy()
        said = type(model).__name__ + (f", {lost}" if lost else "")
    except Skip as why:
        theirs, lost = np.frombuffer(run(args.bin / "logits", exported, *ids), "<f4").reshape(ours.shape), None
        said = f"ingot's own forward of the export ({why})"
    off = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    return off, said, off <= MAX_ERROR and not lost


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("sources", nargs="*", type=pathlib.Path)
    parser.add_argument("--codec", default="lossless_v1")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    sources = args.sources or [*sorted((FIXTURES / "models").iterdir()), *sorted((FIXTURES / "gguf").glob("*.gguf")),
                               *sorted((FIXTURES / "quantized").iterdir())]
    counts = {"equal": 0, "worse": 0, "skipped": 0}
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        for source in sources:
            label = f"{source.parent.name}/{source.stem if source.is_file() else source.name}"
            try:
                given = source
                if source.parent.name == "quantized":
                    shutil.rmtree(work / "source", ignore_errors=True)
                    given = around(source, work / "source")
                elif source.is_dir() and not (source / "config.json").exists():
                    given = next(iter(sorted(source.glob("*.pth"))), source)
                off, said, good = compare(args, given, work)
                counts["equal" if good else "worse"] += 1
                print(f"{label:44} {off:.1e}  {said}{'' if good else '  WORSE'}", flush=True)
            except (Skip, ValueError) as why:
                kind = "skipped" if isinstance(why, Skip) or "predicts no tokens" in str(why) else "worse"
                counts[kind] += 1
                print(f"{label:44} {kind}: {str(why)[:200]}", flush=True)
    print(", ".join(f"{n} {kind}" for kind, n in counts.items()))
    return 1 if counts["worse"] else 0


if __name__ == "__main__":
    sys.exit(main())
