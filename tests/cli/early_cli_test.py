#!/usr/bin/env python3
"""`ingot run --early`: a text begins with the coarsest level while the others are still on their way.

usage: INGOT=path/to/ingot early_cli_test.py
"""
import json
import subprocess
import unittest

import json_schema
from cli_case import CORRUPT, INGOT, OK, USAGE, Case, ingot

RUN = ["-p", "Hello", "--greedy", "--ignore-eos", "--json"]
FEW = [*RUN, "-n", "12"]


class Early(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.target = cls.work / "nested.ingot"
        subprocess.run([INGOT, "pack", str(cls.model), "-o", str(cls.target), "-q", "--fast", "--codec", "nested_v1"],
                       check=True)
        cls.bytes = cls.target.read_bytes()

    def run_early(self, feed, tokens=12):
        """The run's status, what it printed and its errors, of bytes that `feed` writes to its pipe."""
        with subprocess.Popen([INGOT, "run", "-", "--early", *RUN, "-n", str(tokens)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
            try:
                feed(run)
                run.stdin.close()
            except BrokenPipeError:
                pass
            out, err = run.stdout.read().decode(), run.stderr.read().decode()
            return run.wait(60), out, err

    def text(self, *args):
        run = self.run_ok("run", self.target, *FEW, *args)
        found = json.loads(run.stdout)
        json_schema.check(self, "run", found)
        return found

    def cut(self, level):
        """Bytes of the file up to the end of a level: the shortest prefix that has it, by bisection."""
        low, high = 0, len(self.bytes)
        file = self.work / "cut.ingot"
        while low < high:
            middle = (low + high) // 2
            file.write_bytes(self.bytes[:middle])
            run = ingot("run", file, "--levels", str(level + 1), *FEW)
            low, high = (low, middle) if run.returncode == OK else (middle + 1, high)
        return low

    def test_a_text_begins_before_the_pipe_ends(self):
        coarse, whole = self.text("--levels", "1"), self.text()
        self.assertEqual((whole["early_tokens"], coarse["early_tokens"]), (None, None))
        border = self.cut(0)
        self.assertLess(border, self.cut(1))

        # The others never come: the text is the coarsest level's, and nothing waits for more.
        def stall(run):
            run.stdin.write(self.bytes[:border])
            run.stdin.flush()
            run.stdout.peek(1)
        code, out, err = self.run_early(stall)
        self.assertEqual((code, err), (OK, ""))
        found = json.loads(out)
        json_schema.check(self, "run", found)
        self.assertEqual((found["text"], found["early_tokens"]), (coarse["text"], 12))

        code, out, err = self.run_early(lambda run: run.stdin.write(self.bytes))
        self.assertEqual(code, OK, err)
        self.assertLessEqual(json.loads(out)["early_tokens"], 12)

        def end(run):
            run.stdin.write(self.bytes[:border])
        code, out, err = self.run_early(end, 5000)
        self.assertEqual(code, OK, err)
        self.assertIn("is cut short: level 0 of 0 to 2 is the last that is complete", err)
        self.assertEqual(json.loads(out)["early_tokens"], 5000)

    def test_a_file_and_one_level_are_as_ever(self):
        found = self.text("--early")
        self.assertLessEqual(found["early_tokens"], 12)
        single = self.work / "single.ingot"
        self.run_ok("pack", self.model, "-o", single, "-q", "--fast")
        plain = json.loads(self.run_ok("run", single, *FEW).stdout)
        early = json.loads(self.run_ok("run", single, *FEW, "--early").stdout)
        self.assertEqual((early["text"], early["early_tokens"]), (plain["text"], None))
        said = self.run_ok("run", self.target, "-p", "Hello", "-n", "3", "--greedy", "--ignore-eos", "--levels", "1", "--early")
        self.assertNotIn(b"coarsest", said.stderr)

    def test_damage_that_comes_later_ends_the_text(self):
        damaged = bytearray(self.bytes)
        damaged[-1] ^= 1
        code, _, err = self.run_early(lambda run: run.stdin.write(damaged), 100000)
        self.assertEqual(code, CORRUPT, err)
        self.assertRegex(err, "^ingot: standard input: .*contradict their digest\n$")

    def test_what_it_does_not_go_with(self):
        self.fails(USAGE, "leave one of them out", "run", self.target, "--early", "--verify",
                   "lazy", *FEW)
        self.fails(USAGE, "leave --early or --device out", "run", self.target, "--early", "--device", "cuda", *FEW)
        self.fails(USAGE, "leave --early out", "run", self.target, "--early", "--precision", "int4", *FEW)


if __name__ == "__main__":
    unittest.main()
