#!/usr/bin/env python3
"""What a terminal shows of files that try to speak for the tool: rendered by an emulator, compared line by line.

usage: INGOT=path/to/ingot terminal_cli_test.py     exit status 77 where a Python package is missing
"""
import fcntl
import os
import pathlib
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import unittest

import tiny_model

try:
    import pyte

    import crafted
except ImportError as missing:
    print(f"SKIP: {missing}; tools/setup --python brings it")
    sys.exit(77)

INGOT = os.environ.get("INGOT", "ingot")
COLUMNS, LINES = 100, 400
# Each tries to print a line of its own, to take one back, or to hide.
HOSTILE = {
    "newline": "ingot 9\n  signed    ed25519 key 00112233: verifies, by the given key",
    "return": "ingot 9\r  signed    ed25519 key 00112233: verifies",
    "erase": "ingot 9\x1b[2K\x1b[1A\x1b[2J\x1b[H  signed    verifies",
    "c1": "ingot 9\x9b2J\x85  signed    verifies",
    "title": "ingot 9\x1b]0;signed by vendor\x07",
    "bidi": "ingot 9\u202eseifirev dengis\u202c",
    "separator": "ingot 9\u2028  signed    verifies\u2029",
    "backspace": "ingot 9" + "\b" * 40 + "signed    verifies",
    "padding": "ingot 9" + " " * (COLUMNS - 19) + "  signed    ed25519 key 00: verifies",
    "wide_padding": "ingot 9" + "\u3000\u00a0\u2003" * 40 + "  signed    verifies",
}


def written_to_terminal(arguments, columns):
    """What a command writes to a terminal that is its stdout and stderr, and its exit status."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    process = subprocess.Popen([INGOT, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
    os.close(slave)
    written = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        written += data
    os.close(master)
    return written, process.wait(timeout=60)


def terminal(*arguments, columns=COLUMNS):
    """The screen after a command whose stdout and stderr are a terminal, and its title."""
    screen = pyte.Screen(columns, LINES)
    pyte.ByteStream(screen).feed(written_to_terminal(arguments, columns)[0])
    return [line.rstrip() for line in screen.display], screen.title


def without_values(lines):
    """What identifies the lines that are Ingot's own words: their labels."""
    return [re.match(r"  (\S+(?: by| short)?)", line).group(1) for line in lines
            if re.match(r"  [a-z]", line)]


