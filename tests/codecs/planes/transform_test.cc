#include "codecs/planes/transform.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/parallel.h"
#include "codecs/planes/transform_kernels.h"
#include "codecs/planes/transform_plane.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

std::vector<float> Normals(std::size_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(random.Normal());
  return values;
}

double Norm(const std::vector<float>& x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * v;
  return std::sqrt(sum);
}

double Distance(const std::vector<float>& x, const std::vector<double>& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::pow(x[i] - y[i], 2);
  return std::sqrt(sum);
}

std::shared_ptr<const InputTransform> Rotation(std::uint64_t cols, std::uint64_t seed = 1,
                                               std::uint64_t block = 0) {
  const auto made = MakeHadamard(HadamardSpec(cols, seed, block), cols);
  EXPECT_TRUE(made.ok()) << made.status().message();
  return *made;
}

// The definition: y[a, b] = sum over j, c of DCT[a, j] (-1)^popcount(b & c) / sqrt(2^k) s x[j, c].
std::vector<double> NaiveRotation(const std::vector<float>& x, std::uint64_t seed,
                                  std::uint64_t block) {
  std::uint64_t chunk = 1;
  while (block % (2 * chunk) == 0) chunk *= 2;
  const std::uint64_t m = block / chunk;
  std::vector<double> y(x.size());
  for (std::uint64_t begin = 0; begin < x.size(); begin += block)
    for (std::uint64_t a = 0; a < m; ++a)
      for (std::uint64_t j = 0; j < m; ++j) {
        const double dct = std::sqrt((a == 0 ? 1.0 : 2.0) / static_cast<double>(m)) *
                           std::cos(std::numbers::pi * static_cast<double>((2 * j + 1) * a) /
                                    static_cast<double>(2 * m));
        for (std::uint64_t b = 0; b < chunk; ++b) {
          double sum = 0;
          for (std::uint64_t c = 0; c < chunk; ++c) {
            const std::uint64_t from = begin + j * chunk + c;
            const double v = static_cast<double>(HadamardSign(seed, from)) * x[from];
            sum += std::popcount(b & c) % 2 == 0 ? v : -v;
          }
          y[begin + a * chunk + b] += dct * sum / std::sqrt(static_cast<double>(chunk));
        }
      }
  return y;
}

TEST(Hadamard, IsTheRotationThatThePageDefines) {
  for (const std::uint64_t cols : {1, 2, 3, 6, 8, 9, 15, 24, 48, 64, 96, 100, 576, 1009}) {
    const std::vector<float> x = Normals(cols, cols);
    std::vector<float> y(cols);
    Rotation(cols, 7)->Apply(x.data(), y.data());
    EXPECT_LT(Distance(y, NaiveRotation(x, 7, cols)), 2e-6 * Norm(x)) << cols;
  }
}

TEST(Hadamard, BlocksTurnByThemselves) {
  for (const std::uint64_t block : {1, 3, 32, 96, 288}) {
    const std::vector<float> x = Normals(576, 3);
    std::vector<float> y(576);
    Rotation(576, 5, block)->Apply(x.data(), y.data());
    EXPECT_LT(Distance(y, NaiveRotation(x, 5, block)), 1e-6 * Norm(x)) << block;
  }
}

// Rounding of one element is at most (odd + log2 chunk + 2) eps of the vector's norm; two passes.
TEST(Hadamard, EveryDimensionKeepsTheNormAndComesBack) {
  std::vector<std::uint64_t> widths = {1536, 2018, 2048, 5632, 11008, 14336};
  for (std::uint64_t n = 1; n <= 600; ++n) widths.push_back(n);
  for (const std::uint64_t cols : widths) {
    const auto rotation = Rotation(cols, cols);
    const std::vector<float> x = Normals(cols, 11);
    std::vector<float> y(cols);
    rotation->Apply(x.data(), y.data());
    const double norm = Norm(x);
    EXPECT_NEAR(Norm(y), norm, 4e-6 * norm) << cols;
    rotation->Restore(y.data());
    const std::vector<double> back(x.begin(), x.end());
    EXPECT_LT(Distance(y, back), 4e-6 * norm) << cols;
  }
}

