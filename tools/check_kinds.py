#!/usr/bin/env python3
"""Counts what each plane kind touches (CONTRIBUTING.md, "A plane kind"): its files are there, and no other source
knows its name.

usage: check_kinds.py ROOT     exit status 1 and a line per offence
"""
import pathlib
import re
import sys

# Kinds that share their layout, decoder, test and fuzz target, by the name of those.
SHARED = {"remainder16": "remainder", "remainder32": "remainder", "hadamard": "transform", "column_scale": "transform"}
# Sources that may know a kind beside its own and the encoders: (path, kind, why).
MAY_KNOW = [
    ("loader/planes/turned_planes.cc", "int", "entropy and dependent planes become int and sparse ones when loaded"),
    ("loader/planes/turned_planes.cc", "sparse", "entropy and dependent planes become int and sparse ones when loaded"),
    ("loader/planes/turn_raw.cc", "raw", "what planes that keep the source become when loaded"),
    ("loader/weights/weights_checkpoint.cc", "raw", "a checkpoint's own values"),
    *(("loader/cuda/device_weights.cc", kind, "which planes a GPU's kernels read as they are stored")
      for kind in ("int", "fp8", "raw", "sparse", "hadamard", "column_scale")),
    *(("calibration/torch/tune_tensor.cc", kind, "gradients by the kind's parameters")
      for kind in ("int", "entropy", "dependent", "raw", "hadamard")),
    ("jobs/tune_job.cc", "raw", "vectors are compared where the source is kept"),
]
ROOMS = ("base", "artifact", "calibration", "codecs", "inspect", "jobs", "loader", "model", "pack", "stored")
DOC = "docs/codecs.md"


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    offences = []
    constants = {}  # kind -> the constant that holds its name
    for path in (root / "codecs/planes").glob("*_plane.h"):
        for constant, kind in re.findall(r'inline constexpr char (k\w+Kind)\[\] = "(\w+)";', path.read_text()):
            constants[kind] = constant
    registry = re.findall(r"PlaneKind\{(k\w+Kind),", (root / "codecs/plane_codec.cc").read_text())
    if sorted(registry) != sorted(constants.values()) or not registry:
        offences.append(f"codecs/plane_codec.cc: rows {registry}, constants {sorted(constants.values())}")
    sources = [p for room in ROOMS for p in sorted((root / room).rglob("*")) if p.suffix in (".h", ".cc", ".cu")]
    sources += sorted((root / "tools/cli").glob("*.cc")) + sorted((root / "tools/calibrate").glob("*.cc"))
    texts = {str(p.relative_to(root)): p.read_text() for p in sources}
    tests = "".join(p.read_text() for p in (root / "tests/codecs").rglob("*_test.cc"))
    doc = re.findall(r"^## .*$", (root / DOC).read_text(), re.M)
    rows = texts["loader/planes/resident_kind.cc"]
    for kind, constant in constants.items():
        stem = SHARED.get(kind, kind)
        own = {"layout": f"codecs/planes/{stem}_plane.h", "decoder": f"codecs/planes/{stem}_decode.cc"}
        resident = next((f"loader/planes/resident_{n}.cc" for n in (kind, stem)
                         if f"loader/planes/resident_{n}.cc" in texts), None)
        for what, path in own.items():
            if path not in texts:
                offences.append(f"{kind}: no {what} file {path}")
        if resident is None:
            offences.append(f"{kind}: no file loader/planes/resident_{kind}.cc")
        if f"&kResident{constant[1:-4]}" not in rows:
            offences.append(f"{kind}: no row in loader/planes/resident_kind.cc")
        if not any(re.match(r"codecs/(encoders|rounding)/", path) and
                   re.search(rf'codecs/planes/{stem}(_plane)?\.h"', text) for path, text in texts.items()):
            offences.append(f"{kind}: no encoder of codecs/encoders or codecs/rounding includes its layout")
        if not any(f"`{kind}`" in heading for heading in doc):
            offences.append(f"{kind}: no section in {DOC}")
        if f'"{kind}"' not in tests and f"{constant[1:-4]}Spec(" not in tests:
            offences.append(f"{kind}: no test of tests/codecs names it")
        if not (root / f"tests/fuzz/{stem}_plane_fuzz.cc").exists():
            offences.append(f"{kind}: no fuzz target tests/fuzz/{stem}_plane_fuzz.cc")
        allowed = {*own.values(), resident, *(path for path, of, _ in MAY_KNOW if of == kind)}
        for path, text in texts.items():
            code = re.sub(r"//.*", "", text)
            kinds = rf'kind\s*[=!]=\s*"{kind}"|\{{\s*"{kind}",\s*\{{|FindPlaneKind\("{kind}"\)'
            if path in allowed or path == "codecs/plane_codec.cc" and constant in code:
                continue
            by_constant = constant in code and not re.match(r"codecs/(planes|encoders|rounding)/", path)
            if by_constant or re.search(kinds, code):
                offences.append(f"{path}: knows the plane kind '{kind}'; what it decides belongs into the kind's row")
    for line in offences:
        print(line)
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
