#!/usr/bin/env python3
"""Small inputs from public reports (../shared/cases: a generator and what is right for each): every one is read
rightly, or refused in words.

usage: INGOT=path/to/ingot TOKENIZE=path/to/tokenize public_cases_cli_test.py [SHARED]      needs numpy
"""
import json
import os
import pathlib
import stat
import struct
import subprocess
import sys
import unittest

from cli_case import FAILED, INGOT, OK, USAGE, Case, ingot, read_safetensors

SHARED = pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else pathlib.Path(__file__).parents[3] / "shared"


class PublicCases(Case):
    def made(self, case):
        out = self.work / case
        subprocess.run([sys.executable, SHARED / "cases" / case / "make.py", out], check=True, capture_output=True)
        return out

    def packed(self, out, name, *more):
        target = out / f"{pathlib.Path(name).stem}.ingot"
        self.run_ok("pack", out / name, "-o", target, "--codec", "lossless_v1", "-q", "--force", *more)
        return target

    def divergence(self, artifact, reference, out):
        run = self.run_ok("eval", artifact, "--reference", reference, "--text", out / "text.txt", "--context", "128",
                          "-q", "--json")
        return json.loads(run.stdout)["kl_mean"]

    def test_added_tokens_without_tokenizer_json(self):
        out = self.made("added_tokens_without_tokenizer_json")
        for folder in ("json", "decoder"):
            with self.subTest(folder):
                run = subprocess.run([os.environ["TOKENIZE"], out / folder, out / "text"], capture_output=True, check=True)
                self.assertEqual(run.stdout.split(), [b"1", b"8", b"2"])

    def test_eos_only_in_config_json(self):
        out = self.made("eos_only_in_config_json")
        for folder in ("model", "model_list"):
            for model in (out / folder, self.packed(out, folder)):
                run = self.run_ok("run", model, "-p", "a", "-n", "20", "--greedy", "-q")
                self.assertEqual(run.stdout.strip(), b"")

    def test_gguf_bias_lost_by_export(self):
        out = self.made("gguf_bias_lost_by_export")
        self.run_ok("export", self.packed(out, "bias.gguf"), "-o", out / "exported")
        config = json.loads((out / "exported" / "config.json").read_text())
        self.assertIs(config["attention_bias"], True)
        self.assertIs(config["mlp_bias"], True)
        want = read_safetensors(out / "same" / "model.safetensors")
        self.assertEqual(read_safetensors(out / "exported" / "model.safetensors"), want)

    def test_int8_zero_point_ignored(self):
        out = self.made("int8_zero_point_ignored")
        self.assertEqual(self.divergence(self.packed(out, "plain"), out / "int8", out), 0)
        self.assertEqual(self.divergence(self.packed(out, "int8"), out / "plain", out), 0)

    def test_output_replaces_what_is_there(self):
        out = self.made("output_replaces_what_is_there")
        self.fails(USAGE, "fifo", "pack", out / "model", "-o", out / "fifo", "--force")
        self.assertTrue(stat.S_ISFIFO((out / "fifo").stat().st_mode))
        before = (out / "notes.txt").read_text()
        self.fails(USAGE, "link", "pack", out / "model", "-o", out / "link")
        self.assertEqual(((out / "link").is_symlink(), (out / "notes.txt").read_text()), (True, before))
        for command in (("calibrate", out / "model", "--text", out / "notes.txt"),
                        ("imatrix", "export", out / "none", out / "model"),
                        ("imatrix", "import", out / "none", out / "model")):
            run = ingot(*command, "-o", out / "notes.txt")
            self.assertNotEqual(run.returncode, OK)
            self.assertIn(b"notes.txt", run.stderr)
            self.assertEqual((out / "notes.txt").read_text(), before)

    def test_pack_takes_a_broken_tokenizer(self):
        out = self.made("pack_takes_a_broken_tokenizer")
        for folder in ("infinity", "nan", "twice"):
            with self.subTest(folder):
                self.run_ok("run", self.packed(out, folder), "-p", "a", "-n", "3", "--greedy", "-q")
        run = ingot("pack", out / "lfs", "-o", out / "lfs.ingot", "-q")
        self.assertNotEqual(run.returncode, OK)
        self.assertRegex(run.stderr.decode(), "tokenizer.json: is a Git LFS pointer.*git lfs pull")
        run = ingot("pack", out / "slow", "-o", out / "slow.ingot", "-q", "--codec", "int8_rtn")
        self.assertRegex(run.stderr.decode(), "vocab.json|merges.txt|tokenizer")

    def test_rope_scaling_beside_rope_parameters(self):
        out = self.made("rope_scaling_beside_rope_parameters")
        both = self.packed(out, "both")
        self.assertEqual(self.divergence(both, out / "yarn", out), 0)
        self.assertGreater(self.divergence(both, out / "plain", out), 1e-6)

    def test_text_from_a_pipe(self):
        out = self.made("text_from_a_pipe")
        artifact = self.packed(out, "model")
        text = (out / "text.txt").read_bytes()
        common = ("eval", artifact, "--reference", out / "model", "--context", "64", "-q", "--json", "--text")

        def measured(stdout):
            return {k: v for k, v in json.loads(stdout).items() if k != "text"}

        want = measured(self.run_ok(*common, out / "text.txt").stdout)
        self.assertEqual(measured(self.run_ok(*common, "-", stdin=text).stdout), want)
        self.assertEqual(measured(self.run_ok(*common, "/dev/stdin", stdin=text).stdout), want)
        shell = " ".join([str(INGOT), *map(str, common), f"<(cat {out / 'text.txt'})"])
        run = subprocess.run(["bash", "-c", shell], capture_output=True)
        self.assertEqual(run.returncode, OK, run.stderr)
        self.assertEqual(measured(run.stdout), want)

    def test_tiny_scales_become_zero(self):
        out = self.made("tiny_scales_become_zero")
        name = "model.layers.0.mlp.up_proj.weight"
        want = floats(read_safetensors(out / "scaled" / "model.safetensors")[name])
        text = out / "text.txt"
        text.write_text("abcdef fedcba " * 400)
        for codec in ("int8_rtn", "int4_rtn", "int4_residual_v1", "int4_opt_llama_v1", "int4_g8_fp16_v1", "fp8_hybrid_v1",
                      "entropy_v1", "entropy_v2", "trellis_v1", "calibrated_vq", "tenpak_x_v1", "nested_v1"):
            with self.subTest(codec):
                artifact = out / "s.ingot"
                learns = codec in ("trellis_v1", "calibrated_vq", "tenpak_x_v1")
                run = ingot("pack", out / "scaled", "-o", artifact, "--codec", codec, "-q", "--force",
                            *(("--calib", text) if learns else ("--fast",)))
                if run.returncode == FAILED or run.returncode == USAGE:
                    self.assertIn(b"below what", run.stderr)
                    continue
                self.assertEqual(run.returncode, OK, run.stderr)
                self.run_ok("export", artifact, "-o", out / f"x-{codec}", "--dtype", "f32")
                got = floats(read_safetensors(out / f"x-{codec}" / "model.safetensors")[name])
                off = sum((a - b) ** 2 for a, b in zip(got, want)) ** 0.5 / sum(b * b for b in want) ** 0.5
                self.assertLess(off, 0.3)


def floats(tensor):
    _, dtype, data = tensor
    assert dtype == "F32", dtype
    return struct.unpack(f"<{len(data) // 4}f", data)


if __name__ == "__main__":
    try:
        import numpy  # noqa: F401
    except ImportError:
        print("skipped: numpy is not there")
        sys.exit(77)
    if not (SHARED / "cases").is_dir():
        print(f"skipped: no {SHARED / 'cases'}")
        sys.exit(77)
    unittest.main()
