#!/usr/bin/env python3
"""Runs tools/ingot_reader.py on the golden files: the good one is intact, every damaged one is refused.

usage: second_reader_test.py ROOT     exit status 77 (ctest: skipped) where a Python package is missing
"""
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(sys.argv[1]).resolve()
VENV = ROOT / ".deps/venv/bin/python"
PYTHON = str(VENV) if os.access(VENV, os.X_OK) else sys.executable
READER = ROOT / "tools/ingot_reader.py"
DIGEST = "1ebb11aaf06d4bb7be9fcdba26d8c8205e0dc94c198f23636bb3b251f4a19d4f"  # of decoded rANS

# Compares the BLAKE3 of each tensor's float32 weights with NAME.json ("TENSOR:N": its first N planes).
WEIGHTS = """
import json, sys
root, name = sys.argv[1:]
sys.path.insert(0, root + "/tools")
import blake3, ingot_reader
golden = root + "/tests/golden/" + name
expected = json.load(open(golden + ".json"))
artifact = ingot_reader.Artifact(golden + ".ingot")
assert {key.split(":")[0] for key in expected} == {t["name"] for t in artifact.manifest["tensors"]}
for key, digest in expected.items():
    tensor, _, planes = key.partition(":")
    weights = artifact.weights(artifact.tensor(tensor), int(planes) if planes else None)
    assert blake3.blake3(weights.tobytes()).hexdigest() == digest, key
print(len(artifact.manifest["tensors"]), "tensors")
"""


# The same of a delta over its base.
STACK = """
import json, sys
root = sys.argv[1]
sys.path.insert(0, root + "/tools")
import blake3, ingot_reader
golden = root + "/tests/golden/"
base, delta = (ingot_reader.Artifact(golden + name + ".ingot") for name in ("transforms_v1", "delta_v1"))
stack = ingot_reader.Stack(base, delta)
expected = json.load(open(golden + "delta_v1.json"))
assert set(expected) == set(stack.names())
for name, digest in expected.items():
    assert blake3.blake3(stack.weights(name).tobytes()).hexdigest() == digest, name
try:
    ingot_reader.Stack(ingot_reader.Artifact(golden + "exits_v1.ingot"), delta)
except ingot_reader.Refused:
    print(len(expected), "tensors")
"""


# Files that break one rule of the manifest each, with digests that are right.
CRAFTED = """
import sys, tempfile
root = sys.argv[1]
sys.path[:0] = [root + "/tools", root + "/tests/cli"]
import crafted, ingot_reader
good = open(root + "/tests/golden/container_v1.ingot", "rb").read()
count = 0
with tempfile.NamedTemporaryFile() as file:
    def put(data):
        file.seek(0)
        file.truncate()
        file.write(data)
        file.flush()
    put(crafted.put_together(crafted.take_apart(good)))
    ingot_reader.Artifact(file.name)
    for name, data in crafted.bad_manifests(good):
        put(data)
        try:
            ingot_reader.Artifact(file.name)
        except (ingot_reader.Refused, KeyError, IndexError, TypeError, ValueError):
            count += 1
            continue
        print("not refused:", name)
print(count, "refused")
"""


def reader(*arguments):
    return subprocess.run([PYTHON, str(READER), *map(str, arguments)], capture_output=True, text=True)


def main():
    good = ROOT / "tests/golden/container_v1.ingot"
    result = reader("verify", good)
    if result.returncode == 77:
        print(result.stderr.strip())
        return 77
    failures = []
    if result.returncode != 0 or "intact" not in result.stdout:
        failures.append(f"{good.name}: {result.stdout}{result.stderr}")
    for path in sorted((ROOT / "tests/golden").glob("*.ingot")):
        if reader("verify", path).returncode != 0:
            failures.append(f"{path.name}: refused")
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "codes"
        reader("stream", good, "layers.0.q", 0, "codes", out)
        check = subprocess.run(
            [PYTHON, "-c", "import blake3, sys; print(blake3.blake3(open(sys.argv[1], 'rb').read())"
             ".hexdigest())", str(out)], capture_output=True, text=True)
    if check.stdout.strip() != DIGEST:
        failures.append(f"rANS stream: {check.stdout}{check.stderr}")
    # Every recipe and int variant, decoded from docs/codecs.md: the bits that the C++ decoders gave.
    for name, tensors in (("planes_v1", 34), ("transforms_v1", 10), ("entropy_v1", 11), ("entropy_v2", 12), ("normal_v1", 21),
                          ("codebooks_v1", 16), ("coded_v1", 12), ("trellis_v1", 6)):
        check = subprocess.run([PYTHON, "-c", WEIGHTS, str(ROOT), name], capture_output=True, text=True)
        if check.returncode != 0 or not check.stdout.startswith(f"{tensors} tensors"):
            failures.append(f"{name}: {check.stdout}{check.stderr}")
    check = subprocess.run([PYTHON, "-c", STACK, str(ROOT)], capture_output=True, text=True)
    if check.returncode != 0 or not check.stdout.startswith("14 tensors"):
        failures.append(f"delta_v1: {check.stdout}{check.stderr}")
    with tempfile.TemporaryDirectory() as directory:
        alone = reader("dump", ROOT / "tests/golden/delta_v1.ingot", "scaled", pathlib.Path(directory) / "w.npy")
    if alone.returncode != 1 or "no model" not in alone.stderr:
        failures.append(f"delta_v1 alone: {alone.stdout}{alone.stderr}")
    check = subprocess.run([PYTHON, "-c", CRAFTED, str(ROOT)], capture_output=True, text=True)
    if check.returncode != 0 or check.stdout.strip() != "123 refused":
        failures.append(f"crafted manifests: {check.stdout}{check.stderr}")
    damaged = sorted((ROOT / "tests/golden_errors").glob("*.ingot"))
    if len(damaged) < 16:
        failures.append(f"golden_errors: {len(damaged)} files")
    for path in damaged:
        result = reader("verify", path)
        if result.returncode != 1:
            failures.append(f"{path.name}: exit status {result.returncode}")
    print("\n".join(failures) or f"{len(damaged)} damaged files refused, the good one read")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
