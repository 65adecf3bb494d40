#include "codecs/encoders/int_encode.h"

#include <algorithm>
#include <cmath>

#include "codecs/rounding/scale_range.h"

namespace ingot::codecs {
namespace {

using Streams = std::vector<std::vector<std::uint8_t>>;

// Shares of the largest weight that the top level of a log or normal grid is tried at.
constexpr float kTops[] = {1.0f, 0.95f, 0.9f, 0.85f, 0.8f, 0.75f, 1.05f, 1.1f, 1.2f};
constexpr std::size_t kLogTops = 6;

}  // namespace

IntRowEncoder::IntRowEncoder(const IntLayout& layout, Isa isa)
    : layout_(layout), kernels_(kIntFit.For(isa)) {
  const bool normal = layout.levels == IntLevels::kNormal;
  if (layout.levels != IntLevels::kLog && !normal) return;
  float levels[256];
  IntLevelTable(layout, levels);
  const int half = 1 << (layout.bits - 1);
  magnitudes_.assign(levels + (normal ? half : 0), levels + (normal ? 2 * half : half));
}

Status IntRowEncoder::StoreScales(std::uint64_t r, Streams& streams, IntScratch& s) const {
  const std::uint64_t groups = layout_.groups;
  std::uint8_t* out = streams[1].data() + r * groups * layout_.scale_bytes();
  float largest = 0;
  for (const GroupFit& fit : s.fits) largest = std::max(largest, std::fabs(fit.scale));
  const bool q8 = layout_.scales == ScaleFormat::kQ8;
  const float stored = q8 ? largest / 127.0f : largest;
  if (!(stored <= 65504.0f))
    return InvalidArgument("needs a scale of " + std::to_string(stored) +
                           ", above fp16's 65504; store this tensor as raw or lossless_v1");
  if (!layout_.refines && LosesScale(largest, FromFp16(ToFp16(largest))))
    return ScaleTooSmall(largest);
  if (!q8) {
    for (std::uint64_t g = 0; g < groups; ++g) {
      const std::uint16_t scale = ToFp16(s.fits[g].scale);
      StoreLe(out + 2 * g, scale);
      s.scales[g] = FromFp16(scale);
    }
    return OkStatus();
  }
  const std::uint16_t row_scale = RowScale(stored);
  const float unit = FromFp16(row_scale);
  StoreLe(streams[layout_.row_scales_stream()].data() + 2 * r, row_scale);
  for (std::uint64_t g = 0; g < groups; ++g) {
    const float factor = unit > 0 ? std::nearbyint(s.fits[g].scale / unit) : 0.0f;
    const auto code = static_cast<std::int8_t>(std::clamp(factor, -127.0f, 127.0f));
    out[g] = static_cast<std::uint8_t>(code);
    s.scales[g] = static_cast<float>(code) * unit;
  }
  return OkStatus();
}

void IntRowEncoder::StoreZeros(std::uint64_t r, Streams& streams, IntScratch& s) const {
  std::uint8_t* out = streams[layout_.zeros_stream()].data() + r * layout_.groups;
  const auto units = static_cast<float>(1 << (8 - layout_.bits));
  for (std::uint64_t g = 0; g < layout_.groups; ++g) {
    const float scale = s.scales[g];
    const float zero = scale != 0.0f ? s.fits[g].code_mean - s.fits[g].x_mean / scale : 0.0f;
    out[g] = static_cast<std::uint8_t>(std::clamp(std::nearbyint(zero * units), 0.0f, 255.0f));
    s.zeros[g] = IntZero(out[g], layout_.bits);
  }
}

float IntRowEncoder::NearestMagnitude(float magnitude, int* code) const {
  const auto above = std::upper_bound(magnitudes_.begin(), magnitudes_.end(), magnitude);
  auto at = above == magnitudes_.begin() ? above : above - 1;
  if (above != magnitudes_.end() && *above - magnitude < magnitude - *at) at = above;
  *code = static_cast<int>(at - magnitudes_.begin());
  return *at;
}

void IntRowEncoder::FitSearchedRow(const float* x, IntScratch& s) const {
  const bool normal = layout_.levels == IntLevels::kNormal;
  for (std::uint64_t g = 0, begin = 0; g < layout_.groups; ++g) {
    const std::uint64_t n = std::min(layout_.group, layout_.cols - begin);
    float top = 0;
    for (std::uint64_t i = begin; i < begin + n; ++i) top = std::max(top, std::fabs(x[i]));
    s.fits[g] = GroupFit{};
    double best = -1;
    for (std::size_t k = 0; k < (normal ? std::size(kTops) : kLogTops); ++k) {
      const float unit = top * kTops[k] / magnitudes_.back();
      double xl = 0, ll = 0;
      for (std::uint64_t i = begin; i < begin + n && top > 0; ++i) {
        int code;
        const double level = NearestMagnitude(std::fabs(x[i]) / unit, &code);
        xl += std::fabs(x[i]) * level;
        ll += level * level;
      }
      if (ll > 0 && xl * xl / ll > best) {
        best = xl * xl / ll;
        s.fits[g].scale = static_cast<float>(xl / ll);
      }
    }
    begin += n;
  }
}

double IntRowEncoder::RoundSearchedRow(const float* x, float* residual, IntScratch& s) const {
  const int negative = 1 << (layout_.bits - 1);
  const bool normal = layout_.levels == IntLevels::kNormal;
  double error = 0;
  for (std::uint64_t g = 0, begin = 0; g < layout_.groups; ++g) {
    const std::uint64_t n = std::min(layout_.group, layout_.cols - begin);
    const float scale = s.scales[g];
    for (std::uint64_t i = begin; i < begin + n; ++i) {
      int code = 0;
      const float level = scale > 0 ? NearestMagnitude(std::fabs(x[i]) / scale, &code) : 0.0f;
      const bool minus = x[i] < 0 && (normal || code != 0);
      if (normal)
        s.codes[i] = static_cast<std::uint8_t>(minus ? negative - 1 - code : negative + code);
      else
        s.codes[i] = static_cast<std::uint8_t>(code | (minus ? negative : 0));
      const float e = x[i] - (minus ? -level : level) * scale;
      error += static_cast<double>(e) * e;
      if (residual != nullptr) residual[i] = e;
    }
    begin += n;
  }
  return error;
}

Result<double> IntRowEncoder::EncodeRow(const float* x, std::uint64_t r, Streams& streams,
                                        float* residual, IntScratch& s) const {
  s.fits.resize(layout_.groups);
  s.scales.resize(layout_.groups);
  s.zeros.resize(layout_.groups);
  s.codes.resize(layout_.cols);
  if (searched())
    FitSearchedRow(x, s);
  else
    kernels_.fit_row(x, layout_.cols, layout_.group, layout_.bits, layout_.has_zeros(),
                     s.fits.data());
  INGOT_TRY(StoreScales(r, streams, s));
  if (layout_.has_zeros()) StoreZeros(r, streams, s);
  double error = 0;
  if (searched()) {
    error = RoundSearchedRow(x, residual, s);
  } else {
    RoundJob job{x,
                 layout_.cols,
                 layout_.group,
                 layout_.bits,
                 layout_.has_zeros(),
                 s.scales.data(),
                 s.zeros.data(),
                 s.codes.data(),
                 residual,
                 0};
    kernels_.round_row(&job);
    error = job.squared_error;
  }
  PackCodes(s.codes.data(), layout_.bits, layout_.cols,
            streams[0].data() + r * layout_.code_row_bytes);
  return error;
}

}  // namespace ingot::codecs
