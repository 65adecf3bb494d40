#!/usr/bin/env python3
"""What the dearest small artifacts cost: models of zeros, of as many weights as a file of that size may name, packed by
every codec and pressed into less than 120 kB, with digests that are right. Prints CPU seconds and peak memory of every
command on each; exit status 1 where one passes the bounds of docs/security.md.

usage: tools/bench/crafted_cost.py [--ingot build/release/bin/ingot] [--weights 66000000]
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/cli"))
import crafted  # noqa: E402
import tiny_model  # noqa: E402
import zstandard  # noqa: E402

CODECS = ("lossless_v1", "int8_rtn", "int4_rtn", "int4_residual_v1", "fp8_hybrid_v1", "nested_v1",
          "entropy_v1", "entropy_v2", "int4_rtn --transform hadamard")
COMMANDS = {"inspect": (), "inspect --verify": (), "verify": (), "run": ("-p", "x" * 60, "-n", "1", "-q"),
            "export": ("-o", "OUT", "-q"), "eval": ("--reference", "MODEL", "--text", "TEXT", "--tokens", "32",
                                                    "--context", "16", "-q")}
MAX_BYTES, MAX_MEMORY, MAX_SECONDS = 120_000, 256 << 20, 2.0


def zero_model(folder, vocab):
    """The tiny LLaMA with a vocabulary that holds nearly all weights, all of them zero."""
    named = {name: (shape, bytes(2 * shape[0] * (shape[1] if len(shape) > 1 else 1)))
             for name, shape in tiny_model.shapes(vocab).items()}
    tiny_model.write(folder, named, vocab_size=vocab)


def press_file(path):
    """The artifact with every raw chunk as zstd, at its best."""
    press = zstandard.ZstdCompressor(level=19)
    manifest = crafted.take_apart(path.read_bytes())
    seen = {}
    for stream in crafted.streams_of(manifest):
        stream["chunks"] = [chunk if chunk[0] != 0 else
                            seen.setdefault(chunk[1], (1, press.compress(chunk[1]), chunk[2]))
                            for chunk in stream["chunks"]]
    path.write_bytes(crafted.put_together(manifest))


def with_tokenizer(change):
    """An edit of the packed tiny model: its tokenizer.json's text through `change`."""
    def edit(manifest):
        for asset in manifest["assets"]:
            if asset["name"] == "tokenizer.json":
                text = b"".join(zstandard.ZstdDecompressor().decompress(data, n) if coding else data
                                for coding, data, n in asset["chunks"])
                asset["chunks"] = crafted.zstd(change(text))
    return edit


def growing(text):
    """Twenty normalizers in a row, each of which makes eight letters of one."""
    document = json.loads(text)
    step = {"type": "Replace", "pattern": {"String": "x"}, "content": "x" * 8}
    document["normalizer"] = {"type": "Sequence", "normalizers": [step] * 20}
    return json.dumps(document).encode()


def backtracking(text):
    document = json.loads(text)
    document["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "(x+x+)+y"}, "behavior": "Isolated", "invert": False}
    return json.dumps(document).encode()


def many_tensors(manifest):
    manifest["tensors"] += [{"name": f"t{i}", "shape": [1], "dtype": "f32", "codec": "c", "role": "vector", "layer": -1,
                             "extra": {}, "planes": [{"kind": "none", "attributes": {}, "level": 0, "streams": []}]}
                            for i in range(10_000)]


EDITS = {
    "10,000 tensors": many_tensors,
    "tokenizer of 100 MB of numbers": with_tokenizer(lambda text: text[:-1] + b',"more":[0' + b",0" * 50_000_000 + b"]}"),
    "tokenizer of 100 MB of brackets": with_tokenizer(lambda text: text[:-1] + b',"more":' + b"[" * 100_000_000),
    "tokenizer of 100 MB of space": with_tokenizer(lambda text: text[:-1] + b" " * 100_000_000 + b"}"),
    "tokenizer of one string": with_tokenizer(lambda text: text[:-1] + b',"more":"' + b"x" * 100_000_000 + b'"}'),
    "normalizers that grow text": with_tokenizer(growing),
    "a pattern that backtracks": with_tokenizer(backtracking),
}


def edit_file(source, path, name):
    path.write_bytes(crafted.edited(source.read_bytes(), EDITS[name]))


def apart(function, *arguments):
    """In a process of its own: a child's peak memory counts from its parent's size."""
    process = multiprocessing.Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(1)


def cost(arguments):
    """(exit status, CPU seconds, peak bytes, last line of stderr)."""
    def limit():  # the machine's sake: what needs more has failed anyway
        resource.setrlimit(resource.RLIMIT_DATA, (4 * MAX_MEMORY, 4 * MAX_MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))

    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=limit)
    error = process.stderr.read().decode(errors="replace").strip()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10, error.split("\n")[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingot", default=ROOT / "build/release/bin/ingot")
    parser.add_argument("--weights", type=int, default=33_000_000)
    options = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="ingot_cost_"))
    path, model, small, text = work / "m.ingot", work / "zero", work / "small", work / "text.txt"
    over = []

    def measure(name, reference):
        size = path.stat().st_size
        for command, more in COMMANDS.items():
            shutil.rmtree(work / "out", ignore_errors=True)
            names = {"OUT": work / "out", "MODEL": reference, "TEXT": text}
            code, seconds, memory, error = cost([options.ingot, command.split()[0], path, *command.split()[1:],
                                                 *(str(names.get(word, word)) for word in more)])
            bad = size > MAX_BYTES or seconds > MAX_SECONDS or memory > MAX_MEMORY or code < 0
            over.append(bad)
            print(f"{name:32} {size:8}  {command:18} {code:4} {seconds:7.2f} {memory / 2**20:9.0f}"
                  f"{'  OVER' if bad else ''}{'  ' + error[:70] if code else ''}", flush=True)
        path.unlink()

    def pack(source, target, *codec):
        run = subprocess.run([options.ingot, "pack", source, "-o", target, "-q", *codec], capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"crafted_cost: {' '.join(codec)}: {run.stderr.strip()}")

    try:
        text.write_text("the quick brown fox jumps over the lazy dog " * 40)
        tiny_model.write(small)
        apart(zero_model, model, options.weights // (2 * tiny_model.HIDDEN))
        print(f"{'file':32} {'bytes':>8}  {'command':18} {'exit':>4} {'CPU s':>7} {'peak MiB':>9}")
        pack(small, work / "small.ingot")
        for name in EDITS:
            apart(edit_file, work / "small.ingot", path, name)
            measure(name, small)
        for codec in CODECS:
            pack(model, path, "--codec", *codec.split())
            apart(press_file, path)
            measure(codec, model)
    finally:
        shutil.rmtree(work)
    print(f"{sum(over)} of {len(over)} are over {MAX_SECONDS} CPU seconds, {MAX_MEMORY >> 20} MiB or {MAX_BYTES} bytes")
    return 1 if any(over) else 0


if __name__ == "__main__":
    sys.exit(main())
