#include "artifact/coding.h"

#include <fmt/format.h>
#include <htscodecs/rANS_static4x16.h>
#include <zstd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace ingot::artifact {
namespace {

constexpr int kZstdLevel = 3;
// The one rANS form that a chunk may hold: order 0, 32 interleaved states, length stored.
constexpr std::uint8_t kRansFormat = RANS_ORDER_X32;
constexpr std::size_t kRansStates = 32;
constexpr std::uint32_t kRansTotal = 1u << 12;
constexpr std::uint32_t kRansLowest = 1u << 15;

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct FreeDecompressor {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

ZSTD_CCtx* Compressor() {
  thread_local std::unique_ptr<ZSTD_CCtx, FreeCompressor> context(ZSTD_createCCtx());
  INGOT_CHECK(context != nullptr);
  return context.get();
}

ZSTD_DCtx* Decompressor() {
  thread_local std::unique_ptr<ZSTD_DCtx, FreeDecompressor> context(ZSTD_createDCtx());
  INGOT_CHECK(context != nullptr);
  return context.get();
}

std::vector<std::uint8_t>& Scratch() {
  thread_local std::vector<std::uint8_t> bytes;
  return bytes;
}

// Bytes written, 0 where zstd refuses.
std::size_t ZstdInto(ByteSpan raw, int level, std::vector<std::uint8_t>& out) {
  ZSTD_CCtx* context = Compressor();
  ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters);
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1);
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 0);
  out.resize(std::max(out.size(), ZSTD_compressBound(raw.size())));
  const std::size_t n = ZSTD_compress2(context, out.data(), out.size(), raw.data(), raw.size());
  return ZSTD_isError(n) ? 0 : n;
}

// Bytes written, 0 where the library chose another form (it does for tiny or flat input).
std::size_t RansInto(ByteSpan raw, std::vector<std::uint8_t>& out) {
  const auto size = static_cast<unsigned int>(raw.size());
  unsigned int n = rans_compress_bound_4x16(size, kRansFormat);
  out.resize(std::max<std::size_t>(out.size(), n));
  // The library's prototype lacks const; it only reads.
  auto* in = const_cast<std::uint8_t*>(raw.data());
  if (rans_compress_to_4x16(in, size, out.data(), &n, kRansFormat) == nullptr) return 0;
  return n > 0 && out[0] == kRansFormat ? n : 0;
}

// A cursor over the head of a rANS stream; every read is bounds-checked.
class RansHead {
 public:
  explicit RansHead(ByteSpan bytes) : bytes_(bytes) {}
  std::size_t left() const { return bytes_.size() - position_; }
  bool Byte(std::uint32_t& value) {
    if (left() == 0) return false;
    value = bytes_[position_++];
    return true;
  }
  // Seven bits a byte, most significant first, the top bit set on all but the last.
  bool Varint(std::uint32_t& value) {
    value = 0;
    for (int i = 0; i < 5; ++i) {
      std::uint32_t byte;
      if (!Byte(byte) || value > (0xffffffffu >> 7)) return false;
      value = value << 7 | (byte & 0x7fu);
      if ((byte & 0x80u) == 0) return true;
    }
    return false;
  }
  ByteSpan rest() const { return bytes_.subspan(position_); }

 private:
  ByteSpan bytes_;
  std::size_t position_ = 0;
};

// The symbols that occur, ascending; a symbol that follows its predecessor is followed by a run
// length.
bool ReadAlphabet(RansHead& head, std::array<bool, 256>& present) {
  std::uint32_t symbol;
  if (!head.Byte(symbol)) return false;
  do {
    if (present[symbol]) return false;
    present[symbol] = true;
    std::uint32_t next;
    if (!head.Byte(next)) return false;
    if (next != 0 && next <= symbol) return false;
    if (next == symbol + 1) {
      std::uint32_t run;
      if (!head.Byte(run) || next + run > 255) return false;
      for (std::uint32_t i = 0; i < run; ++i) present[next + i] = true;
      symbol = next + run;
    } else {
      symbol = next;
    }
  } while (symbol != 0);
  return true;
}

