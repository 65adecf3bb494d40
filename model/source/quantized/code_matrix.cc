#include "model/source/quantized/code_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/float_formats.h"
#include "model/source/safetensors.h"

namespace ingot::model {
namespace {

float FromFp8E5m2(std::uint8_t code) {
  return FromFp16(static_cast<std::uint16_t>(code << 8));  // its upper half
}

// A power of two; 255 is NaN.
float FromE8m0(std::uint8_t code) {
  if (code == 255) return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0f, static_cast<int>(code) - 127);
}

Status CheckElements(const StoredPart& part, std::uint64_t elements) {
  if (part.elements() == elements) return OkStatus();
  return Corruption(fmt::format("tensor '{}' is {}, but {} elements are expected", part.name,
                                DescribePart(part), elements));
}

}  // namespace

std::vector<float> IntegerLevels(int bits, int offset) {
  std::vector<float> levels(std::size_t{1} << bits);
  for (std::size_t c = 0; c < levels.size(); ++c)
    levels[c] = static_cast<float>(static_cast<int>(c) - offset);
  return levels;
}

std::vector<float> Fp4Levels() {
  return {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
          -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
}

std::vector<float> ByteLevels(std::string_view dtype) {
  float (*level)(std::uint8_t) = nullptr;
  if (dtype == "F8_E4M3") level = FromFp8E4m3;
  if (dtype == "F8_E5M2") level = FromFp8E5m2;
  if (dtype == "F8_E8M0") level = FromE8m0;
  if (dtype == "U8") level = [](std::uint8_t code) { return static_cast<float>(code); };
  if (dtype == "I8")
    level = [](std::uint8_t code) { return static_cast<float>(static_cast<std::int8_t>(code)); };
  if (level == nullptr) return {};
  std::vector<float> levels(256);
  for (int code = 0; code < 256; ++code) levels[code] = level(static_cast<std::uint8_t>(code));
  return levels;
}

Result<CodeMatrix> CodeMatrix::Plain(const StoredPart& part, std::uint64_t rows, std::uint64_t cols,
                                     bool turned) {
  const auto elements = CheckedMul(rows, cols);
  if (!elements) return Corruption(fmt::format("{} x {} weights overflow", rows, cols));
  INGOT_TRY(CheckElements(part, *elements));
  CodeMatrix matrix;
  matrix.part_ = part;
  matrix.turned_ = turned;
  matrix.outer_ = turned ? cols : rows;
  matrix.inner_ = turned ? rows : cols;
  matrix.level_of_ = ByteLevels(part.dtype);
  if (part.dtype == "F32") {
    matrix.element_ = Element::kF32;
  } else if (part.dtype == "F16" || part.dtype == "BF16") {
    matrix.element_ = part.dtype == "F16" ? Element::kF16 : Element::kBf16;
    matrix.bits_ = 16;
  } else if (part.dtype == "I16" || part.dtype == "I32" || part.dtype == "I64") {
    matrix.element_ = Element::kInteger;
    matrix.bits_ = static_cast<int>(8 * SafetensorsDtypeBytes(part.dtype));
  } else if (!matrix.level_of_.empty()) {
    matrix.element_ = Element::kCode;
    matrix.packing_ = Packing::kInner;
    matrix.bits_ = 8;
  } else {
    return Unsupported(
        fmt::format("tensor '{}' of dtype {} (known here: F32, F16, BF16, "
                    "F8_E4M3, F8_E5M2, F8_E8M0, I8 to I64, U8)",
                    part.name, part.dtype));
  }
  matrix.stored_row_bytes_ = matrix.inner_ * static_cast<std::uint64_t>(matrix.bits_) / 8;
  return matrix;
}

Result<CodeMatrix> CodeMatrix::Packed(const StoredPart& part, std::uint64_t rows,
                                      std::uint64_t cols, int bits, Packing packing, bool turned,
                                      std::vector<float> level_of, const NibbleOrder& order) {
  INGOT_CHECK(bits >= 1 && bits <= 8 && level_of.size() == (std::size_t{1} << bits));
  const std::uint64_t element = SafetensorsDtypeBytes(part.dtype);
  if (part.dtype != "I32" && part.dtype != "U8" && part.dtype != "U32" && part.dtype != "I8")
    return Unsupported(fmt::format("tensor '{}': packed codes of dtype {} (known: I32, U8)",
                                   part.name, part.dtype));
  if (packing == Packing::kOuter && element != 4)
    return Unsupported(
        fmt::format("tensor '{}': codes packed down the rows of dtype {} (known: "
                    "I32)",
                    part.name, part.dtype));
  CodeMatrix matrix;
  matrix.part_ = part;
  matrix.turned_ = turned;
  matrix.outer_ = turned ? cols : rows;
  matrix.inner_ = turned ? rows : cols;
  matrix.element_ = Element::kCode;
  matrix.packing_ = packing;
  matrix.bits_ = bits;
  matrix.order_ = order;
  matrix.level_of_ = std::move(level_of);
  const auto width = static_cast<std::uint64_t>(bits);
  const std::uint64_t along = packing == Packing::kInner ? matrix.inner_ : matrix.outer_;
  if (along > (std::uint64_t{1} << 56) || matrix.inner_ > (std::uint64_t{1} << 56))
    return Corruption(fmt::format("tensor '{}': {} x {} weights", part.name, rows, cols));
  const std::uint64_t words = CeilDiv(along * width, 8 * element);
  matrix.stored_row_bytes_ = packing == Packing::kInner ? words * element : matrix.inner_ * 4;
  const auto expected = packing == Packing::kInner ? CheckedMul(words, matrix.outer_)
                                                   : CheckedMul(words, matrix.inner_);
  if (!expected)
    return Corruption(fmt::format("tensor '{}': {} x {} weights overflow", part.name, rows, cols));
  INGOT_TRY(CheckElements(part, *expected));
  return matrix;
}

Status CodeMatrix::Read(std::uint64_t begin, std::uint64_t end, float* out) const {
  const std::uint64_t o_begin = turned_ ? 0 : begin, o_end = turned_ ? outer_ : end;
  const std::uint64_t i_begin = turned_ ? begin : 0, i_end = turned_ ? end : inner_;
  if (o_begin == o_end || i_begin == i_end) return OkStatus();
  if (packing_ == Packing::kOuter) return ReadOuterPacked(o_begin, o_end, i_begin, i_end, out);
  return ReadInner(o_begin, o_end, i_begin, i_end, out);
}

Status CodeMatrix::ReadInner(std::uint64_t o_begin, std::uint64_t o_end, std::uint64_t i_begin,
                             std::uint64_t i_end, float* out) const {
  const auto bits = static_cast<std::uint64_t>(bits_);
  // Whole words, so that a word's nibbles lie in it whatever their order and strided parts are
  // read by elements.
  const std::uint64_t first_byte = i_begin * bits / 32 * 4;
  const std::uint64_t last_byte =
      std::min(stored_row_bytes_, CeilDiv(AlignUp(i_end, 8) * bits, 32) * 4);
  const std::uint64_t bytes = last_byte - first_byte;
  const std::uint64_t o_count = o_end - o_begin, i_count = i_end - i_begin;
  const bool whole = bytes == stored_row_bytes_;
  ByteBuffer buffer(whole ? bytes * o_count : bytes);  // slack follows: an element may be read past
  if (whole) INGOT_TRY(part_.Read(o_begin * stored_row_bytes_, {buffer.data(), buffer.size()}));
  for (std::uint64_t o = 0; o < o_count; ++o) {
    if (!whole)
      INGOT_TRY(part_.Read((o_begin + o) * stored_row_bytes_ + first_byte, {buffer.data(), bytes}));
    const std::uint8_t* row = buffer.data() + (whole ? o * bytes : 0);
    for (std::uint64_t i = 0; i < i_count; ++i) {
      const std::uint64_t at = i_begin + i;
      float value;
      if (element_ == Element::kF32) {
        value = LoadLe<float>(row + (4 * at - first_byte));
      } else if (element_ == Element::kCode) {
        const std::uint64_t place = bits_ == 4 ? at / 8 * 8 + order_[at % 8] : at;
        const std::uint64_t bit = place * bits - first_byte * 8;
        const auto two = LoadLe<std::uint16_t>(row + bit / 8);
        value = level_of_[(two >> bit % 8) & ((1u << bits_) - 1)];
      } else if (element_ == Element::kInteger) {
        const std::uint8_t* p = row + (at * bits / 8 - first_byte);
        value = bits_ == 16   ? static_cast<float>(LoadLe<std::int16_t>(p))
                : bits_ == 32 ? static_cast<float>(LoadLe<std::int32_t>(p))
                              : static_cast<float>(LoadLe<std::int64_t>(p));
      } else {
        const auto half = LoadLe<std::uint16_t>(row + (2 * at - first_byte));
        value = element_ == Element::kF16 ? FromFp16(half) : FromBf16(half);
      }
      *Target(out, o, i, o_count, i_count) = value;
    }
  }
  return OkStatus();
}

Status CodeMatrix::ReadOuterPacked(std::uint64_t o_begin, std::uint64_t o_end,
                                   std::uint64_t i_begin, std::uint64_t i_end, float* out) const {
  const auto bits = static_cast<std::uint64_t>(bits_);
  const std::uint64_t first = o_begin * bits / 32, last = CeilDiv(o_end * bits, 32);
  const std::uint64_t o_count = o_end - o_begin, i_count = i_end - i_begin;
  // A row of words more, which a code at the end may be looked for in.
  std::vector<std::uint32_t> words((last - first + 1) * i_count);
  for (std::uint64_t w = first; w < last; ++w) {
    auto* row = reinterpret_cast<std::uint8_t*>(words.data() + (w - first) * i_count);
    INGOT_TRY(part_.Read(w * stored_row_bytes_ + 4 * i_begin, {row, 4 * i_count}));
  }
  for (std::uint64_t o = 0; o < o_count; ++o) {
    const std::uint64_t bit = (o_begin + o) * bits - first * 32;
    const std::uint32_t* low = words.data() + bit / 32 * i_count;
    for (std::uint64_t i = 0; i < i_count; ++i) {
      const std::uint64_t two = low[i] | std::uint64_t{low[i + i_count]} << 32;
      const auto code = static_cast<std::size_t>((two >> bit % 32) & ((1u << bits_) - 1));
      *Target(out, o, i, o_count, i_count) = level_of_[code];
    }
  }
  return OkStatus();
}

}  // namespace ingot::model
