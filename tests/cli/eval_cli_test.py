#!/usr/bin/env python3
"""`ingot eval`: names that are promised, perplexity alone, questions.

usage: INGOT=path/to/ingot eval_cli_test.py [CLASS...]
"""
import json
import math
import unittest

from cli_case import USAGE, Case


class Eval(Case):
    def test_perplexity_alone_and_questions(self):
        target = self.pack("alone.ingot", "--codec", "lossless_v1")
        words, questions = self.work / "alone.txt", self.work / "q.jsonl"
        words.write_text("Sentences of many words, again and again. " * 60)
        questions.write_text(json.dumps({"ctx": "Sentences of", "endings": ["many words", "few"], "label": 0}) + "\n"
                             + json.dumps({"question": "Again?", "choices": ["yes", "no"], "answer": "A"}) + "\n")
        alone = json.loads(self.run_ok("eval", target, "--text", words, "--context", "128", "--json").stdout)
        both = json.loads(self.run_ok("eval", target, "--text", words, "--context", "128", "--json", "--reference",
                                      self.model).stdout)
        model = json.loads(self.run_ok("eval", self.model, "--text", words, "--context", "128", "--json").stdout)
        for key in ("perplexity", "perplexity_stderr", "tokens"):
            self.assertEqual(alone[key], both[key])
            self.assertEqual(model[key], both[key])
        self.assertNotIn("kl_mean", alone)
        self.assertIn(b"perplexity", self.run_ok("eval", target, "--text", words, "--context", "128").stdout)
        found = json.loads(self.run_ok("eval", target, "--choices", questions, "--reference", self.model, "--json").stdout)
        self.assertEqual(found["questions"], 2)
        self.assertEqual(found["log_likelihoods"], found["reference_log_likelihoods"])
        self.assertEqual(found["same_choice"], 1)
        shown = self.run_ok("eval", self.model, "--choices", questions, "--questions", "1").stdout.decode()
        self.assertRegex(shown, r"questions +1 of")
        self.fails(USAGE, "give --text FILE", "eval", target)
        self.fails(USAGE, "context 2: .*give 3 or more, or --windows strided", "eval", target, "--text", words, "--context", 2)
        questions.write_text('{"ctx": "a", "endings": ["b"]}\n')
        self.fails(USAGE, "q.jsonl: line 1: 1 options", "eval", target, "--choices", questions)

    def test_eval_prints_the_promised_names(self):
        target = self.pack("eval.ingot", "--codec", "int4_rtn", "--group", "32")
        words = self.work / "words.txt"
        words.write_text("The quick brown fox jumps over the lazy dog. " * 20)
        run = self.run_ok("eval", target, "--reference", self.model, "--text", words, "--context", 64, "--json")
        result = json.loads(run.stdout)
        for name in ("perplexity", "reference_perplexity", "delta_perplexity_percent", "kl_mean",
                     "top1_agreement"):
            self.assertTrue(math.isfinite(result[name]), name)
            self.assertGreaterEqual(result[name + "_stderr"], 0)
        for name in ("kl_p99", "tokens", "context", "bits_per_weight_linear", "bits_per_weight_total", "bytes"):
            self.assertIn(name, result)
        self.assertGreater(result["kl_mean"], 0)
        exact = self.pack("exact.ingot", "--codec", "lossless_v1")
        result = json.loads(self.run_ok("eval", exact, "--reference", self.model, "--text", words, "--context",
                                        64, "--json").stdout)
        self.assertEqual(result["kl_mean"], 0)
        self.assertEqual(result["top1_agreement"], 1)
        sampled = [json.loads(self.run_ok("eval", target, "--reference", self.model, "--context", 32, "--tokens",
                                          64, "--json").stdout) for _ in range(2)]
        self.assertEqual(sampled[0], sampled[1])
        cache = self.work / "reference.cache"
        first, second = (json.loads(self.run_ok("eval", target, "--reference", self.model, "--text", words,
                                                "--context", 64, "--cache", cache, "--json").stdout)
                         for _ in range(2))
        self.assertEqual(first["reference_perplexity"], second["reference_perplexity"])
        before = words.read_bytes()
        self.fails(USAGE, "is no cache", "eval", target, "--reference", self.model, "--text", words, "--context",
                   64, "--cache", words, "-q")
        self.assertEqual(words.read_bytes(), before)  # another's file is never replaced
        self.assertAlmostEqual(first["kl_mean"], second["kl_mean"], delta=0.01 * first["kl_mean"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
