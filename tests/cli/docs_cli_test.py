#!/usr/bin/env python3
"""Every `ingot` command in README.md, docs/ and the other pages: run as it stands on small data, in the pages' order, or,
where it is a synopsis, its options looked up in the command's help.

usage: INGOT=path/to/ingot docs_cli_test.py
"""
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

import tiny_model

INGOT = os.environ["INGOT"]
ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md")), "CONTRIBUTING.md",
         "SECURITY.md"]
PROGRAM = pathlib.Path(shutil.which(INGOT) or INGOT).resolve().parent / "ingot-calibrate"
# What the pages speak of by these words.
STANDS_FOR = {"MODEL": "smollm2-135m", "wikitext2_tok_test.txt": "wiki.txt"}
# An encoder with a tokenizer is not made here; cli.Encoders runs one.
ENCODERS = re.compile(r"\[MASK\]")


def commands(page):
    """(line, command) of a page: lines of fenced blocks, and inline code that is a whole command."""
    fenced = False
    for number, line in enumerate((ROOT / page).read_text().splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif fenced and re.match(r"\$? ?ingot ", line):
            text = re.sub(r"(\s{3,}|\s#\s).*$", "", line.lstrip("$ "))
            for one in text.split(" | ") if " | ingot " in text else [text]:
                yield number, one.strip()
        elif not fenced:
            for one in re.findall(r"`(ingot [a-z]+[^`]*)`", line):
                yield number, one.strip()


def is_synopsis(command):
    return (re.search(r"\[(?!MASK)|\||\.\.\.|\b(FILE|DIR|KEY|PREFIX|TEXT|COMMAND|PUB)\b", command) is not None
            or not complete(command))


def complete(command):
    """Whether it names all that the command needs; `ingot eval` alone is a name."""
    words = command.split()
    if words[1] == "pack" and "-o" not in words and "--plan-only" not in words:
        return False
    return len(words) > 2 and not (words[1] == "imatrix" and len(words) < 5) and not (words[1] == "eval" and "--reference" not in words and "--text" not in words
                                   and "--choices" not in words) and not (
        words[1] == "run" and "-p" not in words)


def tiny(directory):
    data = tiny_model.tokenizer()
    data["added_tokens"] = [{"id": 255, "content": "<e>", "special": True, "single_word": False, "lstrip": False,
                             "rstrip": False, "normalized": False}]
    data["model"]["vocab"] = {k: v for k, v in data["model"]["vocab"].items() if v != 255}
    model = tiny_model.write(directory, max_position_embeddings=2048)
    (model / "tokenizer.json").write_text(json.dumps(data))
    (model / "tokenizer_config.json").write_text(json.dumps(
        {"bos_token": "<e>", "eos_token": "<e>", "chat_template": "{{ messages[-1].content }}"}))


class Docs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.work = pathlib.Path(cls.temporary.name)
        os.environ["XDG_STATE_HOME"] = str(cls.work / "state")
        cls.home = cls.work / "docs"
        cls.home.mkdir()
        tiny(cls.home / "smollm2-135m")
        for i, name in enumerate(("wiki.txt", "c4.txt", "code.txt")):
            (cls.home / name).write_text("".join(f"Sentence {j} of {j * (i + 3) % 97} words. " for j in range(900)))
        (cls.home / "code.jsonl").write_text("".join(
            json.dumps({"text": f"def f{i}(x): return x + {i}\n" * 30}) + "\n" for i in range(12)))
        (cls.home / "q.jsonl").write_text(json.dumps(
            {"question": "What is it?", "choices": ["this", "that"], "answer": 1}) + "\n")
        subprocess.run([INGOT, "pack", "smollm2-135m", "-o", "m.ingot", "--fast", "-q"], cwd=cls.home, check=True)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_synopses_name_options_that_exist(self):
        checked = 0
        for page in PAGES:
            for line, command in commands(page):
                words = command.split()
                if len(words) < 2 or not re.fullmatch(r"[a-z]+", words[1]):
                    continue
                with self.subTest(page=page, line=line):
                    if words[1] in ("help", "version") or words[1] in ("hmac", "root"):
                        continue  # docs/FORMAT.md's key derivation has words of its own
                    shown = subprocess.run([INGOT, words[1], "--help"], capture_output=True, text=True)
                    self.assertEqual(shown.returncode, 0, command)
                    if words[1] == "imatrix":
                        continue  # its options are its subcommands'
                    # Without LibTorch tuning has no options to list.
                    if words[1] == "tune" and not PROGRAM.exists():
                        continue
                    for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", re.sub(r'"[^"]*"', "", command)):
                        self.assertRegex(shown.stdout, rf"(?m)(^|[\s,]){re.escape(option)}(?![\w-])", command)
                        checked += 1
        self.assertGreater(checked, 40)

    def test_commands_run(self):
        ran = 0
        for page in PAGES:
            for line, command in commands(page):
                if is_synopsis(command) or ENCODERS.search(command) or command.startswith(("ingot hmac", "ingot root")):
                    continue
                words = [STANDS_FOR.get(word, word) for word in shlex.split(command)][1:]
                gradients = words[0] == "tune" or "--tune" in words
                if gradients and not PROGRAM.exists():
                    continue
                with self.subTest(page=page, line=line):
                    for i, word in enumerate(words):  # what an earlier page wrote
                        if word == "-o" and words[0] not in ("export",):
                            (self.home / words[i + 1]).unlink(missing_ok=True)
                    run = subprocess.run([INGOT, *words], cwd=self.home, capture_output=True, text=True, timeout=300)
                    self.assertEqual(run.returncode, 0, f"{page}:{line}: {command}\n{run.stderr}")
                    ran += 1
        self.assertGreater(ran, 10)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