TEST(Hadamard, RowsAreOrthonormal) {
  for (const std::uint64_t cols : {1, 5, 12, 36, 80, 144, 251}) {
    const auto rotation = Rotation(cols, 3);
    std::vector<std::vector<float>> images(cols, std::vector<float>(cols));
    for (std::uint64_t i = 0; i < cols; ++i) {
      images[i][i] = 1;
      rotation->Apply(images[i].data(), images[i].data());
    }
    for (std::uint64_t i = 0; i < cols; ++i)
      for (std::uint64_t j = i; j < cols; ++j) {
        double dot = 0;
        for (std::uint64_t k = 0; k < cols; ++k)
          dot += static_cast<double>(images[i][k]) * images[j][k];
        ASSERT_NEAR(dot, i == j ? 1 : 0, 1e-6) << cols << " " << i << " " << j;
      }
  }
}

TEST(Hadamard, SpreadsAnOutlierAndSeedsDiffer) {
  std::vector<float> x(1536), y(1536), z(1536);
  x[700] = 100;
  Rotation(1536, 1)->Apply(x.data(), y.data());
  float largest = 0;
  for (const float v : y) largest = std::max(largest, std::fabs(v));
  EXPECT_LT(largest, 100 * std::sqrt(2.0 / 1536) * 1.0001);
  const std::vector<float> w = Normals(1536, 4);
  Rotation(1536, 1)->Apply(w.data(), y.data());
  Rotation(1536, 2)->Apply(w.data(), z.data());
  EXPECT_NE(y, z);
  EXPECT_FALSE(Rotation(1536, 1)->Same(*Rotation(1536, 2)));
  EXPECT_TRUE(Rotation(1536, 1)->Same(*Rotation(1536, 1)));
  EXPECT_FALSE(Rotation(1536, 1)->Same(*Rotation(1536, 1, 512)));
}

TEST(Hadamard, SignsAreTheHashOfThePage) {
  int negative = 0;
  for (std::uint64_t j = 0; j < 10000; ++j) negative += HadamardSign(1, j) < 0;
  EXPECT_NEAR(negative, 5000, 250);
  // splitmix64 seeded with 0 begins e220a8397b1dcdaf 6e789e6aa1b965f4 06c45d188009454f.
  EXPECT_EQ(HadamardSign(0, 0), -1.0f);
  EXPECT_EQ(HadamardSign(0, 1), 1.0f);
  EXPECT_EQ(HadamardSign(0, 2), 1.0f);
}

TEST(Hadamard, InPlaceIsTheSame) {
  for (const std::uint64_t cols : {7, 64, 576}) {
    std::vector<float> x = Normals(cols, 2), y(cols);
    Rotation(cols)->Apply(x.data(), y.data());
    Rotation(cols)->Apply(x.data(), x.data());
    EXPECT_EQ(x, y);
  }
}

TEST(TransformKernels, EveryInstructionSetGivesTheSameBits) {
  std::vector<TransformKernels> tables;
  if (HasIsa(Isa::kAvx2)) tables.push_back(kTransform.For(Isa::kAvx2));
  if (HasIsa(Isa::kAvx512)) tables.push_back(kTransform.For(Isa::kAvx512));
  if (tables.empty()) GTEST_SKIP() << "neither AVX2 nor AVX-512";
  const TransformKernels& scalar = kTransform.For(Isa::kScalar);
  for (const TransformKernels& table : tables) {
    for (std::size_t n = 1; n <= 8192; n *= 2) {
      std::vector<float> a = Normals(n, n), b = a;
      scalar.walsh_hadamard(a.data(), n);
      table.walsh_hadamard(b.data(), n);
      ASSERT_EQ(a, b) << n;
    }
    for (const std::size_t m : {1, 3, 5, 9, 17, 43, 75})
      for (const std::size_t chunk : {1, 2, 4, 8, 16, 32, 64}) {
        const std::vector<float> matrix = Normals(m * m, m), x = Normals(m * chunk, chunk);
        const std::vector<float> signs = Normals(m * chunk, 3);
        std::vector<float> turned(m * m), a(m * chunk), b(m * chunk);
        for (std::size_t i = 0; i < m; ++i)
          for (std::size_t j = 0; j < m; ++j) turned[j * m + i] = matrix[i * m + j];
        for (const float* s : {signs.data(), static_cast<const float*>(nullptr)}) {
          OddFactorJob job{m, chunk, matrix.data(), turned.data(), s, x.data(), a.data()};
          scalar.odd_factor(job);
          job.out = b.data();
          table.odd_factor(job);
          ASSERT_EQ(a, b) << m << " x " << chunk;
          scalar.multiply(x.data(), signs.data(), x.size(), a.data());
          table.multiply(x.data(), signs.data(), x.size(), b.data());
          ASSERT_EQ(a, b);
        }
      }
  }
}

