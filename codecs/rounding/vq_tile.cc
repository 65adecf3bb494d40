#include "codecs/rounding/vq_tile.h"

#include <algorithm>
#include <cmath>

#include "base/float_formats.h"
#include "codecs/planes/bit_fields.h"
#include "codecs/rounding/scale_range.h"

namespace ingot::codecs {
namespace {

constexpr float kLargestScale = 65504.0f;

}  // namespace

VqTile::VqTile(const VqLayout& layout, std::span<const VectorMetric> metrics,
               std::span<const float> codebook, const Compensation& compensation,
               const CompensatedTile& tile)
    : layout_(layout),
      metrics_(metrics),
      codebook_(codebook),
      compensation_(compensation),
      tile_(tile),
      table_(layout),
      scale_codes_(layout.groups * kTileRows),
      scales_(layout.groups * kTileRows),
      inverses_(layout.groups * kTileRows),
      indices_(layout.vectors * kTileRows),
      values_(layout.dimension * kTileRows) {}

std::uint64_t VqTile::Bytes(const VqLayout& layout) {
  return kTileRows * (10 * layout.groups + 2 * layout.vectors + 16) +
         4 * layout.words() * (layout.dimension + 1);
}

void VqTile::SetScale(std::uint64_t at, float scale) {
  const float kept = scale > kDeadScale ? std::min(scale, kLargestScale) : 0.0f;
  scale_codes_[at] = ToFp16(kept);
  scales_[at] = FromFp16(scale_codes_[at]);
  inverses_[at] = scales_[at] > 0 ? 1.0f / scales_[at] : 0.0f;
}

Status VqTile::FitScales(std::uint64_t rows, std::uint64_t first_row, bool refines) {
  std::vector<double> squares(layout_.groups * kTileRows), masses(layout_.groups);
  for (std::uint64_t j = 0; j < layout_.cols; ++j) {
    const std::uint64_t p = compensation_.ranks()[j], g = j / layout_.group;
    const double mass = compensation_.weights()[p];
    masses[g] += mass;
    for (std::size_t l = 0; l < kTileRows; ++l) {
      const double w = tile_.weights(p)[l];
      squares[g * kTileRows + l] += mass * (w * w);
    }
  }
  for (std::size_t l = 0; l < kTileRows; ++l) {
    float wanted = 0, stored = 0;
    for (std::uint64_t g = 0; g < layout_.groups; ++g) {
      const std::uint64_t at = g * kTileRows + l;
      const auto scale = static_cast<float>(std::sqrt(squares[at] / masses[g]));
      SetScale(at, scale);
      wanted = std::max(wanted, scale);
      stored = std::max(stored, scales_[at]);
    }
    if (l >= rows) continue;
    const std::string place = "row " + std::to_string(first_row + l);
    if (wanted > kLargestScale)
      return InvalidArgument("needs a scale of " + std::to_string(wanted) +
                             ", above fp16's 65504; store this tensor as raw or lossless_v1")
          .At(place);
    if (!refines && LosesScale(wanted, stored)) return ScaleTooSmall(wanted).At(place);
  }
  return OkStatus();
}

void VqTile::RefitScales(const VqTile& from) {
  std::vector<double> products(layout_.groups * kTileRows), squares(layout_.groups * kTileRows);
  for (std::uint64_t j = 0; j < layout_.cols; ++j) {
    const std::uint64_t p = compensation_.ranks()[j], g = j / layout_.group * kTileRows;
    const double mass = compensation_.weights()[p];
    const CompensatedTile& met = from.tile_;
    for (std::size_t l = 0; l < kTileRows; ++l) {
      const double value = met.weights(p)[l] - met.errors(p)[l];
      products[g + l] += mass * (value * met.targets(p)[l]);
      squares[g + l] += mass * (value * value);
    }
  }
  for (std::size_t at = 0; at < squares.size(); ++at) {
    const double better = squares[at] > 0 ? products[at] / squares[at] : 1.0;
    SetScale(at, from.scales_[at] * static_cast<float>(std::clamp(better, 0.25, 4.0)));
  }
}

void VqTile::Choose(std::uint64_t vector) {
  const std::uint64_t first = vector * layout_.dimension;
  const std::uint64_t count = std::min(layout_.dimension, layout_.cols - first);
  const std::uint64_t p = compensation_.ranks()[first];
  const std::uint64_t g = first / layout_.group * kTileRows;
  const VectorMetric& metric = metrics_[vector];
  alignas(64) float targets[kMaxVqDimension * kTileRows] = {};
  for (std::uint64_t c = 0; c < count; ++c)
    for (std::size_t l = 0; l < kTileRows; ++l) {
      float u = tile_.targets(p + c)[l];
      for (std::uint64_t k = 0; k < c; ++k) u += metric.coupling[c][k] * tile_.weights(p + k)[l];
      targets[c * kTileRows + l] = u * inverses_[g + l] * metric.roots[c];
    }
  alignas(64) float nearest[kTileRows];
  table_.Set(codebook_.data(), layout_.words(), metric);
  table_.Nearest(targets, nearest);
  for (std::size_t l = 0; l < kTileRows; ++l) {
    const auto word = static_cast<std::size_t>(nearest[l]);
    indices_[vector * kTileRows + l] = static_cast<std::uint16_t>(word);
    for (std::uint64_t c = 0; c < layout_.dimension; ++c)
      values_[c * kTileRows + l] = codebook_[word * layout_.dimension + c] * scales_[g + l];
  }
}

void VqTile::Round(std::uint32_t column, const float*, float* values) {
  const std::uint64_t c = column % layout_.dimension;
  if (c == 0) Choose(column / layout_.dimension);
  std::copy_n(values_.data() + c * kTileRows, kTileRows, values);
}

void VqTile::TakeLanes(const VqTile& from, const bool* take) {
  SelectLanes(from.scale_codes_.data(), take, layout_.groups, scale_codes_.data());
  SelectLanes(from.scales_.data(), take, layout_.groups, scales_.data());
  SelectLanes(from.inverses_.data(), take, layout_.groups, inverses_.data());
  SelectLanes(from.indices_.data(), take, layout_.vectors, indices_.data());
}

void VqTile::Store(std::uint64_t first, std::uint64_t rows, Streams& streams) const {
  std::vector<std::uint16_t> row(layout_.vectors);
  for (std::uint64_t l = 0; l < rows; ++l) {
    for (std::uint64_t v = 0; v < layout_.vectors; ++v) row[v] = indices_[v * kTileRows + l];
    PackCodes(row.data(), layout_.bits, layout_.vectors,
              streams[0].data() + (first + l) * layout_.index_row_bytes);
    for (std::uint64_t g = 0; g < layout_.groups; ++g)
      StoreLe(streams[1].data() + 2 * ((first + l) * layout_.groups + g),
              scale_codes_[g * kTileRows + l]);
  }
}

void VqTile::Sample(bool rounded, const float* fisher, float* targets, float* weights) const {
  for (std::uint64_t g = 0; g < layout_.groups * kTileRows; ++g) {
    const std::size_t l = g % kTileRows;
    weights[g] = l < tile_.rows() ? fisher[l] * scales_[g] * scales_[g] : 0.0f;
  }
  for (std::uint64_t v = 0; v < layout_.vectors; ++v) {
    const std::uint64_t first = v * layout_.dimension;
    const std::uint64_t count = std::min(layout_.dimension, layout_.cols - first);
    const std::uint64_t p = compensation_.ranks()[first], g = first / layout_.group * kTileRows;
    for (std::uint64_t c = 0; c < count; ++c)
      for (std::size_t l = 0; l < kTileRows; ++l) {
        float u = rounded ? tile_.targets(p + c)[l] : tile_.weights(p + c)[l];
        for (std::uint64_t k = 0; k < c; ++k) {
          const float w = tile_.weights(p + k)[l];
          u += metrics_[v].coupling[c][k] * (rounded ? w - tile_.errors(p + k)[l] : w);
        }
        targets[(first + c) * kTileRows + l] = u * inverses_[g + l];
      }
  }
}

}  // namespace ingot::codecs
