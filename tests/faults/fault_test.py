#!/usr/bin/env python3
"""Every system call of pack, sign and export fails once: killed, EIO, ENOSPC, a short write, a disk full from then on.

Whatever happens, the target is the old one or the new one, nothing else is left but a spool, a failure says what it
was in one line, and the same command then ends as if nothing had happened.

usage: INGOT=path/to/ingot FAULT_PRELOAD=path/to/libfault_preload.so fault_test.py [CLASS...]
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "cli"))
import tiny_model

INGOT = os.environ.get("INGOT", "ingot")
PRELOAD = os.environ.get("FAULT_PRELOAD", "")
KINDS = ("kill", "EIO", "ENOSPC", "short", "full")
TEMPORARY = re.compile(r".+\.ingot-tmp\.[A-Za-z0-9]{6}\Z")
REMOVALS = {"unlink", "rmdir", "remove", "opendir"}  # where the fault is in the cleaning itself
KILLED = -9


class Faults(unittest.TestCase):
    """Subclasses say what runs, and what its target holds before and after."""
    spooled = False
    in_place = False  # a failed fsync may come after the change

    @classmethod
    def setUpClass(cls):
        if cls is Faults:
            raise unittest.SkipTest("the base of the others")
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk would sync at each of 2,000 runs
        cls.top = pathlib.Path(tempfile.mkdtemp(prefix="ingot_faults_", dir=memory))
        cls.addClassCleanup(shutil.rmtree, cls.top)
        cls.root, cls.log = cls.top / "root", cls.top / "log"
        cls.root.mkdir()
        cls.model = tiny_model.write(cls.root / "model")
        cls.state = cls.root / "state"
        cls.target = cls.root / "out" / "target"
        cls.target.parent.mkdir()
        cls.prepare()
        cls.reset()
        cls.old = cls.read()
        assert cls.run_once(0, "none")[0].returncode == 0
        cls.new = cls.read()
        cls.calls = int(cls.log.read_text().split()[0])

    @classmethod
    def reset(cls):
        """As before the command: the target of old, no spool, no key."""
        shutil.rmtree(cls.state, ignore_errors=True)
        for path in cls.target.parent.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        cls.restore()

    @classmethod
    def read(cls):
        if cls.target.is_dir():
            return {p.name: p.read_bytes() for p in cls.target.iterdir()}
        return cls.target.read_bytes() if cls.target.exists() else None

    @classmethod
    def run_once(cls, at, kind):
        cls.log.write_text("")
        env = {**os.environ, "LD_PRELOAD": PRELOAD, "FAULT_ROOT": str(cls.root), "FAULT_AT": str(at), "FAULT_KIND": kind,
               "FAULT_LOG": str(cls.log), "XDG_STATE_HOME": str(cls.state)}
        run = subprocess.run([INGOT, *map(str, cls.command())], capture_output=True, env=env, timeout=120)
        hit = cls.log.read_text().splitlines()
        return run, hit[0].split()[1] if hit else "nothing"

    def leftovers(self):
        known = {self.target.name}
        if self.spooled:
            known |= {self.target.name + ".spool", self.target.name + ".spool.journal"}
        there = [p.name for p in self.target.parent.iterdir()]
        there += [p.name for p in self.state.rglob("*") if p.is_file() and p.name != "spool.key"]
        return [name for name in there if name not in known]

    def check(self, run, kind, hit):
        self.assertIn(self.read(), (self.old, self.new))
        if run.returncode == KILLED:
            self.assertEqual(kind, "kill")
            # A lock that a killed run leaves is empty and holds nobody.
            self.assertEqual([name for name in self.leftovers() if not TEMPORARY.match(name) and
                              (name != self.target.name + ".lock" or (self.target.parent / name).stat().st_size)], [])
            return
        if run.returncode == 0:
            self.assertEqual(self.read(), self.new)
        else:
            self.assertNotEqual(kind, "short")  # what a call did not do is asked for again
            self.assertRegex(run.stderr.decode(), r"\Aingot: [^\n]+\n\Z")
            self.assertTrue(self.in_place or self.read() == self.old)
        if hit not in REMOVALS:
            self.assertEqual(self.leftovers(), [])

    def sweep(self, kind):
        outcomes = {0: 0}
        for at in range(1, self.calls + 1):
            self.reset()
            run, hit = self.run_once(at, kind)
            with self.subTest(f"{kind} at call {at} of {self.calls}, {hit}: {run.returncode} {run.stderr}"):
                outcomes[run.returncode] = outcomes.get(run.returncode, 0) + 1
                self.check(run, kind, hit)
                if run.returncode == 0 and not self.leftovers() and len(list(self.target.parent.iterdir())) == 1:
                    continue
                again, _ = self.run_once(0, "none")
                if self.read_again_is_refused() and run.returncode in (0, KILLED) and again.returncode != 0:
                    continue  # it was there already, whole
                self.assertEqual(again.returncode, 0, again.stderr)
                self.assertEqual(self.read(), self.new)
                if hit not in REMOVALS:
                    self.assertEqual(self.leftovers(), [])
                    self.assertEqual(len(list(self.target.parent.iterdir())), 1)
        print(f"{type(self).__name__}, {kind}: {self.calls} calls, exit codes {outcomes}", flush=True)
        if kind == "kill":
            self.assertGreater(outcomes.get(KILLED, 0), self.calls * 9 // 10)
        elif kind == "short":
            self.assertEqual(outcomes[0], self.calls)
        else:
            self.assertGreater(self.calls - outcomes[0], 0)

    def read_again_is_refused(self):
        return False


def add_sweeps(cls):
    for kind in KINDS:
        setattr(cls, f"test_{kind}", lambda self, kind=kind: self.sweep(kind))
    return cls


@add_sweeps
class Pack(Faults):
    spooled = True

    @classmethod
    def prepare(cls):
        pass

    @classmethod
    def restore(cls):
        cls.target.write_bytes(b"the old one")

    @classmethod
    def command(cls):
        return "pack", cls.model, "-o", cls.target, "--force", "-q", "--codec", "int8_rtn", "--threads", "1"


@add_sweeps
class Sign(Faults):
    in_place = True

    @classmethod
    def prepare(cls):
        cls.plain, cls.key = cls.root / "plain.ingot", cls.root / "k"
        for command in (("pack", cls.model, "-o", cls.plain, "-q"), ("keygen", cls.key, "-q")):
            subprocess.run([INGOT, *map(str, command)], check=True, env={**os.environ, "XDG_STATE_HOME": str(cls.state)})

    @classmethod
    def restore(cls):
        shutil.copyfile(cls.plain, cls.target)

    @classmethod
    def command(cls):
        return "sign", cls.target, "--key", str(cls.key) + ".key", "-q"


@add_sweeps
class Export(Sign):
    in_place = False

    @classmethod
    def restore(cls):
        pass

    @classmethod
    def command(cls):
        return "export", cls.plain, "-o", cls.target, "-q", "--shard", "100kB", "--threads", "1"

    def read_again_is_refused(self):
        return self.target.exists()


if __name__ == "__main__":
    unittest.main(verbosity=2)
