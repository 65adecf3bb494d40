#!/usr/bin/env python3
"""Encoders at the command line: pack, verify, run with masks, masked pseudo-perplexity.

usage: INGOT=path/to/ingot encoder_cli_test.py
"""
import json
import math
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import json_schema

INGOT = os.environ.get("INGOT", "ingot")
FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "models"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz.,"


def vocabulary():
    tokens = SPECIAL + list(LETTERS) + ["##" + c for c in LETTERS]
    return tokens + [f"word{i}" for i in range(97 - len(tokens))]


class Encoders(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="ingot_encoder_"))
        cls.addClassCleanup(shutil.rmtree, cls.work)
        cls.text = cls.work / "text.txt"
        cls.text.write_text("the quick brown fox jumps over the lazy dog, again. " * 20)

    def model(self, name):
        folder = self.work / name
        if not folder.exists():
            shutil.copytree(FIXTURES / name, folder)
            (folder / "vocab.txt").write_text("\n".join(vocabulary()) + "\n")
        return folder

    def run_ok(self, *args):
        run = subprocess.run([INGOT, *map(str, args)], capture_output=True, timeout=300)
        self.assertEqual(run.returncode, 0, run.stderr.decode())
        return run

    def fails(self, code, pattern, *args):
        run = subprocess.run([INGOT, *map(str, args)], capture_output=True, timeout=300)
        self.assertEqual(run.returncode, code, run.stderr.decode())
        self.assertRegex(run.stderr.decode(), pattern)
        self.assertEqual(run.stdout, b"")

    def pack(self, name, *args):
        target = self.work / f"{name}-{len(args)}.ingot"
        self.run_ok("pack", self.model(name), "-o", target, "--force", "-q", *args)
        return target

    def test_the_whole_road(self):
        for name in ("bert", "bert-pretraining", "bert-untied-bare", "distilbert"):
            with self.subTest(name):
                target = self.pack(name, "--codec", "int4_rtn", "--group", "64")
                self.run_ok("verify", target)
                text = self.run_ok("run", target, "-p", "A [MASK] c, [MASK].")
                found = json.loads(self.run_ok("run", target, "-p", "A [MASK] c, [MASK].", "--json").stdout)
                json_schema.check(self, "run-encoder", found)
                self.assertEqual(len(found["masks"]), 2)
                self.assertNotIn(b"[MASK]", text.stdout)
                self.assertRegex(text.stdout.decode(), r"\AA.* c,.*\.\Z")
                self.assertRegex(text.stderr.decode(), r"2 masks filled")
                run = self.run_ok("eval", target, "--reference", self.model(name), "--text", self.text, "--context",
                                  32, "--masked", 4, "--json")
                result = json.loads(run.stdout)
                self.assertEqual(result["measure"], "pseudo-perplexity")
                self.assertEqual(result["windows"], "masked, 4 tokens of each masked in turn, seed 1")
                self.assertEqual(result["tokens"] % 4, 0)
                self.assertTrue(math.isfinite(result["delta_perplexity_percent"]))
                self.assertGreater(result["kl_mean"], 0)

    def test_an_exact_artifact_is_its_model(self):
        exact = self.pack("bert", "--codec", "lossless_v1")
        result = json.loads(self.run_ok("eval", exact, "--reference", self.model("bert"), "--text", self.text,
                                        "--context", 16, "--masked", 0, "--json").stdout)
        self.assertEqual(result["kl_mean"], 0)
        self.assertEqual(result["top1_agreement"], 1)
        self.assertIn("every token masked in turn", result["windows"])
        prompt = "the [MASK] fox"
        self.assertEqual(self.run_ok("run", exact, "--exact", "-p", prompt).stdout,
                         self.run_ok("run", self.model("bert"), "--exact", "-p", prompt).stdout)

    def test_refusals(self):
        target = self.pack("bert", "--codec", "int4_rtn")
        self.fails(2, r"the prompt has no \[MASK\]", "run", target, "-p", "no mask")
        self.fails(2, r"give one with --text", "eval", target, "--reference", self.model("bert"))
        self.fails(1, r"KV cache|positions|context", "run", target, "-p", "[MASK]" + " a" * 200)
        bare = self.work / "no-head"
        shutil.copytree(self.model("bert"), bare)
        config = json.loads((bare / "config.json").read_text())
        (bare / "config.json").write_text(json.dumps({**config, "model_type": "roberta"}))
        self.fails(1, r"without a masked-LM head", "pack", bare, "-o", self.work / "x.ingot")


if __name__ == "__main__":
    unittest.main()
