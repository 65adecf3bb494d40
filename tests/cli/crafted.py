"""Artifacts whose manifest or streams say what a test wants, with digests that are right (docs/FORMAT.md).

Needs blake3 and zstandard (tools/setup --python)."""
import copy
import json
import struct

import blake3
import zstandard

AREA_BEGIN, AREA_END = 64, 4160


def align(n, alignment):
    return -(-n // alignment) * alignment


def digest(*parts):
    return blake3.blake3(b"".join(parts)).digest()


def streams_of(manifest):
    """In file order."""
    yield from manifest["assets"]
    planes = [plane for tensor in manifest["tensors"] for plane in tensor["planes"]]
    for plane in sorted(planes, key=lambda plane: plane["level"]):  # stable
        yield from plane["streams"]


def take_apart(data):
    """The manifest, and each stream's chunks [(coding, stored, decoded_bytes)] under "chunks"."""
    _, _, count, stored, _, table, *_ = struct.unpack("<HHI6Q", data[8:64])
    manifest = json.loads(zstandard.ZstdDecompressor().decompress(data[AREA_END:AREA_END + stored]))
    chunks = []
    for i in range(count):
        offset, stored, decoded, coding = struct.unpack_from("<QIIB", data, table + 64 * i)
        chunks.append((coding, data[offset:offset + stored], decoded))
    for stream in streams_of(manifest):
        first = stream["first_chunk"]
        stream["chunks"] = chunks[first:first + stream["chunk_count"]]
    return manifest


def raw(data):
    """Chunks of plain bytes."""
    return [(0, data[i:i + (1 << 22)], len(data[i:i + (1 << 22)])) for i in range(0, len(data), 1 << 22)]


def zstd(data):
    """Chunks that compress well."""
    pieces = [data[i:i + (1 << 22)] for i in range(0, len(data), 1 << 22)]
    return [(1, zstandard.ZstdCompressor().compress(piece), len(piece)) for piece in pieces]


def put_together(manifest, late=None, rewrite=None):
    """The bytes of an unsigned artifact; lengths and chunk numbers follow from the streams' chunks. `late` changes the
    manifest after that, `rewrite` its JSON text."""
    chunks = []
    for stream in streams_of(manifest):
        mine = stream["chunks"]
        stream["bytes"], stream["first_chunk"] = sum(c[2] for c in mine), len(chunks)
        stream["chunk_count"] = len(mine)
        chunks.extend(mine)
    said = copy.deepcopy(manifest)
    for stream in streams_of(said):
        del stream["chunks"]
    if late:
        late(said)
    text = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    if rewrite:
        text = rewrite(text)
    stored = zstandard.ZstdCompressor().compress(text)
    table = align(AREA_END + len(stored), 64)
    start = end = table + 64 * len(chunks)
    entries, body = b"", b""
    for stream in streams_of(manifest):
        mine = stream["chunks"]
        mapped = stream["bytes"] >= 65536 and all(c[0] == 0 for c in mine)
        for i, (coding, data, decoded) in enumerate(mine):
            at = align(end, 4096 if mapped else 64) if i == 0 else end
            body += bytes(at - end) + data
            entries += struct.pack("<QIIB15x", at, len(data), decoded, coding) + digest(data)
            end = at + len(data)
    header = b"\x89ING\r\n\x1a\n" + struct.pack("<HHI6Q", 1, 0, len(chunks), len(stored), len(text), table, start, end,
                                               0)
    middle = stored + bytes(table - AREA_END - len(stored)) + entries
    root = digest(header, middle)
    head, records = bytes(32), bytes(4096 - 64)
    return header + head + digest(head, records, root) + records + middle + body


def edited(data, edit):
    """`data` with its manifest changed by `edit`."""
    manifest = take_apart(data)
    edit(manifest)
    return put_together(manifest)


def _set(path, value):
    def late(manifest):
        node = manifest
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value
    return late


def _tensor(key, value):
    return _set(("tensors", 0, key), value)


def _plane(key, value):
    return _set(("tensors", 0, "planes", 0, key), value)


def _stream(key, value):
    return _set(("tensors", 0, "planes", 0, "streams", 0, key), value)


def _repeat(*path):
    def late(manifest):
        node = manifest
        for key in path:
            node = node[key]
        node.append(node[0])
    return late


# Each breaks a rule of FORMAT.md section 4 and nothing else. What both readers must refuse.
BAD_MANIFESTS = {
    **{f"{key} {value!r}": _tensor(key, value) for key, values in {
        "name": ["", 1, None, "a\x01", "a\x85", "x" * 1025, "\x7f"],
        "dtype": ["", 3, "b\n"], "codec": ["", [], "c\x9b"], "role": ["", {}, "x" * 1025],
        "layer": [-2, 1.5, "0", True, 1 << 31], "extra": [[], None, 1],
        "shape": [[0], [-1], [1.5], ["1"], [1] * 9, [1 << 49], [1 << 30, 1 << 30], 4, None, [True]],
        "planes": [[], None, {}]}.items() for value in values},
    **{f"plane {key} {value!r}": _plane(key, value) for key, values in {
        "kind": ["", 1, "k\x00", "x" * 1025], "attributes": [[], None, 1, "x"],
        "level": [1, -1, 64, 0.5, "0", True, False], "streams": [None, {}, 1]}.items() for value in values},
    **{f"stream {key} {value!r}": _stream(key, value) for key, values in {
        "name": ["", 1, "s\x1b", "x" * 1025], "bytes": [-1, 1 << 63, 0.5, "1", None, True],
        "first_chunk": [-1, 1 << 32, 0.5, None], "chunk_count": [-1, 1 << 32, 0.5, None, 0]}.items()
       for value in values},
    "planes 65": lambda m: m["tensors"][0].update(planes=[
        {"kind": "none", "attributes": {}, "level": 0, "streams": []}] * 65),
    "two tensors alike": lambda m: m["tensors"][1].update(name=m["tensors"][0]["name"]),
    "two assets alike": _repeat("assets"), "two streams alike": _repeat("tensors", 0, "planes", 0, "streams"),
    **{f"asset {name!r}": _set(("assets", 0, "name"), name)
       for name in ("", ".hidden", "a/b", "..", "a\\b", "c:d", "x" * 256, "n\n", 1, "é" * 128)},
    "config list": _set(("config",), []), "provenance text": _set(("provenance",), "x"),
    "assets object": _set(("assets",), {}), "tensors object": _set(("tensors",), {}),
    "unknown field": _set(("more",), 1), "unknown tensor field": _tensor("more", 1),
    "unknown plane field": _plane("more", 1), "unknown stream field": _stream("more", 1),
    **{f"no {key}": (lambda key: lambda m: m.pop(key))(key) for key in ("config", "provenance", "assets", "tensors")},
    "long string": _set(("config", "text"), "x" * ((1 << 20) + 1)),
    "many values": _set(("config", "list"), [0] * ((1 << 20) + (1 << 17))),
}
BAD_TEXTS = {
    "NUL": lambda text: text + b"\0", "NUL and more": lambda text: text + b"\0{}", "more": lambda text: text + b"{}",
    "BOM": lambda text: b"\xef\xbb\xbf" + text, "UTF-16": lambda text: text.decode().encode("utf-16"),
    "no UTF-8": lambda text: text.replace(b'"config":{', b'"config":{"a":"\xff",'),
    "overlong": lambda text: text.replace(b'"config":{', b'"config":{"a":"\xc0\x80",'),
    "surrogate": lambda text: text.replace(b'"config":{', b'"config":{"a":"\\ud800",'),
    "raw surrogate": lambda text: text.replace(b'"config":{', b'"config":{"a":"\xed\xa0\x80",'),
    "raw control": lambda text: text.replace(b'"config":{', b'"config":{"a":"\n",'),
    "key twice": lambda text: text.replace(b'"config":{', b'"config":{"a":1,"a":1,'),
    "NaN": lambda text: text.replace(b'"config":{', b'"config":{"a":NaN,'),
    "Infinity": lambda text: text.replace(b'"config":{', b'"config":{"a":-Infinity,'),
    "too large": lambda text: text.replace(b'"config":{', b'"config":{"a":1e999,'),
    "deep": lambda text: text.replace(b'"config":{', b'"config":{"a":' + b"[" * 63 + b"]" * 63 + b","),
    "very deep": lambda text: text.replace(b'"config":{', b'"config":{"a":' + b"[" * 200000 + b"]" * 200000 + b","),
    "comment": lambda text: text.replace(b'"config":{', b'"config":/**/{'), "cut": lambda text: text[:-1],
    "a list": lambda text: b"[" + text + b"]", "empty": lambda text: b" ",
    "bomb": lambda text: text[:-1] + b" " * (17 << 20) + b"}",
}


def bad_manifests(data):
    """(name, bytes) of files that break one rule each, with digests that are right."""
    for name, late in BAD_MANIFESTS.items():
        yield name, put_together(take_apart(data), late=late)
    for name, rewrite in BAD_TEXTS.items():
        yield name, put_together(take_apart(data), rewrite=rewrite)
