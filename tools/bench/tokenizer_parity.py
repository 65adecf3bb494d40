#!/usr/bin/env python3
"""Compares Ingot's token ids and encode speed with the reference packages, tokenizer by text: every kind
of tests/fixtures/tokenizers and every tokenizer under SHARED, on every text of SHARED/text and two torture
texts (tests/fixtures/torture.txt, and every character there is).

usage: tokenizer_parity.py PROGRAM SHARED [--speed] [--only NAME] [--extra DIR] [--cache DIR]
  PROGRAM  build/<preset>/bin/tokenize; SHARED  a folder with tokenizers/, models/ and text/
  --extra  one more folder with a tokenizer; --cache  keeps the reference's ids for later runs
Needs `pip install tokenizers sentencepiece`. Exit status 1 when any pair differs.
"""
import argparse
import array
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import sentencepiece  # noqa: E402
import tokenizers  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from unicode_texts import TORTURE  # noqa: E402

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures"
def torture(path):
    every = "".join(chr(c) for c in range(0x110000)
                    if not 0xD800 <= c < 0xE000 and (c < 0x3400 or c % 7 == 0 or 0x1F000 <= c < 0x20000))
    spaced = " ".join(chr(c) for c in range(0x20, 0x3400) if c % 3 == 0)
    path.write_bytes("\n".join(TORTURE + [every, spaced]).encode("utf-8"))


def bad_utf8(path):
    path.write_bytes(b"ok \xff\xfe \xc3( \xe2\x82 \xf0\x9f\x98 \xed\xa0\x80 \xf4\x90\x80\x80 \xc0\xaf end\xe2")


class Reference:
    """Ids of a reference package, loaded when first asked; kept in `cache` by the digests of file and text."""

    def __init__(self, file, cache):
        self.file, self.cache, self.package = file, cache, None
        self.digest = hashlib.sha256(file.read_bytes()).hexdigest()[:24]

    def encode(self, content, special, fresh=False):
        """Returns the ids and the seconds that they took, 0 when they were kept."""
        text = hashlib.sha256(content.encode("utf-8")).hexdigest()[:24]
        kept = self.cache and self.cache / f"{self.digest}-{text}-{2 if self.file.suffix == '.model' else int(special)}.ids"
        if kept and kept.exists() and not fresh:
            return array.array("i", kept.read_bytes()).tolist(), 0.0
        spm = self.file.name == "tokenizer.model"
        if self.package is None and spm:
            self.package = sentencepiece.SentencePieceProcessor(model_file=str(self.file))
        elif self.package is None:
            self.package = tokenizers.Tokenizer.from_file(str(self.file))
        begin = time.perf_counter()
        ids = self.pieces(content) if spm else self.package.encode(content, add_special_tokens=special).ids
        seconds = time.perf_counter() - begin
        if kept:
            self.cache.mkdir(parents=True, exist_ok=True)
            kept.with_suffix(".part").write_bytes(array.array("i", ids).tobytes())
            kept.with_suffix(".part").rename(kept)
        return ids, seconds


    def pieces(self, content):
        """SentencePiece's ids, control symbols and the unknown token cut out first, as Hugging Face's tokenizers do."""
        package, ids = self.package, []
        marks = [i for i in range(package.get_piece_size()) if package.is_control(i) or package.is_unknown(i)]
        cut = re.split("(" + "|".join(re.escape(package.id_to_piece(i)) for i in marks) + ")", content)
        for i, part in enumerate(cut):
            ids += [package.piece_to_id(part)] if i % 2 else package.encode(part) if part else []
        return ids


def ours(program, folder, text, *flags):
    out = subprocess.run([program, str(folder), str(text), *flags], capture_output=True, text=True, check=False)
    if out.returncode != 0:
        return None, out.stderr.strip()
    return [int(x) for x in out.stdout.split()], out.stderr


def fixture_folders(scratch):
    """tests/fixtures/tokenizers as folders with a tokenizer.json each."""
    for file in sorted((FIXTURES / "tokenizers").glob("*.json")):
        folder = pathlib.Path(scratch) / file.stem
        folder.mkdir()
        (folder / "tokenizer.json").write_text(json.dumps(json.loads(file.read_text())["tokenizer"]))
        yield folder


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--cache", type=pathlib.Path)
    parser.add_argument("--extra", type=pathlib.Path, action="append", default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(compare(arguments, scratch))


def compare(arguments, scratch):
    seen, folders = set(), []
    for folder in [*fixture_folders(scratch), *sorted((arguments.shared / "tokenizers").iterdir()),
                   *sorted((arguments.shared / "models").iterdir()), *arguments.extra]:
        for name in ("tokenizer.json", "tokenizer.model"):
            file = folder / name
            if not file.exists() or arguments.only not in f"{folder.name}/{name}":
                continue
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            if digest not in seen:
                folders.append((folder, name))
            seen.add(digest)
    failed = 0
    extra = [pathlib.Path(scratch) / "every_character.txt", pathlib.Path(scratch) / "bad_utf8.txt"]
    torture(extra[0])
    bad_utf8(extra[1])
    for folder, name in folders:
        spm = name == "tokenizer.model"
        reference = Reference(folder / name, arguments.cache)
        for text in [*sorted((arguments.shared / "text").glob("*.txt")), FIXTURES / "torture.txt", *extra]:
            content = text.read_bytes().decode("utf-8", errors="replace")
            for special in ([False] if spm else [False, True]):
                expected, seconds = reference.encode(content, special, arguments.speed and not special)
                flags = (["--special"] if special else []) + (["--spm"] if spm else [])
                if arguments.speed and not special:
                    flags += ["--repeat", "3"]
                got, note = ours(arguments.program, folder, text, *flags)
                where = f"{folder.name}/{name} {text.name}{' +special' if special else ''}"
                if got == expected:
                    ratio = ""
                    if arguments.speed and not special:
                        for _ in range(2 if not spm else 0):
                            seconds = min(seconds, reference.encode(content, False, True)[1])
                        mine = float(note.split()[3])
                        ratio = f"  {seconds / mine:.2f}x the reference's speed, {text.stat().st_size / mine / 1e6:.1f} MB/s"
                    print(f"equal    {where}: {len(expected)} ids{ratio}")
                    continue
                failed += 1
                if got is None:
                    print(f"FAILED   {where}: {note}")
                    continue
                at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b),
                          min(len(got), len(expected)))
                print(f"DIFFERS  {where}: at {at} of {len(expected)}: ours {got[at - 2:at + 6]}, "
                      f"reference {expected[at - 2:at + 6]}")
            sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    main()
