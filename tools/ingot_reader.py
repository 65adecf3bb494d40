#!/usr/bin/env python3
"""A second reader of .ingot files, written from docs/FORMAT.md alone; its planes, in ingot_planes.py, from
docs/codecs.md.

usage: ingot_reader.py verify FILE             every digest, padding, signature
       ingot_reader.py tensors FILE            one line a tensor
       ingot_reader.py dump FILE TENSOR OUT.npy [--planes N]
       ingot_reader.py stream FILE TENSOR PLANE STREAM OUT.bin

Needs numpy, zstandard and blake3; Ed25519 is verified where `cryptography` can be imported.
Exit status: 0 intact, 1 not, 2 usage, 77 a needed package is missing.
"""
import argparse
import json
import re
import struct
import sys

try:
    import blake3 as blake3_module
    import numpy as np
    import zstandard
except ImportError as missing:
    print(f"SKIP: {missing}", file=sys.stderr)
    sys.exit(77)

from ingot_planes import Refused, need, weights_of

MAGIC = bytes.fromhex("89494e470d0a1a0a")
AREA_BEGIN, AREA_END = 64, 4160
MAX_CHUNK, MAX_MANIFEST = 1 << 22, 1 << 28
RAW, ZSTD, RANS = 0, 1, 2


def blake3(*parts):
    hasher = blake3_module.blake3()
    for part in parts:
        hasher.update(part)
    return hasher.digest()


