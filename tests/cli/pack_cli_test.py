#!/usr/bin/env python3
"""What `ingot pack` makes, says before it works, and refuses; kills and full disks.

usage: INGOT=path/to/ingot pack_cli_test.py [CLASS...]
"""
import json
import pathlib
import random
import shutil
import signal
import subprocess
import time
import unittest

from cli_case import FAILED, INGOT, NOT_FOUND, OK, USAGE, Case, ingot


class Pack(Case):
    def test_a_codec_without_its_statistics_is_refused(self):
        for args in (["--codec", "int4_gptq", "--fast"], ["--codec", "int4_awq_v1", "--fast"],
                     ["--codec", "int8_rtn", "--rule", "*q_proj*=int4_gptq", "--fast"]):
            self.fails(USAGE, "by statistics of what each matrix is fed, and there are none: .*--calib", "pack", self.model,
                       "-o", self.work / "false.ingot", *args)
        # It has no token to begin a text with, so it cannot be asked for one either.
        self.fails(USAGE, "give --calib FILE", "pack", self.model, "-o", self.work / "false.ingot", "--codec", "int4_gptq")
        self.fails(USAGE, "--target size is 3 bits", "pack", self.model, "-o", self.work / "false.ingot", "--target", "size",
                   "--fast")
        self.assertFalse((self.work / "false.ingot").exists())

    def test_what_pack_measured_is_what_eval_measures(self):
        words = self.work / "words.txt"
        words.write_text("The quick brown fox jumps over the lazy dog. " * 30)
        target = self.pack("measured.ingot", "--codec", "int4_rtn", "--measure", words, "--measure-tokens", 768)
        summary = json.loads(self.run_ok("inspect", target, "--json").stdout)
        measured = summary["provenance"]["measured"]
        result = json.loads(self.run_ok("eval", target, "--reference", self.model, "--text", words, "--tokens", 768,
                                        "--json").stdout)
        self.assertEqual((measured["positions"], measured["context"]), (result["tokens"], 512))
        for name in ("kl_mean", "delta_perplexity_percent", "top1_agreement"):
            for key in (name, name + "_stderr"):
                self.assertEqual(measured[key], float(f"{result[key]:.4g}"), key)
        self.assertRegex(self.run_ok("inspect", target).stdout.decode(),
                         r"measured  KL \S+ \+- \S+ nats a token, .*\n +over 255 positions of words.txt")
        self.run_ok("verify", target)
        self.fails(NOT_FOUND, "no-such.txt", "pack", self.model, "-o", self.work / "none.ingot", "-q", "--measure",
                   self.work / "no-such.txt")
        self.assertEqual(list(self.work.glob("none.ingot*")), [])  # refused before the work
        words.write_text("too short")
        self.fails(USAGE, "words.txt: .*9 tokens", "pack", self.model, "-o", self.work / "none.ingot", "-q",
                   "--measure", words)
        self.assertFalse((self.work / "none.ingot").exists())

    def test_the_smallest_has_its_few_bits_in_the_file(self):
        text = self.work / "text.txt"
        text.write_text("the cat sat on the mat and looked at the dog\n" * 60)
        for args in (("--fast",), ("--calib", text, "--calib-tokens", 512)):
            target = self.pack("smallest.ingot", "--smallest", *args)
            summary = json.loads(self.run_ok("inspect", target, "--json").stdout)
            codecs = {t["codec"] for t in summary["tensors"] if t["role"] == "linear"}
            self.assertEqual(codecs, {"entropy_v2"}, args)
        self.fails(USAGE, "--target", "pack", self.model, "-o", target, "--smallest", "--target", "size")
        self.fails(USAGE, "--codec", "pack", self.model, "-o", target, "--smallest", "--codec", "int4_rtn")

    def test_dry_run_writes_nothing_and_is_exact(self):
        target = self.work / "dry.ingot"
        args = ("--codec", "int4_rtn", "--group", "64", "--rule", "*=int8_rtn", "--rule", "*mlp*=int4_rtn:group=16")
        plan = json.loads(self.run_ok("pack", self.model, "-o", target, "--dry-run", "--json", *args).stdout)
        self.assertFalse(target.exists())
        self.assertIn(b"int4_rtn:group=16", self.run_ok("pack", self.model, "--dry-run", *args).stdout)
        self.pack("dry.ingot", *args)
        summary = json.loads(self.run_ok("inspect", target, "--json").stdout)
        for planned, made in zip(plan["tensors"], summary["tensors"], strict=True):
            self.assertEqual((planned["name"], planned["exact_bytes"]), (made["name"], made["bytes"]))
            self.assertEqual(planned["codec"].split(":")[0], made["codec"])

    def test_what_cannot_be_measured_is_said_before_work(self):
        text = self.work / "few.txt"
        text.write_text("too few words to fill a window\n")
        target = self.work / "never.ingot"
        pack = ("pack", self.model, "-o", target, "--fast")
        self.fails(USAGE, "--measure .*few.txt: 31 tokens, and a window takes 512: give a longer text", *pack, "--measure", text)
        text.write_text("too few words to fill a window\n" * 100)
        self.fails(USAGE, "--measure-tokens 100: .*windows of 512", *pack, "--measure", text, "--measure-tokens", 100)
        self.assertFalse(target.exists())

    def test_dry_run_of_a_pack_that_learns_says_what_that_takes(self):
        # Alone, `ingot` learns forward by itself.
        alone = self.work / "alone"
        alone.mkdir()
        shutil.copy(shutil.which(INGOT) or INGOT, alone / "ingot")
        text = self.work / "text.txt"
        text.write_text("the cat sat on the mat and looked at the dog\n" * 60)
        before = sorted(self.work.iterdir())

        def dry_run(*args):
            run = subprocess.run([str(a) for a in (alone / "ingot", "pack", self.model, "--dry-run", *args)],
                                 capture_output=True, text=True)
            self.assertEqual(run.returncode, OK, run.stderr)
            return run

        run = dry_run("--calib", text, "--calib-tokens", 512)
        self.assertRegex(run.stderr, r"first 512 tokens of your text go through the model: about \d+ s, .* of memory, .* of disk")
        self.assertRegex(run.stdout, r"(?m)^model\.layers\.\*\. +2 +64x64 +BF16 +int4_gptq:\S+ +4300 +4\.199 +about")
        self.assertRegex(run.stdout, r"4\.2 bits a weight one with another: which matrix gets more")
        found = json.loads(dry_run("--calib", text, "--calib-tokens", 512, "--target", "size", "--json").stdout)
        self.assertEqual((found["learns"], found["learned_bits_per_weight"]), (True, 3))
        self.assertGreater(found["learning"]["seconds"], 0)
        self.assertGreater(found["learning"]["memory_bytes"], 1 << 20)
        found = json.loads(dry_run("--calib", text, "--codec", "int4_gptq", "--json").stdout)
        self.assertEqual((found["learns"], found["learned_bits_per_weight"]), (True, 0))
        self.assertIn("int4_gptq:transform=hadamard", {t["codec"] for t in found["tensors"]})
        found = json.loads(dry_run("--fast", "--json").stdout)
        self.assertEqual((found["learns"], found["learning"]), (False, None))
        self.assertEqual(sorted(self.work.iterdir()), before)

    def test_same_bytes_whatever_threads_and_memory(self):
        for codec in ("int4_rtn", "fp8_hybrid_v1", "nested_v1", "lossless_v1"):
            files = {self.pack(f"d{i}.ingot", "--codec", codec, *args).read_bytes()
                     for i, args in enumerate((("--threads", 1), ("--threads", 7), ("--memory", "100MiB")))}
            self.assertEqual(len(files), 1, codec)

    def test_target_is_not_overwritten_unasked(self):
        target = self.work / "there.ingot"
        target.write_bytes(b"precious")
        self.fails(USAGE, "force", "pack", self.model, "-o", target)
        self.assertEqual(target.read_bytes(), b"precious")
        self.run_ok("pack", self.model, "-o", target, "--force")
        self.fails(USAGE, "there|exist", "keygen", self.make("dup.key", "x"))

    def make(self, name, content):
        (self.work / name).write_text(content)
        return self.work / name.removesuffix(".key")


