#!/usr/bin/env python3
"""Compares what ingot makes of GGUF files with llama.cpp: logits of models, token ids of vocabularies.

usage: gguf_parity.py BIN [FILE.gguf...] [--verbose]
  BIN   build/<preset>/bin, with logits and tokenize
  FILE  models and vocabularies; none: those of tools/fixtures/make_gguf_fixtures.py and make_gguf_vocabularies.py --names,
        made in a temporary folder where this Python has what they need, else tests/fixtures/gguf

A model's row is the largest difference of logits over their largest, of 24 random tokens; llama.cpp works in float32 with
a float32 cache, but takes GELU from a table in half precision. So where the weights are there as a Hugging Face folder, too
(what this program makes), they are compared with transformers as well, and that row counts where there is one. RWKV 7 with
heads of 8 is nothing that llama.cpp computes: it is compared with the folder of tests/fixtures/models that it was made from.
A vocabulary's row is how many of 438 texts get the same ids, plain and with the tokens around a text. Exit status 1 when a
model is off by more than 1e-4. Needs xllamacpp and numpy; torch and transformers to make files and to compare with.
"""
import argparse
import concurrent.futures
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from llama_reference import Llama  # noqa: E402
from unicode_texts import unicode_texts  # noqa: E402

FIXTURES = HERE.parents[1] / "tests" / "fixtures"
MAX_ERROR = 1e-4
TWIN = {"rwkv7": FIXTURES / "models" / "rwkv7-fla"}


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True)
    if done.returncode != 0:
        raise ValueError(done.stderr.decode().strip().splitlines()[-1])
    return done.stdout


def model_row(args, path):
    llama = Llama(path)
    size = llama.lib.llama_vocab_n_tokens(llama.vocab)
    ids = [1, *np.random.default_rng(5).integers(3, size, 23).tolist()]
    ours = np.frombuffer(run(args.bin / "logits", path, *ids), "<f4").reshape(len(ids), -1)
    theirs, reference = llama.logits(ids), "llama.cpp"
    llama.close()
    if path.stem in TWIN:
        theirs = np.frombuffer(run(args.bin / "logits", TWIN[path.stem], *ids), "<f4").reshape(ours.shape)
        reference = f"tests/fixtures/models/{TWIN[path.stem].name}"
    off = difference(ours, theirs)
    line = f"{path.stem:24} {off:.1e}  of {reference}"
    folder = path.parent / "hf" / path.stem
    if folder.is_dir():
        off = difference(ours, transformers_logits(folder, ids))
        line += f", {off:.1e} of transformers"
    print(line, flush=True)
    return off <= MAX_ERROR


def difference(ours, theirs):
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def transformers_logits(folder, ids):
    import torch
    import transformers
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0].numpy()


def llama_ids(path, texts):
    llama = Llama(path, vocabulary=True)
    ids = [[llama.ids(text, add=add) for text in texts] for add in (False, True)]
    llama.close()
    return ids


def vocabulary_row(args, path, texts):
    try:  # a process of its own, which may abort
        with concurrent.futures.ProcessPoolExecutor(1) as pool:
            wanted = pool.submit(llama_ids, path, texts).result()
    except concurrent.futures.process.BrokenProcessPool:
        raise ValueError("llama.cpp aborts") from None
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(texts, file)
        file.flush()
        ours = [json.loads(run(args.bin / "tokenize", path, file.name, "--list", *more)) for more in ([], ["--special"])]
    equal = [0, 0]
    for kind in range(2):
        for text, got, want in zip(texts, ours[kind], wanted[kind]):
            equal[kind] += got == want
            if args.verbose and got != want:
                at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
                print(f"    {text[:40]!r}: {got[at:at + 6]} for {want[at:at + 6]} at {at}")
    print(f"{path.stem:24} {equal[0]} and {equal[1]} of {len(texts)} texts", flush=True)


def make(folder):
    for script, more in (("make_gguf_fixtures.py", ["--hf", "--wide"]), ("make_gguf_vocabularies.py", ["--names"])):
        done = subprocess.run([sys.executable, HERE.parent / "fixtures" / script, folder / script[10:-3], *more],
                              capture_output=True)
        if done.returncode != 0:
            print(f"{script}: {done.stderr.decode().strip().splitlines()[-1]}; taking tests/fixtures/gguf instead")
    made = sorted(folder.glob("*/*.gguf"))
    return made or sorted((FIXTURES / "gguf").rglob("*.gguf"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    texts = unicode_texts()
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        for path in args.files or make(pathlib.Path(temporary)):
            try:
                if is_vocabulary(path):
                    vocabulary_row(args, path, texts)
                else:
                    good &= model_row(args, path)
            except ValueError as why:
                print(f"{path.stem:24} {str(why)[:160]}", flush=True)
    return 0 if good else 1


def is_vocabulary(path):
    """A file without tensors: their count stands in the header."""
    with open(path, "rb") as file:
        return int.from_bytes(file.read(16)[8:], "little") == 0


if __name__ == "__main__":
    sys.exit(main())
