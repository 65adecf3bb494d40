#!/usr/bin/env python3
"""Every `--json` against its schema in docs/schemas/.

usage: INGOT=path/to/ingot schemas_cli_test.py
"""
import copy
import json
import re
import unittest

import json_schema
import tiny_model
from cli_case import Case, ingot

# Whose outputs another test makes, since they need what is not here: LibTorch, an encoder's tokenizer.
ELSEWHERE = {"tune-exits": "exits_cli_test.py", "bench-exits": "exits_cli_test.py", "run-encoder": "encoder_cli_test.py"}


class Schemas(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text = cls.work / "text.txt"
        cls.text.write_text("Sentences of many words, again and again. " * 80)
        cls.seen = {}
        cls.target = cls.work / "m.ingot"
        learn = ("--calib", cls.text, "--calib-tokens", 512)
        stats = cls.work / "s.safetensors"
        questions = cls.work / "q.jsonl"
        questions.write_text(json.dumps({"ctx": "Sentences of", "endings": ["many words", "few"], "label": 0}) + "\n")
        key = cls.work / "k"
        assert ingot("keygen", key, "-q").returncode == 0
        assert ingot("calibrate", cls.model, "-o", stats, "--text", cls.text, "--tokens", 512, "--backward-tokens", 0,
                     "-q").returncode == 0
        small = ("--context", 4, "--runs", 1, "--steps", 1)
        strange = tiny_model.write(cls.work / "strange", model_type="mamba9")
        for name, *args in (
                ("pack", "pack", cls.model, "-o", cls.target, "--codec", "nested_v1", "--sign", f"{key}.key"),
                ("pack", "pack", cls.model, "-o", cls.work / "learned.ingot", *learn, "--measure", cls.text),
                ("pack-plan", "pack", cls.model, "--dry-run", "--codec", "entropy_v1"),
                ("pack-plan", "pack", cls.model, "--dry-run", "--fast", "--target", "quality"),
                ("pack-plan", "pack", cls.model, "--dry-run", *learn, "--bpw", 3),
                ("pack-budgets", "pack", cls.model, "--plan-only", "--stats", stats),
                ("inspect", "inspect", cls.target), ("inspect", "inspect", cls.target, "--verify"),
                ("inspect", "inspect", cls.work / "learned.ingot"),
                ("inspect-source", "inspect", cls.model), ("inspect-source", "inspect", strange),
                ("inspect-compare", "inspect", cls.target, cls.work / "learned.ingot"),
                ("inspect-compare", "inspect", cls.model, cls.target),
                ("verify", "verify", cls.target),
                ("run", "run", cls.target, "-p", "Hello", "-n", 4),
                ("eval", "eval", cls.target, "--reference", cls.model, "--text", cls.text, "--context", 64),
                ("eval", "eval", cls.target, "--text", cls.text, "--context", 64),
                ("eval", "eval", cls.model, "--text", cls.text, "--context", 64),
                ("eval-variants", "eval", cls.target, "--text", cls.text, "--context", 64, "--tokens", 256, "--precision",
                 "int4"),
                ("bench-speculation", "eval", cls.target, "--text", cls.text, "--context", 64, "--tokens", 128, "--speculate",
                 "lookup"),
                ("analyze", "analyze", cls.target, "-p", "Hello"),
                ("eval-choices", "eval", cls.target, "--choices", questions),
                ("eval-choices", "eval", cls.target, "--choices", questions, "--reference", cls.model),
                ("bench", "bench", cls.target, "--batch", 1, "--prompt", 4, *small),
                ("bench", "bench", cls.target, "--batch", 1, "--no-prefill", "--no-load", "--compare-modes", *small),
                ("bench-speculation", "bench", cls.target, "--speculate", "planes", "--text", cls.text, "--prompts", 1,
                 "--prompt-tokens", 8, "--tokens", 8),
                ("bench-stop-rules", "bench", cls.target, "--speculate", "planes", "--stop-rules", "--text", cls.text,
                 "--prompts", 2, "--prompt-tokens", 8, "--tokens", 12)):
            run = ingot(*args, "--json")
            assert run.returncode == 0 or strange in args, (args, run.stderr)
            cls.seen.setdefault(name, []).append(json.loads(run.stdout))

    def test_every_output_is_what_its_schema_says(self):
        for name, values in self.seen.items():
            for value in values:
                json_schema.check(self, name, value)

    def test_every_schema_has_an_output(self):
        names = {path.stem for path in json_schema.SCHEMAS.glob("*.json")}
        self.assertEqual(names, set(self.seen) | set(ELSEWHERE))

    def test_every_json_option_has_a_schema(self):
        commands = re.findall(r"(?m)^  ([a-z-]+) ", self.run_ok().stdout.decode().split("Subcommands")[-1])
        self.assertGreater(len(commands), 10)
        having = {c for c in commands if "--json" in self.run_ok(c, "--help").stdout.decode()}
        self.assertEqual(having, {name if name in commands else name.split("-")[0]
                                  for name in (*self.seen, *ELSEWHERE)})

    def test_schemas_say_something(self):
        """A field more, a field less and a field of another type are each told."""
        for name, values in self.seen.items():
            schema, value = json_schema.load(name), values[0]
            value, schema = (value[0], schema["items"]) if isinstance(value, list) else (value, schema)
            self.assertTrue(json_schema.problems({**value, "more": 1}, schema), name)
            for key in schema["required"]:
                less = copy.deepcopy(value)
                del less[key]
                self.assertTrue(json_schema.problems(less, schema), (name, key))
                self.assertTrue(json_schema.problems({**value, key: object}, schema), (name, key))


if __name__ == "__main__":
    unittest.main(verbosity=2)
