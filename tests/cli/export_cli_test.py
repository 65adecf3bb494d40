#!/usr/bin/env python3
"""`ingot export`: a Hugging Face directory.

usage: INGOT=path/to/ingot export_cli_test.py [CLASS...]
"""
import json
import struct
import unittest

import tiny_model
from cli_case import USAGE, Case, read_safetensors


class Export(Case):
    def test_exact_codecs_give_the_source_back(self):
        source = read_safetensors(self.model / "model.safetensors")
        for codec in ("lossless_v1", "nested_v1"):
            out = self.work / f"out_{codec}"
            self.run_ok("export", self.pack("m.ingot", "--codec", codec), "-o", out)
            self.assertEqual(read_safetensors(out / "model.safetensors"), source)
            self.assertEqual(json.loads((out / "config.json").read_text()), tiny_model.config())
            self.assertEqual(json.loads((out / "tokenizer.json").read_text()), tiny_model.tokenizer())

    def test_quantized_is_float32_and_close(self):
        out = self.work / "out_int8"
        self.run_ok("export", self.pack("m.ingot", "--codec", "int8_rtn", "--group", "32"), "-o", out, "--shard",
                    "100kB")
        index = json.loads((out / "model.safetensors.index.json").read_text())
        shards = sorted(set(index["weight_map"].values()))
        self.assertGreater(len(shards), 1)
        made = {k: v for shard in shards for k, v in read_safetensors(out / shard).items()}
        self.assertEqual(index["metadata"]["total_size"], sum(len(v[2]) for v in made.values()))
        for name, (shape, _, data) in read_safetensors(self.model / "model.safetensors").items():
            self.assertEqual(made[name][:2], (shape, "F32"))
            want = [struct.unpack("<f", b"\0\0" + data[i:i + 2])[0] for i in range(0, len(data), 2)]
            got = struct.unpack(f"<{len(want)}f", made[name][2])
            self.assertLess(max(abs(a - b) for a, b in zip(want, got)), 0.01)
        self.assertEqual(json.loads((out / "config.json").read_text())["torch_dtype"], "float32")
        self.fails(USAGE, "already", "export", self.work / "m.ingot", "-o", out)
        again = self.work / "again.ingot"
        self.run_ok("pack", out, "-o", again, "-q")
        self.assertEqual([p for p in self.work.iterdir() if "-tmp." in p.name], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
