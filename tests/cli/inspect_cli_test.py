#!/usr/bin/env python3
"""`ingot inspect` of artifacts and of what is not packed yet.

usage: INGOT=path/to/ingot inspect_cli_test.py [CLASS...]
"""
import json
import pathlib
import shutil
import sys
import unittest

import tiny_model
from cli_case import CORRUPT, FAILED, NOT_FOUND, USAGE, Case, ingot

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import ingot_reader  # noqa: E402


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

    def test_two_are_compared(self):
        a, b = self.pack("a.ingot", "--codec", "int4_rtn", "--group", "32"), self.pack("b.ingot", "--codec", "int8_rtn")
        page = self.run_ok("inspect", a, b).stdout.decode()
        self.assertRegex(page, r"stored bpw, linear +4\.500 +8\.\d+ +1\.\d+x")
        self.assertRegex(page, r"layers 0-1 +14 +int4_rtn +int8_rtn +4\.500 +8\.")
        self.assertRegex(page, r"alike +\d+ of 21 tensors in both are made alike, \d+ of them are the same bytes\n")
        found = json.loads(self.run_ok("inspect", a, b, "--json").stdout)
        self.assertEqual(found["a"]["bytes"], a.stat().st_size)
        self.assertEqual((found["only_a"], found["only_b"], found["config"]), ([], [], {}))
        alike = {t["name"] for t in found["tensors"] if t["same_bytes"]}
        self.assertIn("model.norm.weight", alike)
        self.assertNotIn("model.layers.0.mlp.up_proj.weight", alike)
        self.assertFalse(found["same_model"])
        self.assertTrue(json.loads(self.run_ok("inspect", a, a, "--json").stdout)["same_model"])
        # A source beside what was made of it: bits of the one and of the other, by the same names.
        source = json.loads(self.run_ok("inspect", self.model, a, "--json").stdout)
        self.assertEqual((source["a"]["kind"], source["a"]["bits_per_weight_linear"]), ("source", 16))
        self.assertEqual((source["only_a"], source["only_b"], source["config"]), ([], [], {}))
        sorted_lines = self.run_ok("inspect", a, b, "--sort", "size").stdout.decode()
        self.assertRegex(sorted_lines, r"tensor .*\n +model\.layers\.0\.mlp\.gate_proj")
        self.fails(USAGE, "--verify is for one", "inspect", a, b, "--verify")
        self.fails(USAGE, "not both", "inspect", "-", "-")
        self.fails(NOT_FOUND, "nowhere", "inspect", a, self.work / "nowhere")
        self.fails(USAGE, "which nobody signs", "inspect", self.model, a, "--hmac-key", self.secret())

    def secret(self):
        path = self.work / "secret"
        path.write_bytes(bytes(range(40)))
        path.chmod(0o600)
        return path

    def test_an_artifact_from_a_pipe(self):
        target = self.pack("piped.ingot", "--codec", "nested_v1")
        whole = target.read_bytes()
        page, from_file = (self.run_ok("inspect", *args, stdin=whole).stdout.decode() for args in (["-"], [target]))
        self.assertEqual(page.splitlines()[1:-2], from_file.splitlines()[1:])
        self.assertTrue(page.startswith("standard input\n"))
        self.assertTrue(page.endswith("\n  every byte verifies\n"))
        piped = json.loads(self.run_ok("inspect", "-", "--json", stdin=whole).stdout)
        self.assertTrue(piped.pop("verified"))
        self.assertEqual(piped, json.loads(self.run_ok("inspect", target, "--json").stdout))
        self.assertTrue(json.loads(self.run_ok("inspect", "-", target, "--json", stdin=whole).stdout)["same_model"])
        # Cut at a level's end it is what came; elsewhere, or damaged, it is refused.
        layout = ingot_reader.Artifact(target)
        first = min(stream["first_chunk"] for tensor in layout.manifest["tensors"] for plane in tensor["planes"]
                    for stream in plane["streams"] if plane["level"] == 2 and stream["chunk_count"])
        cut = sum(layout.chunks[first - 1][:2])
        shown = self.run_ok("inspect", "-", stdin=whole[:cut]).stdout.decode()
        self.assertRegex(shown, r"cut short levels 0 to 1 are complete")
        whole_path = self.work / "cut.ingot"
        whole_path.write_bytes(whole[:cut])
        self.assertIn("every byte verifies", self.run_ok("inspect", "--verify", whole_path).stdout.decode())
        for bytes_there in (cut + 1, cut - 1, len(whole) - 1):
            self.fails(CORRUPT, "truncated: ", "inspect", "-", stdin=whole[:bytes_there])
            whole_path.write_bytes(whole[:bytes_there])
            self.fails(CORRUPT, "truncated: ", "inspect", "--verify", whole_path)
            self.fails(CORRUPT, "truncated: ", "inspect", whole_path)
        self.fails(CORRUPT, "lm_head|contradict", "inspect", "-", stdin=whole[:-3] + bytes([whole[-3] ^ 4]) + whole[-2:])
        self.fails(CORRUPT, "standard input", "inspect", "-", stdin=b"GGUF" + bytes(100))
        self.fails(CORRUPT, "standard input", "inspect", "-", stdin=b"")

    def test_lines_are_80_columns_and_equal_layers_one_line(self):
        for codec in ("nested_v1", "tenpak_x_v1", "fp8_hybrid_v1"):
            text = self.work / "calib.txt"
            text.write_text("the cat sat on the mat and looked at the dog\n" * 60)
            learn = ("--calib", text, "--calib-tokens", 512) if codec == "tenpak_x_v1" else ()
            target = self.pack("wide.ingot", "--codec", codec, *learn)
            for args in ([target], [target, self.model], [self.model]):
                for line in self.run_ok("inspect", *args).stdout.decode().splitlines():
                    self.assertLessEqual(len(line), 80, (args, line))
            self.assertRegex(self.run_ok("inspect", target).stdout.decode(), r"\n  layers 0-1 +\S+ ")

    def test_what_run_takes_is_called_memory(self):
        target = self.pack("memory.ingot", "--codec", "int4_rtn", "--group", "32")
        self.assertRegex(self.run_ok("inspect", target).stdout.decode(),
                         r"memory +4\.500 bpw over linear weights, .*\n? *\(.*B\)\n +run takes about [0-9.]+ MB at 2048 tokens")


