#!/usr/bin/env python3
"""RWKV at the command line, every version and layout: pack, inspect, verify, eval, run.

usage: INGOT=path/to/ingot rwkv_cli_test.py
"""
import json
import re
import shutil
import unittest

import tiny_model
from cli_case import FAILED, NOT_FOUND, Case, ingot
from family_case import FIXTURES, FamilyTests

MODELS = ["rwkv4-pth", "rwkv4-hf", "rwkv50-pth", "rwkv51-pth", "rwkv52-pth", "rwkv52-hf", "rwkv6-pth",
          "rwkv6-hf", "rwkv7-pth", "rwkv7-fla", "rwkv7-world"]
VOCABULARY = 61
# Norms, mixing vectors, decays, bonuses and the static parts of version 7's low-rank vectors.
SMALL = re.compile(r"(ln\w*|norm|\w+_norm)\.(weight|bias)$|\.time_(mix_\w+|maa_[xwkvrg]|decay|first|faaaa)$"
                   r"|\.(x_[rwkvag]|k_k|k_a|r_k|[wav]0)$|lora\.2\.bias$")


class Rwkv(FamilyTests, Case):
    MODELS = MODELS
    HAVE_TOKENIZERS = ("rwkv7-world",)
    PROMPT = "HELLO"
    LETTERS = VOCABULARY
    LEAST_KL = 1e-6

    @staticmethod
    def tokenizer():
        data = tiny_model.tokenizer()
        data["model"]["vocab"] = {chr(33 + i): i for i in range(VOCABULARY)}
        return data

    @staticmethod
    def is_small(name):
        return SMALL.search(name) is not None

    def test_a_bare_file_and_its_folder_are_one(self):
        folder = self.work / "rwkv6-pth"
        by_file = self.pack("file.ingot", "--codec", "raw", model=folder / "model.pth")
        by_folder = self.pack("folder.ingot", "--codec", "raw", model=folder)
        self.assertEqual(self.evaluate(by_file, folder)["perplexity"],
                         self.evaluate(by_folder, folder)["perplexity"])

    def test_what_is_exported_is_the_same_model(self):
        for name in ("rwkv50-pth", "rwkv52-pth", "rwkv6-pth", "rwkv6-hf", "rwkv7-pth", "rwkv7-fla"):
            with self.subTest(name):
                target = self.pack(f"{name}.whole", "--codec", "raw", model=self.work / name)
                folder = self.work / f"{name}.exported"
                self.run_ok("export", target, "-o", folder, "-q")
                self.assertEqual(self.evaluate(target, folder)["kl_mean"], 0)

    def test_a_source_is_inspected(self):
        text = self.run_ok("inspect", self.work / "rwkv7-world").stdout.decode()
        self.assertIn("rwkv7, 2 layers, hidden 24, vocabulary 264, context of any length", text)
        self.assertIn("RWKV time mixing", text)
        self.assertIn("RWKV channel mixing 32", text)
        self.assertIn("RWKV world, 261 tokens", text)
        names = self.run_ok("inspect", self.work / "rwkv7-world", "--tensors").stdout.decode()
        self.assertRegex(names, r"blocks\.\*\.att\.k_k +2 +24 +F32 +kept as it is")

    def test_bad_sources(self):
        two = self.work / "two"
        two.mkdir()
        for name in ("a.pth", "b.pth"):
            shutil.copy(FIXTURES / "rwkv4-pth" / "model.pth", two / name)
        self.fails(NOT_FOUND, "several .pth files; give one by its path", "pack", two, "-o", self.work / "x")
        world = self.work / "no_byte"
        shutil.copytree(FIXTURES / "rwkv7-world", world)
        (world / "rwkv_vocab_tiny.txt").write_text("1 b'\\x00' 1\n2 'a' 1\n")
        run = ingot("inspect", world)
        self.assertEqual(run.returncode, FAILED)
        self.assertIn("rwkv_vocab_tiny.txt: no token is the byte 0x01", run.stderr.decode())
        config = json.loads((FIXTURES / "rwkv6-hf" / "config.json").read_text())
        heads = self.work / "heads"
        shutil.copytree(FIXTURES / "rwkv6-hf", heads)
        (heads / "config.json").write_text(json.dumps({**config, "head_size": 7}))
        self.fails(FAILED, "30 channels of time mixing do not divide into heads of 7",
                   "pack", heads, "-o", self.work / "x", "--no-tokenizer")


if __name__ == "__main__":
    unittest.main(verbosity=2)
