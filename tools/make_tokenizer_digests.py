#!/usr/bin/env python3
"""Writes tests/fixtures/tokenizer_digests.json: 64-bit FNV-1a digests of the ids that the reference packages
give for every text under SHARED/text and tests/fixtures/torture.txt, by each tokenizer under SHARED/tokenizers
and one of SHARED/models; and for the torture text by every tokenizer of tests/fixtures/tokenizers, there with a
digest of what the ids decode to.

usage: make_tokenizer_digests.py SHARED tests/fixtures/tokenizer_digests.json [--cache DIR]
  --cache  ids that tools/bench/tokenizer_parity.py kept
"""
import argparse
import importlib.util
import json
import pathlib
import struct

import tokenizers

HERE = pathlib.Path(__file__).parent
FIXTURES = HERE.parent / "tests" / "fixtures"
MODEL = "models/stories260K-llama"


def fnv1a(ids):
    return fnv1a_bytes(struct.pack(f"<{len(ids)}i", *ids))


def fnv1a_bytes(data):
    digest = 0xCBF29CE484222325
    for byte in data:
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{digest:016x}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--cache", type=pathlib.Path)
    arguments = parser.parse_args()
    spec = importlib.util.spec_from_file_location("parity", HERE / "bench" / "tokenizer_parity.py")
    parity = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(parity)
    rows = []
    folders = [*sorted((arguments.shared / "tokenizers").iterdir()), arguments.shared / MODEL]
    for file in [f / name for f in folders for name in ("tokenizer.json", "tokenizer.model")]:
        if not file.exists():
            continue
        reference = parity.Reference(file, arguments.cache)
        for text in [*sorted((arguments.shared / "text").glob("*.txt")), FIXTURES / "torture.txt"]:
            ids, _ = reference.encode(text.read_bytes().decode("utf-8", errors="replace"), False)
            rows.append({"tokenizer": str(file.relative_to(arguments.shared)), "text": text.name, "count": len(ids),
                         "fnv1a": fnv1a(ids)})
    torture = (FIXTURES / "torture.txt").read_bytes().decode("utf-8")
    for file in sorted((FIXTURES / "tokenizers").glob("*.json")):
        t = tokenizers.Tokenizer.from_str(json.dumps(json.loads(file.read_text())["tokenizer"]))
        ids = t.encode(torture, add_special_tokens=False).ids
        decoded = t.decode(ids, skip_special_tokens=False).encode("utf-8")
        rows.append({"tokenizer": f"fixtures/{file.stem}", "text": "torture.txt", "count": len(ids), "fnv1a": fnv1a(ids),
                     "decoded": fnv1a_bytes(decoded)})
    arguments.output.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
