#!/usr/bin/env python3
"""Hostile files and signals at the command line: spools of others, pipes and links as model files, cut sources, limits.

usage: INGOT=path/to/ingot hostile_files_cli_test.py
"""
import os
import pathlib
import random
import resource
import signal
import struct
import subprocess
import time
import unittest

import tiny_model
from cli_case import FAILED, INGOT, OK, USAGE, Case, ingot

BIG_VOCABULARY = 300_000


def write_big(directory):
    """A model that takes long enough to be interrupted: an embedding and a head of 38 MB each."""
    rng = random.Random(2)
    block = struct.pack("<4096H", *(tiny_model.bf16(rng.gauss(0, 0.1)) for _ in range(4096)))
    named = tiny_model.tensors()
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        shape = (BIG_VOCABULARY, tiny_model.HIDDEN)
        size = 2 * shape[0] * shape[1]
        named[name] = (shape, (block * (size // len(block) + 1))[:size])
    return tiny_model.write(directory, named, vocab_size=BIG_VOCABULARY)


class Signals(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.big = write_big(cls.work / "big")

    def pack_until_a_slab_is_done(self, target, *args):
        process = subprocess.Popen([INGOT, "pack", self.big, "-o", target, "-q", "--codec", "nested_v1", "--threads", "1",
                                    *args], stderr=subprocess.PIPE)
        journal = pathlib.Path(str(target) + ".spool.journal")
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (journal.exists() and journal.stat().st_size > 400):
            time.sleep(0.002)
        return process

    def names(self, prefix):
        return sorted(p.name for p in self.work.iterdir() if p.name.startswith(prefix))

    def test_interrupted_says_what_resumes(self):
        for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            target = self.work / f"int{sent}.ingot"
            process = self.pack_until_a_slab_is_done(target)
            process.send_signal(sent)
            error = process.communicate(timeout=60)[1].decode()
            self.assertEqual(process.returncode, -sent, error)
            self.assertEqual(error, f"ingot: interrupted; the same command resumes from {target}.spool\n")
            self.assertEqual(self.names(target.name), [f"{target.name}.spool", f"{target.name}.spool.journal"])
        run = self.run_ok("pack", self.big, "-o", target, "--codec", "nested_v1")
        self.assertIn(b"were there from an earlier run", run.stdout)
        self.assertEqual(self.names(target.name), [target.name])

    def test_a_source_cut_while_it_is_packed(self):
        target, weights = self.work / "cut.ingot", self.big / "model.safetensors"
        whole = weights.stat()
        process = self.pack_until_a_slab_is_done(target)
        os.truncate(weights, 1 << 20)
        error = process.communicate(timeout=60)[1].decode()
        self.assertRegex(error, r"\Aingot: [^\n]*model\.safetensors: [^\n]*cut short[^\n]*\n\Z")
        self.assertEqual(process.returncode, FAILED)
        self.assertFalse(target.exists())
        self.assertEqual([n for n in self.names("cut.ingot") if ".spool" not in n], [])
        weights.unlink()
        write_big(self.work / "again")
        (self.work / "again" / "model.safetensors").rename(weights)
        self.assertEqual(weights.stat().st_size, whole.st_size)

    def test_a_file_size_limit_is_an_error(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))  # SIGXFSZ does what it does
        run = subprocess.run([INGOT, "pack", self.model, "-o", self.work / "limit.ingot", "-q", "--codec", "int8_rtn"],
                             capture_output=True, preexec_fn=limit, timeout=60)
        self.assertEqual(run.returncode, FAILED, run.stderr)
        self.assertRegex(run.stderr.decode(), r"\Aingot: [^\n]*File too large[^\n]*\n\Z")
        artifact = self.pack("m.ingot", "--codec", "lossless_v1")
        run = subprocess.run([INGOT, "export", artifact, "-o", self.work / "limit.out", "-q"], capture_output=True,
                             preexec_fn=limit, timeout=60)
        self.assertEqual(run.returncode, FAILED, run.stderr)
        self.assertRegex(run.stderr.decode(), r"\Aingot: [^\n]*File too large[^\n]*\n\Z")
        self.assertEqual(self.names("limit.out"), [])


class Files(Case):
    def test_spools_that_are_not_ours(self):
        target, spool = self.work / "s.ingot", self.work / "s.ingot.spool"
        for path in (spool, self.work / "s.ingot.spool.journal"):
            path.write_text("notes of the user's")
            self.fails(USAGE, "left by this version", "pack", self.model, "-o", target)
            self.assertEqual(path.read_text(), "notes of the user's")
            path.unlink()
            path.symlink_to(self.model / "config.json")
            self.fails(USAGE, "is a link", "pack", self.model, "-o", target)
            self.assertTrue((self.model / "config.json").read_text())
            path.unlink()
        self.assertEqual([p.name for p in self.work.iterdir() if p.name.startswith("s.ingot")], [])
        # The source under the name of the spool.
        model = tiny_model.write(self.work / "renamed")
        whole = (model / "model.safetensors").read_bytes()
        (model / "model.safetensors").rename(model / "g.spool")
        (model / "model.safetensors").symlink_to("g.spool")
        self.fails(USAGE, "left by this version", "pack", model, "-o", model / "g")
        self.assertEqual((model / "g.spool").read_bytes(), whole)
        self.fails(USAGE, "of the model itself", "pack", model, "-o", model / "g.spool", "--force")
        self.assertEqual((model / "g.spool").read_bytes(), whole)

    def test_cleaning_spares_what_is_only_named_alike(self):
        kept = [self.work / f"m.ingot{suffix}" for suffix in (".tmp.backup", ".tmp.abcdef", ".tmp.draft.gguf",
                                                              ".ingot-tmp.backup")]
        for path in kept:
            path.write_text("the user's")
        self.pack("m.ingot")
        for path in kept:
            self.assertEqual(path.read_text(), "the user's")

    def test_pipes_and_devices_are_refused_at_once(self):
        fifo = self.work / "fifo"
        os.mkfifo(fifo)
        good = self.pack("good.ingot")
        self.run_ok("keygen", self.work / "k", "-q")
        for path in (fifo, pathlib.Path("/dev/zero"), pathlib.Path("/dev/tty")):
            for args in (("pack", path, "-o", self.work / "x.ingot"), ("inspect", path), ("verify", path),
                         ("sign", path, "--key", self.work / "k.key"), ("sign", good, "--key", path),
                         ("run", path, "-p", "x"), ("export", path, "-o", self.work / "x"),
                         ("verify", good, "--key", path), ("pack", self.model, "-o", self.work / "x", "--sign", path),
                         ("pack", self.model, "-o", self.work / "x", "--stats", path),
                         ("eval", good, "--text", path)):
                if args[0] == "eval" and path == fifo:
                    continue  # a text may come from a pipe: it waits for one who writes
                with self.subTest(" ".join(map(str, args))):
                    run = subprocess.run([INGOT, *map(str, args)], capture_output=True, timeout=60)
                    self.assertNotEqual(run.returncode, OK)
                    self.assertRegex(run.stderr.decode(), r"\A(ingot: warning: [^\n]*\n)?ingot: [^\n]*\n\Z")
        self.fails(USAGE, "is a pipe, a file was expected", "pack", self.model, "-o", fifo, "--force")
        self.assertTrue(fifo.is_fifo())  # not replaced
        for name in ("config.json", "tokenizer.json", "model.safetensors", "model.safetensors.index.json"):
            model = tiny_model.write(self.work / f"with-{name}")
            for path in {model / name, model / "model.safetensors"} if "index" in name else {model / name}:
                path.unlink(missing_ok=True)
            os.mkfifo(model / name)
            self.fails(USAGE, "is a pipe", "pack", model, "-o", self.work / "x.ingot")

    def test_links_out_of_the_folder_are_not_packed(self):
        secret = self.work / "secret.json"
        secret.write_text('{"private": 1}')
        model = tiny_model.write(self.work / "linked")
        (model / "generation_config.json").symlink_to(secret)
        self.fails(FAILED, "link out of the model's folder", "pack", model, "-o", self.work / "x.ingot")


if __name__ == "__main__":
    unittest.main(verbosity=2)
