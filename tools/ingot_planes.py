"""Planes to weights, written from docs/codecs.md alone: the part of tools/ingot_reader.py that knows no files. Needs
numpy."""
import numpy as np


class Refused(Exception):
    """A file that breaks a rule of the format."""


def need(condition, what):
    if not condition:
        raise Refused(what)


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
    if kind == "normal":
        need(bits == 4, "normal levels have 4 bits")
        magnitudes = np.array([6, 18, 30, 44, 58, 75, 96, 127], np.float32) / np.float32(16)
        return np.concatenate([-magnitudes[::-1], magnitudes])[codes]
    if kind == "minimum":
        return codes.astype(np.float32)
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
    wide = {"f16": "<f2", "f32": "<f4"}
    if attributes["scales"] in wide:
        scales = as_rows(streams["scales"], wide[attributes["scales"]], rows, groups).astype(np.float32)
    else:
        need(attributes["scales"] == "q8", "scales")
        row_scales = as_rows(streams["row_scales"], "<f2", rows, 1).astype(np.float32)
        scales = as_rows(streams["scales"], np.int8, rows, groups).astype(np.float32) * row_scales
    values = int_levels(attributes, streams, codes, groups) * spread(scales, group, cols)
    if attributes["levels"] == "minimum":
        need(attributes["scales"] in wide, "minima under 8-bit scales")
        minima = as_rows(streams["minima"], wide[attributes["scales"]], rows, groups).astype(np.float32)
        values = values + spread(minima, group, cols)
    return total + values


