#!/usr/bin/env python3
"""Makes tests/fixtures/rwkv_vocab_sample.txt, a thinned RWKV world vocabulary, and
tests/fixtures/rwkv_digests.json: 64-bit FNV-1a digests of the ids that the `rwkv` package's
tokenizer gives, by the thinned and by the whole vocabulary, for every text under SHARED/text and
for tests/fixtures/torture.txt.

usage: make_rwkv_vocab_fixture.py SHARED

The whole vocabulary (rwkv_vocab_v20230424.txt of the package) is not committed: tests look for it
in the directory that the environment variable INGOT_MODELS names.
"""
import json
import pathlib
import struct
import sys

import rwkv
from rwkv.rwkv_tokenizer import TRIE_TOKENIZER

FIXTURES = pathlib.Path(__file__).parent.parent / "tests" / "fixtures"
WHOLE = pathlib.Path(rwkv.__file__).parent / "rwkv_vocab_v20230424.txt"
SAMPLE = FIXTURES / "rwkv_vocab_sample.txt"


def fnv1a(ids):
    digest = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(ids)}i", *ids):
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{digest:016x}"


def thin(lines):
    """The bytes and the shortest words, every 60th token, and tokens whose Python literals are unlike the others."""
    for number, line in enumerate(lines):
        index, literal = line.split(" ", 1)
        odd = literal.startswith(("b'", 'b"', '"')) or "\\u" in literal or "\\'" in literal
        if int(index) <= 1200 or number % 60 == 0 or (odd and number % 12 == 0) or len(line) > 70:
            yield line


def main():
    if len(sys.argv) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    SAMPLE.write_bytes(b"".join(thin_bytes()))
    rows = []
    texts = [*sorted((pathlib.Path(sys.argv[1]) / "text").glob("*.txt")), FIXTURES / "torture.txt"]
    for vocabulary in (SAMPLE, WHOLE):
        tokenizer = TRIE_TOKENIZER(str(vocabulary))
        for text in texts:
            # Bytes that are no UTF-8 become U+FFFD, as the loader does it.
            ids = tokenizer.encode(text.read_bytes().decode("utf-8", errors="replace"))
            rows.append({"vocabulary": vocabulary.name, "text": text.name, "count": len(ids),
                         "fnv1a": fnv1a(ids)})
    (FIXTURES / "rwkv_digests.json").write_text(
        "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    return 0


def thin_bytes():
    lines = WHOLE.read_text(encoding="utf-8").split("\n")
    return (f"{line}\n".encode("utf-8") for line in thin([line for line in lines if line]))


if __name__ == "__main__":
    sys.exit(main())
