#!/usr/bin/env python3
"""Exits: `ingot calibrate --routers`, `ingot run --exit`, `ingot tune-exits`. Skipped, saying so, without LibTorch."""
import json
import pathlib
import re
import sys
import unittest

import json_schema
from cli_case import INGOT, Case, NOT_FOUND, USAGE

CALIBRATE = pathlib.Path(INGOT).parent / "ingot-calibrate"


class Exits(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text = cls.work / "text.txt"
        cls.text.write_text("".join(f"the quick brown fox {i * i % 97} jumps over the lazy dog {i}\n" for i in range(80)))
        case = cls()
        cls.plain = case.pack("plain.ingot", "--codec", "int4_rtn", "--group", "16", "--fast")
        cls.exits = cls.work / "exits.ingot"
        run = case.run_ok("calibrate", "--routers", cls.plain, "--text", cls.text, "-o", cls.exits, "--interval", 1,
                          "--tokens", 512, "--context", 32)
        cls.report, cls.said = run.stdout.decode(), run.stderr.decode()

    def generate(self, *args, file=None):
        return self.run_ok("run", file or self.exits, "-p", "the quick", "-n", 24, "--greedy", "--ignore-eos", *args)

    def test_an_artifact_gets_routers(self):
        self.assertRegex(self.report, r"1 routers, trained on 12 windows,\s+judged on 4 others")
        manifest = json.loads(self.run_ok("inspect", self.exits, "--json").stdout)
        routers = manifest["provenance"]["routers"]
        self.assertEqual((routers["label"], routers["windows"], routers["held_out"]), ("log_kl", 16, 4))
        self.assertEqual([exit["layer"] for exit in routers["exits"]], [0])
        # A random model over little text: where nothing was learned, that is said.
        learned = routers["exits"][0]["loss"] < routers["exits"][0]["constant_loss"]
        self.assertEqual("says no more than one that always says the same" in self.said, not learned)
        self.run_ok("verify", self.exits)
        # The same inputs give the same bytes; routers that are there are replaced.
        again = self.work / "again.ingot"
        self.run_ok("calibrate", "--routers", self.exits, "--text", self.text, "-o", again, "--interval", 1, "--tokens", 512,
                    "--context", 32, "-q", "--threads", 1)
        self.assertEqual(again.read_bytes(), self.exits.read_bytes())

    def test_tokens_leave_by_divergence(self):
        plain = self.generate("-q").stdout
        self.assertEqual(self.generate("-q", file=self.plain).stdout, plain)
        none = self.generate("--exit", "0", "--stats")
        self.assertEqual(none.stdout, plain)
        self.assertRegex(none.stderr.decode(), r"exits: 2\.00 of 2 layers a token\n")
        left = self.generate("--exit", "1000", "--stats")
        self.assertRegex(left.stderr.decode(), r"exits: 1\.00 of 2 layers a token; after 1: 100\.0 %\n")
        self.assertNotEqual(left.stdout, plain)

    def test_cosine_routers(self):
        target = self.work / "cosine.ingot"
        self.run_ok("calibrate", "--routers", self.plain, "--text", self.text, "-o", target, "--interval", 1, "--tokens", 512,
                    "--context", 32, "--label", "cosine", "--cosine", "0.7", "-q")
        plain = self.generate("-q").stdout
        self.assertEqual(self.generate("-q", "--exit-threshold", "1", file=target).stdout, plain)
        left = self.generate("--exit-threshold", "0", "--stats", file=target)
        self.assertRegex(left.stderr.decode(), r"exits: 1\.00 of 2 layers")
        self.fails(USAGE, "--exit-threshold, not --exit", "run", target, "-p", "x", "--exit", ".1")
        # None has arrived: nothing can be learned.
        self.fails(USAGE, "always the same", "calibrate", "--routers", self.plain, "--text", self.text, "-o",
                   self.work / "never", "--interval", 1, "--tokens", 512, "--context", 32, "--label", "cosine", "--cosine", "1", "-q")
        self.assertFalse((self.work / "never").exists())

    def test_a_threshold_that_keeps_a_divergence(self):
        options = ("tune-exits", self.exits, "--text", self.text, "--context", 32, "--tokens", 512)
        got = json.loads(self.run_ok(*options, "--json", "--thresholds", "0,1000", "--max-kl", "1e-9").stdout)
        json_schema.check(self, "tune-exits", got)
        self.assertEqual([point["rule"] for point in got["points"]], ["routers", "by chance", "at one depth"] * 2)
        first, last = got["points"][0], got["points"][3]
        self.assertEqual((first["kl"], first["kept_layers"], first["top1"]), (0, 2, 1))
        self.assertGreater(last["kl"], 0)
        self.assertEqual(last["kept_layers"], 1)
        self.assertEqual(last["kl"], got["points"][5]["kl"])  # all at one depth
        self.assertEqual(got["chosen"], 0)
        target = self.work / "tuned.ingot"
        run = self.run_ok(*options, "--max-kl", 1000, "-o", target, "--thresholds", "0,1000")
        self.assertRegex(run.stdout.decode(), r"threshold 1000 keeps 1000 nats")
        self.assertRegex(run.stderr.decode(), r"not signed")
        self.assertEqual(self.generate("-q", "--exit", "tuned", file=target).stdout, self.generate("-q", "--exit", "1000").stdout)

    def test_what_layers_above_have_of_a_token(self):
        plain = self.generate("-q").stdout
        for kv in ("propagate", "zero", "recompute"):
            self.assertEqual(self.generate("-q", "--exit", "0", "--exit-kv", kv).stdout, plain, kv)
            got = json.loads(self.generate("--exit", "1000", "--exit-kv", kv, "--json").stdout)["exits"]
            self.assertEqual((got["rows"], got["left_after"], got["recomputed_layers"]), (23, [23, 0], 0), kv)
        self.fails(USAGE, "--exit-kv", "run", self.exits, "-p", "x", "--exit", "1", "--exit-kv", "guess")

    def test_translators(self):
        target = self.work / "translated.ingot"
        run = self.run_ok("calibrate", "--routers", self.plain, "--text", self.text, "-o", target, "--interval", 1, "--tokens",
                          512, "--context", 32, "--exit-strategy", "translator", "--rank", 16)
        found = re.search(r"(?m)^ +1 +(\d+\.\d+) +(\d+\.\d+)", run.stdout.decode())
        self.assertLess(float(found[2]), float(found[1]))  # of KL
        manifest = json.loads(self.run_ok("inspect", target, "--json").stdout)
        self.assertEqual(manifest["provenance"]["routers"]["strategy"], "translator")
        left = self.generate("-q", "--exit", "1000", file=target).stdout
        self.assertNotEqual(left, self.generate("-q", "--exit", "1000").stdout)
        self.assertEqual(self.generate("-q", "--exit", "0", file=target).stdout, self.generate("-q").stdout)

    def test_a_conversation_with_exits(self):
        talk = ("run", self.exits, "--chat", "--no-template", "-n", 8, "--greedy", "--stats", "-q")
        answers = {}
        for exit in ("0", "1000"):
            run = self.run_ok(*talk, "--exit", exit, stdin=b"the quick\nbrown fox\n")
            answers[exit] = run.stdout
            kept = re.findall(r"exits: (\d\.\d\d) of 2 layers a token", run.stderr.decode())
            self.assertEqual(kept, ["2.00" if exit == "0" else "1.00"] * 2)
        self.assertEqual(answers["0"], self.run_ok(*talk, stdin=b"the quick\nbrown fox\n").stdout)
        self.assertNotEqual(answers["0"], answers["1000"])

    def test_eval_and_bench(self):
        got = json.loads(self.run_ok("eval", self.exits, "--text", self.text, "--context", 32, "--tokens", 256, "--exit", "1000",
                                     "--json").stdout)
        self.assertEqual([(v["name"], v["kept_layers"]) for v in got["variants"]], [("exits", 1), ("by chance", 1)])
        self.assertEqual(got["variants"][0]["kl"], got["variants"][1]["kl"])
        bench = json.loads(self.run_ok("bench", self.exits, "--exits", "--json").stdout)
        json_schema.check(self, "bench-exits", bench)
        self.assertEqual((bench["layers"], bench["exits"]), (2, 1))
        self.assertRegex(self.run_ok("bench", self.exits, "--exits").stdout.decode(), r"batch of 8, some leave +1\.\d\d layers kept")
        self.fails(USAGE, "has no exits", "bench", self.plain, "--exits")
        self.fails(USAGE, "one of them is measured at a time|one of them", "eval", self.exits, "--text", self.text, "--exit", "1",
                   "--precision", "int8")

    def test_routers_that_never_or_always_fire_are_said(self):
        options = ("--text", self.text, "--context", 32, "--tokens", 256)
        for exits, said in (("0", "no token of the text leaves"), ("1000", "leave at the same exit")):
            self.assertIn(said, self.run_ok("eval", self.exits, *options, "--exit", exits, "-q").stderr.decode())
        for thresholds, said in (("0", "the routers never fire"), ("1000,2000", "the routers always fire")):
            self.assertIn(said, self.run_ok("tune-exits", self.exits, *options, "--thresholds", thresholds, "-q").stderr.decode())
        self.assertNotIn("fire", self.run_ok("tune-exits", self.exits, *options, "--thresholds", "0,1000", "-q").stderr.decode())
        self.fails(USAGE, "--thresholds: 'nan'", "tune-exits", self.exits, *options, "--thresholds", "nan")
        self.fails(USAGE, "--thresholds: '-1'", "tune-exits", self.exits, *options, "--thresholds", "-1")
        empty = self.work / "empty.txt"
        empty.write_text("")
        self.fails(USAGE, "empty.txt.*empty", "calibrate", "--routers", self.plain, "--text", empty, "-o", self.work / "never", "-q",
                   "--interval", 1)

    def test_what_cannot_be_is_refused(self):
        self.fails(USAGE, "has no exits; ingot calibrate --routers", "run", self.plain, "-p", "x", "--exit", ".1")
        self.fails(USAGE, "has no exits", "tune-exits", self.plain, "--text", self.text)
        self.fails(USAGE, "--exit: 'nan'", "run", self.exits, "-p", "x", "--exit", "nan")
        self.fails(USAGE, "--exit-threshold: '1.5' is not a number from 0 to 1", "run", self.exits, "-p", "x",
                   "--exit-threshold", "1.5")
        self.fails(USAGE, "--exit, not --exit-threshold", "run", self.exits, "-p", "x", "--exit-threshold", ".5")
        self.fails(USAGE, "holds no tuned exits", "run", self.exits, "-p", "x", "--exit", "tuned")
        self.fails(USAGE, "no exit is left after 2 layers", "run", self.exits, "-p", "x", "--exit", ".1", "--min-layers", 2)
        self.fails(USAGE, "--max-kl", "tune-exits", self.exits, "--text", self.text, "-o", self.work / "never")
        self.fails(USAGE, "no threshold keeps", "tune-exits", self.exits, "--text", self.text, "-o", self.work / "never",
                   "--max-kl", "1e-12", "--thresholds", "1000", "--context", 32, "--tokens", 256, "-q")
        self.fails(USAGE, "first exit would be after layer 4 of 2", "calibrate", "--routers", self.plain, "--text", self.text, "-o",
                   self.work / "never", "-q")
        self.fails(NOT_FOUND, "absent", "calibrate", "--routers", self.work / "absent", "--text", self.text, "-o",
                   self.work / "never", "-q")
        self.assertFalse((self.work / "never").exists())


if __name__ == "__main__":
    if not CALIBRATE.exists():
        print(f"skipped: {CALIBRATE} is not built (LibTorch was not found)")
        sys.exit(77)
    unittest.main()
