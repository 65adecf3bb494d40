#!/usr/bin/env python3
"""Tuning at the command line: what it writes, what it keeps, what it refuses, its absence.

usage: INGOT=path/to/ingot tune_cli_test.py
Skipped (77) where ingot-calibrate does not lie beside it: it needs LibTorch.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import unittest

import tiny_model
from cli_case import INGOT, NOT_FOUND, USAGE, Case

PROGRAM = pathlib.Path(shutil.which(INGOT) or INGOT).resolve().parent / "ingot-calibrate"
RUN = ["--tokens", 1024, "--context", 64, "--epochs", 2]


class Tune(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text = cls.work / "text.txt"
        cls.text.write_text("".join(f"Sentence {i} of {i * i % 97} words. " for i in range(400)))
        cls.packed = cls.work / "packed.ingot"
        run = subprocess.run([INGOT, "pack", cls.model, "-o", cls.packed, "--codec", "int3_gptq", "--calib", cls.text],
                             capture_output=True)
        assert run.returncode == 0, run.stderr

    def tune(self, name, *args):
        target = self.work / name
        run = self.run_ok("tune", self.packed, "--reference", self.model, "-o", target, "--text",
                          self.text, *RUN, *args)
        return target, run.stdout.decode()

    def inspected(self, path):
        return json.loads(self.run_ok("inspect", path, "--json").stdout)

    def test_a_tuned_artifact(self):
        target, out = self.tune("tuned.ingot")
        self.assertRegex(out, r"\d of 2 layers tuned, \d+ values;\s+error of a layer's output on "
                              r"held-out text \S+ -> \S+\nroot blake3:[0-9a-f]{64}\n\Z")
        self.run_ok("verify", target)
        tuned = self.inspected(target)["provenance"]["tuned"]
        self.assertEqual((tuned["windows"], tuned["held_out"], tuned["context"]), (16, 4, 64))
        self.assertIn("text.txt: 16 of", tuned["text"])
        self.assertEqual(len(tuned["blocks"]), 2)
        self.assertGreater(tuned["blocks_kept"], 0)
        for block in tuned["blocks"]:
            self.assertEqual(block["kept"], block["after"] < block["before"])
        self.assertNotIn("tuned", self.inspected(self.packed)["provenance"])
        self.assertEqual(sorted(self.work.glob("tuned.ingot*")), [target])
        # Tuned once more: its norms are no longer the source's.
        self.run_ok("tune", target, "--reference", self.model, "-o", target, "--text", self.text, *RUN,
                    "--force", "-q")

    def test_threads_change_nothing_and_pack_does_the_same(self):
        one, _ = self.tune("one.ingot", "--threads", 1)
        more, out = self.tune("more.ingot", "--threads", 3, "-q")
        self.assertEqual(out, "")
        self.assertEqual(one.read_bytes(), more.read_bytes())

    def test_pack_tunes_and_signs(self):
        self.run_ok("keygen", self.work / "k", "-q")
        target = self.work / "both.ingot"
        out = self.run_ok("pack", self.model, "-o", target, "--codec", "int3_gptq", "--calib", self.text,
                          "--sign", self.work / "k.key", "--tune", self.text).stdout.decode()
        self.assertRegex(out, r"signed +ed25519 key ")
        self.run_ok("verify", target, "--key", self.work / "k.pub")
        self.assertIn("tuned", self.inspected(target)["provenance"])
        kept = target.with_name("both.ingot.stats.safetensors")  # for the next pack
        self.assertEqual(sorted(self.work.glob("both.ingot*")), [target, kept])
        before = target.read_bytes()
        self.fails(USAGE, "exists; --force", "pack", self.model, "-o", target, "--codec", "int3_gptq",
                   "--tune", self.text)
        self.assertEqual(target.read_bytes(), before)

    def test_bad_input_is_one_line(self):
        def refused(code, pattern, *args, file=self.packed, model=self.model, text=self.text):
            self.fails(code, pattern, "tune", file, "--reference", model, "--text", text, "-o",
                       self.work / "no.ingot", *args)
            self.assertEqual(list(self.work.glob("no.ingot*")), [])
        (self.work / "short.txt").write_text("a few")
        refused(USAGE, "5 tokens", text=self.work / "short.txt")
        refused(NOT_FOUND, "absent.txt", text=self.work / "absent.txt")
        refused(NOT_FOUND, "absent.ingot", file=self.work / "absent.ingot")
        refused(USAGE, "at least 4", "--tokens", 128, "--context", 64)
        refused(1, r"at least \d+ MiB", "--memory", "10MiB", *RUN)
        narrow = tiny_model.write(self.work / "narrow", named=tiny_model.tensors(vocab=200),
                                  vocab_size=200)
        refused(USAGE, "not made from .*: tensor .* is 200 x 64 there, 256 x 64 here", model=narrow)
        norm = "model.norm.weight"
        tensors = tiny_model.tensors()
        tensors[norm] = (tensors[norm][0], bytes(len(tensors[norm][1])))
        other = tiny_model.write(self.work / "other", named=tensors)
        refused(USAGE, f"not made from .*: tensor '{norm}' has other values", model=other)
        exact = self.work / "exact.ingot"
        self.run_ok("pack", self.model, "-o", exact, "--codec", "lossless_v1")
        refused(USAGE, "nothing to tune", *RUN, file=exact)
        self.fails(USAGE, "required", "tune", self.packed)
        self.fails(USAGE, "exists; --force", "tune", self.packed, "--reference", self.model, "--text",
                   self.text, "-o", self.packed)

    def test_without_the_program_the_error_says_so(self):
        alone = self.work / "alone"
        alone.mkdir()
        shutil.copy(shutil.which(INGOT) or INGOT, alone / "ingot")
        for command in (["tune", "m", "--reference", "r", "--text", "t", "-o", "x"], ["pack", self.model, "-o", alone / "m.ingot", "--tune", self.text]):
            run = subprocess.run([alone / "ingot", *command], capture_output=True)
            self.assertEqual(run.returncode, NOT_FOUND)
            self.assertRegex(run.stderr.decode(),
                             r"\Aingot: .*ingot-calibrate is not built: .*--torch.*\n\Z")
        self.assertEqual(list(alone.glob("m.ingot*")), [])


if __name__ == "__main__":
    if not PROGRAM.exists():
        print(f"skipped: {PROGRAM} is not built (LibTorch was not found)")
        sys.exit(77)
    unittest.main()
