#include "codecs/rounding/int_tile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "tests/codecs/hessian_samples.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

IntLayout LayoutOf(std::int64_t bits, std::int64_t group, const char* levels, const char* scales,
                   std::uint64_t cols) {
  PlaneSpec spec{"int", {}, 0};
  spec.attributes["bits"] = bits;
  spec.attributes["group"] = group;
  spec.attributes["levels"] = std::string(levels);
  spec.attributes["scales"] = std::string(scales);
  return *IntLayout::Parse(spec, cols);
}

// Lanes of every kind: normal, all zero, constant, tiny, with an outlier.
std::vector<float> Lanes(std::uint64_t cols, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> x(cols * kTileRows);
  for (std::uint64_t p = 0; p < cols; ++p)
    for (std::size_t l = 0; l < kTileRows; ++l) {
      float& v = x[p * kTileRows + l];
      v = static_cast<float>(0.05 * random.Normal());
      if (l == 3) v = 0;
      if (l == 5) v = -0.25f;
      if (l == 7) v *= 1e-33f;
      if (l == 9 && p == cols / 2) v = 3;
    }
  return x;
}

// Every instruction set's kernels give the same bits.
TEST(IntTileKernels, SameBitsOnEveryInstructionSet) {
  for (const std::uint64_t cols : {1, 5, 40})
    for (int bits = 1; bits <= 8; ++bits)
      for (const IntLevels levels :
           {IntLevels::kSymmetric, IntLevels::kAsymmetric, IntLevels::kNormal}) {
        if (levels == IntLevels::kNormal && bits != kNormalBits) continue;
        const bool asymmetric = levels == IntLevels::kAsymmetric;
        const std::vector<float> x = Lanes(cols, cols + bits);
        std::vector<float> weights(cols);
        Random random(7);
        for (float& w : weights) w = static_cast<float>(0.01 + random.Uniform());
        std::vector<std::uint32_t> positions(cols);
        std::iota(positions.rbegin(), positions.rend(), 0u);
        const GroupColumns group{x.data(), positions.data(), weights.data(), cols};
        std::vector<std::vector<float>> floats;
        std::vector<std::vector<std::uint8_t>> bytes;
        for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
          if (!HasIsa(isa)) continue;
          const IntTileKernels& kernels = kIntTile.For(isa);
          auto& f = floats.emplace_back();
          auto& codes = bytes.emplace_back(cols * kTileRows);
          GridFit fit;
          kernels.fit_group(group, bits, levels, &fit);
          const auto keep = [&] {
            f.insert(f.end(), fit.scale, fit.scale + kTileRows);
            f.insert(f.end(), fit.code_mean, fit.code_mean + kTileRows);
            f.insert(f.end(), fit.x_mean, fit.x_mean + kTileRows);
          };
          keep();
          float inverses[kTileRows], zeros[kTileRows], values[kTileRows];
          for (std::size_t l = 0; l < kTileRows; ++l) {
            inverses[l] = fit.scale[l] != 0 ? 1 / fit.scale[l] : 0.0f;
            zeros[l] = asymmetric ? fit.code_mean[l] - fit.x_mean[l] * inverses[l] : 0.0f;
          }
          for (std::uint64_t p = 0; p < cols; ++p) {
            kernels.round_column({x.data() + p * kTileRows, fit.scale, inverses, zeros, bits,
                                  levels, values, codes.data() + p * kTileRows});
            f.insert(f.end(), values, values + kTileRows);
          }
          for (const std::uint8_t code : codes) ASSERT_LT(code, 1 << bits);
          kernels.refit_group(group, codes.data(), bits, levels, &fit);
          keep();
        }
        for (std::size_t i = 1; i < floats.size(); ++i) {
          ASSERT_EQ(std::memcmp(floats[i].data(), floats[0].data(), 4 * floats[0].size()), 0)
              << cols << " " << bits << static_cast<int>(levels);
          ASSERT_EQ(bytes[i], bytes[0]);
        }
      }
}

// Codes of normal levels are the nearest ones, or within 6 % of the widest gap as near.
TEST(IntTileKernels, NormalCodesAreNearest) {
  float targets[kTileRows], ones[kTileRows], zeros[kTileRows] = {}, values[kTileRows];
  std::uint8_t codes[kTileRows];
  std::fill_n(ones, kTileRows, 1.0f);
  // The widest gap is 31 sixteenths.
  constexpr float kSlack = 0.06f * 31 / kNormalUnits;
  const auto level = [](int c) { return static_cast<float>(kNormalLevels[c]) / kNormalUnits; };
  int second = 0, all = 0;
  for (float t = -10; t <= 10; t += kTileRows / 64.0f) {
    for (std::size_t l = 0; l < kTileRows; ++l) targets[l] = t + static_cast<float>(l) / 64;
    kIntTile.Best().round_column(
        {targets, ones, ones, zeros, kNormalBits, IntLevels::kNormal, values, codes});
    for (std::size_t l = 0; l < kTileRows; ++l) {
      ASSERT_LT(codes[l], 16);
      ASSERT_EQ(values[l], level(codes[l]));
      float nearest = 1000;
      for (int c = 0; c < 16; ++c) nearest = std::min(nearest, std::fabs(targets[l] - level(c)));
      const float got = std::fabs(targets[l] - values[l]);
      ASSERT_LE(got, nearest + kSlack) << targets[l];
      second += got > nearest;
      ++all;
    }
  }
  EXPECT_LT(second, all / 20);
}

