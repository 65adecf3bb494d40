#!/usr/bin/env python3
"""`ingot run --speculate` and `ingot bench --speculate`: the same text, what is said of it, and what is refused."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

from cli_case import Case, USAGE


class Speculation(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.nested = cls.work / "nested.ingot"
        cls.whole = cls.work / "whole.ingot"
        case = cls()
        case.pack("nested.ingot", "--codec", "nested_v1", "--fast")
        case.pack("whole.ingot", "--codec", "int4_rtn", "--group", "16", "--fast")
        cls.text = cls.work / "text.txt"
        cls.text.write_text("the quick brown fox jumps over the lazy dog and " * 20)

    def written(self, *args):
        return json.loads(self.run_ok("run", self.nested, "-p", "the quick", "-n", 40, "--ignore-eos", "--json",
                                      *args).stdout)

    def test_the_text_is_that_of_plain_decoding(self):
        for sampling in (("--greedy",), ("--seed", 4), ("--seed", 5, "--repeat-penalty", 1.2, "--top-p", 0.9)):
            plain = self.written(*sampling, "--speculate", "off")
            self.assertEqual(plain["decode_steps"], 39)
            self.assertEqual(plain["speculation"]["planes"]["drafts"], 0)
            for how in ((), ("--speculate", "lookup"), ("--speculate", "planes", "--draft", 5), ("--draft", 15)):
                got = self.written(*sampling, *how)
                self.assertEqual((got["text"], got["tokens"], got["stop"]), (plain["text"], 40, plain["stop"]), how)
            drafted = self.written(*sampling, "--speculate", "planes", "--draft", 5)["speculation"]["planes"]
            self.assertGreater(drafted["tokens"], 20)
            self.assertLessEqual(drafted["accepted"], drafted["judged"])

    def test_a_stop_text_inside_a_draft(self):
        text = self.written("--greedy", "--speculate", "off")["text"]
        stop = next(c for c in text[12:] if " " < c < "\x7f")
        plain = self.written("--greedy", "--speculate", "off", "--stop", stop)
        self.assertEqual(plain["stop"], "stop_text")
        drafted = self.written("--greedy", "--stop", stop, "--draft", 7)
        self.assertEqual((drafted["text"], drafted["tokens"]), (plain["text"], plain["tokens"]))

    def test_stats_say_how_far_drafts_were_right(self):
        run = self.run_ok("run", self.nested, "-p", "the quick", "-n", 40, "--seed", 4, "--ignore-eos", "--stats",
                          "--speculate", "planes", "--draft", 4)
        self.assertRegex(run.stderr.decode(), r"speculation: 39 tokens in \d+ steps; planes \d+ drafts, \d+ of \d+ tokens "
                                              r"accepted; \d+ % of tokens end a 4-gram seen before\n")

    def test_what_cannot_be_is_refused(self):
        self.fails(USAGE, "no planes to draft with.*nested_v1", "run", self.whole, "-p", "x", "--speculate", "planes")
        self.fails(USAGE, "--draft: '16' is too large, at most 15", "run", self.nested, "-p", "x", "--draft", 16)
        self.fails(USAGE, "--speculate", "run", self.nested, "-p", "x", "--speculate", "twice")
        self.fails(USAGE, "--text FILE", "bench", self.nested, "--speculate", "auto")
        self.fails(USAGE, "prompts of 4000 take more", "bench", self.nested, "--speculate", "auto", "--text", self.text,
                   "--prompt-tokens", 4000, "--prompts", 2)
        self.run_ok("run", self.whole, "-p", "x", "-q", "-n", 4)  # auto looks up, and that is all

    def test_bench_holds_modes_against_plain_decoding(self):
        options = ("bench", self.nested, "--speculate", "auto,planes", "--text", self.text, "--prompts", 2, "--tokens", 20,
                   "--prompt-tokens", 8, "--draft", 3)
        got = json.loads(self.run_ok(*options, "--json").stdout)
        self.assertEqual([mode["mode"] for mode in got["modes"]], ["auto", "planes"])
        for mode in got["modes"]:
            self.assertEqual((mode["tokens"], mode["different"]), (40, 0))
            self.assertLess(mode["steps"], got["plain"]["steps"])
        self.assertEqual(got["plain"]["steps"], 38)
        text = self.run_ok(*options, "-q").stdout.decode()
        self.assertRegex(text, r"(?m)^ +planes +\d.*equal$")

    def test_bench_reckons_rules_over_the_same_drafts(self):
        options = ("bench", self.nested, "--stop-rules", "--text", self.text, "--prompt-tokens", 8, "--tokens", 16)
        got = json.loads(self.run_ok(*options, "--speculate", "planes", "--prompts", 4, "--json").stdout)
        self.assertEqual((got["tokens"], len(got["fixed_seconds_by_length"])), (2 * 15, 8))
        self.assertLessEqual(got["least_seconds"], min(got["plain_seconds"], got["adaptive_seconds"], got["router_seconds"],
                                                       *got["fixed_seconds_by_length"]) * (1 + 1e-9))
        text = self.run_ok(*options, "--speculate", "planes", "--prompts", 2, "-q").stdout.decode()
        self.assertRegex(text, r"(?m)^ +knowing what will be right +\d")
        self.fails(USAGE, "one kind of draft", *options, "--speculate", "auto")
        self.fails(USAGE, "one kind of draft", *options)
        self.fails(USAGE, "two prompts are the least", *options, "--speculate", "planes", "--prompts", 1)
        self.fails(USAGE, "lists no layers", *options, "--speculate", "layers")

    def test_bench_continues_the_prompts_of_a_set(self):
        prompts = self.work / "prompts.jsonl"
        prompts.write_text("".join(json.dumps({"prompt": f"one two one two {i}"}) + "\n\n" for i in range(3)))
        options = ("bench", self.nested, "--speculate", "planes", "--prompts", 2, "--tokens", 12, "--draft", 3)
        got = json.loads(self.run_ok(*options, "--prompt-set", prompts, "--json").stdout)
        self.assertEqual((got["plain"]["tokens"], got["modes"][0]["different"]), (24, 0))
        # A verifier of fewer planes writes its own text, and its drafts do.
        eight = json.loads(self.run_ok(*options, "--prompt-set", prompts, "--precision", "int8", "--json").stdout)
        self.assertEqual(eight["modes"][0]["different"], 0)
        self.assertGreater(eight["modes"][0]["planes"]["drafts"], 0)
        self.fails(USAGE, "--text FILE or --prompt-set FILE", *options, "--prompt-set", prompts, "--text", self.text)
        self.fails(USAGE, "goes with --speculate", "bench", self.nested, "--precision", "int8")
        for bad in ("{", '{"text": "x"}', '{"prompt": 1}', "[]"):
            prompts.write_text('{"prompt": "a b"}\n' + bad + "\n")
            self.fails(USAGE, 'line 2: no JSON object with a "prompt"', *options, "--prompt-set", prompts)
        prompts.write_text("\n")
        self.fails(USAGE, "has no prompts", *options, "--prompt-set", prompts)


class DraftLayers(Case):
    """`ingot calibrate --draft-layers`, and drafts by the layers that it found."""
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls()
        cls.plain = case.pack("plain.ingot", "--codec", "int8_rtn", "--fast")
        cls.text = cls.work / "text.txt"
        cls.text.write_text("the quick brown fox jumps over the lazy dog and " * 40)
        cls.listed = cls.work / "listed.ingot"
        run = case.run_ok("calibrate", "--draft-layers", cls.plain, "--text", cls.text, "--tokens", 256, "--context", 32,
                          "--trials", 3, "-o", cls.listed)
        cls.report = " ".join(run.stdout.decode().split())

    def test_the_report_says_what_was_found(self):
        self.assertRegex(self.report, r"searched on 6 windows, judged on 2 others; \d+ lists tried")
        self.assertRegex(self.report, r"drafts leave out 1 of 2 layers: 1 \(from 0\)")
        self.assertRegex(self.report, r"modelled: \d\.\d\d of plain decoding's speed, with drafts of \d+")
        self.assertEqual(json.loads(self.run_ok("inspect", self.listed, "--json").stdout)["draft_layers"], [1])
        self.assertIn("without layers 1", self.run_ok("inspect", self.listed).stdout.decode())

    def test_a_second_reader_takes_it(self):
        reader = pathlib.Path(__file__).resolve().parents[2] / "tools/ingot_reader.py"
        run = subprocess.run([os.environ.get("INGOT_PYTHON", sys.executable), reader, "verify", self.listed],
                             capture_output=True)
        if b"No module named" in run.stderr:
            self.skipTest("a Python package of the second reader is missing")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_the_text_is_that_of_plain_decoding(self):
        def written(*args):
            return json.loads(self.run_ok("run", self.listed, "-p", "the quick", "-n", 40, "--ignore-eos", "--json",
                                          *args).stdout)
        for sampling in (("--greedy",), ("--seed", 4)):
            plain = written(*sampling, "--speculate", "off")
            for draft in ((), ("--draft", 4)):
                got = written(*sampling, "--speculate", "layers", *draft)
                self.assertEqual(got["text"], plain["text"])
            self.assertGreater(got["speculation"]["layers"]["tokens"], 20)
            self.assertEqual(got["speculation"]["planes"]["drafts"], 0)
        run = self.run_ok("run", self.listed, "-p", "the quick", "-n", 40, "--ignore-eos", "--seed", 4, "--stats",
                          "--speculate", "layers", "--draft", 4)
        self.assertRegex(run.stderr.decode(), r"speculation: 39 tokens in \d+ steps; layers \d+ drafts")
        for command in ("bench", "eval"):
            options = ("--prompts", 2, "--prompt-tokens", 8, "--tokens", 20) if command == "bench" else ()
            got = json.loads(self.run_ok(command, self.listed, "--speculate", "layers", "--text", self.text, "--json",
                                         *options).stdout)
            self.assertEqual((got["modes"][0]["mode"], got["modes"][0]["different"]), ("layers", 0))

    def test_what_cannot_be_is_refused(self):
        self.fails(USAGE, "lists no layers that a draft leaves out; ingot calibrate --draft-layers", "run", self.plain, "-p",
                   "x", "--speculate", "layers")
        calibrate = ("calibrate", "--draft-layers", self.plain, "--text")
        self.fails(USAGE, "exists; --force", *calibrate, self.text, "-o", self.listed)
        empty = self.work / "empty.txt"
        empty.write_text("")
        self.fails(USAGE, "empty.txt: .*empty", *calibrate, empty, "-o", self.work / "x.ingot")
        empty.write_text("a b")
        self.fails(USAGE, "empty.txt", *calibrate, empty, "-o", self.work / "x.ingot")
        self.fails(USAGE, "--output is required", *calibrate, self.text)
        self.assertFalse((self.work / "x.ingot").exists())


if __name__ == "__main__":
    unittest.main()
