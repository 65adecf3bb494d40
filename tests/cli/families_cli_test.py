#!/usr/bin/env python3
"""A tiny model of every architecture, and real models where they are, through the commands.

usage: INGOT=path/to/ingot families_cli_test.py [CLASS...]
"""
import json
import os
import pathlib
import re
import subprocess
import unittest

from cli_case import INGOT, USAGE, Case, read_safetensors
from family_case import FIXTURES


class Families(Case):
    """A tiny model of every architecture (tests/fixtures/models), packed, verified and written back."""

    models = sorted(p.parent for p in FIXTURES.glob("*/config.json")
                    if (p.parent / "model.safetensors").exists())

    def test_every_family_packs(self):
        self.assertGreater(len(self.models), 50)
        for model in self.models:
            with self.subTest(model.name):
                target = self.pack("family.ingot", "--no-tokenizer", "--codec", "int4_rtn", "--group", "64",
                                   model=model)
                self.run_ok("verify", target, "-q")
                source = json.loads(self.run_ok("inspect", model, "--json").stdout)
                made = json.loads(self.run_ok("inspect", target, "--json").stdout)
                self.assertTrue(source["understood"])
                unused = source["roles"].get("unused", {"weights": 0})["weights"]
                self.assertEqual(source["parameters"] - unused, made["weights"])
                self.assertEqual(made["sizes"]["linear"]["weights"], source["roles"]["linear"]["weights"])

    def test_every_codec_takes_peculiar_matrices(self):
        by_name = {model.name: model for model in self.models}
        codecs = [p["name"] for p in json.loads(self.run_ok("inspect", by_name["gpt2"], "--json").stdout)["presets"]
                  if p["option"] == "codec" and "problem" not in p]
        self.assertGreater(len(codecs), 8)
        told = self.run_ok("help", "codecs").stdout.decode()
        entries = [" ".join(entry.split()) for entry in re.split(r"\n  (?=\S)", told)]  # lines may wrap
        learned = {entry.split()[0] for entry in entries if entry.endswith("(needs statistics)")}
        self.assertLess(learned, set(codecs))
        self.assertIn("int4_gptq", learned)
        for name in ("gpt2", "qwen2-moe", "opt-350m", "falcon-40b"):  # transposed, experts, projections, fused
            for codec in codecs:
                with self.subTest(name + " " + codec):
                    if codec in learned:  # these models have no tokenizer
                        self.fails(USAGE, "without a tokenizer there is no text to learn from", "pack", by_name[name],
                                   "-o", self.work / "learned.ingot", "--no-tokenizer", "--codec", codec)
                        continue
                    target = self.pack("codec.ingot", "--no-tokenizer", "--codec", codec, model=by_name[name])
                    self.run_ok("verify", target, "-q")

    def test_lossless_goes_back_to_the_source(self):
        for model in self.models:
            with self.subTest(model.name):
                target = self.pack("exact.ingot", "--no-tokenizer", "--codec", "lossless_v1", model=model)
                out = self.work / f"back-{model.name}"
                self.run_ok("export", target, "-o", out, "-q")
                source, made = (read_safetensors(d / "model.safetensors") for d in (model, out))
                # Packed experts and RWKV's stacked vectors come apart into a tensor each.
                apart = model.name.endswith("-packed") or model.name.startswith("rwkv")
                for name in made if not apart else set(made) & set(source):
                    if name == "cls.predictions.bias" and "cls.predictions.decoder.bias" in source:
                        continue  # two names of one bias; the decoder's is the one that counts
                    self.assertEqual(made[name][1:], source[name][1:], name)
                    self.assertTrue(apart or made[name][0] == source[name][0], name)


class Real(Case):
    def test_stories_greedy_text(self):
        model = pathlib.Path(__file__).resolve().parents[2] / ".." / "shared" / "models" / "stories260K-llama"
        if not model.exists():
            self.skipTest("no shared/models/stories260K-llama beside the checkout")
        target = self.pack("stories.ingot", "--codec", "lossless_v1", model=model)
        want = (model / "llama2c_expected_greedy_200.txt").read_bytes()
        got = self.run_ok("run", target, "-p", "", "-n", 200, "--greedy", "--exact").stdout
        self.assertEqual(got.strip(), want.strip())

    def test_pack_stays_in_its_memory(self):
        root = os.environ.get("INGOT_MODELS")
        if not root or not (pathlib.Path(root) / "smollm2-135m").exists():
            self.skipTest("INGOT_MODELS does not hold smollm2-135m")
        if os.environ.get("INGOT_SANITIZE"):
            self.skipTest("a sanitizer's own memory would count")
        for limit in (128, 1024):
            process = subprocess.Popen([INGOT, "pack", pathlib.Path(root) / "smollm2-135m", "-o",
                                        self.work / "real.ingot", "--force", "-q", "--codec", "nested_v1", "--memory",
                                        f"{limit}MiB"])
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
            self.assertEqual(status, 0)
            self.assertLess(usage.ru_maxrss, limit * 1024)


if __name__ == "__main__":
    unittest.main(verbosity=2)