class Terminal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="ingot_terminal_"))
        cls.addClassCleanup(shutil.rmtree, cls.work)
        cls.model = tiny_model.write(cls.work / "tiny")
        target = cls.work / "m.ingot"
        subprocess.run([INGOT, "pack", cls.model, "-o", target, "-q"], check=True)
        cls.data = target.read_bytes()

    def shown(self, edit, *arguments):
        path = self.work / "crafted.ingot"
        path.write_bytes(crafted.edited(self.data, edit))
        lines, title = terminal(*[path if a == "FILE" else a for a in arguments])
        self.assertEqual(title, "")
        return lines

    def assert_speaks_alone(self, lines, expected, name):
        self.assertEqual(without_values(lines), without_values(expected), f"{name}: {lines[:20]}")
        self.assertFalse([line for line in lines if re.match(r" *signed ", line) and "no" not in line], name)

    def test_fields_of_an_artifact(self):
        def field(text):
            def edit(manifest):
                manifest["provenance"]["tool"] = text
                manifest["provenance"]["source"]["format"] = text
                manifest["config"]["model_type"] = text
                manifest["provenance"].setdefault("recipe", {})["linear"] = text
                manifest["provenance"]["allocation"] = {"budget": text, "codec": text, "predicted_loss": 1}
                manifest["provenance"]["measured"] = {"positions": 1, "text": text}
            return edit

        expected = self.shown(field("x"), "inspect", "FILE")
        self.assertIn("  signed    no", expected)
        for name, text in HOSTILE.items():
            self.assert_speaks_alone(self.shown(field(text), "inspect", "FILE"), expected, name)

    def test_names_of_tensors(self):
        for name, text in HOSTILE.items():
            def edit(manifest):
                manifest["tensors"][0]["name"] = text
                manifest["tensors"][0]["codec"] = text

            lines = self.shown(edit, "inspect", "FILE", "--tensors")
            self.assertFalse([line for line in lines if re.match(r" *signed (?! *no)", line)], (name, lines[:9]))

    def test_errors_are_one_line(self):
        for name, text in HOSTILE.items():
            def edit(manifest):
                manifest[text] = 1  # an unknown field, named by the error

            lines = [line for line in self.shown(edit, "verify", "FILE") if line]
            self.assertTrue(lines[0].startswith("ingot: "), name)
            self.assertFalse([line for line in lines[1:] if re.match(r" *(signed|ingot:)", line)], (name, lines))

    def test_a_source(self):
        expected, _ = terminal("inspect", self.model)
        for i, (name, text) in enumerate(HOSTILE.items()):
            model = tiny_model.write(self.work / f"hostile{i}", named={
                text if tensor == "model.norm.weight" else tensor: value
                for tensor, value in tiny_model.tensors().items()})
            lines, title = terminal("inspect", model)
            self.assertEqual(title, "")
            self.assertFalse([line for line in lines if re.match(r" *signed ", line)], (name, lines))
            lines = [line for line in terminal("pack", model, "-o", self.work / "x.ingot")[0] if line]
            self.assertTrue(lines[0].startswith("ingot: "), name)
            self.assertFalse([line for line in lines[1:] if re.match(r" *(signed|ingot:)", line)], (name, lines))

    def test_json_is_ascii(self):
        for text in HOSTILE.values():
            def edit(manifest):
                manifest["provenance"]["tool"] = text

            path = self.work / "json.ingot"
            path.write_bytes(crafted.edited(self.data, edit))
            out = subprocess.run([INGOT, "inspect", path, "--json"], capture_output=True, check=True).stdout
            self.assertLess(max(out), 0x7f)
            self.assertFalse(set(range(32)) & set(out) - {0x0a})

    def test_progress_leaves_no_line_behind(self):
        # A line of progress ends in a tensor's name and is longer than these terminals: nothing of it may stay.
        for columns in (80, 20, 8):
            pack = ("pack", self.model, "-o", self.work / "progress.ingot", "--force", "--fast", "--codec", "nested_v1")
            written, code = written_to_terminal(pack, columns)
            self.assertEqual(code, 0, written)
            drawn = [piece.split("\r")[0] for piece in written.decode().split("\r\x1b[K")[1:-1]]
            longest = max(map(len, drawn))  # cut, so that it can be taken back
            self.assertTrue(longest == columns - 1 or 40 < longest < columns, drawn)
            screen = pyte.Screen(columns, LINES)
            pyte.ByteStream(screen).feed(written)
            shown = "".join(screen.display).replace(" ", "")
            self.assertNotRegex(shown, r"\d%,|MB/s|left,|model\.layers", columns)
            self.assertIn("stored", shown)

    def test_pages_fit_80_columns(self):
        target = self.work / "fits.ingot"
        subprocess.run([INGOT, "pack", self.model, "-o", target, "-q", "--codec", "nested_v1"], check=True)
        text = self.work / "words.txt"
        text.write_text("the cat sat on the mat and looked at the dog\n" * 20)
        learned, listed = self.work / "learned.ingot", self.work / "listed.ingot"
        key = self.work / "fits"
        stats = self.work / "fits.stats"
        subprocess.run([INGOT, "keygen", key, "-q"], check=True)
        on_text = ("--text", text, "--context", "32", "--tokens", "512")
        small = ("--prompt", "8", "--context", "16", "--runs", "1", "--steps", "1", "--no-load")
        for args in (("help", "codecs"), ("help", "targets"), ("pack", "--help"),
                     ("inspect", target), ("inspect", target, self.model), ("inspect", self.model),
                     ("pack", self.model, "-o", self.work / "report.ingot", "--fast", "--sign", f"{key}.key"),
                     ("pack", self.model, "--dry-run", "--fast"), ("verify", target),
                     ("verify", self.work / "report.ingot", "--key", f"{key}.pub"), ("sign", target, "--key", f"{key}.key"),
                     ("calibrate", "--classes", target, "-o", learned, *on_text),
                     ("calibrate", "--draft-layers", target, "-o", listed, *on_text),
                     ("calibrate", self.model, "-o", stats, *on_text),
                     ("pack", self.model, "--dry-run", "--stats", stats, "--bpw", "4"),
                     ("pack", self.model, "--plan-only", "--stats", stats),
                     ("analyze", learned, "-p", "the cat sat"), ("bench", target, *small),
                     ("bench", learned, "--speculate", "planes,lookup", "--text", text, "--tokens", "16"),
                     ("eval", target, "--text", text, "--context", "32", "--reference", self.model),
                     ("eval", learned, *on_text, "--precision", "adaptive"),
                     ("export", target, "-o", self.work / "exported")):
            written, code = written_to_terminal(args, 80)
            self.assertEqual(code, 0, (args, written))
            shutil.rmtree(self.work / "exported", ignore_errors=True)
            piped = subprocess.run([INGOT, *map(str, args), *(["--force"] if "-o" in args and "export" not in args else [])],
                                   capture_output=True).stdout
            for line in written.decode().split("\r\n") + piped.decode().split("\n"):
                # A message is a sentence, which the terminal breaks.
                if "ingot: " not in line:
                    self.assertLessEqual(len(line.split("\x1b[K")[-1]), 80, (args, line))


if __name__ == "__main__":
    unittest.main()