class Resources(Case):
    def test_memory_limit(self):
        self.fails(FAILED, r"at least \d+", "pack", self.model, "-o", self.work / "m.ingot", "--memory", "1MiB")
        self.assertFalse((self.work / "m.ingot").exists())

    def test_full_disk(self):
        target = self.pack("full.ingot")
        before, size = target.read_bytes(), target.stat().st_size
        for limit in (1024, size // 4, size // 2, size - 100):
            run = ingot("pack", self.model, "-o", target, "--force", "-q", "--codec", "int8_rtn",
                        limit_file_bytes=limit)
            self.assertEqual(run.returncode, FAILED, run.stderr)
            self.assertRegex(run.stderr.decode(), r"\Aingot: [^\n]*(large|space)[^\n]*\n\Z")
            if pathlib.Path(f"{target}.spool").exists():
                self.assertRegex(run.stderr.decode(), r"full\.ingot\.spool, and the same command resumes from it")
            self.assertEqual(target.read_bytes(), before)
        again = self.pack("full.ingot", "--codec", "int8_rtn")
        fresh = self.pack("fresh.ingot", "--codec", "int8_rtn")
        self.assertEqual(again.read_bytes(), fresh.read_bytes())

    def test_killed_and_resumed(self):
        whole = self.pack("unkilled.ingot", "--codec", "nested_v1").read_bytes()
        begin = time.monotonic()
        self.pack("timing.ingot", "--codec", "nested_v1")
        usual = time.monotonic() - begin
        target, rng, killed = self.work / "killed.ingot", random.Random(3), 0
        for attempt in range(25):
            old = target.read_bytes() if target.exists() else None
            process = subprocess.Popen([INGOT, "pack", self.model, "-o", target, "--force", "-q", "--codec",
                                        "nested_v1", "--threads", "1"])
            time.sleep(rng.random() * usual * 1.1)
            process.send_signal(signal.SIGKILL)
            if process.wait() == -signal.SIGKILL:
                killed += 1
                if target.exists() and old is None:
                    self.assertEqual(target.read_bytes(), whole)
            if target.exists() and attempt % 3 == 2:
                target.unlink()
        self.assertGreater(killed, 5)
        self.run_ok("pack", self.model, "-o", target, "--force", "-q", "--codec", "nested_v1")
        self.assertEqual(target.read_bytes(), whole)
        self.assertFalse(pathlib.Path(str(target) + ".spool").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