def align(n, alignment):
    return -(-n // alignment) * alignment


def unzstd(data, size):
    need(zstandard.frame_content_size(data) == size, "zstd frame states another length")
    need(zstandard.get_frame_parameters(data).dict_id == 0, "zstd frame with a dictionary")
    decoder = zstandard.ZstdDecompressor().decompressobj()
    out = decoder.decompress(data)
    need(decoder.eof and not decoder.unused_data and len(out) == size, "zstd frame is damaged")
    return out


# --- rANS, FORMAT.md section 6 ---------------------------------------------------------------


def unrans(data, size):
    position = 0

    def byte():
        nonlocal position
        need(position < len(data), "rANS stream ends early")
        position += 1
        return data[position - 1]

    def varint():
        value = 0
        while True:
            b = byte()
            value = value << 7 | b & 127
            need(value < 1 << 32, "rANS varint too large")
            if b < 128:
                return value

    need(byte() == 4, "rANS form")
    need(varint() == size, "rANS length")
    symbols, s = [], byte()
    while True:
        symbols.append(s)
        t = byte()
        need(t == 0 or t > s, "rANS alphabet")
        if t == s + 1:
            run = byte()
            symbols.extend(range(t, t + run))
            s = t + run
        else:
            s = t
        need(s <= 255, "rANS alphabet")
        if s == 0:
            break
    frequencies = np.zeros(256, np.int64)
    for symbol in symbols:
        frequencies[symbol] = varint()
    total = int(frequencies.sum())
    need(0 < total <= 4096 and total & (total - 1) == 0, "rANS frequencies")
    frequencies *= 4096 // total
    starts = np.concatenate([[0], np.cumsum(frequencies)[:-1]])
    of_slot = np.repeat(np.arange(256, dtype=np.uint8), frequencies)
    slot_frequency = frequencies[of_slot]
    slot_offset = np.arange(4096) - starts[of_slot]
    need(len(data) - position >= 128, "rANS states")
    states = np.frombuffer(data, "<u4", 32, position).astype(np.int64)
    need((states >= 1 << 15).all(), "rANS state")
    tail = data[position + 128:]
    words = np.frombuffer(tail[: len(tail) & ~1], "<u2").astype(np.int64)
    words = np.concatenate([words, np.zeros(32, np.int64)])
    out = np.empty(align(size, 32), np.uint8)
    word = 0
    for i in range(0, size, 32):
        slot = states & 4095
        out[i:i + 32] = of_slot[slot]
        states = slot_frequency[slot] * (states >> 12) + slot_offset[slot]
        low = np.flatnonzero(states < 1 << 15)
        need(word + len(low) <= len(words) or i + 32 > size, "rANS words")
        if i + 32 <= size:
            states[low] = states[low] << 16 | words[word:word + len(low)]
            word += len(low)
    return out[:size].tobytes()


# --- the container ---------------------------------------------------------------------------


class Artifact:
    """An opened file whose prefix is checked: header, signatures, chunk table, manifest, layout."""

    def __init__(self, path):
        self.file = open(path, "rb")
        length = self.file.seek(0, 2)
        self.notes = []
        self.read_header(length)
        prefix = self.at(0, self.data_offset)
        need(len(prefix) == self.data_offset, "file ends inside its prefix")
        self.root = blake3(prefix[:64], prefix[AREA_END:])
        self.signatures = self.read_signatures(prefix[AREA_BEGIN:AREA_END])
        self.read_table(prefix[self.table_offset:])
        stored_end = AREA_END + self.manifest_stored
        need(not any(prefix[stored_end:self.table_offset]), "padding after the manifest")
        text = unzstd(prefix[AREA_END:stored_end], self.manifest_decoded)
        self.manifest = parse_json(text, self.chunk_count)
        self.check_layout()
        need(length >= self.file_bytes, f"truncated: {length} of {self.file_bytes} bytes")
        need(length == self.file_bytes, "bytes after the end")

    def at(self, offset, count):
        self.file.seek(offset)
        return self.file.read(count)

    def read_header(self, length):
        head = self.at(0, 64)
        need(len(head) == 64 and head[:8] == MAGIC, "not an Ingot artifact")
        (major, self.minor, self.chunk_count, self.manifest_stored, self.manifest_decoded,
         self.table_offset, self.data_offset, self.file_bytes,
         reserved) = struct.unpack("<HHI6Q", head[8:])
        need(major == 1, f"format version {major}.{self.minor}, this reader knows 1.x")
        need(reserved == 0, "reserved header bytes")
        need(0 < self.manifest_stored <= MAX_MANIFEST, "manifest size")
        most = min(MAX_MANIFEST, max(1 << 24, 64 * self.manifest_stored))
        need(0 < self.manifest_decoded <= most, "manifest size")
        need(self.table_offset == align(AREA_END + self.manifest_stored, 64), "table offset")
        need(self.data_offset == self.table_offset + 64 * self.chunk_count, "data offset")
        need(self.file_bytes >= self.data_offset + self.chunk_count, "file size")
        need(length >= self.data_offset, "file ends inside its prefix")

    def read_signatures(self, area):
        need(blake3(area[:32], area[64:], self.root) == area[32:64],
             "header, signature area, manifest and table contradict their digest")
        count = struct.unpack("<I", area[:4])[0]
        need(count <= 31 and not any(area[4:32]), "signature area")
        need(not any(area[64 + 128 * count:]), "signature area padding")
        message = b"ingot root v1\0" + self.root
        found = []
        for i in range(count):
            record = area[64 + 128 * i:192 + 128 * i]
            kind, key_id, public, value = record[0], record[8:24], record[24:56], record[56:120]
            need(kind in (1, 2) and not any(record[1:8] + record[120:]), "signature record")
            if kind == 1:
                need(key_id == blake3(public)[:16], "key id")
                self.check_ed25519(public, value, message)
            else:
                need(not any(public + value[32:]), "HMAC record")
                self.notes.append("HMAC signature not checked: it needs the secret")
            found.append(("ed25519", "hmac-sha256")[kind - 1] + " " + key_id.hex())
        return found

    def check_ed25519(self, public, value, message):
        try:
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        except ImportError:
            self.notes.append("Ed25519 signature not checked: no `cryptography` package")
            return
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(value, message)
        except InvalidSignature:
            raise Refused("Ed25519 signature is not one over this file") from None

    def read_table(self, table):
        self.chunks, end = [], self.data_offset
        for i in range(self.chunk_count):
            entry = table[64 * i:64 * i + 64]
            offset, stored, decoded, coding = struct.unpack("<QIIB", entry[:17])
            need(not any(entry[17:32]) and coding <= RANS, f"chunk {i}: entry")
            need(0 < decoded <= MAX_CHUNK and 0 < stored <= decoded, f"chunk {i}: sizes")
            need(coding != RAW or stored == decoded, f"chunk {i}: raw sizes")
            need(end <= offset < end + 4096, f"chunk {i}: offset")
            end = offset + stored
            self.chunks.append((offset, stored, decoded, coding, entry[32:]))
        need(end == self.file_bytes, "chunks do not end with the file")

    def streams(self):
        """(where, stream) in file order."""
        for asset in self.manifest["assets"]:
            yield f"asset {asset['name']}", asset
        planes = [(plane["level"], tensor, index, plane) for tensor in self.manifest["tensors"]
                  for index, plane in enumerate(tensor["planes"])]
        for _, tensor, index, plane in sorted(planes, key=lambda item: item[0]):  # stable
            for stream in plane["streams"]:
                yield (f"tensor {tensor['name']}, plane {index} ({plane['kind']}), "
                       f"stream {stream['name']}"), stream

    def check_layout(self):
        check_fields(self.manifest)
        next_chunk, end, self.owner = 0, self.data_offset, []
        for where, stream in self.streams():
            need(stream["first_chunk"] == next_chunk, f"{where}: first chunk")
            mine = self.chunks[next_chunk:next_chunk + stream["chunk_count"]]
            need(len(mine) == stream["chunk_count"], f"{where}: chunks beyond the table")
            need(sum(c[2] for c in mine) == stream["bytes"], f"{where}: length")
            raw = all(c[3] == RAW for c in mine)
            if mine:
                end = align(end, 4096 if raw and stream["bytes"] >= 65536 else 64)
            for chunk in mine:
                need(chunk[0] == end, f"{where}: placement")
                end += chunk[1]
            next_chunk += len(mine)
            self.owner += [where] * len(mine)
        need(next_chunk == self.chunk_count, "chunks that no stream owns")

    def chunk(self, index):
        offset, stored, decoded, coding, digest = self.chunks[index]
        data = self.at(offset, stored)
        need(blake3(data) == digest, f"{self.owner[index]}, chunk {index}: digest")
        if coding == RAW:
            return data
        return (unzstd if coding == ZSTD else unrans)(data, decoded)

    def stream(self, record):
        first = record["first_chunk"]
        return b"".join(self.chunk(i) for i in range(first, first + record["chunk_count"]))

    def verify(self):
        """Digests of all chunks and the zero bytes between them; what is damaged."""
        damage, end = [], self.data_offset
        for i, (offset, stored, _, _, digest) in enumerate(self.chunks):
            data = self.at(end, offset - end + stored)
            if any(data[:offset - end]):
                damage.append(f"{self.owner[i]}, chunk {i}: padding before it is not zero")
            if blake3(data[offset - end:]) != digest:
                damage.append(f"{self.owner[i]}, chunk {i}: contradicts its digest")
            end = offset + stored
        return damage

    def tensor(self, name):
        for tensor in self.manifest["tensors"]:
            if tensor["name"] == name:
                return tensor
        raise Refused(f"no tensor {name}")

    def weights(self, tensor, plane_count=None, base=None):
        """The sum of the first planes as float32, in the tensor's shape; of a delta with the base's weights."""
        def streams(plane):
            return {s["name"]: np.frombuffer(self.stream(s), np.uint8) for s in plane["streams"]}

        return weights_of(tensor["planes"], tensor["shape"], streams, plane_count, base)


class Stack:
    """A base and a delta over it, FORMAT.md section 9."""

    def __init__(self, base, delta):
        need("base" in delta.manifest, "not a delta")
        need("base" not in base.manifest, "the base is a delta itself")
        need(delta.manifest["base"]["root"] == base.root.hex(), "the delta is over another base")
        self.base, self.delta = base, delta
        self.of_base = {tensor["name"]: tensor for tensor in base.manifest["tensors"]}
        self.of_delta = {tensor["name"]: tensor for tensor in delta.manifest["tensors"]}
        for name, tensor in self.of_delta.items():
            if name in self.of_base:
                same = all(tensor[key] == self.of_base[name][key] for key in ("shape", "role"))
                need(same, f"{name}: shape or role is not the base's")
            else:
                need(tensor["role"] in ("router", "shared"), f"{name}: not in the base")

    def names(self):
        return [*self.of_base, *(name for name in self.of_delta if name not in self.of_base)]

    def weights(self, name):
        need(name in self.of_base or name in self.of_delta, f"no tensor {name}")
        value = self.base.weights(self.of_base[name]) if name in self.of_base else None
        return self.delta.weights(self.of_delta[name], base=value) if name in self.of_delta else value


# --- the manifest, FORMAT.md section 4 --------------------------------------------------------

MAX_DEPTH, MAX_STRING, MAX_NAME, MAX_ASSET_NAME = 64, 1 << 20, 1024, 255


def unique(pairs):
    result = dict(pairs)
    need(len(result) == len(pairs), "a key occurs twice")
    return result


def no_constant(name):
    raise Refused(f"{name} is no JSON")


def count_values(node, depth=0):
    """How many values a document holds; strings are checked on the way."""
    if isinstance(node, str):
        need(len(node.encode()) <= MAX_STRING, "a string is too long")  # lone surrogates raise
        return 1
    need(not isinstance(node, float) or abs(node) < float("inf"), "a number out of range")
    if not isinstance(node, (dict, list)):
        return 1
    need(depth < MAX_DEPTH, "JSON is nested too deep")
    if isinstance(node, dict):
        return 1 + sum(count_values(key, depth + 1) + count_values(value, depth + 1) for key, value in node.items())
    return 1 + sum(count_values(value, depth + 1) for value in node)


def parse_json(data, chunk_count):
    need(data[:3] != b"\xef\xbb\xbf" and 0 not in data, "a byte order mark or a NUL in the JSON")
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_constant)
    except RecursionError:
        raise Refused("JSON is nested too deep") from None
    need(count_values(document) <= (1 << 20) + 64 * chunk_count, "more JSON values than a manifest may hold")
    return document


