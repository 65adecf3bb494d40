#!/usr/bin/env python3
"""What a person at the command line sees: commands, exact output, exit codes, bad input, kills, full disks.

usage: INGOT=path/to/ingot cli_test.py [CLASS...]
"""
import json
import math
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess
import time
import unittest

import tiny_model
from cli_case import CORRUPT, FAILED, INGOT, NOT_FOUND, OK, UNTRUSTED, USAGE, Case, ingot, read_safetensors


class Commands(Case):
    def test_version_and_help(self):
        for words in (["--version"], ["-V"], ["version"]):
            self.assertRegex(self.run_ok(*words).stdout.decode(), r"\Aingot \d+\.\d+\.\d+( \([0-9a-f]+\))?\n\Z")
        for command in ("", "pack", "inspect", "verify", "eval", "run", "bench", "export", "keygen", "sign"):
            run = self.run_ok(*filter(None, [command]), "--help")
            self.assertIn(b"Usage: ingot", run.stdout)
            self.assertEqual(run.stderr, b"")

    def test_completions_and_manual_pages_have_every_option(self):
        options = set(re.findall(r"(?m)^ +(?:-\w,)?(--[a-z-]+)", self.run_ok("pack", "--help").stdout.decode()))
        self.assertGreater(len(options), 20)
        pages = {"man pack": self.run_ok("help", "man", "pack").stdout.decode().replace("\\-", "-")}
        for shell in ("bash", "zsh", "fish"):
            pages[shell] = self.run_ok("help", "completion", shell).stdout.decode()
        for name, page in pages.items():
            for option in options:
                wanted = f"-l {option[2:]}" if name == "fish" else option
                self.assertRegex(page, rf"{re.escape(wanted)}(?![\w-])", name)
        bash = subprocess.run(["bash", "-c", pages["bash"] + "COMP_WORDS=(ingot ver) COMP_CWORD=1; _ingot; "
                               "echo ${COMPREPLY[@]}"], capture_output=True, text=True)
        self.assertEqual(bash.stdout, "verify version\n", bash.stderr)
        self.assertIn(".B pack\n", self.run_ok("help", "man").stdout.decode())
        self.fails(USAGE, "bash, zsh and fish", "help", "completion", "csh")
        self.fails(USAGE, "did you mean 'pack'", "help", "man", "pakc")

    def test_alone_it_lists_the_commands_in_order_of_use(self):
        listed = self.run_ok().stdout.decode()
        places = [listed.index(f"\n  {name} ") for name in ("pack", "run", "eval", "inspect", "calibrate", "export")]
        self.assertEqual(places, sorted(places))
        self.assertEqual(self.run_ok("help").stdout.decode(), listed)
        self.assertEqual(self.run_ok("help", "pack").stdout, self.run_ok("pack", "--help").stdout)
        self.assertIn(b"int4_gptq", self.run_ok("help", "codecs").stdout)
        self.assertIn(b"balanced", self.run_ok("help", "targets").stdout)

    def test_words_that_were_mistyped(self):
        self.fails(USAGE, "unknown command 'pakc'; did you mean 'pack'", "pakc")
        self.fails(USAGE, r"did you mean '--target'\? \(see ingot pack --help\)", "pack", self.model, "--tagret", "size")
        self.fails(USAGE, "did you mean 'int4_gptq'", "pack", self.model, "-o", self.work / "x", "--codec", "int4_gtpq")
        self.fails(USAGE, "did you mean 'balanced'", "pack", self.model, "-o", self.work / "x", "--target", "balance")
        self.fails(USAGE, r"ingot inspect --help", "inspect")

    def test_options_from_a_file(self):
        config, target = self.work / "pack.toml", self.work / "config.ingot"
        config.write_text(f'output = "{target}"\ncodec = "int8_rtn"\ngroup = 32\nquiet = true\n'
                          'rule = ["*q_proj*=int4_rtn:group=16", "*k_proj*=int4_rtn:group=16"]\n')
        self.run_ok("pack", self.model, "--config", config)
        found = json.loads(self.run_ok("inspect", target, "--json").stdout)
        self.assertEqual(found["provenance"]["recipe"]["linear"], "int8_rtn:group=32")
        self.assertEqual(len(found["provenance"]["recipe"]["rules"]), 2)
        # The command line comes first.
        self.run_ok("pack", self.model, f"--config={config}", "--codec", "int4_rtn", "--force")
        found = json.loads(self.run_ok("inspect", target, "--json").stdout)
        self.assertEqual(found["provenance"]["recipe"]["linear"], "int4_rtn:group=32")
        config.write_text('gruop = 32\n')
        self.fails(USAGE, "pack.toml: 'gruop' is no option of `ingot pack`; did you mean 'group'", "pack", self.model,
                   "--config", config)
        config.write_text('quiet = "perhaps"\n')
        self.fails(USAGE, "'quiet' is true or false", "pack", self.model, "--config", config)
        self.fails(NOT_FOUND, "no-such.toml", "pack", self.model, "--config", self.work / "no-such.toml")

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
        questions.write_text('{"ctx": "a", "endings": ["b"]}\n')
        self.fails(USAGE, "q.jsonl: line 1: 1 options", "eval", target, "--choices", questions)

    def test_usage_errors(self):
        self.fails(USAGE, "frobnicate", "frobnicate")
        self.fails(USAGE, "MODEL", "pack")
        self.fails(USAGE, "-o FILE", "pack", self.model)
        self.fails(USAGE, "codec", "pack", self.model, "-o", self.work / "x", "--codec", "no_such")
        self.fails(USAGE, "target", "pack", self.model, "-o", self.work / "x", "--target", "tiny")
        self.fails(USAGE, "not both", "pack", self.model, "-o", self.work / "x", "--target", "size",
                   "--codec", "int4_rtn")
        self.fails(USAGE, "--memory", "pack", self.model, "-o", self.work / "x", "--memory", "lots")
        self.fails(USAGE, "matches no tensor", "pack", self.model, "-o", self.work / "x", "--rule",
                   "nothing*=int8_rtn")
        self.fails(USAGE, "only vectors", "pack", self.model, "-o", self.work / "x", "--rule",
                   "*norm*=int8_rtn")
        self.fails(USAGE, "GLOB=CODEC", "pack", self.model, "-o", self.work / "x", "--rule", "lm_head")

    def test_numbers_that_are_none(self):
        target = self.work / "none"
        for option, value in (("--bpw", "nan"), ("--bpw", "-3"), ("--max-kl", "inf"), ("--rate", "0"),
                              ("--group", "x")):
            self.fails(USAGE, f"{option}: '{value}' is not a (whole )?number above 0", "pack", self.model, "-o", target, option,
                       value)
        self.assertFalse(target.exists())

    def test_the_name_of_what_was_packed_is_one_line(self):
        shown = self.run_ok("pack", self.model, "-o", self.work / "a\nb\x1b[31m").stdout
        self.assertIn(rb"a\u{a}b\u{1b}[31m: ", shown)
        self.assertNotIn(b"\x1b", shown)

    def test_the_whole_road(self):
        target = self.work / "road.ingot"
        self.run_ok("keygen", self.work / "k", "-q")
        self.assertEqual((self.work / "k.key").stat().st_mode & 0o777, 0o600)
        self.run_ok("pack", self.model, "-o", target, "--codec", "int4_rtn", "--group", "32", "--sign",
                    self.work / "k.key")
        summary = json.loads(self.run_ok("inspect", target, "--json", "--key", self.work / "k.pub").stdout)
        self.assertEqual(summary["bytes"], target.stat().st_size)
        self.assertEqual(summary["bits_per_weight_linear"], 4.5)
        self.assertRegex(summary["root_digest"], r"\A[0-9a-f]{64}\Z")
        self.assertEqual([(s["kind"], s["verifies"], s["trusted"]) for s in summary["signatures"]],
                         [("ed25519", True, True)])
        self.assertEqual([t["name"] for t in summary["tensors"]], list(tiny_model.shapes()))
        codecs = {t["name"]: t["codec"] for t in summary["tensors"]}
        self.assertEqual(codecs["model.norm.weight"], "raw")
        self.assertEqual(codecs["lm_head.weight"], "int8_rtn")
        self.assertEqual(codecs["model.layers.0.mlp.up_proj.weight"], "int4_rtn")
        stored = sum(t["bytes"] for t in summary["tensors"])
        weights = sum(math.prod(t["shape"]) for t in summary["tensors"])
        self.assertAlmostEqual(summary["bits_per_weight_total"], 8 * stored / weights)
        out = self.run_ok("verify", target, "--key", self.work / "k.pub").stdout.decode()
        self.assertIn("ok, every byte verifies", out)
        self.assertIn(": ok, every byte verifies",
                      self.run_ok("verify", "-", stdin=target.read_bytes()).stdout.decode())
        text = self.run_ok("run", target, "-p", "Hello", "-n", 8, "--greedy")
        self.assertRegex(text.stderr.decode(), r"prefill .* tokens/s; decode .* tokens/s")
        piped = self.run_ok("run", "-", "-p", "Hello", "-n", 8, "--greedy", stdin=target.read_bytes())
        self.assertEqual(piped.stdout, text.stdout)

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

    def test_inspect_sorts_tensors(self):
        target = self.pack("sorted.ingot", "--fast", "--rule", "*down_proj*=int8_rtn")
        for by, key in (("error", "relative_error"), ("size", "bytes")):
            listed = json.loads(self.run_ok("inspect", target, "--json", "--sort", by).stdout)["tensors"]
            values = [t.get(key, -1) for t in listed]
            self.assertEqual(values, sorted(values, reverse=True))
            self.assertGreater(len(set(values)), 2)
        lines = self.run_ok("inspect", target, "--sort", "bits").stdout.decode().splitlines()
        rows = [line for line in lines if " model." in line or " lm_head" in line]
        places = [i for i, line in enumerate(rows) if "down_proj" in line]
        others = [i for i, line in enumerate(rows) if "gate_proj" in line]
        self.assertLess(max(places), min(others))
        self.fails(USAGE, "--sort", "inspect", target, "--sort", "name")
        self.fails(USAGE, "--sort are for artifacts", "inspect", self.model, "--sort", "bits")

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
        text = self.run_ok("bench", target, "--batch", "1", "--no-prefill", "--no-load", *self.SMALL).stdout.decode()
        self.assertRegex(text, r"machine +\d+ threads")
        self.assertRegex(text, r"decode +1 +4 ")
        self.assertRegex(text, r"energy ")

    def test_bad_numbers(self):
        target = self.pack("numbers.ingot")
        self.fails(USAGE, "--batch 0: from 1 to 4096", "bench", target, "--batch", "1,0")
        self.fails(USAGE, "--kv int3", "bench", target, "--kv", "int3")
        self.fails(FAILED, "would fit", "bench", target, "--batch", 4096, "--context", 1 << 22, "--no-load")
        self.fails(USAGE, "--kv", "run", target, "-p", "x", "--kv", "int3")
        for command in (("bench", target, "--kv", "int8"), ("run", target, "-p", "x", "--kv", "int4")):
            self.fails(FAILED, "layer 0 has heads of .* multiples of 32", *command)

    def test_stats_and_threads(self):
        target = self.pack("stats.ingot")
        run = self.run_ok("run", target, "-p", "Hello", "-n", 4, "--greedy", "-q", "--stats", "--threads", 4096)
        error = run.stderr.decode()
        self.assertRegex(error, r"--threads 4096: \d+ can run at once here, so \d+ are used")
        self.assertRegex(error, r"memory: weights [0-9.]+ .?B, cache .* activations .* resident .* at most ")
        self.assertRegex(error, r"energy: (not measured|[0-9.]+ J a token)")


