"""What the command-line tests share: `ingot` run on a model made for the class, exit codes, one-line errors."""
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import unittest

import tiny_model

INGOT = os.environ.get("INGOT", "ingot")
OK, FAILED, USAGE, CORRUPT, UNTRUSTED, NOT_FOUND = range(6)


def ingot(*args, stdin=None, limit_file_bytes=None):
    def limit():
        if limit_file_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writes fail with EFBIG, as on a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_file_bytes, limit_file_bytes))
    return subprocess.run([INGOT, *map(str, args)], input=stdin, capture_output=True, preexec_fn=limit,
                          timeout=300)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="ingot_cli_"))
        cls.addClassCleanup(shutil.rmtree, cls.work)
        os.environ["XDG_STATE_HOME"] = str(cls.work / "state")  # the key of spools
        cls.model = tiny_model.write(cls.work / "tiny")

    def run_ok(self, *args, **kwargs):
        run = ingot(*args, **kwargs)
        self.assertEqual(run.returncode, OK, run.stderr.decode())
        return run

    def fails(self, code, pattern, *args, **kwargs):
        run = ingot(*args, **kwargs)
        error = run.stderr.decode()
        # What will be known about the model is said before work.
        error = re.sub(r"\Aingot: [^\n]*packing by nearest rounding[^\n]*\n(?=ingot: )", "", error)
        self.assertEqual(run.returncode, code, error)
        self.assertRegex(error, pattern)
        self.assertRegex(error, r"\Aingot: [^\n]*\n\Z")
        self.assertEqual(run.stdout, b"")
        return error

    def pack(self, name="m.ingot", *args, model=None):
        target = self.work / name
        self.run_ok("pack", model or self.model, "-o", target, "--force", "-q", *args)
        return target


def read_safetensors(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    return {name: (tuple(t["shape"]), t["dtype"], data[8 + length + t["data_offsets"][0]:
                                                       8 + length + t["data_offsets"][1]])
            for name, t in header.items()}