TEST(Transforms, ProductsAreKept) {
  constexpr std::uint64_t kCols = 144;
  std::vector<float> scales(kCols);
  for (std::uint64_t j = 0; j < kCols; ++j) scales[j] = 0.3f + 0.01f * static_cast<float>(j);
  for (const auto& transform : {Rotation(kCols), Rotation(kCols, 1, 48),
                                *MakeColumnScale(kCols, ColumnScaleStream(scales))}) {
    std::vector<float> w = Normals(3 * kCols, 8), x = Normals(kCols, 9);
    double want[3] = {}, got[3] = {};
    for (std::uint64_t i = 0; i < 3 * kCols; ++i)
      want[i / kCols] += static_cast<double>(w[i]) * x[i % kCols];
    std::vector<float> turned = w;
    EncodeRows(*transform, turned.data(), 3);
    transform->Apply(x.data(), x.data());
    for (std::uint64_t i = 0; i < 3 * kCols; ++i)
      got[i / kCols] += static_cast<double>(turned[i]) * x[i % kCols];
    for (int r = 0; r < 3; ++r) EXPECT_NEAR(got[r], want[r], 1e-4);
    for (int r = 0; r < 3; ++r) transform->Restore(turned.data() + r * kCols);
    for (std::uint64_t i = 0; i < 3 * kCols; ++i) EXPECT_NEAR(turned[i], w[i], 1e-5);
  }
}

// H' = A H A^T of H = E[x x^T] is E[(A x)(A x)^T].
TEST(Transforms, HessianIsThatOfTheTurnedInputs) {
  constexpr std::uint64_t kCols = 72, kSamples = 5;
  std::vector<float> scales(kCols);
  for (std::uint64_t j = 0; j < kCols; ++j) scales[j] = 0.5f + 0.01f * static_cast<float>(j);
  for (const auto& transform :
       {Rotation(kCols), *MakeColumnScale(kCols, ColumnScaleStream(scales))}) {
    std::vector<float> hessian(kCols * kCols), want(kCols * kCols);
    for (std::uint64_t s = 0; s < kSamples; ++s) {
      std::vector<float> x = Normals(kCols, s);
      for (std::uint64_t i = 0; i < kCols * kCols; ++i) hessian[i] += x[i / kCols] * x[i % kCols];
      transform->Apply(x.data(), x.data());
      for (std::uint64_t i = 0; i < kCols * kCols; ++i) want[i] += x[i / kCols] * x[i % kCols];
    }
    TransformHessian(*transform, hessian.data());
    for (std::uint64_t i = 0; i < kCols; ++i)
      for (std::uint64_t j = 0; j < kCols; ++j) {
        ASSERT_NEAR(hessian[i * kCols + j], want[i * kCols + j], 5e-5);
        ASSERT_EQ(hessian[i * kCols + j], hessian[j * kCols + i]);
      }
  }
}

TEST(Transforms, ThreadsDoNotChangeTheHessian) {
  std::vector<float> a = Normals(300 * 300, 1);
  for (std::uint64_t i = 0; i < 300; ++i)
    for (std::uint64_t j = 0; j < i; ++j) a[i * 300 + j] = a[j * 300 + i];
  std::vector<float> b = a;
  TransformHessian(*Rotation(300), a.data());
  SetThreads(1);
  TransformHessian(*Rotation(300), b.data());
  SetThreads(0);
  EXPECT_EQ(a, b);
}

TEST(ColumnScale, RefusesScalesThatAreNoScales) {
  const PlaneSpec spec = ColumnScaleSpec();
  const auto validate = [&](std::vector<std::uint16_t> halves, std::uint64_t cols) {
    std::vector<std::uint8_t> bytes(2 * halves.size());
    if (!halves.empty()) std::memcpy(bytes.data(), halves.data(), bytes.size());
    return ColumnScaleValidate({&spec, 4, cols, {bytes}}).code();
  };
  EXPECT_EQ(validate({0x3c00, 0x4000, 0x0001}, 3), StatusCode::kOk);
  EXPECT_EQ(validate({0x3c00, 0x4000}, 3), StatusCode::kCorruption);
  EXPECT_EQ(validate({0x3c00, 0x4000, 0x4000, 0x4000}, 3), StatusCode::kCorruption);
  EXPECT_EQ(validate({}, 3), StatusCode::kCorruption);
  for (const int bad : {0x0000, 0x8000, 0xbc00, 0x7c00, 0x7e00, 0xfc00})
    EXPECT_EQ(validate({0x3c00, static_cast<std::uint16_t>(bad), 0x3c00}, 3),
              StatusCode::kCorruption);
}