def whole(value, low, high, what):
    need(type(value) is int and low <= value <= high, f"{what}: {value!r} is no integer from {low} to {high}")


def check_name(value, what, longest=MAX_NAME):
    need(isinstance(value, str) and 0 < len(value.encode()) <= longest, f"{what} is no name")
    need(not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value), f"{what} holds a control character")


def distinct(names, what):
    need(len(names) == len(set(names)), f"two {what} of one name")


STREAM = {"name", "bytes", "first_chunk", "chunk_count"}
FIELDS = {
    "manifest": {"config", "provenance", "assets", "tensors"},
    "base": {"root"},
    "exit": {"layer", "norm", "up", "down"},
    "asset": STREAM,
    "tensor": {"name", "shape", "dtype", "codec", "role", "layer", "extra", "planes"},
    "plane": {"kind", "attributes", "level", "streams"},
    "stream": STREAM,
}


def check_fields(manifest):
    def one(kind, node):
        need(isinstance(node, dict), f"{kind} is not an object")
        known = {key for key in node if not key.startswith("x_")}
        need(known == FIELDS[kind], f"{kind}: fields {sorted(known ^ FIELDS[kind])}")

    need(isinstance(manifest, dict), "manifest is not an object")
    one("manifest", {key: value for key, value in manifest.items() if key != "base"})
    if "base" in manifest:
        one("base", manifest["base"])
        need(re.fullmatch("[0-9a-f]{64}", manifest["base"]["root"]), "root of the base")
    for key in ("config", "provenance"):
        need(isinstance(manifest[key], dict), f"{key} is not an object")
    for key in ("assets", "tensors"):
        need(isinstance(manifest[key], list), f"{key} is not an array")

    def check_stream(kind, stream):
        one(kind, stream)
        check_name(stream["name"], kind, MAX_ASSET_NAME if kind == "asset" else MAX_NAME)
        for key, most in (("bytes", 1 << 62), ("first_chunk", (1 << 32) - 1), ("chunk_count", (1 << 32) - 1)):
            whole(stream[key], 0, most, f"{kind} {stream['name']}, {key}")
        need((stream["bytes"] == 0) == (stream["chunk_count"] == 0), f"{kind} {stream['name']}: bytes and chunks")

    for asset in manifest["assets"]:
        check_stream("asset", asset)
        name = asset["name"]
        need(name[0] != "." and not set(name) & set("/\\:"), f"asset name {name!r}")
    distinct([asset["name"] for asset in manifest["assets"]], "assets")
    for tensor in manifest["tensors"]:
        one("tensor", tensor)
        check_tensor(tensor, one, check_stream)
    distinct([tensor["name"] for tensor in manifest["tensors"]], "tensors")
    check_exits(manifest, one)


