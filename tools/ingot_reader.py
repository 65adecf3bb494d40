#!/usr/bin/env python3
"""A second reader of .ingot files, written from docs/FORMAT.md and docs/codecs.md alone.

usage: ingot_reader.py verify FILE             every digest, padding, signature
       ingot_reader.py tensors FILE            one line a tensor
       ingot_reader.py dump FILE TENSOR OUT.npy [--planes N]
       ingot_reader.py stream FILE TENSOR PLANE STREAM OUT.bin

Needs numpy, zstandard and blake3; Ed25519 is verified where `cryptography` can be imported.
Exit status: 0 intact, 1 not, 2 usage, 77 a needed package is missing.
"""
import argparse
import json
import struct
import sys

try:
    import blake3 as blake3_module
    import numpy as np
    import zstandard
except ImportError as missing:
    print(f"SKIP: {missing}", file=sys.stderr)
    sys.exit(77)

MAGIC = bytes.fromhex("89494e470d0a1a0a")
AREA_BEGIN, AREA_END = 64, 4160
MAX_CHUNK, MAX_MANIFEST = 1 << 22, 1 << 28
RAW, ZSTD, RANS = 0, 1, 2


class Refused(Exception):
    """A file that breaks a rule of the format."""


def need(condition, what):
    if not condition:
        raise Refused(what)


def blake3(*parts):
    hasher = blake3_module.blake3()
    for part in parts:
        hasher.update(part)
    return hasher.digest()


