"""What the bench programs share: running a command with the operating system's own accounting, and
tables. Ratios are taken pair by pair in one run, because these times drift with the machine."""
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
INGOT = pathlib.Path(os.environ.get("INGOT", ROOT / "build/release/bin/ingot"))
MODELS = pathlib.Path(os.environ.get("INGOT_MODELS", ROOT / ".cache/models"))
PEER_PYTHON = pathlib.Path(os.environ.get(
    "INGOT_PEERS", pathlib.Path.home() / ".cache/ingot-peers")) / "bin/python"
TORCH_PEER_PYTHON = pathlib.Path(os.environ.get(
    "INGOT_PEERS_TORCH", pathlib.Path.home() / ".cache/ingot-peers-torch")) / "bin/python"


class Run:
    """A finished command: seconds of wall, user and system time, peak resident bytes, output."""

    def __init__(self, argv, check=True):
        argv = [str(a) for a in argv]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            # posix_spawn: forking this interpreter would cost several times what is measured.
            streams = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, err.fileno(), 2)]
            begin = time.perf_counter()
            child = os.posix_spawnp(argv[0], argv, os.environ, file_actions=streams)
            _, status, usage = os.wait4(child, 0)
            self.wall = time.perf_counter() - begin
            self.code = os.waitstatus_to_exitcode(status)
            self.cpu = usage.ru_utime + usage.ru_stime
            self.user, self.system = usage.ru_utime, usage.ru_stime
            self.peak_bytes = usage.ru_maxrss * 1024
            out.seek(0), err.seek(0)
            self.out, self.err = out.read().decode("utf-8", "replace"), err.read().decode("utf-8", "replace")
        if check and self.code != 0:
            sys.exit(f"{' '.join(map(str, argv))}\nexit {self.code}: {self.err.strip()[-2000:]}")


def peer(code, *args):
    """Runs Python code in the peers' environment; its last output line is JSON."""
    if not PEER_PYTHON.exists():
        sys.exit(f"{PEER_PYTHON} is absent: tools/bench/setup_peers makes it (llama.cpp, 10 minutes)")
    run = Run([PEER_PYTHON, "-c", code, *args])
    return json.loads(run.out.strip().splitlines()[-1])


def bench_program(name):
    path = ROOT / "build/release/bin" / name
    if not path.exists():
        sys.exit(f"{path} is absent: cmake --build --preset release")
    return path


def median(values):
    return statistics.median(values)


def spread(values, digits=3):
    return f"{median(values):.{digits}g} ({min(values):.{digits}g}..{max(values):.{digits}g})"


def row(what, measured, reach, met):
    print(f"{'ok  ' if met else 'MISS'} {what}: {measured} (to reach: {reach})", flush=True)
    return met


def warm(*paths):
    """Reads files into the page cache, so that no side pays for the disk."""
    for path in paths:
        with open(path, "rb", buffering=0) as f:
            while f.read(1 << 22):
                pass


def need(path, how):
    path = pathlib.Path(path)
    if not path.exists():
        sys.exit(f"{path} is absent: {how}")
    return path


def scratch():
    """A folder beside the models, on the same disk, removed at exit."""
    import atexit
    folder = tempfile.mkdtemp(prefix="ingot-bench-", dir=MODELS if MODELS.exists() else None)
    atexit.register(shutil.rmtree, folder, True)
    return pathlib.Path(folder)
