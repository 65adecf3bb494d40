#!/usr/bin/env python3
"""Artifacts that are damaged, signed by another key, or none.

usage: INGOT=path/to/ingot bad_artifacts_cli_test.py [CLASS...]
"""
import json
import random
import shutil
import struct
import unittest

import tiny_model
from cli_case import CORRUPT, FAILED, NOT_FOUND, OK, UNTRUSTED, USAGE, Case, ingot


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
        for verify in ("eager", "lazy"):  # the head is met before a token is printed
            run = ingot("run", self.damaged(bad), "-p", "x", "-n", 1, "--verify", verify)
            self.assertEqual((run.returncode, run.stdout), (CORRUPT, b""))
            self.assertRegex(run.stderr.decode(), r"\.ingot: tensor 'lm_head.weight': plane 0 .*chunk [0-9]+: ")
            self.assertEqual(run.stderr.count(b"lm_head.weight"), 1)

    def test_every_command_names_the_file(self):
        text, questions = self.work / "words.txt", self.work / "q.jsonl"
        text.write_text("the cat sat on the mat and looked at the dog\n" * 20)
        questions.write_text(json.dumps({"context": "the cat", "options": [" sat", " ran"], "answer": 0}) + "\n")
        weights = tiny_model.tensors()
        name = "model.layers.1.mlp.down_proj.weight"
        shape, _ = weights[name]
        weights[name] = (shape, struct.pack("<H", 0x7fc0) * (shape[0] * shape[1]))
        nan = tiny_model.write(self.work / "nan", named=weights)
        made = self.pack("nan.ingot", "--fast", "--allow-nonfinite", model=nan)
        flipped = bytearray(self.whole)
        flipped[-3] ^= 4
        for path, code in ((self.damaged(flipped), CORRUPT), (made, CORRUPT), (self.target, USAGE)):
            for command in (("run", "-p", "x", "-n", 2), ("eval", "--text", text, "--context", 64),
                            ("eval", "--text", text, "--context", 64, "--reference", self.model),
                            ("eval", "--choices", questions), ("eval", "--text", text, "--speculate", "lookup"),
                            ("bench", "--speculate", "lookup", "--text", text, "--tokens", 8),
                            ("export", "-o", self.work / "never"), ("tune-exits", "--text", text),
                            ("bench", "--exits"), ("run", "-p", "x", "--precision", "adaptive"),
                            ("run", "-p", "x", "--speculate", "layers"), ("run", "-p", "x", "--kv", "int4"),
                            ("run", "-p", "x", "--exit", ".5"), ("run", "--chat", "-p", "x")):
                run = ingot(command[0], path, *command[1:])
                if run.returncode == OK:
                    shutil.rmtree(self.work / "never", ignore_errors=True)
                    continue
                # What is asked of a model that has it not is asked in vain of a damaged one, too.
                self.assertIn(run.returncode, {code, USAGE}, (command, run.stderr))
                self.assertIn(path.name.encode(), run.stderr.splitlines()[-1], command)

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


if __name__ == "__main__":
    unittest.main(verbosity=2)
