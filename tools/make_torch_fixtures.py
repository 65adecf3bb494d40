#!/usr/bin/env python3
"""Writes tests/fixtures/torch: small files of torch.save, good and hostile. Needs torch.

usage: make_torch_fixtures.py [DIRECTORY]   (default: tests/fixtures/torch beside this file's folder)

Values: element i of a tensor that starts at s is (s + i) % 97 - 48, halved where the dtype is a float;
exact in every dtype used here, so that the tests compare bits.
"""
import collections
import json
import os
import sys

import torch

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn)


def values(start, *shape, dtype=torch.float32):
    n = 1
    for d in shape:
        n *= d
    v = torch.tensor([(start + i) % 97 - 48 for i in range(n)], dtype=torch.float32)
    if dtype in FLOATS:
        v = v / 2
    return v.reshape(shape).to(dtype)


class Shell:
    """Unpickled by the real thing, this would run a (harmless) command."""

    def __reduce__(self):
        return os.system, ("touch ingot-torch-fixture-was-executed",)


def plain():
    return collections.OrderedDict(
        [("a.weight", values(0, 3, 5)), ("a.bias", values(7, 3)), ("scalar", values(3))])


def types():
    d = {str(t).split(".")[1]: values(i, 4, 3, dtype=t)
         for i, t in enumerate(FLOATS + (torch.int8,))}
    d["gone"] = values(0, 0, 4)
    return d


def views():
    base = values(0, 6, 8)
    cube = values(11, 2, 3, 4)
    return {"base": base, "transposed": base.t(), "columns": base[:, 2:5], "rows": base[2:4],
            "steps": base[::2, 1::3], "cube": cube.permute(2, 0, 1),
            "half_t": values(5, 3, 4, dtype=torch.bfloat16).t(), "tied": base,
            "gone": base[2:2, ::2]}


def parameters():
    module = torch.nn.Linear(4, 3)
    with torch.no_grad():
        module.weight.copy_(values(0, 3, 4))
        module.bias.copy_(values(12, 3))
    return module


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
        os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "fixtures", "torch")
    os.makedirs(out, exist_ok=True)

    def save(name, what, **options):
        os.makedirs(os.path.dirname(os.path.join(out, name)), exist_ok=True)
        torch.save(what, os.path.join(out, name), **options)

    save("plain.pth", plain())
    save("types.pth", types())
    save("views.pth", views())
    save("parameters.pth", dict(parameters().named_parameters()))
    save("module_state.pth", parameters().state_dict())
    save("nested.pth", {"epoch": 3, "lr": 0.5, "state_dict": {"module": plain()}})
    save("protocol4.pth", plain(), pickle_protocol=4)
    save("legacy.pth", plain(), _use_new_zipfile_serialization=False)
    save("legacy_views.pth", views(), _use_new_zipfile_serialization=False)
    save("shell.pth", {"a": values(0, 2), "b": Shell()})
    save("shell4.pth", {"b": Shell()}, pickle_protocol=4)
    save("legacy_shell.pth", {"b": Shell()}, _use_new_zipfile_serialization=False)
    save("number.pth", {"a": values(0, 2), "epoch": 3})
    save("list.pth", [values(0, 2)])
    save("expanded.pth", {"a": values(0, 1, 3).expand(1000, 3)})
    config = {"model_type": "none of them"}
    with open(os.path.join(out, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)
    shards = {"pytorch_model-00001-of-00002.bin": {"a.weight": values(0, 3, 5)},
              "pytorch_model-00002-of-00002.bin": {"b.weight": values(4, 5, 3).t()}}
    for name, tensors in shards.items():
        save("sharded/" + name, tensors)
    index = {"metadata": {}, "weight_map": {t: n for n, ts in shards.items() for t in ts}}
    with open(os.path.join(out, "sharded/pytorch_model.bin.index.json"), "w", encoding="utf-8") as f:
        json.dump(index, f, indent=1, sort_keys=True)
    with open(os.path.join(out, "sharded/config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)


if __name__ == "__main__":
    main()
