#!/usr/bin/env python3
"""State-space, retention and hybrid models at the command line: pack, inspect, verify, eval, run.

usage: INGOT=path/to/ingot recurrent_cli_test.py
"""
import json
import pathlib
import shutil
import unittest

import tiny_model
from cli_test import Case

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures" / "models"
MODELS = ["mamba", "mamba-bias-untied", "falcon-mamba", "mamba2", "mamba2-limits-tied", "jamba", "bamba",
          "retnet", "retnet-plain-mlp"]
VOCABULARY = 96
# Parameters that are no matrices of a product, by the end of their names.
SMALL = (".A_log", ".D", ".dt_bias", ".conv1d.weight", "norm.weight", "norm_f.weight",
         "layernorm_embedding.weight", ".bias")


def tokenizer():
    """Bytes 33 to 126 and two more: as many tokens as the fixtures have."""
    alphabet = [c for c in tiny_model.byte_alphabet() if 33 <= ord(c) < 127] + ["Ġ", "Ċ"]
    data = tiny_model.tokenizer()
    data["model"]["vocab"] = {c: i for i, c in enumerate(alphabet[:VOCABULARY])}
    return data


class Recurrent(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text = cls.work / "text.txt"
        cls.text.write_text("".join(chr(33 + (i * i * 7 + i * 3) % 80) for i in range(700)))
        for name in MODELS:
            shutil.copytree(FIXTURES / name, cls.work / name)
            (cls.work / name / "tokenizer.json").write_text(json.dumps(tokenizer()))

    def evaluate(self, target, source):
        run = self.run_ok("eval", target, "--reference", source, "--text", self.text, "--context", 600,
                          "--json", "-q")
        return json.loads(run.stdout)

    def test_every_matrix_takes_a_codec_and_nothing_else_does(self):
        for name in MODELS:
            with self.subTest(name):
                target = self.pack(f"{name}.ingot", "--codec", "int8_rtn", "--group", "16",
                                   model=self.work / name)
                tensors = json.loads(self.run_ok("inspect", target, "--json", "--tensors").stdout)["tensors"]
                for tensor in tensors:
                    small = tensor["name"].endswith(SMALL)
                    self.assertEqual(tensor["codec"], "raw" if small else "int8_rtn", tensor["name"])
                    self.assertEqual(tensor["role"] == "vector", small, tensor["name"])
                self.run_ok("verify", target)
                result = self.evaluate(target, self.work / name)
                self.assertGreater(result["kl_mean"], 1e-5)
                self.assertLess(result["kl_mean"], 0.1)

    def test_exact_codecs_change_nothing(self):
        for name in MODELS:
            with self.subTest(name):
                target = self.pack(f"{name}.exact", "--codec", "lossless_v1", model=self.work / name)
                result = self.evaluate(target, self.work / name)
                self.assertEqual(result["kl_mean"], 0)
                self.assertEqual(result["perplexity"], result["reference_perplexity"])

    def test_run(self):
        for name in MODELS:
            with self.subTest(name):
                arguments = ["-p", "Hello" * 120, "-n", 12, "--greedy", "--exact", "--ignore-eos", "-q"]
                target = self.pack(f"{name}.run", "--codec", "raw", model=self.work / name)
                text = self.run_ok("run", target, *arguments).stdout
                self.assertGreaterEqual(len(text), 12)
                self.assertEqual(self.run_ok("run", self.work / name, *arguments).stdout, text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
