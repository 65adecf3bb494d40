#!/usr/bin/env python3
"""Checks the include rule of docs/design.md: a room includes only itself and the rooms below it.

usage: check_structure.py ROOT     exit status 1 and a line per offence
"""
import pathlib
import re
import sys

ALLOWED = {
    "base": set(),
    "artifact": {"base"},
    "codecs": {"base"},
    "model": {"base"},
    "calibration": {"base", "codecs", "model"},
    "loader": {"base", "artifact", "codecs", "model"},
    "inspect": {"base", "artifact", "codecs"},
    "pack": {"base", "artifact", "codecs", "model", "calibration"},
}
# External headers a room must not see: (room, pattern, why).
FORBIDDEN = [
    ("artifact", r"^codecs/", "a codec id is opaque in the container"),
    ("codecs", r"(fstream|filesystem|fcntl\.h|base/file\.h|nlohmann/)", "codecs do no I/O"),
    ("inspect", r"codecs/.*encode", "inspect links decoders only"),
    ("loader", r"codecs/(.*encode|recipe)", "the loader links decoders only"),
]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
LIMITS = {".cc": 1000, ".h": 500, ".cu": 1000}


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    offences, names = [], {}
    for room in [*ALLOWED, "tools", "tests"]:
        for path in sorted((root / room).rglob("*")):
            if path.suffix not in LIMITS:
                continue
            where = path.relative_to(root)
            if room in ALLOWED:
                names.setdefault(path.name, []).append(where)
            text = path.read_text()
            if text.count("\n") > LIMITS[path.suffix]:
                offences.append(f"{where}: {text.count(chr(10))} lines, at most {LIMITS[path.suffix]}")
            if room not in ALLOWED:
                continue
            for kind, target in INCLUDE.findall(text):
                first = target.split("/")[0]
                if kind == '"' and first != room and first not in ALLOWED[room]:
                    offences.append(f"{where}: includes {target}, {room}/ may include "
                                    f"{', '.join(sorted(ALLOWED[room])) or 'only itself'}")
                for forbidden_room, pattern, why in FORBIDDEN:
                    if room == forbidden_room and re.search(pattern, target):
                        offences.append(f"{where}: includes {target}: {why}")
                if "torch/" in target and "calibration/torch" not in str(where):
                    offences.append(f"{where}: includes {target}: LibTorch stays in calibration/torch")
    for name, places in names.items():
        if len(places) > 1:
            offences.append(f"{name}: file names are unique, but it is in "
                            + " and ".join(str(p.parent) for p in places))
    base_lines = sum(p.read_text().count("\n") for p in (root / "base").glob("*") if p.is_file())
    if base_lines > 800:
        offences.append(f"base/: {base_lines} lines, at most 800")
    for line in offences:
        print(line)
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