TEST(TransformPlanes, RefuseBadAttributes) {
  const auto streams = [](std::int64_t seed, std::int64_t block, std::uint64_t cols) {
    PlaneSpec spec{"hadamard", {}, 0};
    spec.attributes["seed"] = seed;
    spec.attributes["block"] = block;
    return HadamardStreams(spec, cols).ok();
  };
  EXPECT_TRUE(streams(0, 576, 576));
  EXPECT_TRUE(streams(std::int64_t{1} << 53, 64, 576));
  EXPECT_FALSE(streams(-1, 576, 576));
  EXPECT_FALSE(streams(0, 0, 576));
  EXPECT_FALSE(streams(0, 128, 576));
  EXPECT_FALSE(streams(0, 1152, 576));
  EXPECT_TRUE(streams(0, 2047, 2047));
  EXPECT_FALSE(streams(0, 2049, 2049));
  EXPECT_TRUE(streams(0, 683, 2049));
  EXPECT_FALSE(streams(0, 1, (std::uint64_t{1} << 24) + 1));
  PlaneSpec raised = HadamardSpec(576);
  raised.level = 1;
  EXPECT_FALSE(HadamardStreams(raised, 576).ok());
  raised = ColumnScaleSpec();
  raised.level = 1;
  EXPECT_FALSE(ColumnScaleStreams(raised, 576).ok());
}

// Base, transform, refinement, exact remainder: the transform acts on whatever adds, the remainder
// comes after it.
TEST(TransformPlanes, WaitForThePlanesThatAdd) {
  constexpr std::uint64_t kCols = 48;
  const std::vector<float> a = Normals(kCols, 1), b = Normals(kCols, 2);
  const PlaneSpec sparse{"sparse", {{"format", "f16"}}, 0}, turn = HadamardSpec(kCols);
  PlaneSpec refinement = sparse;
  refinement.level = 1;
  const PlaneSpec exact{"raw", {{"dtype", "f32"}}, 2};
  std::vector<std::uint8_t> counts(2), columns(2 * kCols),
      av = StoreAs(DType::kF16, a), bv = StoreAs(DType::kF16, b), last = StoreAs(DType::kF32, b);
  StoreLe(counts.data(), static_cast<std::uint16_t>(kCols));
  for (std::uint64_t j = 0; j < kCols; ++j)
    StoreLe(columns.data() + 2 * j, static_cast<std::uint16_t>(j));
  const std::vector<PlaneView> planes = {{&sparse, 1, kCols, {counts, columns, av}},
                                         {&turn, 1, kCols, {}},
                                         {&refinement, 1, kCols, {counts, columns, bv}},
                                         {&exact, 1, kCols, {last}}};
  EXPECT_EQ(DecodeOrder(planes), (std::vector<std::size_t>{0, 2, 1, 3}));
  std::vector<float> out(kCols), want = ToFloats(DType::kF16, av), turned = want;
  ASSERT_TRUE(DecodeTensorRows(std::span(planes).first(1), 0, 1, out).ok());
  EXPECT_EQ(out, want);
  Rotation(kCols)->Restore(turned.data());
  ASSERT_TRUE(DecodeTensorRows(std::span(planes).first(2), 0, 1, out).ok());
  EXPECT_EQ(out, turned);
  const std::vector<float> added = ToFloats(DType::kF16, bv);
  for (std::uint64_t j = 0; j < kCols; ++j) want[j] += added[j];
  Rotation(kCols)->Restore(want.data());
  ASSERT_TRUE(DecodeTensorRows(std::span(planes).first(3), 0, 1, out).ok());
  EXPECT_EQ(out, want);
  ASSERT_TRUE(DecodeTensorRows(planes, 0, 1, out).ok());
  EXPECT_EQ(out, b);
  EXPECT_FALSE(DecodeTensorRows(std::span(planes).subspan(1), 0, 1, out).ok());
  const std::vector<PlaneView> many = {planes[0], planes[1], planes[1], planes[1]};
  EXPECT_FALSE(DecodeTensorRows(many, 0, 1, out).ok());
}

TEST(TransformPlanes, StandAfterTheBaseLevel) {
  std::vector<PlaneSpec> planes = {{"int", {}, 0}, {"sparse", {}, 0}, {"int", {}, 1}};
  EXPECT_EQ(InsertTransform(planes, HadamardSpec(8)), 2u);
  EXPECT_EQ(planes[2].kind, "hadamard");
  planes = {{"int", {}, 0}};
  EXPECT_EQ(InsertTransform(planes, HadamardSpec(8)), 1u);
}

}  // namespace
}  // namespace ingot::codecs
