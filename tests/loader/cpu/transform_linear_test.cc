// Matrices with input transforms: products turn the inputs once, rows come back as those of W.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "base/random.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/transform.h"
#include "codecs/recipe.h"
#include "loader/cpu/linear.h"
#include "loader/planes/prepared_plane.h"

namespace ingot::loader {
namespace {

std::vector<float> Normals(std::size_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(random.Normal());
  return values;
}

// A matrix under construction: planes with streams of their own.
struct Built {
  ResidentMatrix matrix;
  std::vector<std::vector<std::vector<std::uint8_t>>> streams;

  Built(std::uint64_t rows, std::uint64_t cols) {
    matrix.rows = rows;
    matrix.cols = cols;
  }
  void Add(codecs::PlaneSpec spec, std::vector<std::vector<std::uint8_t>> bytes) {
    matrix.specs.push_back(std::move(spec));
    streams.push_back(std::move(bytes));
  }
  void Finish() {
    for (std::size_t p = 0; p < streams.size(); ++p) {
      codecs::PlaneView view{&matrix.specs[p], matrix.rows, matrix.cols, {}};
      for (const auto& stream : streams[p]) view.streams.emplace_back(stream);
      ASSERT_TRUE((*codecs::FindPlaneKind(view.spec->kind))->validate(view).ok());
      matrix.planes.push_back(std::move(view));
    }
    ASSERT_TRUE(codecs::CheckPlaneList(matrix.planes).ok());
    ASSERT_TRUE(PrepareMatrix(matrix).ok());
  }
  std::vector<float> Decoded(std::span<const codecs::PlaneView> planes) const {
    std::vector<float> w(matrix.rows * matrix.cols);
    EXPECT_TRUE(codecs::DecodeTensorRows(planes, 0, matrix.rows, w).ok());
    return w;
  }
};

// int4 of W', then these transforms.
std::unique_ptr<Built> IntWith(std::uint64_t rows, std::uint64_t cols, std::int64_t group,
                               const std::vector<codecs::PlaneSpec>& transforms,
                               const std::vector<float>& scales) {
  auto built = std::make_unique<Built>(rows, cols);
  const std::vector<float> w = Normals(rows * cols, rows + 7 * cols);
  const auto encoder = codecs::MakeEncoder({"int4_rtn", group}, cols, DType::kF32);
  EXPECT_TRUE(encoder.ok());
  auto slab = (*encoder)->EncodeSlab(
      {DType::kF32, rows, cols, {reinterpret_cast<const std::uint8_t*>(w.data()), w.size() * 4}});
  EXPECT_TRUE(slab.ok());
  built->Add((*encoder)->planes()[0], std::move(slab->planes[0]));
  for (const codecs::PlaneSpec& spec : transforms) {
    std::vector<std::vector<std::uint8_t>> streams;
    if (spec.kind == "column_scale") streams.push_back(codecs::ColumnScaleStream(scales));
    built->Add(spec, std::move(streams));
  }
  built->Finish();
  return built;
}

std::vector<float> Product(const std::vector<float>& w, std::uint64_t cols,
                           const std::vector<float>& x) {
  const std::size_t rows = w.size() / cols;
  std::vector<float> y(rows * x.size() / cols);
  for (std::size_t i = 0; i < y.size(); ++i) {
    double sum = 0;
    for (std::uint64_t k = 0; k < cols; ++k)
      sum += static_cast<double>(w[i % rows * cols + k]) * x[i / rows * cols + k];
    y[i] = static_cast<float>(sum);
  }
  return y;
}

double RelativeError(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error += std::pow(static_cast<double>(a[i]) - b[i], 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(error / norm);
}

std::vector<float> Multiply(const Built& built, const std::vector<float>& x, Compute compute,
                            std::size_t plane_count = SIZE_MAX) {
  const std::size_t tokens = x.size() / built.matrix.cols;
  std::vector<float> y(tokens * built.matrix.rows, NAN);
  LinearJob job{&built.matrix, 0, built.matrix.rows, nullptr, y.data(), built.matrix.rows};
  job.plane_count = plane_count;
  RunLinear({&job, 1}, x.data(), built.matrix.cols, tokens, built.matrix.cols, compute);
  return y;
}

std::vector<float> SomeScales(std::uint64_t cols) {
  std::vector<float> scales(cols);
  for (std::uint64_t j = 0; j < cols; ++j) scales[j] = std::exp(std::sin(static_cast<float>(j)));
  return scales;
}

TEST(TransformLinear, ProductsAreThoseOfTheDecodedWeights) {
  for (const std::uint64_t cols : {1, 12, 63, 64, 200, 576, 1000})
    for (const auto& transforms : std::vector<std::vector<codecs::PlaneSpec>>{
             {codecs::HadamardSpec(cols)},
             {codecs::HadamardSpec(cols, 9, cols % 8 == 0 ? 8 : cols)},
             {codecs::ColumnScaleSpec()},
             {codecs::HadamardSpec(cols), codecs::ColumnScaleSpec()},
             {codecs::ColumnScaleSpec(), codecs::HadamardSpec(cols)}})
      for (const std::size_t tokens : {1, 3, 20}) {
        const auto built = IntWith(37, cols, 32, transforms, SomeScales(cols));
        const std::vector<float> x = Normals(tokens * cols, 5);
        const std::vector<float> want = Product(built->Decoded(built->matrix.planes), cols, x);
        EXPECT_LT(RelativeError(Multiply(*built, x, Compute::kExact), want), 2e-6) << cols;
        // 8-bit activations: 0.3 % of a Gaussian block's largest value, a few times that at 1 row.
        EXPECT_LT(RelativeError(Multiply(*built, x, Compute::kFast), want), 0.02) << cols;
      }
}

TEST(TransformLinear, PlaneLimitsDoNotCountTransforms) {
  codecs::RecipeOptions options{"nested_v1"};
  options.transform = "hadamard";
  constexpr std::uint64_t kCols = 576, kRows = 21;
  const auto encoder = codecs::MakeEncoder(options, kCols, DType::kF32);
  ASSERT_TRUE(encoder.ok());
  const std::vector<float> w = Normals(kRows * kCols, 1), x = Normals(2 * kCols, 2);
  auto slab = (*encoder)->EncodeSlab(
      {DType::kF32, kRows, kCols, {reinterpret_cast<const std::uint8_t*>(w.data()), w.size() * 4}});
  ASSERT_TRUE(slab.ok());
  Built built(kRows, kCols);
  for (std::size_t p = 0; p < slab->planes.size(); ++p)
    built.Add((*encoder)->planes()[p], std::move(slab->planes[p]));
  built.Finish();
  ASSERT_EQ(built.matrix.planes.size(), 4u);
  ASSERT_EQ(built.matrix.specs[1].kind, "hadamard");
  const double bounds[] = {0, 0.2, 0.02, 1e-6};
  for (std::size_t count = 1; count <= 3; ++count) {
    const auto planes = std::span(built.matrix.planes).first(count + 1);
    const std::vector<float> decoded = built.Decoded(planes);
    EXPECT_LT(RelativeError(decoded, w), bounds[count]);
    const std::vector<float> want = Product(decoded, kCols, x);
    EXPECT_LT(RelativeError(Multiply(built, x, Compute::kExact, count), want), 2e-6) << count;
    EXPECT_LT(RelativeError(Multiply(built, x, Compute::kFast, count), want), 0.02) << count;
  }
  EXPECT_EQ(built.Decoded(built.matrix.planes), w);
  std::vector<float> row(kCols);
  const std::int32_t id = 20;
  GatherRows(built.matrix, {&id, 1}, row.data());
  EXPECT_TRUE(std::equal(row.begin(), row.end(), w.begin() + 20 * kCols));
}

TEST(TransformLinear, AReplacingPlaneEndsTheTransform) {
  constexpr std::uint64_t kCols = 48, kRows = 5;
  const std::vector<float> w = Normals(kRows * kCols, 3), x = Normals(kCols, 4);
  const auto bytes = [](const std::vector<float>& v) {
    return std::vector<std::uint8_t>(reinterpret_cast<const std::uint8_t*>(v.data()),
                                     reinterpret_cast<const std::uint8_t*>(v.data() + v.size()));
  };
  const codecs::PlaneSpec raw{"raw", {{"dtype", "f32"}}, 0};
  for (const bool after : {false, true}) {
    Built built(kRows, kCols);
    built.Add(raw, {bytes(Normals(kRows * kCols, 9))});
    if (!after) built.Add(codecs::HadamardSpec(kCols), {});
    built.Add(raw, {bytes(w)});
    if (after) built.Add(codecs::HadamardSpec(kCols), {});
    built.Finish();
    const std::vector<float> decoded = built.Decoded(built.matrix.planes);
    EXPECT_EQ(decoded == w, !after);
    EXPECT_LT(RelativeError(Multiply(built, x, Compute::kExact), Product(decoded, kCols, x)), 2e-6);
    EXPECT_LT(RelativeError(Multiply(built, x, Compute::kFast), Product(decoded, kCols, x)), 2e-6);
  }
}

// q, k and v of different transforms in one call, with row ranges, bias and accumulation.
TEST(TransformLinear, JobsOfDifferentTransformsRunTogether) {
  constexpr std::uint64_t kCols = 144;
  const std::vector<float> scales = SomeScales(kCols);
  const auto q = IntWith(40, kCols, 32, {codecs::HadamardSpec(kCols)}, scales);
  const auto k = IntWith(24, kCols, 32, {codecs::HadamardSpec(kCols)}, scales);
  const auto v = IntWith(24, kCols, 32, {}, scales);
  const auto s = IntWith(24, kCols, 32, {codecs::ColumnScaleSpec()}, scales);
  const auto h = IntWith(24, kCols, 32, {codecs::HadamardSpec(kCols, 2)}, scales);
  const Built* all[] = {q.get(), k.get(), v.get(), s.get(), h.get()};
  const std::vector<float> bias = Normals(24, 8);
  for (const std::size_t tokens : {1, 600})
    for (const Compute compute : {Compute::kExact, Compute::kFast}) {
      const std::vector<float> x = Normals(tokens * kCols, 5);
      std::vector<std::vector<float>> got(5, std::vector<float>(tokens * 20, 1.0f));
      std::vector<LinearJob> jobs;
      for (std::size_t i = 0; i < 5; ++i) {
        jobs.push_back({&all[i]->matrix, 3, 20, bias.data() + 3, got[i].data(), 20});
        jobs.back().accumulate = i % 2 == 1;
      }
      RunLinear(jobs, x.data(), kCols, tokens, kCols, compute);
      for (std::size_t i = 0; i < 5; ++i) {
        const std::vector<float> alone = Multiply(*all[i], x, compute);
        const std::uint64_t rows = all[i]->matrix.rows;
        for (std::size_t t = 0; t < tokens; ++t)
          for (std::size_t r = 0; r < 20; ++r)
            ASSERT_NEAR(got[i][t * 20 + r],
                        alone[t * rows + r + 3] + bias[r + 3] + (i % 2 == 1 ? 1.0f : 0.0f), 2e-4)
                << i << " " << t << " " << r;
      }
    }
}

TEST(TransformLinear, ATokenIsTheSameAloneAndInABatchAndAtAnyThreadCount) {
  for (const Compute compute : {Compute::kExact, Compute::kFast}) {
    const auto built = IntWith(300, 576, 128, {codecs::HadamardSpec(576)}, {});
    const std::vector<float> x = Normals(530 * 576, 9);
    const std::vector<float> together = Multiply(*built, x, compute);
    SetThreads(1);
    EXPECT_EQ(together, Multiply(*built, x, compute));
    SetThreads(0);
    for (const std::size_t t : {0, 5, 529}) {
      const std::vector<float> token(x.begin() + static_cast<std::ptrdiff_t>(t * 576),
                                     x.begin() + static_cast<std::ptrdiff_t>((t + 1) * 576));
      const std::vector<float> alone = Multiply(*built, token, compute);
      for (std::size_t r = 0; r < 300; ++r) ASSERT_EQ(alone[r], together[t * 300 + r]) << t;
    }
  }
}

}  // namespace
}  // namespace ingot::loader