def check_tensor(tensor, one, check_stream):
    for key in ("name", "dtype", "codec", "role"):
        check_name(tensor[key], f"tensor's {key}")
    where = tensor["name"]
    whole(tensor["layer"], -1, (1 << 31) - 1, f"{where}: layer")
    need(isinstance(tensor["extra"], dict), f"{where}: extra is not an object")
    shape, planes = tensor["shape"], tensor["planes"]
    need(isinstance(shape, list) and len(shape) <= 8, f"{where}: shape")
    elements = 1
    for n in shape:
        whole(n, 1, 1 << 48, f"{where}: shape")
        elements *= n
    need(elements <= 1 << 48, f"{where}: shape")
    need(isinstance(planes, list) and 1 <= len(planes) <= 64, f"{where}: planes")
    levels = []
    for plane in planes:
        one("plane", plane)
        check_name(plane["kind"], f"{where}: plane's kind")
        whole(plane["level"], 0, 63, f"{where}: level")
        need(isinstance(plane["attributes"], dict), f"{where}: attributes are not an object")
        need(isinstance(plane["streams"], list) and len(plane["streams"]) <= 64, f"{where}: streams")
        levels.append(plane["level"])
        for stream in plane["streams"]:
            check_stream("stream", stream)
        distinct([stream["name"] for stream in plane["streams"]], "streams")
    need(levels[0] == 0 and levels == sorted(levels), f"{where}: levels")


