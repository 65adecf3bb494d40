#!/usr/bin/env python3
"""lossless_v1 on a real BF16 model: stored size against the source's, and bit-exactness of what comes back.

usage: bench_lossless.py [MODEL]      default MODELS/smollm2-135m; decode speed: codecs_bench
"""
import json
import pathlib
import sys

from benchlib import INGOT, MODELS, Run, need, row, scratch


def tensors(directory):
    path = pathlib.Path(directory) / "model.safetensors"
    data = path.read_bytes()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + n])
    return {k: (v["dtype"], v["shape"], data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]])
            for k, v in header.items() if k != "__metadata__"}


def main():
    source = need(sys.argv[1] if len(sys.argv) > 1 else MODELS / "smollm2-135m", "make_smollm2")
    work = scratch()
    Run([INGOT, "pack", source, "-o", work / "m.ingot", "--codec", "lossless_v1", "--rule", "*=lossless_v1", "-q"])
    Run([INGOT, "export", work / "m.ingot", "-o", work / "back"])
    before, after = tensors(source), tensors(work / "back")
    exact = before == after
    row("lossless_v1 comes back bit for bit", f"{len(before)} tensors {'equal' if exact else 'DIFFER'}",
        "equal", exact)
    weights = sum(len(v[2]) for v in before.values())
    stored = (work / "m.ingot").stat().st_size
    row("lossless_v1 whole file over BF16 weights", f"{stored / weights:.4f} ({stored} of {weights} bytes)",
        "<= 0.675 (ZipNN 0.663)", stored / weights <= 0.675)


if __name__ == "__main__":
    main()
