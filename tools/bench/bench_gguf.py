#!/usr/bin/env python3
"""How fast a GGUF in Q4_0, Q4_1 or Q8_0 runs as it is, against the artifact that lossless_v1 packs of it: decode and prefill
by `ingot bench`, in pairs one after the other, the ratio of each pair.

usage: bench_gguf.py [FILE.gguf] [--pairs N] [--kinds LIST]
FILE is by default MODELS/smollm2-135m-q4_1.gguf; the two other types are made of its weights. Needs numpy and gguf 0.19.
"""
import argparse
import json
import pathlib
import tempfile

import gguf
import numpy as np

from benchlib import INGOT, MODELS, Run, median, row, spread

REACH = 0.95
KINDS = ("Q4_1", "Q4_0", "Q8_0")


def rewritten(source, kind, target):
    """The same file with its blocks as another type."""
    reader = gguf.GGUFReader(source)
    text = lambda key: bytes(reader.fields[key].parts[reader.fields[key].data[0]]).decode()
    writer = gguf.GGUFWriter(target, text("general.architecture"))
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
            continue
        writer.add_key_value(field.name, field.contents(), field.types[0], field.types[1] if len(field.types) > 1 else None)
    wanted = gguf.GGMLQuantizationType[kind]
    for tensor in reader.tensors:
        if len(tensor.shape) < 2:
            writer.add_tensor(tensor.name, np.array(tensor.data))
            continue
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, gguf.quants.quantize(values, wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def speeds(path):
    result = json.loads(Run([INGOT, "bench", path, "--batch", "1", "--context", "128", "--prompt", "128", "--no-load", "--runs",
                             "3", "--json"]).out)
    return {speed["kind"]: speed["tokens_per_s"] for speed in result["speeds"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", nargs="?", type=pathlib.Path, default=MODELS / "smollm2-135m-q4_1.gguf")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--kinds", default=",".join(KINDS))
    args = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        for kind in args.kinds.split(","):
            source, artifact = work / f"{kind}.gguf", work / f"{kind}.ingot"
            rewritten(args.file, kind, source)
            Run([INGOT, "pack", source, "-o", artifact, "--codec", "lossless_v1", "-q"])
            ratios = {"decode": [], "prefill": []}
            for pair in range(args.pairs):  # either one first
                first, second = (source, artifact) if pair % 2 == 0 else (artifact, source)
                by = {first: speeds(first), second: speeds(second)}
                direct, packed = by[source], by[artifact]
                for what, list_ in ratios.items():
                    list_.append(direct[what] / packed[what])
            for what, list_ in ratios.items():
                good &= row(f"{kind} run directly over its artifact, {what}", spread(list_), f">= {REACH}x",
                            median(list_) >= REACH)
            source.unlink()
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