def align(n, alignment):
    return -(-n // alignment) * alignment


def unzstd(data, size):
    need(zstandard.frame_content_size(data) == size, "zstd frame states another length")
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
        self.manifest = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
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
        need(0 < self.manifest_decoded <= MAX_MANIFEST, "manifest size")
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

    def weights(self, tensor, plane_count=None):
        """The sum of the first planes as float32, in the tensor's shape."""
        shape = tensor["shape"]
        cols = shape[-1] if shape else 1
        rows = int(np.prod(shape[:-1], dtype=np.int64)) if shape else 1
        total = np.zeros((rows, cols), np.float32)
        for plane in application_order(tensor["planes"], plane_count):
            streams = {s["name"]: np.frombuffer(self.stream(s), np.uint8) for s in plane["streams"]}
            need(plane["kind"] in PLANES, f"unknown plane kind {plane['kind']}")
            total = PLANES[plane["kind"]](plane["attributes"], streams, total)
        return total.reshape(shape)


TRANSFORMS = {"hadamard", "column_scale"}
REPLACES = {"raw", "raw_split", "remainder16", "remainder32"}


def application_order(planes, count=None):
    """codecs.md section 1: transforms wait until the planes that add are in."""
    transforms = [p for p in planes if p["kind"] in TRANSFORMS]
    need(planes[0]["kind"] not in TRANSFORMS and len(transforms) <= 2, "place of a transform")
    need(all(p["level"] == 0 for p in transforms), "level of a transform")
    order, waiting = [], []
    for plane in planes:
        if plane["kind"] in TRANSFORMS:
            waiting.append(plane)
        elif count is None or count > 0:
            count = None if count is None else count - 1
            if plane["kind"] in REPLACES:
                order, waiting = order + waiting, []
            order.append(plane)
    return order + waiting


def unique(pairs):
    result = dict(pairs)
    need(len(result) == len(pairs), "a key occurs twice")
    return result


STREAM = {"name", "bytes", "first_chunk", "chunk_count"}
FIELDS = {
    "manifest": {"config", "provenance", "assets", "tensors"},
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

    one("manifest", manifest)
    for asset in manifest["assets"]:
        one("asset", asset)
        name = asset["name"]
        need(name and name[0] != "." and not set(name) & set("/\\:"), f"asset name {name!r}")
    names = [tensor["name"] for tensor in manifest["tensors"]]
    need(len(names) == len(set(names)), "two tensors of one name")
    for tensor in manifest["tensors"]:
        one("tensor", tensor)
        levels = []
        for plane in tensor["planes"]:
            one("plane", plane)
            levels.append(plane["level"])
            for stream in plane["streams"]:
                one("stream", stream)
        need(levels and levels[0] == 0 and levels == sorted(levels), f"{tensor['name']}: levels")


# --- planes, codecs.md -----------------------------------------------------------------------


def bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def f8_e4m3_table():
    code = np.arange(256)
    exponent, mantissa = code >> 3 & 15, code & 7
    value = np.where(exponent == 0, mantissa * 2.0 ** -9, (8 + mantissa) * 2.0 ** (exponent - 10.0))
    value = np.where(code & 127 == 127, np.nan, value)
    return np.where(code & 128, -value, value).astype(np.float32)


F8_E4M3 = f8_e4m3_table()
# Level 2^(-j/16) of logarithmic codes.
LOG_STEPS = np.array([int(h, 16) for h in (
    "3f800000 3f75257d 3f6ac0c7 3f60ccdf 3f5744fd 3f4e248c 3f45672a 3f3d08a4 3f3504f3 3f2d583f "
    "3f25fed7 3f1ef532 3f1837f0 3f11c3d3 3f0b95c2 3f05aac3").split()], np.uint32).view(np.float32)


def as_rows(data, dtype, rows, count):
    need(len(data) == rows * count * np.dtype(dtype).itemsize, "stream length")
    return data.view(dtype).reshape(rows, count)


def bit_fields(data, bits, rows, cols):
    """codes[rows, cols] of `bits` bits: section 2."""
    widths = [8] * (bits // 8) + [w for w in (4, 2, 1) if bits % 8 & w]

    def field_bytes(width):
        if width == 8:
            return cols
        block = 512 // width
        return 64 * (cols // block) + -(-(cols % block) // (8 // width))

    record = as_rows(data, np.uint8, rows, sum(map(field_bytes, widths)))
    codes, shift, begin = np.zeros((rows, cols), np.uint32), 0, 0
    for width in widths:
        field = record[:, begin:begin + field_bytes(width)]
        begin += field.shape[1]
        codes |= unpack_field(field, width, cols).astype(np.uint32) << shift
        shift += width
    return codes


def unpack_field(field, width, cols):
    if width == 8:
        return field
    out = np.zeros((field.shape[0], cols), np.uint8)
    block = 512 // width
    for start in range(0, cols, block):
        n = min(block, cols - start)
        half = 64 if n == block else -(-n // (8 // width))
        part = field[:, start * width // 8:start * width // 8 + half]
        for lane in range(8 // width):
            take = max(min(half, n - lane * half), 0)
            if take:
                first = start + lane * half
                out[:, first:first + take] = part[:, :take] >> lane * width & (1 << width) - 1
    return out


def spread(groups, group, cols):
    return np.repeat(groups, group, axis=1)[:, :cols]


def int_levels(attributes, streams, codes, groups):
    rows, cols = codes.shape
    bits, kind = attributes["bits"], attributes["levels"]
    if kind == "symmetric":
        return codes.astype(np.float32) - np.float32(1 << bits - 1)
    if kind == "asymmetric":
        zeros = as_rows(streams["zeros"], np.uint8, rows, groups).astype(np.float32)
        zeros = zeros * np.float32(2.0 ** (bits - 8))
        return codes.astype(np.float32) - spread(zeros, attributes["group"], cols)
    need(kind == "log", f"levels {kind}")
    low = codes & (1 << bits - 1) - 1
    k = ((1 << bits - 1) - 1 - low) * np.uint32(16 // attributes["steps"])
    power = LOG_STEPS[k % 16] * np.exp2(-(k // 16).astype(np.float32))
    power = np.where(codes >> bits - 1 & 1, -power, power)
    return np.where(low == 0, np.float32(0), power).astype(np.float32)


def plane_int(attributes, streams, total):
    rows, cols = total.shape
    group = attributes["group"]
    groups = -(-cols // group)
    codes = bit_fields(streams["codes"], attributes["bits"], rows, cols)
    if attributes["scales"] == "f16":
        scales = as_rows(streams["scales"], "<f2", rows, groups).astype(np.float32)
    else:
        need(attributes["scales"] == "q8", "scales")
        row_scales = as_rows(streams["row_scales"], "<f2", rows, 1).astype(np.float32)
        scales = as_rows(streams["scales"], np.int8, rows, groups).astype(np.float32) * row_scales
    return total + int_levels(attributes, streams, codes, groups) * spread(scales, group, cols)


def plane_fp8(attributes, streams, total):
    rows, cols = total.shape
    need(attributes["format"] == "e4m3", "fp8 format")
    blocks = -(-cols // attributes["block"])
    scales = as_rows(streams["scales"], "<f2", rows, blocks).astype(np.float32)
    codes = as_rows(streams["codes"], np.uint8, rows, cols)
    return total + F8_E4M3[codes] * spread(scales, attributes["block"], cols)


def plane_entropy(attributes, streams, total):
    rows, cols = total.shape
    band = attributes["band"]
    need(isinstance(band, int) and band >= 1, "entropy band")
    bands = -(-rows // band)
    lines = as_rows(streams["rows"], "<u2", rows, 1), as_rows(streams["columns"], "<u2", bands, cols)
    factors = []
    for records in lines:
        need(not records.size or 0x40 <= (records & 0x7ff).min() and (records & 0x7ff).max() < 0x7c0,
             "entropy factor")
        factors.append(((records & 0x7ff) << 4).astype(np.uint16).view(np.float16).astype(np.float32))
    symbols = as_rows(streams["codes"], np.uint8, rows, cols).ravel()
    codes = symbols.astype(np.int64) - 128
    escaped, escapes = np.flatnonzero(symbols == 0), streams["escapes"].view("<i4").astype(np.int64)
    need(len(escaped) == len(escapes), "entropy escapes")
    need(not len(escapes) or 128 <= abs(escapes).min() and abs(escapes).max() <= 1 << 23, "escape")
    codes[escaped] = escapes
    value = np.empty((rows, cols), np.float32)
    for b in range(bands):
        part = slice(b * band, min(rows, (b + 1) * band))
        classes = (lines[0][part] >> 11) + (lines[1][b] >> 11)
        # By class, then row, then column.
        order = np.argsort(classes.ravel(), kind="stable")
        levels = np.empty(classes.size, np.float32)
        levels[order] = codes[part.start * cols:part.stop * cols]
        value[part] = levels.reshape(classes.shape) * factors[0][part] * factors[1][b]
    return total + value


def plane_sparse(attributes, streams, total):
    rows, cols = total.shape
    need(attributes["format"] == "f16", "sparse format")
    counts = as_rows(streams["counts"], "<u2" if cols <= 65535 else "<u4", rows, 1).ravel()
    columns = streams["columns"].view("<u2" if cols <= 65536 else "<u4").astype(np.int64)
    values = streams["values"].view("<f2").astype(np.float32)
    need(len(columns) == len(values) == int(counts.sum(dtype=np.int64)), "sparse counts")
    need(not len(columns) or int(columns.max()) < cols, "sparse column")
    out = total.copy()
    # Strictly increasing columns: no (row, column) twice, so one indexed addition is exact.
    out[np.repeat(np.arange(rows), counts), columns] += values
    return out


def source_values(dtype, bits):
    if dtype == "bf16":
        return bf16(bits.astype(np.uint16))
    if dtype == "f16":
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)
    need(dtype == "f32", f"dtype {dtype}")
    return bits.astype(np.uint32).view(np.float32)


def plane_raw(attributes, streams, total):
    rows, cols = total.shape
    dtype, data = attributes["dtype"], streams["values"]
    if dtype == "f8_e4m3":
        return F8_E4M3[as_rows(data, np.uint8, rows, cols)]
    if dtype == "i8":
        return as_rows(data, np.int8, rows, cols).astype(np.float32)
    return source_values(dtype, as_rows(data, "<u4" if dtype == "f32" else "<u2", rows, cols))


def plane_raw_split(attributes, streams, total):
    rows, cols = total.shape
    dtype = attributes["dtype"]
    mantissa, width = {"bf16": (7, 16), "f16": (10, 16), "f32": (23, 32)}[dtype]
    exponent = as_rows(streams["exponent"], np.uint8, rows, cols).astype(np.uint32)
    need(dtype != "f16" or not rows * cols or exponent.max() <= 31, "f16 exponent")
    rest = bit_fields(streams["rest"], mantissa + 1, rows, cols)
    bits = (rest >> mantissa) << width - 1 | exponent << mantissa | rest & (1 << mantissa) - 1
    return source_values(dtype, bits)


def round_bits(dtype, values):
    """Bits of float32 values rounded to dtype, nearest even."""
    if dtype == "f16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).view(np.uint16).astype(np.int64)
    bits = values.view(np.uint32).astype(np.int64)
    if dtype == "f32":
        return bits
    return bits + 0x7fff + (bits >> 16 & 1) >> 16 & 0xffff


def ordered(bits, width):
    return np.where(bits >> width - 1 & 1, bits ^ (1 << width) - 1, bits ^ 1 << width - 1)


def plane_remainder(names, width):
    def decode(attributes, streams, total):
        rows, cols = total.shape
        z = np.zeros((rows, cols), np.int64)
        for i, name in enumerate(names):
            z |= as_rows(streams[name], np.uint8, rows, cols).astype(np.int64) << 8 * i
        d = (z >> 1) ^ -(z & 1)
        q = round_bits(attributes["dtype"], np.ascontiguousarray(total))
        bits = ordered(q, width) + d & (1 << width) - 1
        # The map back: the inverse of ordered().
        bits = np.where(bits >> width - 1 & 1, bits ^ 1 << width - 1, bits ^ (1 << width) - 1)
        return source_values(attributes["dtype"], bits)

    return decode


def splitmix64(seed, count):
    """The first outputs of splitmix64 seeded with `seed`."""
    z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9e3779b97f4a7c15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xbf58476d1ce4e5b9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94d049bb133111eb)
    return z ^ z >> np.uint64(31)


def dct_matrix(odd, block):
    """DCT-II of an odd size over sqrt(block), each element the nearest float32."""
    i, j = np.arange(odd)[:, None], np.arange(odd)[None, :]
    t = (2 * j + 1) * i % (4 * odd)
    t = np.where(t > 2 * odd, 4 * odd - t, t)  # cos is even
    angle = np.where(t > odd, 2 * odd - t, t)
    pi = np.longdouble("3.14159265358979323846264338327950288")
    cosine = np.where(angle == odd, 0, np.cos(pi * angle.astype(np.longdouble) / (2 * odd)))
    cosine = np.where(t > odd, -cosine, cosine)
    norm = np.where(i == 0, np.longdouble(1), np.sqrt(np.longdouble(2)))
    return (norm / np.sqrt(np.longdouble(block)) * cosine).astype(np.float32)


def plane_hadamard(attributes, streams, total):
    rows, cols = total.shape
    seed, block = attributes["seed"], attributes["block"]
    need(0 <= seed <= 2 ** 53 and 1 <= block <= cols and cols % block == 0, "hadamard attributes")
    chunk = block & -block
    odd = block // chunk
    need(odd <= 2048 and cols <= 2 ** 24, "hadamard size")
    x = total.reshape(rows, cols // block, odd, chunk)
    stride = 1
    while stride < chunk:
        pairs = x.reshape(rows, cols // block, odd, -1, 2, stride)
        a, b = pairs[..., 0, :], pairs[..., 1, :]
        x = np.stack((a + b, a - b), axis=-2).reshape(x.shape)
        stride *= 2
    matrix = dct_matrix(odd, block)
    out = matrix[0][:, None] * x[:, :, :1, :]
    for j in range(1, odd):
        out = out + matrix[j][:, None] * x[:, :, j:j + 1, :]
    negative = splitmix64(seed, cols) >> np.uint64(63) != 0
    return out.reshape(rows, cols) * np.where(negative, np.float32(-1), np.float32(1))


def plane_column_scale(attributes, streams, total):
    need(attributes["format"] == "f16", "column_scale format")
    scales = as_rows(streams["scales"], "<f2", 1, total.shape[1]).astype(np.float32)
    need(bool((scales > 0).all() and np.isfinite(scales).all()), "column_scale value")
    return total * scales


PLANES = {
    "hadamard": plane_hadamard,
    "column_scale": plane_column_scale,
    "int": plane_int,
    "fp8": plane_fp8,
    "sparse": plane_sparse,
    "entropy": plane_entropy,
    "raw": plane_raw,
    "raw_split": plane_raw_split,
    "remainder16": plane_remainder(["low", "high"], 16),
    "remainder32": plane_remainder(["byte0", "byte1", "byte2", "byte3"], 32),
}


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
    except (Refused, KeyError, TypeError, ValueError, OSError, zstandard.ZstdError) as error:
        print(f"{arguments.file}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
