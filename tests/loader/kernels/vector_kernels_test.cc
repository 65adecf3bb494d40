// Every row of the vector kernels against the scalar row, on ragged lengths, and the scalar row
// against double precision.
#include "loader/kernels/vector_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/float_formats.h"
#include "base/random.h"

namespace ingot::loader {
namespace {

std::vector<float> Normal(std::size_t n, double scale, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(random.Normal() * scale);
  return x;
}

void ExpectClose(const std::vector<float>& got, const std::vector<float>& want, float relative,
                 float absolute) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], want[i], std::abs(want[i]) * relative + absolute) << "at " << i;
}

class VectorKernelsTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!HasIsa(GetParam())) GTEST_SKIP() << "no " << IsaName(GetParam()) << " here";
    kernels_ = &kVectorKernels.For(GetParam());
  }
  const VectorKernels* kernels_ = nullptr;
  const VectorKernels& reference_ = kVectorScalar;
};

constexpr std::size_t kLengths[] = {1, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, 576, 1537};

TEST_P(VectorKernelsTest, Norms) {
  for (const std::size_t n : kLengths) {
    const auto x = Normal(n, 3, n), w = Normal(n, 1, n + 1), b = Normal(n, 1, n + 2);
    std::vector<float> got(n), want(n);
    kernels_->rms_norm(x.data(), w.data(), 1, 1e-6f, n, got.data());
    reference_.rms_norm(x.data(), w.data(), 1, 1e-6f, n, want.data());
    ExpectClose(got, want, 2e-6f, 1e-7f);
    kernels_->layer_norm(x.data(), w.data(), b.data(), 0, 1e-5f, n, got.data());
    reference_.layer_norm(x.data(), w.data(), b.data(), 0, 1e-5f, n, want.data());
    ExpectClose(got, want, 2e-6f, 4e-6f);
  }
}

