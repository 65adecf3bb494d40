#!/usr/bin/env python3
"""Checks the include rule of docs/design.md: a room includes only itself and the rooms below it, and no two files
(a source with its header) include each other, however far around.

usage: check_structure.py ROOT     exit status 1 and a line per offence
"""
import pathlib
import re
import sys

ALLOWED = {
    "base": set(),
    "files": {"base"},
    "untrusted": {"base"},
    "artifact": {"base", "files", "untrusted"},
    "codecs": {"base"},
    "stored": {"base", "artifact", "codecs"},
    "model": {"base", "untrusted"},
    "calibration": {"base", "untrusted", "files", "codecs", "model"},
    "loader": {"base", "files", "artifact", "codecs", "stored", "model"},
    "inspect": {"base", "untrusted", "artifact", "codecs", "stored"},
    "pack": {"base", "untrusted", "files", "artifact", "codecs", "stored", "model", "calibration"},
    "jobs": {"base", "untrusted", "files", "artifact", "codecs", "stored", "model", "calibration", "loader", "inspect",
             "pack"},
}
# What a folder may see beyond its room's row: passes over the loader's op set.
MORE = {"calibration/cpu": {"loader"}}
# What a folder must not see beyond its room's row: (folder, pattern, why).
FORBIDDEN = [
    ("artifact", r"^codecs/", "a codec id is opaque in the container"),
    ("codecs", r"(fstream|filesystem|fcntl\.h|base/file\.h|nlohmann/)", "codecs do no I/O"),
    ("codecs/planes", r"codecs/(plane_codec|rounding|encoders|recipe)", "planes <- rounding <- encoders <- recipes"),
    ("codecs/rounding", r"codecs/(encoders|recipe)", "planes <- rounding <- encoders <- recipes"),
    ("codecs/encoders", r"codecs/recipe", "planes <- rounding <- encoders <- recipes"),
    *((folder, rf"model/(?!({'|'.join(seen)})/)", "text <- tokenizer <- chat; text <- source <- architecture <- families, forward")
      for folder, seen in (("model/text", ["text"]), ("model/chat", ["text", "tokenizer", "chat"]), ("model/tokenizer", ["text", "tokenizer"]),
                           ("model/source", ["text", "source"]), ("model/architecture", ["text", "source", "architecture"]),
                           ("model/families", ["text", "source", "architecture", "families"]),
                           ("model/forward", ["architecture", "forward"]))),
    *((folder, rf"loader/(?!({'|'.join(seen)})/)", "kernels <- planes <- weights <- cpu <- runner <- eval")
      for folder, seen in (("loader/kernels", ["kernels"]), ("loader/planes", ["kernels", "planes"]),
                           ("loader/weights", ["kernels", "planes", "weights"]),
                           ("loader/cpu", ["kernels", "planes", "weights", "cpu"]))),
    *((folder, rf"loader/(?!({'|'.join(seen)}))", "cuda/host <- cuda/grid.h <- cuda/kernels, over layouts alone")
      for folder, seen in (("loader/cuda/host", ["cuda/host/", r"cuda/(grid_types|device)\.h", r"cuda/kernels/launch_types\.h"]),
                           ("loader/cuda/kernels", ["cuda/kernels/", r"cuda/(grid|launch)\.h", r"kernels/\w+\.h"]))),
    ("loader/cuda/kernels", r"(nlohmann/|fmt/|spdlog/|iostream|model/|artifact/|stored/)", "kernels are small in includes"),
    *((room, r"codecs/(rounding|encoders|recipe)", "a reader sees the vocabulary and planes/") for room in
      ("loader", "inspect", "stored")),
]
# Handlers are installed by programs; libraries offer files/signal_guard.h.
FORBIDDEN += [(room, r"c?signal(\.h)?$", "signals are files/signal_guard.h's") for room in ALLOWED if room != "files"]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
LIMITS = {".cc": 1000, ".h": 500, ".cu": 1000}


def stem(path) -> str:
    return str(pathlib.PurePath(path).with_suffix(""))


def circles(includes: dict) -> list:
    """Sets of files that reach each other; `includes`: a file without its suffix -> what it includes."""
    def reach(begin):
        seen, todo = set(), [begin]
        while todo:
            for target in includes.get(todo.pop(), set()) - seen:
                seen.add(target)
                todo.append(target)
        return seen
    reached = {name: reach(name) for name in includes}
    return sorted({tuple(sorted(n for n in reached if n in reached[name] and name in reached[n]))
                   for name in reached if name in reached[name]})


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    offences, names, includes = [], {}, {}
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
                if stem(target) != stem(where):
                    includes.setdefault(stem(where), set()).add(stem(target))
                first = target.split("/")[0]
                more = set().union(*(rooms for folder, rooms in MORE.items() if where.is_relative_to(folder)))
                if kind == '"' and first != room and first not in ALLOWED[room] | more:
                    offences.append(f"{where}: includes {target}, {room}/ may include "
                                    f"{', '.join(sorted(ALLOWED[room])) or 'only itself'}")
                for forbidden_room, pattern, why in FORBIDDEN:
                    if where.is_relative_to(forbidden_room) and re.match(pattern, target):
                        offences.append(f"{where}: includes {target}: {why}")
                if target.startswith("calibration/cpu/") and room != "jobs" and "calibration/cpu" not in str(where):
                    offences.append(f"{where}: includes {target}: calibration/ itself knows no op set")
                if target.startswith(("torch/", "calibration/torch/")) and "calibration/torch" not in str(where):
                    offences.append(f"{where}: includes {target}: LibTorch stays in calibration/torch")
    for circle in circles(includes):
        offences.append(f"{', '.join(circle)}: include each other in a circle")
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