// Walks what the library would trust: form, length, frequencies that add up, and the states. After
// it, its decoder can neither index outside its tables nor start outside the stream.
Status CheckRansHead(ByteSpan stored, std::size_t decoded_bytes) {
  RansHead head(stored);
  std::uint32_t format;
  std::uint32_t size;
  if (!head.Byte(format) || format != kRansFormat)
    return Corruption("rANS stream of a form that Ingot does not use");
  if (!head.Varint(size) || size != decoded_bytes)
    return Corruption(fmt::format("rANS stream of another length than {} bytes", decoded_bytes));
  std::array<bool, 256> present{};
  if (!ReadAlphabet(head, present)) return Corruption("rANS stream with a damaged symbol list");
  std::uint64_t total = 0;
  for (const bool p : present) {
    std::uint32_t frequency;
    if (!p) continue;
    if (!head.Varint(frequency) || frequency == 0 || frequency > kRansTotal)
      return Corruption("rANS stream with a damaged frequency table");
    total += frequency;
  }
  if (total == 0 || total > kRansTotal || (total & (total - 1)) != 0)
    return Corruption(fmt::format("rANS frequencies add up to {}, a power of two up to {} expected",
                                  total, kRansTotal));
  const ByteSpan states = head.rest();
  if (states.size() < kRansStates * 4) return Corruption("rANS stream ends inside its states");
  for (std::size_t i = 0; i < kRansStates; ++i)
    if (LoadLe<std::uint32_t>(states.data() + 4 * i) < kRansLowest)
      return Corruption(fmt::format("rANS state {} is out of range", i));
  return OkStatus();
}

Status DecompressRans(ByteSpan stored, MutableByteSpan out) {
  INGOT_TRY(CheckRansHead(stored, out.size()));
  auto n = static_cast<unsigned int>(out.size());
  auto* in = const_cast<std::uint8_t*>(stored.data());
  const auto* result =
      rans_uncompress_to_4x16(in, static_cast<unsigned int>(stored.size()), out.data(), &n);
  if (result == nullptr || n != out.size()) return Corruption("rANS stream does not decode");
  return OkStatus();
}

}  // namespace

EncodedChunk EncodeChunk(CodingHint hint, ByteSpan raw) {
  if (hint == CodingHint::kRaw) return {ChunkCoding::kRaw, raw};
  std::vector<std::uint8_t>& scratch = Scratch();
  const bool rans = hint == CodingHint::kEntropy;
  const std::size_t n = rans ? RansInto(raw, scratch) : ZstdInto(raw, kZstdLevel, scratch);
  // At least 3 % saved, in exact integers.
  if (n == 0 || n * 100 > raw.size() * 97) return {ChunkCoding::kRaw, raw};
  return {rans ? ChunkCoding::kRans : ChunkCoding::kZstd, {scratch.data(), n}};
}

std::vector<std::uint8_t> CompressZstd(ByteSpan raw, int level) {
  std::vector<std::uint8_t> out;
  const std::size_t n = ZstdInto(raw, level, out);
  INGOT_CHECK(n > 0);
  out.resize(n);
  return out;
}

Status DecompressZstd(ByteSpan stored, MutableByteSpan out) {
  // The frame must say its length before a byte is decoded, and be the only one.
  if (ZSTD_getFrameContentSize(stored.data(), stored.size()) != out.size())
    return Corruption(fmt::format("zstd frame of another length than {} bytes", out.size()));
  if (ZSTD_findFrameCompressedSize(stored.data(), stored.size()) != stored.size())
    return Corruption("zstd frame is damaged or followed by other bytes");
  const std::size_t n =
      ZSTD_decompressDCtx(Decompressor(), out.data(), out.size(), stored.data(), stored.size());
  if (ZSTD_isError(n)) return Corruption(fmt::format("zstd: {}", ZSTD_getErrorName(n)));
  if (n != out.size())
    return Corruption(fmt::format("zstd frame gave {} bytes, {} expected", n, out.size()));
  return OkStatus();
}

Status DecodeChunk(ChunkCoding coding, ByteSpan stored, MutableByteSpan out) {
  switch (coding) {
    case ChunkCoding::kRaw:
      if (stored.size() != out.size())
        return Corruption(fmt::format("{} raw bytes for {}", stored.size(), out.size()));
      if (!out.empty()) std::memcpy(out.data(), stored.data(), out.size());
      return OkStatus();
    case ChunkCoding::kZstd:
      return DecompressZstd(stored, out);
    case ChunkCoding::kRans:
      return DecompressRans(stored, out);
  }
  return Corruption("unknown coding");
}

}  // namespace ingot::artifact
