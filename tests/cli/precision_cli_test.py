#!/usr/bin/env python3
"""Token classes: `ingot calibrate --classes`, `--precision` of `run` and `eval`, `ingot analyze`. No LibTorch is needed."""
import json
import re
import unittest
import xml.dom.minidom

from cli_case import Case, USAGE


class Precision(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text = cls.work / "text.txt"
        cls.text.write_text("".join(f"the quick brown fox {i * i % 97} jumps over the lazy dog {i}\n" for i in range(80)))
        case = cls()
        cls.plain = case.pack("plain.ingot", "--codec", "nested_v1", "--fast")
        cls.whole = case.pack("whole.ingot", "--codec", "int4_rtn", "--group", "16", "--fast")
        cls.classes = cls.work / "classes.ingot"
        cls.report = case.run_ok("calibrate", "--classes", cls.plain, "--text", cls.text, "-o", cls.classes, "--tokens", 512,
                                 "--context", 32).stdout.decode()

    def generate(self, *args, file=None):
        return self.run_ok("run", file or self.classes, "-p", "the quick", "-n", 24, "--greedy", "--ignore-eos", *args)

    def bits(self, *args):
        found = re.search(r"precision: (\d+\.\d\d) bits a weight read", self.generate("--stats", "--speculate", "off", *args).stderr.decode())
        return float(found.group(1))

    def test_an_artifact_learns_its_tokens(self):
        self.assertRegex(" ".join(self.report.split()), r"learned from 12 windows, judged on 4 others")
        self.assertRegex(self.report, r"(?m)^ +50 % +\d\.\d{4} ± \d\.\d{4} +\d\.\d\d$")
        classes = json.loads(self.run_ok("inspect", self.classes, "--json").stdout)["provenance"]["classes"]
        self.assertEqual((classes["windows"], classes["held_out"], classes["probe_after"]), (16, 4, 1))
        self.assertEqual([point["share"] for point in classes["curve"]], [0, .25, .5, .75, 1])
        self.run_ok("verify", self.classes)

    def test_tokens_alone(self):
        alone = self.work / "alone.ingot"
        report = self.run_ok("calibrate", "--classes", self.plain, "--text", self.text, "-o", alone, "--tokens", 512, "--context",
                             32, "--tokens-only").stdout.decode()
        self.assertRegex(report, r"learned from 12 windows")
        self.assertNotIn("of class 0", report)
        self.generate("--precision", "adaptive", file=alone)
        self.fails(USAGE, "which layers.*without --tokens-only", "run", alone, "-p", "x", "--precision", "mixed")
        self.fails(USAGE, "mixes.*without --tokens-only", "run", alone, "-p", "x", "--precision", "adaptive",
                   "--precision-kl", "1")

    def test_modes(self):
        plain = self.generate("-q", file=self.plain).stdout
        for same in ((), ("--precision", "full"), ("--precision", "adaptive", "--class-thresholds", "0,0,0")):
            self.assertEqual(self.generate("-q", *same).stdout, plain, same)
        few, eight = self.bits("--precision", "int4"), self.bits("--precision", "int8")
        self.assertLess(few, .7 * eight)
        for between in (("mixed",), ("adaptive", "--class-thresholds", ".5,1,1")):
            self.assertTrue(few < self.bits("--precision", *between) < eight, between)
        stats = self.generate("--stats", "--precision", "adaptive").stderr.decode()
        self.assertRegex(stats, r"bits a weight read; class 0 \d+ %, 1 \d+ %, 2 \d+ %, 3 \d+ %\n")
        drafted = json.loads(self.generate("--precision", "int8", "--speculate", "planes", "--draft", 3, "--json").stdout)
        self.assertGreater(drafted["speculation"]["planes"]["drafts"], 0)
        self.assertEqual(drafted["text"].encode(), self.generate("-q", "--precision", "int8", "--speculate", "off").stdout)

    def test_a_divergence_is_kept_by_what_was_measured(self):
        text = self.generate("--stats", "--precision", "adaptive", "--precision-kl", "1000").stderr.decode()
        self.assertRegex(text, r"class 0 100 %")
        self.fails(USAGE, "class 1 for all tokens already takes", "run", self.classes, "-p", "x", "--precision", "adaptive",
                   "--precision-kl", "1e-12")

    def test_eval_holds_it_against_chance(self):
        options = ("eval", self.classes, "--text", self.text, "--context", 32, "--tokens", 512)
        got = json.loads(self.run_ok(*options, "--precision", "adaptive", "--class-thresholds", ".5,1,1", "--json").stdout)
        self.assertEqual([v["name"] for v in got["variants"]], ["adaptive", "by chance", "int8", "int4"])
        adaptive, chance, eight, few = got["variants"]
        self.assertTrue(few["bits_a_weight"] < adaptive["bits_a_weight"] < eight["bits_a_weight"])
        self.assertLess(abs(adaptive["bits_a_weight"] - chance["bits_a_weight"]), .5)
        self.assertLess(eight["kl"], few["kl"])
        self.assertEqual(adaptive["tokens"], 16 * 15)
        table = self.run_ok(*options, "--precision", "full").stdout.decode()
        self.assertRegex(table, r"(?m)^ +full +0\.0000 ± +100\.0 ± .*\n +0\.0000 +0\.0 %")
        against = json.loads(self.run_ok(*options, "--precision", "int8", "--reference", self.model, "--json").stdout)
        self.assertGreater(against["variants"][0]["kl"], 0)
        fixed = json.loads(self.run_ok("eval", self.whole, "--text", self.text, "--context", 32, "--tokens", 512, "--precision",
                                       "full", "--reference", self.model, "--json").stdout)
        self.assertEqual([v["name"] for v in fixed["variants"]], ["full"])
        self.assertGreater(fixed["variants"][0]["kl"], 0)
        drafts = json.loads(self.run_ok("eval", self.classes, "--text", self.text, "--speculate", "lookup", "--json").stdout)
        self.assertEqual(drafts["modes"][0]["different"], 0)

    def test_analyze(self):
        run = self.run_ok("analyze", self.classes, "-p", "the quick brown fox", "--json")
        got = json.loads(run.stdout)
        self.assertEqual("".join(token["text"] for token in got["tokens"]), "the quick brown fox")
        self.assertNotIn("precision", got["tokens"][0])
        for token in got["tokens"][1:]:
            self.assertIn(token["precision"]["class_above"], range(4))
            self.assertIn("accepted", token["draft"])
        self.assertIn("no tuned exits", " ".join(got["missing"]))
        svg, page = self.work / "a.svg", self.work / "a.html"
        text = "the <quick> & brown\nfox " * 4
        self.run_ok("analyze", self.classes, "-p", text, "--visualize", svg, "-q")
        self.assertEqual(svg.stat().st_mode & 0o777, self.classes.stat().st_mode & 0o777)
        picture = xml.dom.minidom.parse(str(svg))
        self.assertEqual(len([t for t in picture.getElementsByTagName("text") if t.hasAttribute("transform")]), len(text))
        self.assertGreater(len(picture.getElementsByTagName("rect")), 2 * len(text))
        out = self.run_ok("analyze", self.classes, "-p", text, "--visualize", page).stdout.decode()
        self.assertRegex(out, r"(?m)^ +classes +0: \d+, 1: \d+, 2: \d+, 3: \d+; \d+ moved by their state$")
        html = page.read_text()
        self.assertEqual(html.count("<span class="), len(text))
        self.assertNotRegex(html, r"(?:src|href)=")  # needs nothing else
        self.fails(USAGE, "exists", "analyze", self.classes, "-p", text, "--visualize", page)
        self.fails(USAGE, ".html or an .svg", "analyze", self.classes, "-p", text, "--visualize", self.work / "a.png")
        self.fails(USAGE, "is no artifact", "analyze", self.model, "-p", text)

    def test_what_cannot_be_is_refused(self):
        for command in (("run", "-p", "x"), ("eval", "--text", self.text)):
            name, rest = command[0], command[1:]
            self.fails(USAGE, "pack with nested_v1", name, self.whole, *rest, "--precision", "int4")
            self.fails(USAGE, "calibrate --classes", name, self.plain, *rest, "--precision", "adaptive")
            self.fails(USAGE, "go with --precision adaptive", name, self.classes, *rest, "--precision", "int8",
                       "--class-thresholds", ".1,.2,.3")
            self.fails(USAGE, "1 numbers, 3 are wanted", name, self.classes, *rest, "--precision", "adaptive",
                       "--class-thresholds", ".1")
            self.fails(USAGE, "do not fall: 0.25", name, self.classes, *rest, "--precision", "adaptive",
                       "--class-thresholds", ".5,.25,1")
            self.fails(USAGE, "--class-thresholds: 'nan'", name, self.classes, *rest, "--precision", "adaptive",
                       "--class-thresholds", "nan,.25,1")
            self.fails(USAGE, "--precision", name, self.classes, *rest, "--precision", "int3")
        self.fails(USAGE, "one at a time", "eval", self.classes, "--text", self.text, "--precision", "int8", "--speculate",
                   "auto")
        self.fails(USAGE, "--text FILE", "eval", self.classes, "--precision", "int8")
        self.fails(USAGE, "windows of 256 tokens: four are the least", "calibrate", "--classes", self.plain, "--text", self.text,
                   "-o", self.work / "never", "--tokens", 512, "-q")
        self.assertFalse((self.work / "never").exists())


if __name__ == "__main__":
    unittest.main()
