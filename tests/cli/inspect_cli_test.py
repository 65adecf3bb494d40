#!/usr/bin/env python3
"""`ingot inspect` of artifacts and of what is not packed yet.

usage: INGOT=path/to/ingot inspect_cli_test.py [CLASS...]
"""
import json
import shutil
import unittest

from cli_case import FAILED, USAGE, Case, ingot


class Inspect(Case):
    def test_inspect_sorts_tensors(self):
        target = self.pack("sorted.ingot", "--fast", "--rule", "*down_proj*=int8_rtn")
        for by, key in (("error", "relative_error"), ("size", "bytes")):
            listed = json.loads(self.run_ok("inspect", target, "--json", "--sort", by).stdout)["tensors"]
            values = [t.get(key, -1) for t in listed]
            self.assertEqual(values, sorted(values, reverse=True))
            self.assertGreater(len(set(values)), 2)
        lines = self.run_ok("inspect", target, "--sort", "bits").stdout.decode().splitlines()
        rows = [line for line in lines if " model." in line or " lm_head" in line]
        places = [i for i, line in enumerate(rows) if "down_proj" in line]
        others = [i for i, line in enumerate(rows) if "gate_proj" in line]
        self.assertLess(max(places), min(others))
        self.fails(USAGE, "--sort", "inspect", target, "--sort", "name")
        self.fails(USAGE, "--sort are for artifacts", "inspect", self.model, "--sort", "bits")


class Sources(Case):
    """`ingot inspect` of what is not packed yet."""

    def test_a_model(self):
        page = self.run_ok("inspect", self.model).stdout.decode()
        self.assertRegex(page, r"model +llama, 2 layers, hidden 64, vocabulary 256, context 256")
        self.assertRegex(page, r"mixer +attention, 4 heads over 2 of keys and values, 16 wide; rotary")
        self.assertRegex(page, r"MLP +gated silu 160")
        self.assertRegex(page, r"tokenizer +BPE, 256 tokens")
        self.assertRegex(page, r"model\.layers\.\*\.mlp\.up_proj\.weight +2 +160x64 +BF16 +int4_rtn:group=32")
        self.assertRegex(page, r"norms, biases and other vectors +5 +kept as they are")
        self.assertRegex(page, r"--codec int4_rtn +int4_rtn +")
        self.assertNotIn("not understood", page)
        vectors = self.run_ok("inspect", self.model, "--tensors").stdout.decode()
        self.assertRegex(vectors, r"model\.layers\.\*\.input_layernorm\.weight +2 +64 +BF16 +kept as it is")
        self.fails(USAGE, "is a source model", "inspect", self.model, "--verify")

    def test_json_agrees_with_the_plan(self):
        source = json.loads(self.run_ok("inspect", self.model, "--json").stdout)
        plan = json.loads(self.run_ok("pack", self.model, "--dry-run", "--json", "-q").stdout)
        self.assertEqual(source["parameters"], plan["total"]["weights"])
        self.assertEqual(source["roles"]["linear"]["weights"], plan["kinds"]["linear"]["weights"])
        balanced = next(p for p in source["presets"] if p["name"] == source["default_target"])
        self.assertEqual(balanced["exact_bytes"], plan["total"]["exact_bytes"])
        self.assertEqual(source["architecture"]["kv_heads"], 2)
        self.assertTrue(source["understood"])
        self.assertEqual(source["unused"], [])

    def test_what_is_not_understood(self):
        shutil.copytree(self.model, self.work / "strange")
        config = json.loads((self.work / "strange/config.json").read_text())
        (self.work / "strange/config.json").write_text(json.dumps({**config, "model_type": "mamba9"}))
        run = ingot("inspect", self.work / "strange", "--json")
        self.assertEqual(run.returncode, FAILED)
        self.assertRegex(run.stderr.decode(), r"architecture 'mamba9' is not supported \(known: llama")
        summary = json.loads(run.stdout)
        self.assertFalse(summary["understood"])
        self.assertEqual(summary["architecture"], None)
        self.assertEqual(summary["roles"]["unknown"]["weights"], summary["parameters"])
        (self.work / "strange/config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
        run = ingot("inspect", self.work / "strange")
        self.assertEqual(run.returncode, FAILED)
        self.assertIn(b"tensor 'model.layers.1.input_layernorm.weight' (64) has no use in architecture 'llama', "
                      b"nor have 8 others; pack refuses it without --allow-unused", run.stdout)
        self.assertRegex(run.stdout.decode(), r"model\.layers\.\*\.mlp\.up_proj\.weight +1 +160x64 +BF16 +unused")


if __name__ == "__main__":
    unittest.main(verbosity=2)
