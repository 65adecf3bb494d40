#!/usr/bin/env python3
"""Encode speed of Ingot and of the `tokenizers` package on one thread, in turns, in one command.

usage: bench_tokenizer.py PROGRAM TEXT... --tokenizer DIR [--tokenizer DIR...] [--rounds N] [--repeat N] [--lines]
  PROGRAM  build/<preset>/bin/tokenize; DIR  a folder with tokenizer.json
Each round runs Ingot, then the package, over every text by every tokenizer, in fresh processes, and takes the
best of --repeat encodes of each (1: the first, from cold caches); the table has the best of all rounds.
--lines encodes line by line, the package by its fastest call for that (encode_batch_fast). Times are of the processor (user and
system), so that what else the machine does counts little. Ids are compared as well. Exit status 1 when ids differ.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

SINGLE = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}


def reference(folder, texts, repeat, lines):
    """In a child: prints [[seconds, digest of ids], ...]."""
    import hashlib
    import time

    import tokenizers
    t = tokenizers.Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))
    out = []
    for text in texts:
        content = pathlib.Path(text).read_bytes().decode("utf-8", errors="replace")
        best, ids = 1e9, []
        for _ in range(repeat):
            parts = content.split("\n") if lines else [content]
            begin = time.process_time()
            ids = [i for e in t.encode_batch_fast(parts, add_special_tokens=False) for i in e.ids] if lines else \
                t.encode(content, add_special_tokens=False).ids
            best = min(best, time.process_time() - begin)
        out.append([best, hashlib.sha256("".join(f"{i}\n" for i in ids).encode()).hexdigest()])
    print(json.dumps(out))


def ours(program, folder, text, repeat, lines):
    import hashlib
    done = subprocess.run([program, folder, text, "--repeat", str(repeat), *(["--lines"] if lines else [])], capture_output=True, check=True, env=SINGLE)
    words = done.stderr.decode().split()
    return float(words[words.index("encode_cpu") + 1]), hashlib.sha256(done.stdout).hexdigest()


def main():
    if sys.argv[1:2] == ["--reference"]:
        return reference(sys.argv[2], sys.argv[5:], int(sys.argv[3]), sys.argv[4] == "lines")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--tokenizer", action="append", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--lines", action="store_true")
    arguments = parser.parse_args()
    mode = "lines" if arguments.lines else "whole"
    mine, theirs, differ = {}, {}, 0
    for _ in range(arguments.rounds):
        for folder in arguments.tokenizer:
            for text in arguments.texts:
                mine.setdefault((folder, text), []).append(ours(arguments.program, folder, text, arguments.repeat, arguments.lines))
            child = subprocess.run([sys.executable, __file__, "--reference", folder, str(arguments.repeat), mode, *arguments.texts],
                                   capture_output=True, check=True, env=SINGLE)
            for text, result in zip(arguments.texts, json.loads(child.stdout)):
                theirs.setdefault((folder, text), []).append(result)
    print(f"{'tokenizer':16} {'text':24} {'ours MB/s':>10} {'tokenizers MB/s':>16} {'ratio':>6}")
    for (folder, text), results in mine.items():
        size = os.path.getsize(text) / 1e6
        a, b = min(results)[0], min(theirs[folder, text])[0]
        same = results[0][1] == theirs[folder, text][0][1]
        differ += not same
        print(f"{pathlib.Path(folder).name:16} {pathlib.Path(text).name:24} {size / a:10.1f} {size / b:16.1f} {b / a:6.2f}"
              f"{'' if same else '  IDS DIFFER'}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