class Sources(Case):
    """`ingot inspect` of what is not packed yet."""

    def test_a_model(self):
        page = self.run_ok("inspect", self.model).stdout.decode()
        self.assertRegex(page, r"model +llama, 2 layers, hidden 64, vocabulary 256, context 256")
        self.assertRegex(page, r"mixer +attention, 4 heads over 2 of keys and values, 16 wide; rotary")
        self.assertRegex(page, r"MLP +gated silu 160")
        self.assertRegex(page, r"tokenizer +BPE, 256 tokens")
        self.assertRegex(page, r"model\.layers\.\*\.mlp\.up_proj\.weight +2 +160x64 +BF16 +int4_rtn:group=32")
        self.assertRegex(page, r"norms, biases and other vectors +5 +kept")
        self.assertRegex(page, r"--codec int4_rtn +\+ int8_rtn +4\.24 ")
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

    def test_estimates_are_right_to_five_percent(self):
        text = self.work / "calib.txt"
        text.write_text("the cat sat on the mat and looked at the dog\n" * 60)
        # Matrices whose rows' and columns' records are no large part of them, as a model's are not.
        model = tiny_model.write(self.work / "larger", hidden_size=256, intermediate_size=256, num_hidden_layers=1,
                                 named=tiny_model.tensors(hidden=256, mlp=256, layers=1))
        presets = {p["name"]: p for p in json.loads(self.run_ok("inspect", model, "--json").stdout)["presets"]
                   if p["option"] == "codec" and (p["at_most_bytes"] > 0 or p["data_dependent"])}
        self.assertGreater(set(presets), {"entropy_v1", "entropy_v2", "lossless_v1", "nested_v1", "fp8_hybrid_v1"})
        for name, preset in presets.items():
            learn = ("--calib", text, "--calib-tokens", 512) if preset["learned"] else ("--fast",)
            target = self.pack("estimate.ingot", "--codec", name, *learn, model=model)
            made = json.loads(self.run_ok("inspect", target, "--json").stdout)
            stored = sum(t["bytes"] for t in made["tensors"])
            for said, is_so in ((preset["estimated_bytes"], stored),
                                (preset["bits_per_linear_weight"], made["bits_per_weight_linear"])):
                self.assertLess(abs(said / is_so - 1), 0.05, (name, said, is_so))
            if not preset["data_dependent"]:
                self.assertEqual(preset["resident_bytes"], made["resident_bytes"], name)
            plan = json.loads(self.run_ok("pack", model, "--dry-run", "--json", "--codec", name, *learn).stdout)
            self.assertEqual(plan["total"]["estimated_bytes"], preset["estimated_bytes"], name)
        # Bits that statistics spend, before there are any.
        learn = ("--calib", text, "--calib-tokens", 512, "--bpw", 4)
        plan = json.loads(self.run_ok("pack", model, "--dry-run", "--json", *learn).stdout)
        self.assertTrue(plan["learns"])
        self.assertEqual(plan["learned_bits_per_weight"], 4)
        target = self.pack("budget.ingot", *learn, model=model)
        self.assertLess(abs(plan["estimated_file_bytes"] / target.stat().st_size - 1), 0.2)  # of which 64 kB are a guess
        stored = sum(t["bytes"] for t in json.loads(self.run_ok("inspect", target, "--json").stdout)["tensors"])
        self.assertLess(abs(plan["total"]["estimated_bytes"] / stored - 1), 0.05)
        # And by those that there are: what rounds the codes decides how many bits they take.
        stats = self.work / "estimate.stats"
        self.run_ok("calibrate", model, "--text", text, "--tokens", 512, "-o", stats, "-q")
        for codec, bits in (("entropy_v1", 2.5), ("entropy_v1", 6), ("entropy_v2", 4)):
            known = ("--stats", stats, "--codec", codec, "--bpw", bits)
            plan = json.loads(self.run_ok("pack", model, "--dry-run", "--json", *known).stdout)
            made = json.loads(self.run_ok("inspect", self.pack("known.ingot", *known, model=model), "--json").stdout)
            stored = sum(t["bytes"] for t in made["tensors"])
            self.assertLess(abs(plan["total"]["estimated_bytes"] / stored - 1), 0.05, (codec, bits))

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
