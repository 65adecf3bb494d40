#!/usr/bin/env python3
"""Calibration at the command line: what it writes, what it refuses, killed at any time, its absence.

usage: INGOT=path/to/ingot calibrate_cli_test.py
Skipped (77) where ingot-calibrate does not lie beside it: it needs LibTorch.
"""
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import time
import unittest

import tiny_model
from cli_case import FAILED, INGOT, NOT_FOUND, OK, USAGE, Case, ingot

PROGRAM = pathlib.Path(shutil.which(INGOT) or INGOT).resolve().parent / "ingot-calibrate"
RUN = ["--tokens", 2048, "--backward-tokens", 1024, "--context", 64]


def header(path):
    data = path.read_bytes()
    return json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])


class Calibrate(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text = cls.work / "text.txt"
        cls.text.write_text("".join(f"Sentence {i} of {i * i % 97} words. " for i in range(400)))

    def calibrate(self, name, *args):
        target = self.work / name
        run = self.run_ok("calibrate", self.model, "-o", target, "--text", self.text, *RUN, *args)
        return target, run.stderr.decode()

    def test_statistics_of_every_matrix(self):
        target, log = self.calibrate("s.safetensors")
        self.assertRegex(log, r"text: text.txt: 32 of \d+ windows\nmemory: .*\n(  .*\n)*disk: .*\ntime: about \d+ minutes")
        found = header(target)
        meta = found.pop("__metadata__")
        self.assertEqual(meta["tokens"], "2048")
        self.assertEqual(meta["backward_tokens"], "1024")
        inputs = json.loads(meta["inputs"])
        matrices = [n for n, s in tiny_model.shapes().items() if len(s) == 2 and "embed" not in n]
        self.assertEqual(sorted(inputs), sorted(matrices))
        for name in matrices:
            rows, cols = tiny_model.shapes()[name]
            self.assertEqual(found[f"hessian/{inputs[name]}"]["shape"], [cols, cols])
            self.assertEqual(found[f"mean_abs/{inputs[name]}"]["shape"], [cols])
            self.assertEqual(found[f"fisher/{name}"]["shape"], [rows])
        self.assertEqual(inputs["model.layers.1.self_attn.v_proj.weight"],
                         "model.layers.1.self_attn.q_proj.weight")
        self.assertFalse((self.work / "s.safetensors.work").exists())

    def test_threads_and_memory_change_nothing(self):
        one, _ = self.calibrate("one.safetensors", "--threads", 1)
        more, log = self.calibrate("more.safetensors", "--threads", 3, "--memory", "600MiB", "-q")
        self.assertNotIn("memory:", log)
        self.assertEqual(one.read_bytes(), more.read_bytes())

    def test_plan_only_writes_nothing(self):
        target, log = self.calibrate("plan.safetensors", "--plan-only")
        self.assertIn("memory: ", log)
        self.assertFalse(target.exists())
        self.assertFalse((self.work / "plan.safetensors.work").exists())

    def test_self_sampled_text_is_the_same_for_a_seed(self):
        data = tiny_model.tokenizer()
        data["added_tokens"] = [{"id": 255, "content": "<e>", "special": True, "single_word": False,
                                 "lstrip": False, "rstrip": False, "normalized": False}]
        data["model"]["vocab"] = {k: v for k, v in data["model"]["vocab"].items() if v != 255}
        model = tiny_model.write(self.work / "self")
        (model / "tokenizer.json").write_text(json.dumps(data))
        (model / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<e>", "eos_token": "<e>"}))
        files = []
        for name, seed, threads in (("a", 1, 1), ("b", 1, 3), ("c", 2, 1)):
            target = self.work / f"self_{name}.safetensors"
            self.run_ok("calibrate", model, "-o", target, "--tokens", 128, "--backward-tokens", 64,
                        "--context", 32, "--seed", seed, "--threads", threads, "-q")
            files.append(target.read_bytes())
        self.assertEqual(files[0], files[1])
        self.assertNotEqual(files[0], files[2])
        # Beside a text, by weight.
        target = self.work / "mixed.safetensors"
        self.run_ok("calibrate", model, "-o", target, "--text", "self:1", "--text", f"{self.text}:3", "--tokens", 256,
                    "--backward-tokens", 64, "--context", 32, "-q")
        self.assertRegex(header(target)["__metadata__"]["text"], r"\A.*2 windows.*; text\.txt: 6 of \d+ windows\Z")
        self.fails(USAGE, "'self' is given twice", "calibrate", model, "-o", self.work / "no", "--text", "self", "self:2")

    def test_killed_at_any_time_it_goes_on_and_ends_the_same(self):
        whole, _ = self.calibrate("whole.safetensors")
        target = self.work / "killed.safetensors"
        command = [INGOT, "calibrate", self.model, "-o", target, "--text", self.text, *RUN]
        resumed = 0
        for attempt in range(60):
            run = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
            work = pathlib.Path(f"{target}.work")
            parts = set(work.glob("*.part")) if work.exists() else set()
            while run.poll() is None:  # until a stage or two more are done
                if work.exists() and len(set(work.glob("*.part")) - parts) > attempt % 2:
                    run.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.002)
            log = run.communicate()[1].decode()
            resumed += "going on where an earlier run stopped" in log
            if run.returncode == 0:
                break
            self.assertEqual(run.returncode, -signal.SIGKILL, log)
            self.assertFalse(target.exists())
        self.assertEqual(run.returncode, 0)
        self.assertGreater(resumed, 0)
        self.assertEqual(target.read_bytes(), whole.read_bytes())
        self.assertFalse(work.exists())

    def test_it_ends_with_the_pack_that_runs_it(self):
        text = self.work / "long.txt"
        text.write_text("".join(f"Sentence {i} of {i * i % 97} words. " for i in range(40000)))
        for sent in (signal.SIGTERM, signal.SIGKILL):
            target = self.work / f"ended{sent}.ingot"
            pack = subprocess.Popen([INGOT, "pack", str(self.model), "-o", str(target), "--calib", str(text), "--calib-tokens",
                                     "400000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

            def child():
                """Whether an ingot-calibrate works for this target."""
                for line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
                    try:
                        words = line.read_bytes().split(b"\0")
                    except OSError:
                        continue
                    if words[0].endswith(b"ingot-calibrate") and any(str(target).encode() in word for word in words):
                        return True
                return False
            while not child():
                self.assertIsNone(pack.poll(), "it ended before it was killed")
                time.sleep(0.01)
            pack.send_signal(sent)
            self.assertEqual(pack.wait(60), -sent)
            end = time.monotonic() + 60
            while child() and time.monotonic() < end:
                time.sleep(0.05)
            self.assertFalse(child(), f"signal {sent}")
            self.assertFalse(target.exists())
            self.assertFalse(pathlib.Path(f"{target}.stats.safetensors").exists())  # nor did it end of itself

    def test_bad_input_is_one_line(self):
        def refused(code, pattern, *args, text=self.text):
            self.fails(code, pattern, "calibrate", self.model, "-o", self.work / "no.safetensors",
                       "--text", text, *args)
            self.assertFalse((self.work / "no.safetensors").exists())
        for name, data, pattern in (("empty.txt", b"", "empty"), ("short.txt", b"a few", "5 tokens"),
                                    ("latin.txt", b"caf\xe9 " * 400, "not UTF-8 at byte 3"),
                                    ("bad.jsonl", b'{"text": "a"}\n{"txt": "b"}\n', "line 2")):
            (self.work / name).write_bytes(data)
            refused(USAGE, pattern, text=self.work / name)
        refused(NOT_FOUND, "absent.txt", text=self.work / "absent.txt")
        refused(USAGE, "weight", text=f"{self.text}:none")
        refused(FAILED, r"at least \d+ MiB", "--memory", "10MiB", *RUN)
        refused(USAGE, "backward-tokens", "--tokens", 512, "--backward-tokens", 1024)
        refused(USAGE, "window", "--tokens", 100)
        refused(USAGE, "--context", "--context", 1)
        self.fails(USAGE, "required", "calibrate", self.model)
        self.fails(NOT_FOUND, "nowhere", "calibrate", self.work / "nowhere", "-o", self.work / "x")

    def test_max_kl_is_kept_by_measurement(self):
        stats, _ = self.calibrate("max_kl.safetensors")
        target = self.work / "max_kl.ingot"
        pack = ["pack", self.model, "-o", target, "--force", "--stats", stats, "--max-kl"]
        measure = ["--measure", self.text, "--measure-tokens", 1536]

        def measured(limit):
            self.run_ok(*pack, limit, *measure)
            provenance = json.loads(self.run_ok("inspect", target, "--json").stdout)["provenance"]
            self.assertLessEqual(provenance["measured"]["kl_mean"], limit)
            return provenance

        # The prediction alone would miss some of these.
        corrected = ["loss_correction" in measured(limit)["allocation"] for limit in (1e-3, 3e-3, 1e-2)]
        self.assertIn(True, corrected)
        before = target.read_bytes()
        self.fails(USAGE, "possible", *pack, 1e-12, *measure)
        self.assertEqual(target.read_bytes(), before)

    def test_a_target_with_statistics_is_a_budget(self):
        stats, _ = self.calibrate("target.safetensors")
        target = self.work / "target.ingot"

        def budget(*options):
            self.run_ok("pack", self.model, "-o", target, "--force", *options)
            info = json.loads(self.run_ok("inspect", target, "--json").stdout)
            linear = {t["codec"] for t in info["tensors"] if t["role"] == "linear"}
            return info["provenance"].get("allocation", {}).get("budget"), linear

        for options, bits, codec in ((("--target", "quality"), 7.4, "entropy_v1"), (("--target", "size"), 3, "entropy_v2")):
            self.assertEqual(budget("--stats", stats, *options), (f"bpw {bits}", {codec}))
        for options in ((), ("--target", "balanced")):
            said, codecs = budget("--stats", stats, *options)
            self.assertEqual(said, "bpw 4.2")
            self.assertLessEqual(codecs, {f"int{bits}_gptq" for bits in (2, 3, 4, 5, 6, 8)})
            info = json.loads(self.run_ok("inspect", target, "--json").stdout)
            self.assertEqual(info["bits_per_weight_linear_resident"], info["bits_per_weight_linear"])
            self.assertLessEqual(info["bits_per_weight_linear_resident"], 4.5)
        self.assertEqual(budget("--calib", self.text, "--target", "size"), ("bpw 3", {"entropy_v2"}))
        # This model's tokenizer has no token to begin a text of its own with.
        self.fails(USAGE, "need statistics: --calib", "pack", self.model, "-o", target, "--force", "--target", "size")
        self.assertEqual(budget("--stats", stats, "--group", 32), (None, {"int4_rtn"}))

    def test_sequential_takes_the_inputs_of_an_artifact(self):
        plain, _ = self.calibrate("first.safetensors")
        self.run_ok("pack", self.model, "--codec", "int4_gptq", "--stats", plain, "-o",
                    self.work / "first.ingot")
        again, _ = self.calibrate("again.safetensors", "--sequential", self.work / "first.ingot")
        one, two = header(plain), header(again)
        self.assertRegex(two["__metadata__"]["prefix"], "^blake3:[0-9a-f]{64}$")
        self.assertEqual(sorted(one), sorted(two))
        self.assertNotEqual(plain.read_bytes(), again.read_bytes())
        self.run_ok("pack", self.model, "--codec", "int4_gptq", "--stats", again, "-o",
                    self.work / "again.ingot")
        # Gradients of the first round: nothing runs backward, and the inputs stay the same.
        taken = self.work / "taken.safetensors"
        self.run_ok("calibrate", self.model, "-o", taken, "--text", self.text, *RUN[:2], *RUN[4:],
                    "--sequential", self.work / "first.ingot", "--fisher-from", plain)
        three = header(taken)
        self.assertEqual(three["__metadata__"]["backward_tokens"], "1024")
        self.assertEqual(sorted(two), sorted(three))
        self.assertEqual(sorted(p.name for p in self.work.glob("*prefix*")), [])
        self.fails(USAGE, "backward-tokens", "calibrate", self.model, "-o", self.work / "no",
                   "--text", self.text, *RUN, "--fisher-from", plain)
        self.fails(NOT_FOUND, "absent.ingot", "calibrate", self.model, "-o", self.work / "no",
                   "--text", self.text, *RUN, "--sequential", self.work / "absent.ingot")

    def test_imatrix_out_and_in(self):
        target, _ = self.calibrate("i.safetensors")
        gguf, back = self.work / "i.gguf", self.work / "back.safetensors"
        out = self.run_ok("imatrix", "export", target, self.model, "-o", gguf).stdout.decode()
        self.assertEqual(out, f"{gguf}: 15 tensors\n")
        self.run_ok("imatrix", "import", gguf, self.model, "-o", back)
        found = header(back)
        self.assertEqual(found["diagonal/model.layers.0.mlp.up_proj.weight"]["shape"], [64])
        other = tiny_model.write(self.work / "other", rms_norm_eps=1e-6,
                                 named=tiny_model.tensors(vocab=200), vocab_size=200)
        self.fails(USAGE, "another model", "imatrix", "export", target, other, "-o", self.work / "x")

    def test_without_the_program_the_error_says_so(self):
        alone = self.work / "alone"
        alone.mkdir()
        shutil.copy(shutil.which(INGOT) or INGOT, alone / "ingot")
        # Forward it calibrates by itself; gradients need the other program.
        run = subprocess.run([alone / "ingot", "calibrate", self.model, "-o", self.work / "alone.safetensors", "--text",
                              self.text, "--backward-tokens", "100"], capture_output=True)
        self.assertNotEqual(run.returncode, OK)
        self.assertRegex(run.stderr.decode(), r"\Aingot: [^\n]*--torch[^\n]*\n\Z")


if __name__ == "__main__":
    if not PROGRAM.exists():
        print(f"skipped: {PROGRAM} is not built (LibTorch was not found)")
        sys.exit(77)
    unittest.main()