// What a tile stores is what a decoder reads back, and what Values says.
TEST(IntTile, StoresWhatItRounded) {
  for (const char* levels : {"symmetric", "asymmetric", "normal"})
    for (const char* scales : {"f16", "q8"})
      for (std::int64_t bits : {2, 5, 8}) {
        if (std::string(levels) == "normal") bits = kNormalBits;
        const std::uint64_t cols = 70, rows = 11;
        const IntLayout layout = LayoutOf(bits, 32, levels, scales, cols);
        const std::vector<float> hessian = SampleHessian(cols, 200, 1);
        const auto compensation =
            *Compensation::Make({.rows = rows, .cols = cols, .hessian = hessian}, {});
        const std::vector<float> w = SampleWeights(rows, cols, 3);
        CompensatedTile tile(*compensation);
        tile.Load(w.data(), rows);
        IntTile plane(layout, *compensation, BestIsa());
        ASSERT_TRUE(plane.Fit(tile.weights(0), rows, 0).ok());
        tile.Round(plane);
        PlaneSpec spec{"int", {}, 0};
        spec.attributes = {{"bits", bits},
                           {"group", std::int64_t{32}},
                           {"levels", std::string(levels)},
                           {"scales", std::string(scales)}};
        Streams streams;
        const auto specs = *IntStreams(spec, cols);
        for (const StreamSpec& stream : specs) streams.emplace_back(rows * stream.bytes);
        plane.Store(0, rows, streams);
        PlaneView view{&spec, rows, cols, {}};
        for (const auto& stream : streams) view.streams.emplace_back(stream);
        std::vector<float> out(rows * cols), errors(rows * cols), lanes(cols * kTileRows);
        IntDecodeRows(view, 0, rows, out.data());
        tile.StoreErrors(errors.data());
        plane.Values(lanes.data());
        for (std::uint64_t r = 0; r < rows; ++r)
          for (std::uint64_t j = 0; j < cols; ++j) {
            ASSERT_EQ(errors[r * cols + j], w[r * cols + j] - out[r * cols + j]);
            ASSERT_EQ(lanes[compensation->ranks()[j] * kTileRows + r], out[r * cols + j]);
          }
      }
}

TEST(IntTile, NamesTheRowWhoseScaleIsTooLarge) {
  const std::uint64_t cols = 20;
  const IntLayout layout = LayoutOf(4, 8, "symmetric", "f16", cols);
  const auto compensation = Compensation::Identity(cols);
  std::vector<float> w(3 * cols, 1.0f);
  w[2 * cols + 4] = 1e30f;
  CompensatedTile tile(*compensation);
  tile.Load(w.data(), 3);
  IntTile plane(layout, *compensation, BestIsa());
  const Status status = plane.Fit(tile.weights(0), 3, 64);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("row 66"), std::string::npos) << status.message();
}

// Sweeps of coordinate descent: each code ends at the level nearest to the best value there is for
// it while the others stay (checked against the Hessian itself), and no sweep raises a loss.
TEST(IntTile, DescentNeverRaisesTheLoss) {
  const std::uint64_t cols = 150, rows = 20;
  const std::vector<float> h = SampleHessian(cols, 400, 1);
  const auto compensation =
      *Compensation::Make({.rows = rows, .cols = cols, .hessian = h}, {.descent = true});
  const std::vector<float> w = SampleWeights(rows, cols, 3);
  CompensatedTile tile(*compensation);
  tile.Load(w.data(), rows);
  const IntLayout layout = LayoutOf(3, 32, "symmetric", "f16", cols);
  IntTile plane(layout, *compensation, BestIsa());
  ASSERT_TRUE(plane.Fit(tile.weights(0), rows, 0).ok());
  tile.Round(plane);
  std::vector<float> values(compensation->cols() * kTileRows + 8 * kTileRows);
  std::vector<double> before(rows);
  for (int sweep = 0; sweep < 20; ++sweep) {
    for (std::uint64_t r = 0; r < rows; ++r) before[r] = tile.DampedLoss(r);
    tile.Descend(plane);
    plane.Values(values.data());
    tile.SetLanes(values.data());
    for (std::uint64_t r = 0; r < rows; ++r)
      EXPECT_LE(tile.DampedLoss(r), before[r] * (1 + 1e-5)) << sweep;
  }
  // A fixed point: no single code can do better by a neighbouring level.
  std::vector<float> errors(rows * cols);
  tile.StoreErrors(errors.data());
  int improvable = 0;
  for (std::uint64_t r = 0; r < rows; ++r)
    for (std::uint64_t j = 0; j < cols; j += 7) {
      const std::uint64_t p = compensation->ranks()[j];
      double gradient = compensation->damping() * errors[r * cols + j];
      for (std::uint64_t k = 0; k < cols; ++k)
        gradient += static_cast<double>(h[j * cols + k]) * errors[r * cols + k];
      const double curvature = h[j * cols + j] + compensation->damping();
      const double best = values[p * kTileRows + r] + gradient / curvature;
      const double now = std::fabs(best - values[p * kTileRows + r]);
      float target[kTileRows] = {}, rounded[kTileRows];
      target[r] = static_cast<float>(best);
      plane.Round(static_cast<std::uint32_t>(j), target, rounded);
      improvable += std::fabs(best - rounded[r]) < now * (1 - 1e-3);
    }
  EXPECT_EQ(improvable, 0);
}

}  // namespace
}  // namespace ingot::codecs