def check_exits(manifest, one):
    tensors = {tensor["name"]: tensor for tensor in manifest["tensors"]}
    layers = [-1]
    for leave in manifest.get("x_exits", []):
        one("exit", leave)
        layers.append(leave["layer"])
        need(layers[-1] > layers[-2], "exits do not ascend by layer")
        norm, up, down = (tensors[leave[part]] for part in ("norm", "up", "down"))
        inner, width = up["shape"]
        need(norm["shape"] == [width] and down["shape"] == [1, inner], f"exit at layer {layers[-1]}: shapes")
        need(up["role"] == down["role"] == "router", f"exit at layer {layers[-1]}: roles")
    left_out = manifest.get("x_draft_layers", [])
    need(isinstance(left_out, list), "x_draft_layers is not an array")
    for before, layer in zip([0, *left_out], left_out):
        whole(layer, 1, (1 << 31) - 1, "x_draft_layers")
        need(layer > before, "x_draft_layers do not ascend")


# --- commands --------------------------------------------------------------------------------


def run(arguments):
    artifact = Artifact(arguments.file)
    if arguments.command == "verify":
        damage = artifact.verify()
        for line in damage + artifact.notes:
            print(line)
        for signature in artifact.signatures:
            print(f"signature {signature}")
        print(f"root {artifact.root.hex()}")
        print(f"{artifact.file_bytes} bytes, {artifact.chunk_count} chunks: "
              + ("damaged" if damage else "intact"))
        return 1 if damage else 0
    if arguments.command == "tensors":
        for tensor in artifact.manifest["tensors"]:
            planes = " + ".join(plane["kind"] for plane in tensor["planes"])
            print(f"{tensor['name']}  {tensor['shape']}  {tensor['dtype']}  {tensor['codec']}  {planes}")
        return 0
    tensor = artifact.tensor(arguments.tensor)
    if arguments.command == "dump":
        need("base" not in artifact.manifest, "a delta alone is no model; Stack reads it over its base")
        np.save(arguments.out, artifact.weights(tensor, arguments.planes))
        return 0
    for record in tensor["planes"][arguments.plane]["streams"]:
        if record["name"] == arguments.stream:
            with open(arguments.out, "wb") as out:
                out.write(artifact.stream(record))
            return 0
    raise Refused(f"no stream {arguments.stream}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("verify", "tensors", "dump", "stream"):
        command = commands.add_parser(name)
        command.add_argument("file")
        if name in ("dump", "stream"):
            command.add_argument("tensor")
        if name == "stream":
            command.add_argument("plane", type=int)
            command.add_argument("stream")
        if name in ("dump", "stream"):
            command.add_argument("out")
        if name == "dump":
            command.add_argument("--planes", type=int, help="only the first N planes (transforms not counted)")
    arguments = parser.parse_args()
    try:
        return run(arguments)
    except (Refused, KeyError, IndexError, TypeError, ValueError, OSError, MemoryError, RecursionError,
            zstandard.ZstdError) as error:
        print(f"{arguments.file}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