def plane_fp8(attributes, streams, total):
    rows, cols = total.shape
    need(attributes["format"] == "e4m3", "fp8 format")
    blocks = -(-cols // attributes["block"])
    scales = as_rows(streams["scales"], "<f2", rows, blocks).astype(np.float32)
    codes = as_rows(streams["codes"], np.uint8, rows, cols)
    return total + F8_E4M3[codes] * spread(scales, attributes["block"], cols)


def entropy_parts(attributes, streams, shape, most):
    """Sections 11 and 14: records as (class, factor) of rows and of each band's columns, and the codes as stored."""
    rows, cols = shape
    band = attributes["band"]
    need(isinstance(band, int) and band >= 1, "band")
    bands = -(-rows // band)
    lines = as_rows(streams["rows"], "<u2", rows, 1), as_rows(streams["columns"], "<u2", bands, cols)
    factors = []
    for records in lines:
        need(not records.size or 0x40 <= (records & 0x7ff).min() and (records & 0x7ff).max() < 0x7c0, "factor")
        factors.append(((records & 0x7ff) << 4).astype(np.uint16).view(np.float16).astype(np.float32))
    symbols = as_rows(streams["codes"], np.uint8, rows, cols).ravel()
    codes = symbols.astype(np.int64) - 128
    escaped, escapes = np.flatnonzero(symbols == 0), streams["escapes"].view("<i4").astype(np.int64)
    need(len(escaped) == len(escapes), "escapes")
    need(not len(escapes) or 128 <= abs(escapes).min() and abs(escapes).max() <= most, "escape")
    codes[escaped] = escapes
    # (rows of the band, its classes, its codes where they belong, factors of its rows and columns)
    parts = []
    for b in range(bands):
        part = slice(b * band, min(rows, (b + 1) * band))
        classes = (lines[0][part] >> 11) + (lines[1][b] >> 11)
        # By class, then row, then column.
        order = np.argsort(classes.ravel(), kind="stable")
        placed = np.empty(classes.size, np.int64)
        placed[order] = codes[part.start * cols:part.stop * cols]
        parts.append((part, classes, placed.reshape(classes.shape), factors[0][part], factors[1][b]))
    return parts


def plane_entropy(attributes, streams, total):
    need(set(attributes) == {"band"}, "entropy attributes")
    value = np.empty(total.shape, np.float32)
    for part, _, codes, of_rows, of_columns in entropy_parts(attributes, streams, total.shape, 1 << 23):
        value[part] = codes.astype(np.float32) * of_rows * of_columns
    return total + value


# h0 and h1 by states, in octal.
TRELLIS = {4: ("5", "2"), 8: ("13", "4"), 16: ("23", "4"), 32: ("45", "10"), 64: ("103", "24"), 128: ("235", "126"),
           256: ("515", "362"), 512: ("1017", "342"), 1024: ("2463", "1636"), 2048: ("6141", "3414"),
           4096: ("17133", "5526")}


def plane_dependent(attributes, streams, total):
    need(set(attributes) == {"band", "states", "restart", "scalar"}, "dependent attributes")
    need(attributes["states"] in TRELLIS, "states")
    restart, scalar = attributes["restart"], attributes["scalar"]
    need(isinstance(restart, int) and restart >= 1 and isinstance(scalar, int) and 0 <= scalar <= 63, "dependent range")
    h0, h1 = (int(octal, 8) // 2 for octal in TRELLIS[attributes["states"]])
    value = np.empty(total.shape, np.float32)
    for part, classes, codes, of_rows, of_columns in entropy_parts(attributes, streams, total.shape, 1 << 21):
        levels = np.empty(codes.shape, np.float32)
        state = np.zeros(codes.shape[1], np.int64)
        for i, k in enumerate(codes):
            if i % restart == 0:
                state[:] = 0
            moves, odd = classes[i] >= scalar, state & 1
            levels[i] = np.where(moves, (4 * k + 1) * (1 - 2 * odd), 4 * k)
            state = np.where(moves, state // 2 ^ odd * h0 ^ (k & 1) * h1, state)
        value[part] = levels * of_rows * of_columns
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


def plane_vq(attributes, streams, total):
    rows, cols = total.shape
    need(set(attributes) == {"dimension", "bits", "group"}, "vq attributes")
    dimension, bits, group = (attributes[name] for name in ("dimension", "bits", "group"))
    need(dimension in (1, 2, 4) and 1 <= bits <= 12 and group >= 1, "vq range")
    indices = bit_fields(streams["indices"], bits, rows, -(-cols // dimension))
    scales = as_rows(streams["scales"], "<f2", rows, -(-cols // group)).astype(np.float32)
    codebook = as_rows(streams["codebook"], "<f2", 1 << bits, dimension).astype(np.float32)
    return total + codebook[indices].reshape(rows, -1)[:, :cols] * spread(scales, group, cols)


def plane_lowrank(attributes, streams, total):
    rows, cols = total.shape
    need(set(attributes) == {"rank", "factors"}, "lowrank attributes")
    rank = attributes["rank"]
    need(1 <= rank <= min(cols, 1024) and attributes["factors"] in ("f16", "i8"), "lowrank range")

    def factor(name, lines, width):
        if attributes["factors"] == "f16":
            return as_rows(streams[name], "<f2", lines, width).astype(np.float32)
        scales = as_rows(streams[name + "_scales"], "<f2", lines, 1).astype(np.float32)
        return as_rows(streams[name], np.int8, lines, width).astype(np.float32) * scales

    left, right = factor("left", rows, rank), factor("right", rank, cols)
    value = np.zeros_like(total)
    for k in range(rank):
        value = value + left[:, k:k + 1] * right[k:k + 1]
    return total + value


def codes_in_columns(data, bits, tile, rows, cols):
    row_bytes = -(-cols * bits // 8)
    need(len(data) == rows * row_bytes, "codes")
    codes = np.zeros((rows, cols), np.uint64)
    for first in range(0, rows, tile):
        n = min(tile, rows - first)
        string = np.frombuffer(data, np.uint8)[first * row_bytes:(first + n) * row_bytes]
        string = np.unpackbits(string, bitorder="little")[:n * cols * bits].reshape(cols, n, bits)
        values = sum(string[:, :, b].astype(np.uint64) << np.uint64(b) for b in range(bits))
        codes[first:first + n] = values[:, ::-1].T
    return codes


def plane_trellis(attributes, streams, total):
    rows, cols = total.shape
    columns = attributes.get("order") == "columns"
    need(set(attributes) == {"bits", "state", "tile"} | ({"order"} if columns else set()), "trellis attributes")
    bits, state_bits, tile = (attributes[name] for name in ("bits", "state", "tile"))
    need(2 <= bits <= 4 and 8 <= state_bits <= 16 and 1 <= tile <= 65536, "trellis range")
    if columns:
        codes = codes_in_columns(streams["codes"], bits, tile, rows, cols)
    else:
        codes = bit_fields(streams["codes"], bits, rows, cols).astype(np.uint64)
    states = np.zeros((rows, cols), np.uint64)
    for first in range(0, rows, tile):
        ring = codes[first:first + tile]
        for back in range(-(-state_bits // bits)):
            states[first:first + tile] |= np.roll(ring, back % len(ring), axis=0) << np.uint64(bits * back)
    x = (states & np.uint64((1 << state_bits) - 1)) * np.uint64(34038481) + np.uint64(76625530)
    total_of = sum((x >> np.uint64(8 * k) & np.uint64(255)).astype(np.int64) for k in range(4))
    levels = ((total_of + 2 >> 2) - 128).astype(np.float32)
    return total + levels * as_rows(streams["scales"], "<f2", rows, 1).astype(np.float32)


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
    "vq": plane_vq,
    "lowrank": plane_lowrank,
    "trellis": plane_trellis,
    "entropy": plane_entropy,
    "dependent": plane_dependent,
    "raw": plane_raw,
    "raw_split": plane_raw_split,
    "remainder16": plane_remainder(["low", "high"], 16),
    "remainder32": plane_remainder(["byte0", "byte1", "byte2", "byte3"], 32),
}


def weights_of(planes, shape, streams, plane_count=None, base=None):
    """The sum of the first planes as float32, in `shape`; streams(plane) gives its bytes by name. With `base`, what a
    delta's planes make of those weights: they add apart from it until one replaces, or to the end."""
    cols = shape[-1] if shape else 1
    rows = int(np.prod(shape[:-1], dtype=np.int64)) if shape else 1
    total = np.zeros((rows, cols), np.float32)
    if base is not None:
        need(not any(p["kind"] in REPLACES for p in planes[:-1]), "a delta's plane that replaces is not its last")
        base = base.reshape(rows, cols)
    for plane in application_order(planes, plane_count):
        need(plane["kind"] in PLANES, f"unknown plane kind {plane['kind']}")
        if base is not None and plane["kind"] in REPLACES:
            total, base = base + total, None
        total = PLANES[plane["kind"]](plane["attributes"], streams(plane), total)
    return (total if base is None else base + total).reshape(shape)
