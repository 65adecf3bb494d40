"""Artifacts whose manifest or streams say what a test wants, with digests that are right (docs/FORMAT.md).

Needs blake3 and zstandard (tools/setup --python)."""
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


def put_together(manifest):
    """The bytes of an unsigned artifact; lengths and chunk numbers follow from the streams' chunks."""
    chunks = []
    for stream in streams_of(manifest):
        mine = stream["chunks"]
        stream["bytes"], stream["first_chunk"] = sum(c[2] for c in mine), len(chunks)
        stream["chunk_count"] = len(mine)
        chunks.extend(mine)
    kept = [(stream, stream.pop("chunks")) for stream in streams_of(manifest)]
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    for stream, mine in kept:
        stream["chunks"] = mine
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
