#!/usr/bin/env python3
"""Artifacts made to harm, with digests that are right: refused by name, with the exit code of a bad file, and cheap.

usage: INGOT=path/to/ingot crafted_cli_test.py     exit status 77 where a Python package is missing
"""
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

import tiny_model

try:
    import crafted
except ImportError as missing:
    print(f"SKIP: {missing}; tools/setup --python brings it")
    sys.exit(77)

INGOT = os.environ.get("INGOT", "ingot")
SANITIZED = bool(os.environ.get("INGOT_SANITIZE"))
OK, FAILED, USAGE, CORRUPT, UNTRUSTED, NOT_FOUND = range(6)


class Crafted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="ingot_crafted_"))
        cls.addClassCleanup(shutil.rmtree, cls.work)
        cls.model = tiny_model.write(cls.work / "tiny")
        cls.data = cls.packed("m.ingot")
        cls.nested = cls.packed("nested.ingot", "--codec", "nested_v1")

    @classmethod
    def packed(cls, name, *arguments):
        subprocess.run([INGOT, "pack", cls.model, "-o", cls.work / name, "-q", *arguments], check=True)
        return (cls.work / name).read_bytes()

    def put(self, data):
        path = self.work / "crafted.ingot"
        path.write_bytes(data)
        return path

    def run_on(self, data, command, *arguments, memory=None):
        def limit():
            if memory and not SANITIZED:
                resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        return subprocess.run([INGOT, command, self.put(data), *map(str, arguments)], capture_output=True, timeout=120,
                              preexec_fn=limit)

    def refused(self, code, pattern, data, command, *arguments, memory=None):
        run = self.run_on(data, command, *arguments, memory=memory)
        error = run.stderr.decode()
        self.assertEqual(run.returncode, code, error)
        self.assertRegex(error, r"\Aingot: [^\n]*\n\Z")
        self.assertRegex(error, pattern)
        return error

    def test_manifests_that_break_a_rule(self):
        """What the second reader refuses the first refuses too, and never as a mistake of its user."""
        for name, data in crafted.bad_manifests(self.data):
            run = self.run_on(data, "verify", "-q")
            self.assertIn(run.returncode, (CORRUPT, FAILED), f"{name}: {run.stderr}")

    def test_export_writes_no_file_of_the_artifacts_choosing(self):
        for name in ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "config.json",
                     "modeling_llama.py", "model-00001-of-00002.safetensors", "adapter_config.json", "tf_model.h5",
                     "tokenizer.json.py", "x" * 255, "README.md", "chat_template.json"):
            def edit(manifest):
                manifest["assets"].insert(0, {"name": name, "chunks": crafted.raw(b"evil")})

            out = self.work / "exported"
            self.refused(CORRUPT, "is no part of a tokenizer", crafted.edited(self.data, edit), "export", "-o", out)
            self.assertEqual([p.name for p in self.work.iterdir() if p.name.startswith("exported")], [])
            # Run reads no such file, and needs none.
            self.assertEqual(self.run_on(crafted.edited(self.data, edit), "run", "-p", "x", "-n", 1).returncode, OK)

        def metadata(manifest):
            manifest["tensors"][0]["name"] = "__metadata__"
        self.refused(CORRUPT, "__metadata__", crafted.edited(self.data, metadata), "export", "-o", out)

    def test_export_of_wrong_streams_leaves_nothing(self):
        def rename(manifest):
            manifest["tensors"][-1]["planes"][0]["streams"][0]["name"] = "no_such"

        def shorten(manifest):
            manifest["tensors"][-1]["planes"][0]["streams"][0]["chunks"] = crafted.raw(b"short")

        for edit in (rename, shorten):
            for command in (("export", "-o", self.work / "exported"), ("run", "-p", "x")):
                self.refused(CORRUPT, "lm_head.weight.*stream", crafted.edited(self.data, edit), *command)
            self.assertEqual([p.name for p in self.work.iterdir() if p.name.startswith("exported")], [])

    def test_a_bad_file_is_not_a_usage_error(self):
        def attribute(key, value):
            def edit(manifest):
                manifest["tensors"][1]["planes"][0]["attributes"][key] = value
                manifest["tensors"][2]["planes"][0]["attributes"][key] = value
            return edit

        def config(key, value):
            def edit(manifest):
                manifest["config"][key] = value
            return edit

        def drop(manifest):
            del manifest["tensors"][-1]

        edits = [attribute("bits", 99), attribute("group", 7), attribute("more", 1), attribute("levels", "x"),
                 attribute("dtype", "f99"), config("num_attention_heads", 0), config("hidden_size", 63),
                 config("hidden_size", -1), config("num_key_value_heads", 3), config("vocab_size", 10**12),
                 config("num_hidden_layers", 3), config("intermediate_size", "x"), drop]
        for i, edit in enumerate(edits):
            for command in (("run", "-p", "x", "-n", 1), ("eval", "--reference", self.model, "--context", 16, "--tokens", 32)):
                run = self.run_on(crafted.edited(self.data, edit), *command)
                self.assertIn(run.returncode, (CORRUPT, FAILED), f"{i}: {run.stderr}")
        self.assertEqual(self.run_on(self.nested, "run", "-p", "x", "--levels", 9).returncode, USAGE)

    def test_a_cut_file_says_which_level_speaks(self):
        manifest = crafted.take_apart(self.nested)
        level = {stream["first_chunk"]: plane["level"] for tensor in manifest["tensors"] for plane in tensor["planes"]
                 for stream in plane["streams"]}
        summary = json.loads(self.run_on(self.nested, "inspect", "--json").stdout)
        self.assertGreater(len(summary["level_bytes"]), 1)
        first = min(chunk for chunk, of in level.items() if of == 1)
        table = int.from_bytes(self.nested[32:40], "little")
        end = int.from_bytes(self.nested[table + 64 * first:table + 64 * first + 8], "little")
        self.assertEqual((summary["level_ends"][0], summary["level_ends"][-1]), (end, len(self.nested)))
        cut = self.nested[:end]
        self.assertEqual(json.loads(self.run_on(cut, "inspect", "--json").stdout)["level_ends"], summary["level_ends"])
        run = self.run_on(cut, "run", "-p", "x", "-n", 1, "-q", "--greedy")
        self.assertEqual(run.returncode, OK, run.stderr)
        self.assertRegex(run.stderr.decode(), r"warning: .*cut short: level 0 of 0 to \d+ is the last .*--levels 1")
        asked = self.run_on(cut, "run", "-p", "x", "-n", 1, "-q", "--greedy", "--levels", 1)
        self.assertEqual((asked.returncode, asked.stderr), (OK, b""))
        self.assertEqual(asked.stdout, run.stdout)
        words = self.work / "words.txt"
        words.write_text("The quick brown fox jumps over the lazy dog. " * 20)
        sizes = [json.loads(self.run_on(data, "eval", "--reference", self.model, "--text", words, "--context", 64,
                                        "--json", *levels).stdout)
                 for data, levels in ((cut, ()), (self.nested, ("--levels", 1)), (self.nested, ()))]
        for name in ("bits_per_weight_linear", "bits_per_weight_total", "bytes"):
            self.assertEqual(sizes[0][name], sizes[1][name], name)
            self.assertLess(sizes[0][name], sizes[2][name], name)
        self.assertAlmostEqual(sizes[0]["bytes"], len(cut), delta=4096 * len(manifest["tensors"]))

    def test_a_small_file_costs_little(self):
        """Refused before anything is decoded: within 192 MiB of memory."""
        def inflated(manifest):
            manifest["tensors"].append({
                "name": "more", "shape": [1 << 29], "dtype": "f32", "codec": "raw", "role": "vector", "layer": -1,
                "extra": {}, "planes": [{"kind": "raw", "attributes": {"dtype": "bf16"}, "level": 0, "streams": [
                    {"name": "values", "chunks": crafted.zstd(bytes(4 << 20)) * 256}]}]})

        def claimed(manifest):
            manifest["tensors"][-1]["shape"] = [1 << 24, 1 << 24]

        def asset(manifest):
            manifest["assets"].append({"name": "vocab.txt", "chunks": crafted.zstd(bytes(4 << 20)) * 80})

        def text(manifest):  # what is parsed costs a multiple of its size
            manifest["assets"].append({"name": "vocab.txt", "chunks": crafted.zstd(bytes(4 << 20)) * 5})

        for edit in (inflated, claimed, asset, text):
            data = crafted.edited(self.data, edit)
            self.assertLess(len(data), 200_000)
            for command in (("run", "-p", "x"), ("export", "-o", self.work / "large")):
                self.refused(FAILED, "--max-decoded|asset .* at most", data, *command, memory=192 << 20)
            self.assertFalse((self.work / "large").exists())
            self.assertEqual(self.run_on(data, "inspect", memory=192 << 20).returncode, OK)
        data = crafted.edited(self.data, asset)
        self.assertNotIn(b"--max-decoded", self.run_on(data, "run", "-p", "x", "-n", 1, "--max-decoded", "1GiB").stderr)

    def test_tensors_that_nothing_uses_are_not_read(self):
        def unused(manifest):
            coding, stored, decoded = crafted.zstd(bytes(4 << 20))[0]
            broken = stored[:-9] + b"not zstd!"  # the digest is right: only decoding it shows
            manifest["tensors"].append({
                "name": "unused.weight", "shape": [2 << 20], "dtype": "bf16", "codec": "raw", "role": "vector",
                "layer": -1, "extra": {}, "planes": [{
                    "kind": "raw", "attributes": {"dtype": "bf16"}, "level": 0,
                    "streams": [{"name": "values", "chunks": [(coding, broken, decoded)]}]}]})

        run = self.run_on(crafted.edited(self.data, unused), "run", "-p", "x", "-n", 1)
        self.assertEqual(run.returncode, OK, run.stderr)

    def test_outputs_that_cannot_be_are_refused_before_work(self):
        for output, code in (("", USAGE), (self.work, USAGE), (f"{self.work}/", USAGE), (self.work / "no/x", NOT_FOUND)):
            run = subprocess.run([INGOT, "pack", self.work / "no-such-model", "-o", output], capture_output=True)
            self.assertEqual(run.returncode, code, run.stderr)
            self.assertNotIn(b"no-such-model", run.stderr)  # the output was looked at first
        run = self.run_on(self.data, "export", "-o", "")
        self.assertEqual(run.returncode, USAGE, run.stderr)


if __name__ == "__main__":
    unittest.main()
