// Layout of `int` planes (docs/codecs.md, 3), shared by encoder, decoder and kernels.
//
//   codes       rows x code_row_bytes   bit fields, bit_fields.h
//   scales      rows x groups           f16, f32, or i8 under one row scale
//   zeros       rows x groups           u8, asymmetric only
//   minima      rows x groups           as the scales, minimum only
//   row_scales  rows                    f16, q8 only
//
// Thread rule: values and pure functions.
#pragma once

#include <cstdint>

#include "base/float_formats.h"
#include "codecs/plane.h"
#include "codecs/planes/bit_fields.h"
#include "codecs/planes/int_levels.h"

namespace ingot::codecs {

inline constexpr char kIntKind[] = "int";

// The spec of a plane; `levels` and `scales` as docs/codecs.md names them.
PlaneSpec IntSpec(std::int64_t bits, std::int64_t group, const std::string& levels,
                  const std::string& scales, int level);

enum class ScaleFormat { kF16, kQ8, kF32 };

// An int plane's attributes, checked, over rows of `cols` weights.
struct IntLayout {
  int bits = 4;
  std::uint64_t group = 128;
  IntLevels levels = IntLevels::kSymmetric;
  ScaleFormat scales = ScaleFormat::kF16;
  int steps = 1;         // levels an octave, log only
  bool refines = false;  // what coarser planes left (level > 0)
  std::uint64_t cols = 0;
  std::uint64_t groups = 0;  // of a row, the last one ragged
  std::uint64_t code_row_bytes = 0;

  bool has_zeros() const { return levels == IntLevels::kAsymmetric; }
  bool has_minima() const { return levels == IntLevels::kMinimum; }
  bool has_row_scales() const { return scales == ScaleFormat::kQ8; }
  std::uint64_t scale_bytes() const {
    return scales == ScaleFormat::kF32 ? 4 : scales == ScaleFormat::kF16 ? 2 : 1;
  }
  // Whether rounding makes such planes; others only hold what a source had in codes.
  bool is_rounded() const { return scales != ScaleFormat::kF32 && !has_minima(); }
  // Places of the optional streams in PlaneView::streams.
  std::size_t zeros_stream() const { return 2; }
  std::size_t minima_stream() const { return 2; }
  std::size_t row_scales_stream() const { return has_zeros() ? 3 : 2; }

  // InvalidArgument where attributes are missing, unknown or out of range.
  static Result<IntLayout> Parse(const PlaneSpec& spec, std::uint64_t cols);
};

// Fills levels[c] for every code c < 2^bits: the value of a code at scale 1, zero point 0.
// An asymmetric level is then levels[c] - IntZero(zero).
void IntLevelTable(const IntLayout& layout, float* levels);

// The zero point of an asymmetric group on the code axis, exact.
inline float IntZero(std::uint8_t zero, int bits) {
  return static_cast<float>(zero) * (1.0f / static_cast<float>(1 << (8 - bits)));
}

// The scale of group g of row r. REQUIRES: the plane validated, r < rows, g < groups.
inline float IntScale(const IntLayout& layout, const PlaneView& plane, std::uint64_t r,
                      std::uint64_t g) {
  const std::uint8_t* scales = plane.streams[1].data();
  const std::uint64_t index = r * layout.groups + g;
  if (layout.scales == ScaleFormat::kF32) return LoadLe<float>(scales + 4 * index);
  if (layout.scales == ScaleFormat::kF16)
    return FromFp16(LoadLe<std::uint16_t>(scales + 2 * index));
  const std::uint8_t* row_scales = plane.streams[layout.row_scales_stream()].data();
  return static_cast<float>(static_cast<std::int8_t>(scales[index])) *
         FromFp16(LoadLe<std::uint16_t>(row_scales + 2 * r));
}

// PlaneKind's functions.
int IntCodeBits(const PlaneSpec& spec);
Result<std::vector<StreamSpec>> IntStreams(const PlaneSpec& spec, std::uint64_t cols);
Status IntValidate(const PlaneView& plane);
void IntDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                   float* acc);

}  // namespace ingot::codecs
