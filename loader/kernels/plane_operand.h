// A plane of codes in groups that share a scale (`int`, `fp8`) as kernels see it: plain pointers
// and numbers, resolved once when a matrix is loaded, so that instruction-set files need neither
// attributes nor std containers.
//
// Thread rule: values; the bytes are immutable.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot::loader {

inline constexpr std::size_t kTurnedRows = 32;

// Streams have no alignment beyond one byte between rows.
struct PlaneOperand {
  int bits = 0;
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::uint64_t group = 0;      // weights that share a scale
  std::uint64_t groups = 0;     // of a row
  std::uint64_t row_bytes = 0;  // of `codes`
  const std::uint8_t* codes = nullptr;
  // f16 [rows][groups]; f32 where wide_scales, or i8 where row_scales is set.
  const std::uint8_t* scales = nullptr;
  bool wide_scales = false;
  const std::uint8_t* row_scales = nullptr;  // f16 [rows]
  const std::uint8_t* zeros = nullptr;       // u8 [rows][groups], asymmetric only
  const std::uint8_t* minima = nullptr;      // as `scales`: added to each value of a group
  // The same numbers turned for kernels that take kTurnedRows rows together; null: as stored only.
  // Of each so many rows, absent ones zero: scales [groups][kTurnedRows], then zeros or minima.
  const std::uint8_t* turned = nullptr;
  const float* levels = nullptr;       // [2^bits] value of a code at scale 1, zero point 0
  bool linear_levels = true;           // levels[c] == c - offset
  int offset = 0;                      // 2^(bits-1) symmetric, else 0
  const std::int8_t* table = nullptr;  // [16] codecs::kNormalUnits times the levels of 4 bits

  std::size_t scale_bytes() const { return row_scales != nullptr ? 1 : wide_scales ? 4 : 2; }
  std::size_t offset_bytes() const {
    return zeros != nullptr ? 1 : minima != nullptr ? scale_bytes() : 0;
  }
  // Of `turned`, for kTurnedRows rows.
  std::size_t turned_bytes() const {
    return kTurnedRows * groups * (scale_bytes() + offset_bytes());
  }
  bool has_offsets() const { return zeros != nullptr || minima != nullptr; }
  // Levels are whole numbers or sixteenths within 8 bits, as the int kernels take them.
  bool whole_levels() const { return linear_levels || table != nullptr; }
};

}  // namespace ingot::loader
