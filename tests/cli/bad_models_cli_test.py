#!/usr/bin/env python3
"""`ingot pack` of models that are none, or damaged, or not understood.

usage: INGOT=path/to/ingot bad_models_cli_test.py [CLASS...]
"""
import json
import struct
import unittest

import tiny_model
from cli_case import CORRUPT, FAILED, NOT_FOUND, Case


class BadModels(Case):
    def broken(self, name, **kwargs):
        return tiny_model.write(self.work / name, **kwargs)

    def refused(self, code, pattern, model, *args):
        error = self.fails(code, pattern, "pack", model, "-o", self.work / "bad.ingot", *args)
        self.assertEqual(list(self.work.glob("bad.ingot*")), [])
        return error

    def test_not_a_model(self):
        (self.work / "empty").mkdir(exist_ok=True)
        self.refused(NOT_FOUND, "config.json", self.work / "empty")
        self.refused(NOT_FOUND, "nowhere", self.work / "nowhere")
        (self.work / "text.gguf").write_text("this is no model at all, but long enough to look at")
        self.assertIn("text.gguf", self.refused(CORRUPT, "GGUF|gguf", self.work / "text.gguf"))

    def test_missing_shard(self):
        model = self.broken("shards")
        (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
        names = list(tiny_model.shapes())
        weight_map = {n: f"model-0000{1 + (n == 'lm_head.weight')}-of-00002.safetensors" for n in names}
        (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        self.refused(NOT_FOUND, "model-00002-of-00002.safetensors", model)

    def test_truncated_and_lying_safetensors(self):
        model = self.broken("cut")
        path = model / "model.safetensors"
        whole = path.read_bytes()
        for size in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:size])
            self.refused(CORRUPT, "model.safetensors", model)
        for length in (2**63, 2**40, len(whole), 7):
            path.write_bytes(struct.pack("<Q", length) + whole[8:])
            self.refused(CORRUPT, "model.safetensors", model)

    def test_nonfinite_weights_are_named(self):
        for bits, word in ((0x7fc0, "NaN"), (0xff80, "infinite")):
            named = tiny_model.tensors()
            name = "model.layers.1.mlp.down_proj.weight"
            shape, data = named[name]
            at = 5 * shape[1] + 7
            named[name] = (shape, data[:2 * at] + struct.pack("<H", bits) + data[2 * at + 2:])
            model = self.broken(f"nonfinite{word}", named=named)
            for codec in ("int4_rtn", "lossless_v1", "fp8_hybrid_v1", "nested_v1"):
                self.refused(FAILED, rf"{name}: row 5, column 7 is {word}.*--allow-nonfinite", model, "--codec",
                             codec)
            run = self.run_ok("pack", model, "-o", self.work / "kept.ingot", "--force", "-q", "--allow-nonfinite")
            self.assertIn(name, run.stderr.decode())
            tensors = json.loads(self.run_ok("inspect", self.work / "kept.ingot", "--json").stdout)["tensors"]
            self.assertEqual({t["name"]: t["codec"] for t in tensors}[name], "raw")

    def test_config_and_tensors_disagree(self):
        self.refused(FAILED, r"embed_tokens|lm_head", self.broken("vocab", vocab_size=300))
        self.refused(NOT_FOUND, r"layers\.2\.", self.broken("layers", num_hidden_layers=3))
        extra = self.broken("extra", num_hidden_layers=1)
        self.refused(FAILED, r"layers\.1\..*--allow-unused|layers\.1\.", extra)
        self.run_ok("pack", extra, "-o", self.work / "extra.ingot", "--allow-unused", "-q", "--force")

    def test_unknown_architecture(self):
        self.refused(FAILED, r"eps/?: config.json: 'rms_norm_eps' is NaN, a number",
                     self.broken("eps", rms_norm_eps=float("nan")))
        self.refused(FAILED, "frobformer", self.broken("arch", model_type="frobformer"))

    def test_no_tokenizer(self):
        model = self.broken("mute", with_tokenizer=False)
        self.refused(NOT_FOUND, "tokenizer.json.*--no-tokenizer", model)
        target = self.pack("mute.ingot", "--no-tokenizer", model=model)
        self.fails(NOT_FOUND, "tokenizer", "run", target, "-p", "x")


if __name__ == "__main__":
    unittest.main(verbosity=2)