TEST_P(VectorKernelsTest, ActivationsAreWithinAFewUlpOfDouble) {
  const auto in_double = [](VectorActivation kind, double x) {
    switch (kind) {
      case VectorActivation::kSilu:
        return x / (1 + std::exp(-x));
      case VectorActivation::kGelu:
        return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
      case VectorActivation::kGeluTanh:
        return 0.5 * x *
               (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
      case VectorActivation::kRelu:
        return std::max(x, 0.0);
      case VectorActivation::kSquaredRelu:
        return x > 0 ? x * x : 0.0;
      case VectorActivation::kSigmoid:
        return 1 / (1 + std::exp(-x));
      case VectorActivation::kTanh:
        return std::tanh(x);
      case VectorActivation::kIdentity:
        return x;
    }
    return 0.0;
  };
  std::vector<float> grid;
  for (int i = -4000; i <= 4000; ++i) grid.push_back(static_cast<float>(i) * 0.005f);
  for (const float x : {-1e30f, -200.0f, -88.5f, 88.5f, 200.0f, 1e30f}) grid.push_back(x);
  const auto up = Normal(grid.size(), 1, 9);
  for (const VectorActivation kind :
       {VectorActivation::kSilu, VectorActivation::kGelu, VectorActivation::kGeluTanh,
        VectorActivation::kRelu, VectorActivation::kSquaredRelu, VectorActivation::kSigmoid,
        VectorActivation::kTanh, VectorActivation::kIdentity}) {
    std::vector<float> alone = grid, gated = grid;
    kernels_->activate(kind, alone.data(), nullptr, alone.size());
    kernels_->activate(kind, gated.data(), up.data(), gated.size());
    for (std::size_t i = 0; i < grid.size(); ++i) {
      const double want = in_double(kind, grid[i]);
      if (want > 1e38) {  // the square of 1e30
        ASSERT_TRUE(std::isinf(alone[i]));
        continue;
      }
      // GELU's 1 + tanh cancels for negative x: absolute there.
      ASSERT_NEAR(alone[i], want, std::abs(want) * 6e-7 + 3e-7 * std::min(1.0, std::abs(want) + 1))
          << "activation " << static_cast<int>(kind) << " of " << grid[i];
      ASSERT_EQ(gated[i], alone[i] * up[i]);
    }
  }
}

TEST_P(VectorKernelsTest, Softcap) {
  std::vector<float> x = Normal(1001, 40, 4);
  std::vector<float> want(x.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    want[i] = static_cast<float>(30 * std::tanh(static_cast<double>(x[i]) / 30));
  kernels_->softcap(x.data(), 30, x.size());
  ExpectClose(x, want, 1e-6f, 0);
}

// Pages as the cache lays them out.
template <typename T>
struct Pages {
  Pages(std::size_t positions, std::size_t dim, std::uint64_t seed) {
    const std::size_t stride = AlignedStride(dim);
    const auto k = Normal(positions * dim, 1, seed), v = Normal(positions * dim, 1, seed + 1);
    for (std::size_t first = 0; first < positions; first += kPageTokens) {
      std::vector<T> key(dim * kPageTokens), value(kPageTokens * stride);
      for (std::size_t t = 0; t < kPageTokens && first + t < positions; ++t) {
        for (std::size_t d = 0; d < dim; ++d) {
          key[d * kPageTokens + t] = Stored(k[(first + t) * dim + d]);
          value[t * stride + d] = Stored(v[(first + t) * dim + d]);
        }
      }
      keys.push_back(std::move(key));
      values.push_back(std::move(value));
    }
    for (auto& key : keys) key_pointers.push_back(key.data());
    for (auto& value : values) value_pointers.push_back(value.data());
  }
  static std::size_t AlignedStride(std::size_t dim) { return (dim + 15) / 16 * 16; }
  static T Stored(float x) {
    if constexpr (sizeof(T) == 4)
      return x;
    else
      return ToFp16(x);
  }
  std::vector<std::vector<T>> keys, values;
  std::vector<const void*> key_pointers, value_pointers;
};

struct Shape {
  std::size_t rows, dim, positions, window;
  float softcap;
  bool alibi;
  bool bias = false;  // a table of biases by position
};

template <typename T>
void CompareAttention(const VectorKernels& kernels, const Shape& shape) {
  const std::size_t stride = Pages<T>::AlignedStride(shape.dim);
  Pages<T> pages(shape.positions, shape.dim, shape.positions);
  const auto queries = Normal(shape.rows * shape.dim, 0.7, 5);
  std::vector<std::uint64_t> begin(shape.rows), end(shape.rows);
  std::vector<float> slopes(shape.rows);
  for (std::size_t r = 0; r < shape.rows; ++r) {
    end[r] = std::max<std::size_t>(1, shape.positions - std::min(shape.positions - 1, r));
    begin[r] = shape.window > 0 && end[r] > shape.window ? end[r] - shape.window : 0;
    slopes[r] = 0.1f * static_cast<float>(r + 1);
  }
  AttentionTile tile;
  tile.rows = shape.rows;
  tile.head_dim = shape.dim;
  tile.value_stride = stride;
  tile.queries = queries.data();
  tile.begin = begin.data();
  tile.end = end.data();
  tile.keys = pages.key_pointers.data();
  tile.values = pages.value_pointers.data();
  tile.softcap = shape.softcap;
  tile.alibi = shape.alibi ? slopes.data() : nullptr;
  const auto biases = Normal(shape.rows * shape.positions, 1, 9);
  std::vector<const float*> bias_rows(shape.rows);
  for (std::size_t r = 0; r < shape.rows; ++r) bias_rows[r] = biases.data() + r * shape.positions;
  tile.bias = shape.bias ? bias_rows.data() : nullptr;
  std::vector<float> got(shape.rows * stride), want(shape.rows * stride);
  const auto run = [&](const VectorKernels& k, std::vector<float>& out) {
    tile.out = out.data();
    if constexpr (sizeof(T) == 4)
      k.attend_f32(tile);
    else
      k.attend_f16(tile);
  };
  run(kernels, got);
  run(kVectorScalar, want);
  ExpectClose(got, want, 1e-5f, 3e-6f);
}

TEST_P(VectorKernelsTest, Attention) {
  for (const Shape& shape : {Shape{1, 64, 1, 0, 0, false}, Shape{3, 64, 70, 0, 0, false},
                             Shape{16, 64, 300, 0, 0, false}, Shape{5, 10, 130, 0, 0, false},
                             Shape{7, 8, 65, 20, 0, false}, Shape{16, 128, 257, 64, 0, false},
                             Shape{4, 24, 100, 0, 5, false}, Shape{6, 80, 129, 0, 0, true},
                             Shape{2, 256, 64, 1, 2, true}, Shape{9, 16, 150, 0, 0, false, true},
                             Shape{4, 12, 70, 30, 0, true, true}}) {
    SCOPED_TRACE(testing::Message() << shape.rows << " rows of " << shape.dim << " over "
                                    << shape.positions << ", window " << shape.window);
    CompareAttention<float>(*kernels_, shape);
    CompareAttention<std::uint16_t>(*kernels_, shape);
  }
}

TEST_P(VectorKernelsTest, LogitStatistics) {
  for (const std::size_t n : kLengths) {
    const auto a = Normal(n, 4, n), b = Normal(n, 4, n + 7);
    const LogitStats got = kernels_->logit_stats(a.data(), n);
    EXPECT_EQ(got.argmax, std::max_element(a.begin(), a.end()) - a.begin());
    EXPECT_EQ(got.max, a[got.argmax]);
    double sum = 0, weighted = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double e = std::exp(static_cast<double>(a[i]) - got.max);
      sum += e;
      weighted += e * (static_cast<double>(a[i]) - b[i]);
    }
    EXPECT_NEAR(got.sum_exp, sum, sum * 3e-7);
    EXPECT_NEAR(kernels_->weighted_difference(a.data(), got.max, b.data(), n), weighted,
                1e-5 + std::abs(weighted) * 1e-6);
  }
}

TEST_P(VectorKernelsTest, NanReachesTheStatistics) {
  for (const std::size_t at : {0u, 5u, 40u}) {
    auto x = Normal(41, 1, 1);
    x[at] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(kernels_->logit_stats(x.data(), x.size()).sum_exp)) << at;
  }
}

INSTANTIATE_TEST_SUITE_P(Ladder, VectorKernelsTest,
                         testing::Values(Isa::kScalar, Isa::kAvx2, Isa::kAvx512),
                         [](const auto& info) { return std::string(IsaName(info.param)); });

}  // namespace
}  // namespace ingot::loader
