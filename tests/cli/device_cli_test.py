#!/usr/bin/env python3
"""`ingot run|eval --device`: what is said without a GPU, what a GPU is not asked, and its text where one is."""
import json
import pathlib
import unittest

from cli_case import Case, NOT_FOUND, USAGE

HAS_GPU = pathlib.Path("/dev/nvidia0").exists()


class Device(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.target = cls.work / "model.ingot"
        cls().pack("model.ingot", "--codec", "int4_rtn", "--group", "16", "--fast")
        cls.text = cls.work / "text.txt"
        cls.text.write_text("the quick brown fox jumps over the lazy dog. " * 40)
        cls.options = ("-p", "the quick", "-n", 8, "--greedy", "--ignore-eos", "--exact")

    def written(self, *args):
        return json.loads(self.run_ok("run", self.target, *self.options, "--json", *args).stdout)

    def test_names_of_devices(self):
        for name in ("gpu", "cuda:", "cuda:x", "cuda:-1", "CUDA"):
            self.fails(USAGE, "cpu, auto, cuda or cuda:N", "run", self.target, "-p", "x", f"--device={name}")
        self.assertEqual(self.written("--device", "cpu")["tokens"], 8)

    def evaluated(self, *args):
        run = self.run_ok("eval", self.target, "--text", self.text, "--context", 16, "--json", *args)
        return json.loads(run.stdout), run.stderr.decode()

    @unittest.skipIf(HAS_GPU, "there is a GPU")
    def test_eval_without_a_gpu(self):
        self.fails(NOT_FOUND, "no GPU answers: ", "eval", self.target, "--text", self.text, "--context", 16,
                   "--device", "cuda")
        there, _ = self.evaluated()
        got, said = self.evaluated("--device", "auto")
        self.assertEqual(got, there)
        self.assertRegex(said, r"on the processor: no GPU answers: [^\n]+\n")

    @unittest.skipUnless(HAS_GPU, "no GPU")
    def test_a_gpu_measures_the_same(self):
        there, _ = self.evaluated()
        got, _ = self.evaluated("--device", "cuda")
        self.assertAlmostEqual(got["perplexity"], there["perplexity"], delta=1e-3 * there["perplexity"])

    @unittest.skipIf(HAS_GPU, "there is a GPU")
    def test_without_a_gpu(self):
        for name in ("cuda", "cuda:1"):
            self.fails(NOT_FOUND, "no GPU answers: ", "run", self.target, "-p", "x", "--device", name)
        run = self.run_ok("run", self.target, *self.options, "--json", "--device", "auto")
        self.assertRegex(run.stderr.decode(), r"\Aon the processor: no GPU answers: [^\n]+\n\Z")
        self.assertEqual(json.loads(run.stdout)["text"], self.written()["text"])

    @unittest.skipUnless(HAS_GPU, "no GPU")
    def test_a_gpu_writes_the_same_text(self):
        for name in ("cuda", "auto"):
            got = self.written("--device", name)
            self.assertEqual((got["text"], got["stop"]), (self.written()["text"], "max_tokens"))

    def test_what_stays_with_the_processor_is_named(self):
        self.fails(USAGE, "--kv on a GPU", "run", self.target, "-p", "x", "--device", "cuda", "--kv", "f32")
        self.fails(USAGE, "a conversation on a GPU", "run", self.target, "--chat", "--device", "cuda")

        for more in (("--speculate", "off"), ("--precision", "full"), ("--exit", "0.1")):
            self.fails(USAGE, "measured on the processor", "eval", self.target, "--text", self.text,
                       "--device", "cuda", *more)


if __name__ == "__main__":
    unittest.main()
