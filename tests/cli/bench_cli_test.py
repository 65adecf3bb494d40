#!/usr/bin/env python3
"""`ingot bench`, and what `run --stats` says.

usage: INGOT=path/to/ingot bench_cli_test.py [CLASS...]
"""
import json
import unittest

from cli_case import FAILED, USAGE, Case


class Bench(Case):
    SMALL = ("--context", 4, "--runs", 2, "--steps", 1)

    def test_speeds_beside_limits(self):
        target = self.pack("bench.ingot", "--codec", "int4_rtn", "--group", "16")
        got = json.loads(self.run_ok("bench", target, "--json", "--batch", "1,2", "--rows", "3", "--prompt", "5",
                                     "--threads", 1, *self.SMALL).stdout)
        self.assertEqual(got["threads"], 1)
        self.assertEqual([(s["kind"], s["batch"], s["context"]) for s in got["speeds"]],
                         [("prefill", 1, 5), ("rows", 3, 4), ("decode", 1, 4), ("decode", 2, 4)])
        for speed in got["speeds"]:
            self.assertGreater(speed["tokens_per_s"], 0)
            self.assertGreater(max(speed["limit_read_s"], speed["limit_products_s"]), 0)
        self.assertGreater(got["limits"]["read_bytes_per_s"], 1e8)
        self.assertEqual(got["load"]["file_bytes"], target.stat().st_size)
        self.assertEqual(set(got["memory"]), {"weights", "cache", "activations", "other", "resident", "peak_resident"})
        self.assertGreater(got["load"]["first_step"]["median_s"], 0)
        text = self.run_ok("bench", target, "--batch", "1", "--no-prefill", "--no-load", *self.SMALL).stdout.decode()
        self.assertRegex(text, r"machine +\d+ threads")
        self.assertRegex(text, r"decode +1 +4 ")
        self.assertRegex(text, r"energy ")

    def test_verified_at_first_use(self):
        target = self.pack("lazy.ingot")
        texts = [self.run_ok("run", target, "-p", "Hello", "-n", 8, "--seed", 3, "-q", "--verify", verify).stdout
                 for verify in ("eager", "lazy")]
        self.assertEqual(texts[0], texts[1])
        self.assertTrue(texts[0])
        bench = ("bench", target, "--batch", "1", "--no-prefill", *self.SMALL, "--verify")
        self.assertRegex(self.run_ok(*bench, "lazy").stdout.decode(), r"load .* warm .* with a first token ")
        for command in (bench[:-1], ("run", target, "-p", "x")):
            self.fails(USAGE, "--verify", *command, "--verify", "never")

    def test_bad_numbers(self):
        target = self.pack("numbers.ingot")
        self.fails(USAGE, "--batch 0: from 1 to 4096", "bench", target, "--batch", "1,0")
        self.fails(USAGE, "--kv int3", "bench", target, "--kv", "int3")
        self.fails(FAILED, "would fit", "bench", target, "--batch", 4096, "--context", 1 << 22, "--no-load")
        self.fails(USAGE, "--kv", "run", target, "-p", "x", "--kv", "int3")
        for command in (("bench", target, "--kv", "int8"), ("run", target, "-p", "x", "--kv", "int4")):
            self.fails(USAGE, "layer 0 has heads of .* multiples of 32", *command)

    def test_stats_and_threads(self):
        target = self.pack("stats.ingot")
        run = self.run_ok("run", target, "-p", "Hello", "-n", 4, "--greedy", "-q", "--stats", "--threads", 4096)
        error = run.stderr.decode()
        self.assertRegex(error, r"--threads 4096: \d+ can run at once here, so \d+ are used")
        self.assertRegex(error, r"memory: weights [0-9.]+ .?B, cache .* activations .* resident .* at most ")
        self.assertRegex(error, r"energy: (not measured|[0-9.]+ J a token)")


if __name__ == "__main__":
    unittest.main(verbosity=2)
