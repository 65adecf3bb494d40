#!/usr/bin/env python3
"""The command line itself: help, completions, pages, words that were mistyped, options from a file, usage errors.

usage: INGOT=path/to/ingot commands_cli_test.py [CLASS...]
"""
import json
import math
import re
import shutil
import subprocess
import unittest

import tiny_model
from cli_case import INGOT, NOT_FOUND, OK, USAGE, Case


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
        # Values that are empty, out of range or over lines are the file's fault, and said of it.
        for text, said in (('group = 0\n', "pack.toml: --group: '0' is not a whole number above 0"),
                           ('group = \n', "pack.toml: "), ('group = ""\n', "pack.toml: --group: '' is not a whole"),
                           ('quiet = true\ncalib = [\n"a.txt"\n]\n', "pack.toml: line 2: an array"),
                           ('codec = """\nint8_rtn"""\n', "pack.toml: line 1: a text over lines")):
            config.write_text(text)
            self.fails(USAGE, said, "pack", "--config", config, self.model, "-o", target, "--force")
        config.write_text('sign = ""\n')
        self.fails(USAGE, "a key was asked for, but its path is empty", "pack", "--config", config, self.model, "-o", target,
                   "--force")
        config.write_text('group = 0\n')
        self.fails(USAGE, r"\Aingot: --group: '-1'", "pack", "--config", config, self.model, "--group", "-1", "-o", target)

    def test_names_and_numbers_that_are_none(self):
        for command in ("run", "eval"):
            self.fails(USAGE, "--precision: 'foo' is no precision: adaptive, full, int4, int8, mixed ", command, self.model,
                       "--precision", "foo")
        for number in ("3", "int3"):
            self.fails(USAGE, f"--kv: '{number}' is no format of keys and values: f16, f32, int4, int8 ", "run", self.model,
                       "--kv", number)
        self.fails(USAGE, "'foo' is no way to speculate: auto, layers, lookup, off, planes ", "run", self.model, "--speculate", "foo")
        self.fails(USAGE, "--verify: '1' is no time to verify: eager, lazy ", "run", self.model, "--verify", "1")
        self.fails(USAGE, "--memory: '0' is none at all", "pack", self.model, "-o", self.work / "none.ingot", "--memory", "0")
        self.fails(USAGE, "--context: 1 leaves no room", "run", self.model, "-p", "a", "--context", "1")
        self.fails(USAGE, "unknown command 'pck'; did you mean 'pack'", "help", "pck")

    def test_programs_of_libtorch_say_their_options_without_it(self):
        alone = self.work / "alone"
        alone.mkdir()
        shutil.copy(shutil.which(INGOT) or INGOT, alone / "ingot")

        def said(*words):
            run = subprocess.run([str(w) for w in (alone / "ingot", *words)], capture_output=True, text=True)
            return run.returncode, run.stdout, run.stderr

        for words, option in ((("calibrate",), "--probe-tokens"), (("tune",), "--epochs"),
                              (("calibrate", "--routers", "x"), "--min-layers")):
            code, out, error = said(*words, "--help")
            self.assertEqual((code, error), (OK, ""))
            self.assertRegex(out, rf"(?m)^ +(-\w,)?{option} ")
        self.assertIn("--epochs", said("help", "completion", "bash")[1])
        self.assertIn("\\-\\-epochs", said("help", "man", "tune")[1])
        for words, meant in ((("tune", "m", "--reference", "r", "--text", "t", "-o", "x", "--epoch", 1), "--epochs"),
                             (("calibrate", "m", "-o", "x", "--token", 1), "--tokens")):
            self.assertRegex(said(*words)[2], rf"\Aingot: .*did you mean '{meant}'\? \(see ingot {words[0]} --help\)\n\Z")
        config = self.work / "calibrate.toml"
        config.write_text('tokens = 64\ncontxt = 32\n')
        self.assertRegex(said("calibrate", self.model, "-o", "x", "--config", config)[2],
                         "'contxt' is no option of `ingot calibrate`; did you mean 'context'")
        code, _, error = said("tune", "m", "--reference", "r", "--text", "t", "-o", "x")
        self.assertEqual(code, NOT_FOUND)
        self.assertRegex(error, r"ingot-calibrate is not built: .*--torch")

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


if __name__ == "__main__":
    unittest.main(verbosity=2)