class Sources(Case):
    """`ingot inspect` of what is not packed yet."""

    def test_a_model(self):
        page = self.run_ok("inspect", self.model).stdout.decode()
        self.assertRegex(page, r"model +llama, 2 layers, hidden 64, vocabulary 256, context 256")
        self.assertRegex(page, r"mixer +attention, 4 heads over 2 of keys and values, 16 wide; rotary")
        self.assertRegex(page, r"MLP +gated silu 160")
        self.assertRegex(page, r"tokenizer +BPE, 256 tokens")
        self.assertRegex(page, r"model\.layers\.\*\.mlp\.up_proj\.weight +2 +160x64 +BF16 +int4_rtn:group=32")
        self.assertRegex(page, r"norms, biases and other vectors +5 +kept as they are")
        self.assertRegex(page, r"--codec int4_rtn +int4_rtn +")
        self.assertNotIn("not understood", page)
        vectors = self.run_ok("inspect", self.model, "--tensors").stdout.decode()
        self.assertRegex(vectors, r"model\.layers\.\*\.input_layernorm\.weight +2 +64 +BF16 +kept as it is")
        self.fails(USAGE, "is a source model", "inspect", self.model, "--verify")

    def test_json_agrees_with_the_plan(self):
        source = json.loads(self.run_ok("inspect", self.model, "--json").stdout)
        plan = json.loads(self.run_ok("pack", self.model, "--dry-run", "--json", "-q").stdout)
        self.assertEqual(source["parameters"], plan["total"]["weights"])
        self.assertEqual(source["roles"]["linear"]["weights"], plan["kinds"]["linear"]["weights"])
        balanced = next(p for p in source["presets"] if p["name"] == source["default_target"])
        self.assertEqual(balanced["exact_bytes"], plan["total"]["exact_bytes"])
        self.assertEqual(source["architecture"]["kv_heads"], 2)
        self.assertTrue(source["understood"])
        self.assertEqual(source["unused"], [])

    def test_what_is_not_understood(self):
        shutil.copytree(self.model, self.work / "strange")
        config = json.loads((self.work / "strange/config.json").read_text())
        (self.work / "strange/config.json").write_text(json.dumps({**config, "model_type": "mamba9"}))
        run = ingot("inspect", self.work / "strange", "--json")
        self.assertEqual(run.returncode, FAILED)
        self.assertRegex(run.stderr.decode(), r"architecture 'mamba9' is not supported \(known: llama")
        summary = json.loads(run.stdout)
        self.assertFalse(summary["understood"])
        self.assertEqual(summary["architecture"], None)
        self.assertEqual(summary["roles"]["unknown"]["weights"], summary["parameters"])
        (self.work / "strange/config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
        run = ingot("inspect", self.work / "strange")
        self.assertEqual(run.returncode, FAILED)
        self.assertIn(b"tensor 'model.layers.1.input_layernorm.weight' (64) has no use in architecture 'llama', "
                      b"nor have 8 others; pack refuses it without --allow-unused", run.stdout)
        self.assertRegex(run.stdout.decode(), r"model\.layers\.\*\.mlp\.up_proj\.weight +1 +160x64 +BF16 +unused")


class BadModels(Case):
    def broken(self, name, **kwargs):
        return tiny_model.write(self.work / name, **kwargs)

    def refused(self, code, pattern, model, *args):
        error = self.fails(code, pattern, "pack", model, "-o", self.work / "bad.ingot", *args)
        self.assertEqual(list(self.work.glob("bad.ingot*")), [])
        return error

    def test_not_a_model(self):
        (self.work / "empty").mkdir(exist_ok=True)
        self.refused(NOT_FOUND, "config.json", self.work / "empty")
        self.refused(NOT_FOUND, "nowhere", self.work / "nowhere")
        (self.work / "text.gguf").write_text("this is no model at all, but long enough to look at")
        self.assertIn("text.gguf", self.refused(CORRUPT, "GGUF|gguf", self.work / "text.gguf"))

    def test_missing_shard(self):
        model = self.broken("shards")
        (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
        names = list(tiny_model.shapes())
        weight_map = {n: f"model-0000{1 + (n == 'lm_head.weight')}-of-00002.safetensors" for n in names}
        (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        self.refused(NOT_FOUND, "model-00002-of-00002.safetensors", model)

    def test_truncated_and_lying_safetensors(self):
        model = self.broken("cut")
        path = model / "model.safetensors"
        whole = path.read_bytes()
        for size in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:size])
            self.refused(CORRUPT, "model.safetensors", model)
        for length in (2**63, 2**40, len(whole), 7):
            path.write_bytes(struct.pack("<Q", length) + whole[8:])
            self.refused(CORRUPT, "model.safetensors", model)

    def test_nonfinite_weights_are_named(self):
        for bits, word in ((0x7fc0, "NaN"), (0xff80, "infinite")):
            named = tiny_model.tensors()
            name = "model.layers.1.mlp.down_proj.weight"
            shape, data = named[name]
            at = 5 * shape[1] + 7
            named[name] = (shape, data[:2 * at] + struct.pack("<H", bits) + data[2 * at + 2:])
            model = self.broken(f"nonfinite{word}", named=named)
            for codec in ("int4_rtn", "lossless_v1", "fp8_hybrid_v1", "nested_v1"):
                self.refused(FAILED, rf"{name}: row 5, column 7 is {word}.*--allow-nonfinite", model, "--codec",
                             codec)
            run = self.run_ok("pack", model, "-o", self.work / "kept.ingot", "--force", "-q", "--allow-nonfinite")
            self.assertIn(name, run.stderr.decode())
            tensors = json.loads(self.run_ok("inspect", self.work / "kept.ingot", "--json").stdout)["tensors"]
            self.assertEqual({t["name"]: t["codec"] for t in tensors}[name], "raw")

    def test_config_and_tensors_disagree(self):
        self.refused(FAILED, r"embed_tokens|lm_head", self.broken("vocab", vocab_size=300))
        self.refused(NOT_FOUND, r"layers\.2\.", self.broken("layers", num_hidden_layers=3))
        extra = self.broken("extra", num_hidden_layers=1)
        self.refused(FAILED, r"layers\.1\..*--allow-unused|layers\.1\.", extra)
        self.run_ok("pack", extra, "-o", self.work / "extra.ingot", "--allow-unused", "-q", "--force")

    def test_unknown_architecture(self):
        self.refused(FAILED, "frobformer", self.broken("arch", model_type="frobformer"))

    def test_no_tokenizer(self):
        model = self.broken("mute", with_tokenizer=False)
        self.refused(NOT_FOUND, "tokenizer.json.*--no-tokenizer", model)
        target = self.pack("mute.ingot", "--no-tokenizer", model=model)
        self.fails(NOT_FOUND, "tokenizer", "run", target, "-p", "x")


class BadArtifacts(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.target = cls.work / "m.ingot"
        for name in ("a", "b"):
            assert ingot("keygen", cls.work / name).returncode == OK
        assert ingot("pack", cls.model, "-o", cls.target, "--sign", cls.work / "a.key", "-q").returncode == OK
        cls.whole = cls.target.read_bytes()

    def damaged(self, content):
        path = self.work / "damaged.ingot"
        path.write_bytes(content)
        return path

    def test_truncated(self):
        for size in (0, 1, 63, 64, 4159, 4200, len(self.whole) // 2, len(self.whole) - 1):
            path = self.damaged(self.whole[:size])
            self.assertEqual(ingot("verify", path).returncode, CORRUPT, size)
            self.assertEqual(ingot("verify", "-", stdin=self.whole[:size]).returncode, CORRUPT, size)

    def test_flipped_bytes(self):
        rng = random.Random(2)
        offsets = [0, 9, 20, 70, 4100, 4170] + [rng.randrange(len(self.whole)) for _ in range(40)]
        for offset in offsets:
            bad = bytearray(self.whole)
            bad[offset] ^= 1 << rng.randrange(8)
            run = ingot("verify", self.damaged(bad))
            self.assertIn(run.returncode, (CORRUPT, UNTRUSTED, FAILED), f"{offset}: {run.stderr}")
            self.assertNotEqual(ingot("verify", "-", stdin=bytes(bad)).returncode, OK, offset)

    def test_damage_is_named_by_tensor(self):
        bad = bytearray(self.whole)
        bad[-3] ^= 4
        run = ingot("verify", self.damaged(bad))
        self.assertEqual(run.returncode, CORRUPT)
        self.assertIn(b"lm_head.weight", run.stderr)
        run = ingot("run", self.damaged(bad), "-p", "x", "-n", 1)
        self.assertEqual((run.returncode, run.stdout), (CORRUPT, b""))
        self.assertIn(b"lm_head.weight", run.stderr)

    def test_keys(self):
        self.run_ok("verify", self.target, "--key", self.work / "a.pub")
        for command in (("verify",), ("inspect",), ("run", "-p", "x"), ("export", "-o", self.work / "never")):
            name, *rest = command
            self.fails(UNTRUSTED, "sign|key", name, self.target, *rest, "--key", self.work / "b.pub")
        unsigned = self.pack("unsigned.ingot").read_bytes()  # the same bytes but for the signature area
        stripped = self.damaged(self.whole[:64] + unsigned[64:4160] + self.whole[4160:])
        self.run_ok("verify", stripped)
        self.fails(UNTRUSTED, "sign", "verify", stripped, "--key", self.work / "a.pub")
        zeroed = self.damaged(self.whole[:64] + bytes(4096) + self.whole[4160:])
        self.assertIn(ingot("verify", zeroed, "--key", self.work / "a.pub").returncode, (CORRUPT, UNTRUSTED))
        self.assertFalse((self.work / "never").exists())
        self.fails(NOT_FOUND, "nokey", "verify", self.target, "--key", self.work / "nokey")

    def test_shared_secrets(self):
        path, secret = self.damaged(self.whole), self.work / "secret"
        secret.write_bytes(bytes(range(32, 72)))
        secret.chmod(0o600)
        self.run_ok("sign", path, "--hmac-key", secret)
        for command in (("verify",), ("inspect",), ("run", "-p", "x", "-n", 1), ("verify", "-q")):
            name, *rest = command
            self.run_ok(name, path, *rest, "--hmac-key", secret)
        signed = self.pack("secret.ingot", "--hmac-key", secret)
        self.assertEqual(self.run_ok("verify", signed, "-q", "--hmac-key", secret).stderr, b"")
        self.fails(UNTRUSTED, "signature", "verify", self.target, "--hmac-key", secret)
        self.fails(USAGE, "--hmac-key", "verify", path, "--key", secret)
        self.fails(USAGE, "not a shared secret", "verify", path, "--hmac-key", self.work / "a.pub")
        self.fails(USAGE, "not a shared secret", "sign", path, "--hmac-key", self.work / "a.pub")
        self.fails(USAGE, "exclude", "verify", path, "--hmac-key", secret, "--key", self.work / "a.pub")
        self.fails(USAGE, "--hmac-key is required", "sign", path)
        for option in ("--key", "--hmac-key"):  # an unset variable does not ask for less
            self.fails(USAGE, "path is empty", "verify", path, option, "")
        for key, option in ((secret, "--hmac-key"), (self.work / "b.key", "--key")):
            key.chmod(0o644)
            self.assertIn(b"others can read this secret key", self.run_ok("sign", path, option, key).stderr)
            key.chmod(0o600)

    def test_signing_in_place(self):
        path = self.damaged(self.whole)
        self.run_ok("sign", path, "--key", self.work / "b.key")
        self.run_ok("verify", path, "--key", self.work / "b.pub")
        self.run_ok("verify", path, "--key", self.work / "a.pub")
        self.assertEqual(path.read_bytes()[4160:], self.whole[4160:])

    def test_not_an_artifact(self):
        for command in ("verify", "export"):
            rest = ("-o", self.work / "never") if command == "export" else ()
            self.fails(USAGE, "is a model directory, not an artifact; pack it first", command, self.model, *rest)
        self.fails(NOT_FOUND, "nothing.ingot", "verify", self.work / "nothing.ingot")


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


class Export(Case):
    def test_exact_codecs_give_the_source_back(self):
        source = read_safetensors(self.model / "model.safetensors")
        for codec in ("lossless_v1", "nested_v1"):
            out = self.work / f"out_{codec}"
            self.run_ok("export", self.pack("m.ingot", "--codec", codec), "-o", out)
            self.assertEqual(read_safetensors(out / "model.safetensors"), source)
            self.assertEqual(json.loads((out / "config.json").read_text()), tiny_model.config())
            self.assertEqual(json.loads((out / "tokenizer.json").read_text()), tiny_model.tokenizer())

    def test_quantized_is_float32_and_close(self):
        out = self.work / "out_int8"
        self.run_ok("export", self.pack("m.ingot", "--codec", "int8_rtn", "--group", "32"), "-o", out, "--shard",
                    "100kB")
        index = json.loads((out / "model.safetensors.index.json").read_text())
        shards = sorted(set(index["weight_map"].values()))
        self.assertGreater(len(shards), 1)
        made = {k: v for shard in shards for k, v in read_safetensors(out / shard).items()}
        self.assertEqual(index["metadata"]["total_size"], sum(len(v[2]) for v in made.values()))
        for name, (shape, _, data) in read_safetensors(self.model / "model.safetensors").items():
            self.assertEqual(made[name][:2], (shape, "F32"))
            want = [struct.unpack("<f", b"\0\0" + data[i:i + 2])[0] for i in range(0, len(data), 2)]
            got = struct.unpack(f"<{len(want)}f", made[name][2])
            self.assertLess(max(abs(a - b) for a, b in zip(want, got)), 0.01)
        self.assertEqual(json.loads((out / "config.json").read_text())["torch_dtype"], "float32")
        self.fails(USAGE, "already", "export", self.work / "m.ingot", "-o", out)
        again = self.work / "again.ingot"
        self.run_ok("pack", out, "-o", again, "-q")
        self.assertEqual([p for p in self.work.iterdir() if "-tmp." in p.name], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
