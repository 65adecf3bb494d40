#include "codecs/rounding/int_tile.h"

#include <algorithm>
#include <cmath>

#include "codecs/rounding/scale_range.h"

namespace ingot::codecs {
namespace {

constexpr float kLargestScale = 65504.0f;

}  // namespace

IntTile::IntTile(const IntLayout& layout, const Compensation& compensation, Isa isa)
    : layout_(layout),
      compensation_(compensation),
      kernels_(kIntTile.For(isa)),
      fits_(layout.groups),
      row_scales_(kTileRows),
      scale_codes_(layout.groups * kTileRows),
      zero_codes_(layout.has_zeros() ? layout.groups * kTileRows : 0),
      scales_(layout.groups * kTileRows),
      inverses_(layout.groups * kTileRows),
      zeros_(layout.groups * kTileRows),
      codes_(layout.cols * kTileRows) {
  INGOT_CHECK(layout.levels != IntLevels::kLog);
  IntLevelTable(layout, levels_);
}

std::uint64_t IntTile::Bytes(const IntLayout& layout) {
  return kTileRows * (layout.cols + 27 * layout.groups);
}

GroupColumns IntTile::Columns(std::uint64_t g, const float* values) const {
  const std::uint64_t begin = g * layout_.group;
  return {values, compensation_.ranks().data() + begin, compensation_.weights().data(),
          std::min(layout_.group, layout_.cols - begin)};
}

void IntTile::FitTo(const float* values) {
  for (std::uint64_t g = 0; g < layout_.groups; ++g)
    kernels_.fit_group(Columns(g, values), layout_.bits, layout_.levels, &fits_[g]);
  SetGrids();
}

Status IntTile::Fit(const float* values, std::uint64_t rows, std::uint64_t first_row) {
  FitTo(values);
  const float most = layout_.has_row_scales() ? 127.0f * kLargestScale : kLargestScale;
  for (std::uint64_t l = 0; l < rows; ++l)
    for (const GridFit& fit : fits_)
      if (!(std::fabs(fit.scale[l]) <= most))
        return InvalidArgument("row " + std::to_string(first_row + l) + ": needs a scale of " +
                               std::to_string(std::fabs(fit.scale[l])) +
                               ", above fp16's 65504; store this tensor as raw or lossless_v1");
  if (layout_.refines) return OkStatus();
  for (std::uint64_t l = 0; l < rows; ++l) {
    float largest = 0;
    for (const GridFit& fit : fits_) largest = std::max(largest, std::fabs(fit.scale[l]));
    if (LosesScale(largest, FromFp16(ToFp16(largest))))
      return ScaleTooSmall(largest).At("row " + std::to_string(first_row + l));
  }
  return OkStatus();
}

void IntTile::Refit(const float* values) {
  for (std::uint64_t g = 0; g < layout_.groups; ++g)
    kernels_.refit_group(Columns(g, values), codes_.data(), layout_.bits, layout_.levels,
                         &fits_[g]);
  SetGrids();
}

void IntTile::Stretch(const float* changes) {
  for (std::uint64_t g = 0; g < layout_.groups; ++g)
    for (std::size_t l = 0; l < kTileRows; ++l) {
      const std::size_t at = g * kTileRows + l;
      fits_[g].scale[l] = scales_[at] * (1.0f + changes[at]);
      fits_[g].code_mean[l] = zeros_[at];
      fits_[g].x_mean[l] = 0;
    }
  SetGrids();
}

void IntTile::SetGrids() {
  for (std::size_t l = 0; l < kTileRows; ++l) {
    float unit = 0;
    if (layout_.has_row_scales()) {
      float largest = 0;
      for (const GridFit& fit : fits_) largest = std::max(largest, std::fabs(fit.scale[l]));
      row_scales_[l] = RowScale(std::min(largest / 127.0f, kLargestScale));
      unit = FromFp16(row_scales_[l]);
    }
    const auto units = static_cast<float>(1 << (8 - layout_.bits));
    for (std::uint64_t g = 0; g < layout_.groups; ++g) {
      const std::size_t at = g * kTileRows + l;
      const GridFit& fit = fits_[g];
      if (layout_.has_row_scales()) {
        const float factor = unit > 0 ? std::nearbyint(fit.scale[l] / unit) : 0.0f;
        const auto code = static_cast<std::int8_t>(std::clamp(factor, -127.0f, 127.0f));
        scale_codes_[at] = static_cast<std::uint8_t>(code);
        scales_[at] = static_cast<float>(code) * unit;
      } else {
        scale_codes_[at] = ToFp16(std::clamp(fit.scale[l], -kLargestScale, kLargestScale));
        scales_[at] = FromFp16(scale_codes_[at]);
      }
      const float scale = scales_[at];
      inverses_[at] = scale != 0 ? 1.0f / scale : 0.0f;
      if (!layout_.has_zeros()) continue;
      const float zero = scale != 0 ? fit.code_mean[l] - fit.x_mean[l] / scale : 0.0f;
      zero_codes_[at] =
          static_cast<std::uint8_t>(std::clamp(std::nearbyint(zero * units), 0.0f, 255.0f));
      zeros_[at] = IntZero(zero_codes_[at], layout_.bits);
    }
  }
}

void IntTile::Round(std::uint32_t column, const float* targets, float* values) {
  const std::uint64_t at = group_of(column) * kTileRows;
  kernels_.round_column({targets, scales_.data() + at, inverses_.data() + at, zeros_.data() + at,
                         layout_.bits, layout_.levels, values,
                         codes_.data() + compensation_.ranks()[column] * kTileRows});
}

void IntTile::Values(float* out) const {
  for (std::uint64_t p = 0; p < layout_.cols; ++p) {
    const std::uint64_t g = group_of(compensation_.order()[p]) * kTileRows;
    for (std::size_t l = 0; l < kTileRows; ++l) {
      const float level = levels_[codes_[p * kTileRows + l]];
      out[p * kTileRows + l] = (level - zeros_[g + l]) * scales_[g + l];
    }
  }
}

void IntTile::TakeLanes(const IntTile& from, const bool* take) {
  const std::uint64_t groups = layout_.groups;
  SelectLanes(from.row_scales_.data(), take, 1, row_scales_.data());
  SelectLanes(from.scale_codes_.data(), take, groups, scale_codes_.data());
  SelectLanes(from.scales_.data(), take, groups, scales_.data());
  SelectLanes(from.inverses_.data(), take, groups, inverses_.data());
  SelectLanes(from.zeros_.data(), take, groups, zeros_.data());
  if (layout_.has_zeros()) SelectLanes(from.zero_codes_.data(), take, groups, zero_codes_.data());
  SelectLanes(from.codes_.data(), take, layout_.cols, codes_.data());
}

void IntTile::Store(std::uint64_t row_begin, std::uint64_t rows, Streams& streams) const {
  std::vector<std::uint8_t> codes(layout_.cols);
  for (std::uint64_t l = 0; l < rows; ++l) {
    const std::uint64_t r = row_begin + l;
    for (std::uint64_t c = 0; c < layout_.cols; ++c)
      codes[c] = codes_[compensation_.ranks()[c] * kTileRows + l];
    PackCodes(codes.data(), layout_.bits, layout_.cols,
              streams[0].data() + r * layout_.code_row_bytes);
    for (std::uint64_t g = 0; g < layout_.groups; ++g) {
      const std::size_t at = g * kTileRows + l;
      std::uint8_t* scale = streams[1].data() + (r * layout_.groups + g) * layout_.scale_bytes();
      if (layout_.has_row_scales())
        *scale = static_cast<std::uint8_t>(scale_codes_[at]);
      else
        StoreLe(scale, scale_codes_[at]);
      if (layout_.has_zeros())
        streams[layout_.zeros_stream()][r * layout_.groups + g] = zero_codes_[at];
    }
    if (layout_.has_row_scales())
      StoreLe(streams[layout_.row_scales_stream()].data() + 2 * r, row_scales_[l]);
  }
}

}  // namespace ingot::codecs
