#!/usr/bin/env python3
"""What a person at the command line sees of files: texts from pipes, outputs that are no plain files or are there already,
numbers that are none, tokenizers that cannot be read.

usage: INGOT=path/to/ingot files_cli_test.py
"""
import fcntl
import json
import os
import pathlib
import re
import stat
import subprocess
import unittest

import tiny_model
from cli_case import FAILED, INGOT, NOT_FOUND, OK, USAGE, Case

WORDS = "The quick brown fox jumps over the lazy dog. " * 20
CALIBRATE = pathlib.Path(INGOT).with_name("ingot-calibrate")


def shell(script, *args, **kwargs):
    """A bash script with INGOT as $0 and `args` as its own."""
    return subprocess.run(["bash", "-c", script, INGOT, *map(str, args)], capture_output=True, timeout=300, **kwargs)


class Texts(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.words = cls.work / "words.txt"
        cls.words.write_text(WORDS)
        cls.target = cls.work / "t.ingot"
        subprocess.run([INGOT, "pack", str(cls.model), "-o", str(cls.target), "-q"], check=True)

    def evaluated(self, run):
        self.assertEqual(run.returncode, OK, run.stderr.decode())
        found = json.loads(run.stdout)
        return found["perplexity"], found["tokens"], found["text"]

    def test_a_text_is_the_same_from_everywhere(self):
        rest = f"--reference {self.model} --context 64 --json"
        args = (self.target, self.words)
        file = self.evaluated(shell(f'"$0" eval "$1" {rest} --text "$2"', *args))
        self.assertEqual(file[2], "words.txt")
        for script in (f'cat "$2" | "$0" eval "$1" {rest} --text /dev/stdin', f'cat "$2" | "$0" eval "$1" {rest} --text -',
                       f'"$0" eval "$1" {rest} --text - < "$2"', f'"$0" eval "$1" {rest} --text <(cat "$2")',
                       f'mkfifo "$2.fifo"; cat "$2" > "$2.fifo" & "$0" eval "$1" {rest} --text "$2.fifo"'):
            found = self.evaluated(shell(script, *args))
            self.assertEqual(found[:2], file[:2], script)
            if "stdin" in script or "--text -" in script:
                self.assertEqual(found[2], "standard input")

    def test_a_pipe_is_read_once_for_every_use(self):
        (self.work / "long.txt").write_text(WORDS * 4)
        run = shell('cat "$2" | "$0" pack "$1" -o "$3" -q --codec int8_rtn --measure - --measure-tokens 600', self.model, self.work / "long.txt",
                    self.work / "measured.ingot")
        self.assertEqual(run.returncode, OK, run.stderr.decode())

    def test_a_prompt_from_a_pipe(self):
        plain = self.run_ok("run", self.target, "-p", "Hello", "-n", 4, "--greedy", "-q").stdout
        self.assertEqual(self.run_ok("run", self.target, "-p", "-", "-n", 4, "--greedy", "-q", stdin=b"Hello").stdout, plain)
        marked = self.run_ok("run", self.target, "-p", "-", "-n", 4, "--greedy", "-q", stdin=b"\xef\xbb\xbfHello")
        self.assertEqual(marked.stdout, plain)
        self.fails(USAGE, "standard input: is UTF-16", "run", self.target, "-p", "-", stdin="Hello".encode("utf-16"))

    def test_what_is_no_text_is_refused_by_name(self):
        bad = {"utf16.txt": (WORDS.encode("utf-16"), "is UTF-16 by its first bytes"), "latin1.txt": (b"caf\xe9 " * 200, "not UTF-8 at byte 3"),
               "binary.txt": (b"\x7fELF\0\0" * 200, "byte 4 is a NUL")}
        for name, (content, words) in bad.items():
            (self.work / name).write_bytes(content)
            for how in (("--text", self.work / name, {}), ("--text", "-", {"stdin": content})):
                error = self.fails(USAGE, words, "eval", self.target, "--reference", self.model, *how[:2], "--context", 64, **how[2])
                self.assertIn("standard input: " if how[2] else name, error)
        self.fails(USAGE, "directory", "eval", self.target, "--reference", self.model, "--text", self.work, "--context", 64)
        self.fails(NOT_FOUND, "none.txt", "eval", self.target, "--reference", self.model, "--text", self.work / "none.txt", "--context", 64)
        (self.work / "mark.txt").write_bytes(b"\xef\xbb\xbf" + WORDS.encode())
        rest = ("--reference", self.model, "--context", 64, "--json")
        with_mark = self.run_ok("eval", self.target, *rest, "--text", self.work / "mark.txt")
        without = self.run_ok("eval", self.target, *rest, "--text", self.words)
        self.assertEqual(json.loads(with_mark.stdout)["perplexity"], json.loads(without.stdout)["perplexity"])

    def test_errors_about_standard_input_name_it(self):
        self.fails(3, "^ingot: standard input: ", "verify", "-", stdin=b"nonsense" * 1000)
        self.fails(3, "^ingot: standard input: ", "run", "-", "-p", "a", stdin=b"nonsense" * 1000)


class Outputs(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.words = cls.work / "words.txt"
        cls.words.write_text(WORDS)
        cls.packed = cls.work / "o.ingot"
        subprocess.run([INGOT, "pack", str(cls.model), "-o", str(cls.packed), "-q"], check=True)
        cls.precious = cls.work / "precious"

    def commands(self):
        """Every command that writes one file, but for its -o."""
        yield ("pack", self.model, "-q")
        yield ("imatrix", "import", self.work / "none.gguf", self.model)
        yield ("imatrix", "export", self.work / "none.safetensors", self.model)
        if CALIBRATE.exists():
            yield ("calibrate", self.model, "-q", "--text", self.words)
            yield ("tune", self.packed, "--reference", self.model, "-q", "--text", self.words)

    def test_refused_before_work(self):
        fifo = self.work / "fifo"
        if not fifo.exists():
            os.mkfifo(fifo)
            (self.work / "to_fifo").symlink_to(fifo)
        for command in self.commands():
            self.precious.write_text("precious")
            self.fails(USAGE, "precious: exists; --force replaces it", *command, "-o", self.precious)
            self.fails(USAGE, "-o: the file to write has no name", *command, "-o", "")
            for force in ((), ("--force",)):
                self.fails(USAGE, "is a directory, -o takes a file", *command, "-o", self.work, *force)
                self.fails(USAGE, "fifo: is a pipe", *command, "-o", fifo, *force)
                self.fails(USAGE, "leads to a pipe", *command, "-o", self.work / "to_fifo", *force)
                self.fails(USAGE, "/dev/null: is a device", *command, "-o", "/dev/null", *force)
            self.fails(NOT_FOUND, "no such directory", *command, "-o", self.work / "none" / "x")
            self.assertEqual(self.precious.read_text(), "precious")
        self.assertTrue(stat.S_ISFIFO(fifo.stat().st_mode))
        self.fails(USAGE, "is there already", "export", self.packed, "-o", self.work)
        self.fails(USAGE, "no name", "export", self.packed, "-o", "")
        self.fails(USAGE, "is there already", "export", self.packed, "-o", "/dev/null")
        self.fails(USAGE, "no name", "keygen", "")

    def test_keys_are_never_overwritten(self):
        (self.work / "k.pub").write_text("precious")
        self.fails(USAGE, "exists", "keygen", self.work / "k")
        self.assertEqual((self.work / "k.pub").read_text(), "precious")
        self.assertFalse((self.work / "k.key").exists())

    def test_links_are_written_through(self):
        target = self.work / "linked.ingot"
        link = self.work / "link.ingot"
        link.symlink_to(target.name)
        self.run_ok("pack", self.model, "-o", link, "-q")
        self.assertTrue(link.is_symlink())
        self.assertEqual(target.read_bytes(), self.packed.read_bytes())
        self.fails(USAGE, "link.ingot: exists; --force", "pack", self.model, "-o", link)
        self.run_ok("pack", self.model, "-o", link, "-q", "--force", "--codec", "int8_rtn")
        self.assertTrue(link.is_symlink())
        self.assertNotEqual(target.read_bytes(), self.packed.read_bytes())

    def test_standard_output(self):
        for name in ("-", "/dev/stdout", "/dev/fd/1"):
            run = self.run_ok("pack", self.model, "-o", name)
            self.assertEqual(run.stdout, self.packed.read_bytes(), name)
            self.assertRegex(run.stderr, rb"root\s+blake3:")
        self.assertFalse(pathlib.Path("-").exists())
        run = shell('"$0" pack "$1" -o /dev/stdout -q > "$2"; "$0" verify "$2"', self.model, self.work / "redirected.ingot")
        self.assertEqual(run.returncode, OK, run.stderr.decode())
        run = shell('"$0" pack "$1" -o - -q > /dev/full', self.model)
        self.assertEqual((run.returncode, run.stdout), (FAILED, b""))
        self.assertRegex(run.stderr.decode(), r"\Aingot: standard output: cannot write byte 0 of \d+: No space left on device\n\Z")
        if CALIBRATE.exists():
            self.fails(USAGE, "give the name of a file", "calibrate", self.model, "-o", "-")

    def test_full_and_closed_streams(self):
        for command in ('"$0" --help', '"$0" --version', '"$0" pack --help', '"$0" inspect "$1"', '"$0" inspect "$1" --json', '"$0" verify "$1"',
                        '"$0" run "$1" -p a -n 2 -q', '"$0" keygen "$1.full"', '"$0" inspect "$2" --tensors'):
            for redirect in (">/dev/full", ">&-"):
                run = shell(f"rm -f \"$1\".full*; {command} {redirect}", self.packed, self.model)
                self.assertEqual(run.returncode, FAILED, f"{command} {redirect}: {run.stderr}")
                self.assertRegex(run.stderr.decode(), r"\Aingot: cannot write to standard output[^\n]*\n\Z", command)
        # What is printed on a closed stream must not land in a file that took its number.
        run = shell('"$0" pack "$1" -o "$2" >&-; "$0" verify "$2"', self.model, self.work / "closed.ingot")
        self.assertEqual(run.returncode, OK, run.stderr.decode())
        self.assertEqual((self.work / "closed.ingot").read_bytes(), self.packed.read_bytes())

    def test_what_cannot_be_said_changes_nothing(self):
        for n, redirect in enumerate(("2>&-", "2>/dev/full", "2> >(true)")):
            for flags in ("--fast", "--codec int4_rtn", "-q"):
                target = self.work / f"unsaid{n}.ingot"
                run = shell(f'"$0" pack "$1" -o "$2" --force {flags} {redirect}', self.model, target)
                self.assertEqual(run.returncode, OK, f"{flags} {redirect}")
                run = shell(f'"$0" verify "$2.none" {redirect}', self.model, target)
                self.assertEqual(run.returncode, NOT_FOUND, redirect)
        run = shell('"$0" pack "$1" -o - --fast 2>/dev/full', self.model)
        self.assertEqual(run.returncode, OK)

    def test_a_reader_that_ends_leaves_nothing(self):
        folder = self.work / "tmpdir"
        folder.mkdir()
        run = shell('export TMPDIR="$2"; "$0" pack "$1" -o - --fast -q 2>"$2.said" | head -c 10 | wc -c; exit ${PIPESTATUS[0]}',
                    self.model, folder)
        self.assertEqual(list(folder.iterdir()), [])
        self.assertEqual(run.stdout.split(), [b"10"])
        # One that prints ends as its reader wishes, without a word.
        run = shell('"$0" inspect "$1" | true; exit ${PIPESTATUS[0]}', self.packed)
        self.assertIn((run.returncode, run.stderr), [(0, b""), (128 + 13, b"")])

    def test_what_is_no_file_is_refused(self):
        self.fails(USAGE, "export makes a directory", "export", self.packed, "-o", "-")
        self.assertFalse(pathlib.Path("-").exists())
        self.run_ok("keygen", self.work / "pair", "-q")
        self.fails(USAGE, "sign adds to a file in place", "sign", "-", "--key", self.work / "pair.key")
        run = shell('"$0" pack "$1" -o - --fast -q >&-', self.model)
        self.assertEqual(run.returncode, USAGE)
        self.assertRegex(run.stderr.decode(), "standard output: is closed, or open for reading alone")

    def test_one_pack_at_a_time_for_a_target(self):
        target = self.work / "both.ingot"
        lock = pathlib.Path(f"{target}.lock")
        lock.touch(0o600)
        with lock.open("r+") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.fails(USAGE, "both.ingot: another process is packing to this target; wait", "pack", self.model, "-o", target)
        self.assertFalse(target.exists())
        self.run_ok("pack", self.model, "-o", target, "-q")  # nobody holds it: what a kill left
        self.assertFalse(lock.exists())
        lock = self.work / "both.stats.lock"
        lock.touch(0o600)
        with lock.open("r+") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.fails(USAGE, "both.stats: another process is taking these statistics; wait", "calibrate", self.model,
                       "-o", self.work / "both.stats", "--text", self.words, "-q")
        self.run_ok("calibrate", self.model, "-o", self.work / "both.stats", "--text", self.words, "-q", "--tokens", 512,
                    "--context", 64)
        self.assertFalse(lock.exists())

    def test_a_cache_of_other_answers_is_kept(self):
        cache = self.work / "cache"
        rest = ("--reference", self.model, "--text", self.words, "--cache", cache, "-q")
        self.run_ok("eval", self.packed, *rest, "--context", 64)
        before = cache.read_bytes()
        self.fails(USAGE, "cache: holds a reference's answers to another .*--force", "eval", self.packed, *rest, "--context", 32)
        self.assertEqual(cache.read_bytes(), before)
        self.run_ok("eval", self.packed, *rest, "--context", 32, "--force")
        self.assertNotEqual(cache.read_bytes(), before)

    def test_names_are_printed_on_one_line(self):
        name = self.work / "a\nb\x1b[31m"
        for command in (("keygen", name), ("sign", name, "--key", f"{name}.key"), ("export", name, "-o", f"{name}.d")):
            if command[0] == "sign":
                name.write_bytes(self.packed.read_bytes())
            shown = self.run_ok(*command).stdout
            self.assertIn(rb"a\u{a}b\u{1b}[31m", shown, command)
            self.assertNotIn(b"\x1b", shown)


class Numbers(Case):
    def options(self, *command):
        """Options of a command that take a number, by its help: those with N, and known others."""
        text = self.run_ok(*command, "--help").stdout.decode()
        found = re.findall(r"^\s+(?:-\w,\s*)?(--[\w-]+)[ ,](?:N|G|B|UINT|INT|FLOAT|BITS|NATS)\b", text, re.M)
        return [*found, *re.findall(r"(--seed)\b", text)]

    def test_no_number_wraps(self):
        packed = self.pack("n.ingot")
        cases = {("run",): (packed, "-p", "a"), ("eval",): (packed, "--reference", self.model), ("pack",): (self.model, "-o", self.work / "never")}
        if CALIBRATE.exists():
            cases[("calibrate",)] = (self.model, "-o", self.work / "never")
            cases[("tune",)] = (packed, "--reference", self.model, "--text", "x", "-o", self.work / "never")
        for command, rest in cases.items():
            options = set(self.options(*command))
            self.assertTrue({"run": {"--top-k", "--seed", "--context", "--tokens", "--threads"}, "eval": {"--tokens", "--stride", "--masked"},
                             "pack": {"--group", "--bits", "--bpw"}, "calibrate": {"--tokens"}, "tune": {"--epochs"}}[command[0]] <= options, options)
            for option in sorted(options):
                real = option in ("--bpw", "--max-kl", "--precision-kl", "--rate", "--repeat-penalty", "--temperature", "--top-p", "--min-p")
                for value in ("-1", "1" + "0" * (400 if real else 30), "nan", "x"):
                    self.fails(USAGE, f"{option}: ", *command, *rest, f"{option}={value}")
        self.fails(USAGE, "--tokens: '-1' is not a whole number", "run", packed, "-p", "a", "-n", "-1")
        self.assertFalse((self.work / "never").exists())
        self.run_ok("run", packed, "-p", "a", "-q", "-n", "010", "--seed", "18446744073709551615")


class Tokenizers(Case):
    def model_with(self, name, files):
        folder = tiny_model.write(self.work / name, with_tokenizer=False)
        for file, content in files.items():
            (folder / file).write_text(content)
        return folder

    def test_pack_says_what_is_wrong_with_a_tokenizer(self):
        good = json.dumps(tiny_model.tokenizer())
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 11421896\n"
        for name, files, words in (
                ("lfs", {"tokenizer.json": pointer}, r"tokenizer\.json: is a Git LFS pointer.*git lfs pull"),
                ("lfs_model", {"tokenizer.model": pointer}, r"tokenizer\.model: is a Git LFS pointer"),
                ("lfs_config", {"tokenizer.json": good, "tokenizer_config.json": pointer}, r"tokenizer_config\.json: is a Git LFS pointer"),
                ("cut", {"tokenizer.json": good[:-40]}, r"tokenizer\.json: not valid JSON at byte"),
                ("empty", {"tokenizer.model": ""}, r"tokenizer\.model: ")):
            folder = self.model_with(name, files)
            self.fails(3, words + ".*--no-tokenizer", "pack", folder, "-o", self.work / f"{name}.ingot")
            self.assertFalse((self.work / f"{name}.ingot").exists())
            self.run_ok("pack", folder, "-o", self.work / f"{name}.ingot", "-q", "--no-tokenizer")
        slow = self.model_with("slow", {"vocab.json": "{}", "merges.txt": "", "tokenizer_config.json": '{"tokenizer_class": "XTokenizer"}'})
        run = self.run_ok("pack", slow, "-o", self.work / "slow.ingot")
        self.assertRegex(run.stderr.decode(), r"\Aingot: warning: the tokenizer is stored, but not understood: a XTokenizer needs its tokenizer\.json[^\n]*\n")

    def test_json_as_python_writes_it(self):
        good = json.dumps(tiny_model.tokenizer())
        for name, files in (("infinity", {"tokenizer_config.json": '{"model_max_length": Infinity}'}),
                            ("nan", {"generation_config.json": '{"eos_token_id": 1, "temperature": NaN}'}),
                            ("twice", {"tokenizer_config.json": '{"eos_token": "x", "eos_token": "a"}'}),
                            ("twice_inside", {"tokenizer.json": good.replace('"vocab": {', '"vocab": {"a": 3, ')})):
            folder = self.model_with(name, dict({"tokenizer.json": good}, **files))
            target = self.pack(f"{name}.ingot", "--fast", model=folder)
            plain = self.run_ok("run", self.pack("plain.ingot", "--fast"), "-p", "ab", "-n", 3, "--greedy", "-q", "--ignore-eos").stdout
            self.assertEqual(self.run_ok("run", target, "-p", "ab", "-n", 3, "--greedy", "-q", "--ignore-eos").stdout, plain)
        bad = self.model_with("nan_id", {"tokenizer.json": good, "generation_config.json": '{"eos_token_id": NaN}'})
        self.fails(3, "eos_token_id", "pack", bad, "-o", self.work / "nan_id.ingot")


if __name__ == "__main__":
    unittest.main()
