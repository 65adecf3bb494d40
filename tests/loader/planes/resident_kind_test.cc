// The registry: a row for every kind, each of which decodes as the codec does, and what a kind of
// its own may do: a product that all rows share.
#include "loader/planes/resident_kind.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "codecs/planes/raw_plane.h"
#include "loader/cpu/linear.h"

namespace ingot::loader {
namespace {

TEST(ResidentKindTest, EveryKindHasOneRowThatIsWhole) {
  std::set<std::string_view> names;
  for (const ResidentKind* row : ResidentKinds()) {
    EXPECT_TRUE(names.insert(row->name).second) << row->name;
    EXPECT_NE(row->prepare, nullptr) << row->name;
    EXPECT_NE(row->decode_row, nullptr) << row->name;
    EXPECT_TRUE(codecs::FindPlaneKind(row->name).ok()) << row->name;
    EXPECT_TRUE(row->inputs == nullptr || row->matvec != nullptr) << row->name;
  }
  for (const codecs::PlaneKind& kind : codecs::PlaneKinds())
    EXPECT_TRUE(names.contains(kind.name)) << kind.name;
  EXPECT_EQ(&RowOf({.name = "magic"}), &kResidentAsStored);
}

// W = U V of a small rank: V x is shared by all rows.
struct LowRank : PreparedPlane {
  std::size_t rank = 0;
  std::vector<float> u, v;  // rows x rank, rank x cols
};

std::atomic<int> inputs_made = 0;

const LowRank& Of(const PreparedPlane& plane) { return static_cast<const LowRank&>(plane); }

void Inputs(const PreparedPlane& plane, const float* packed, float* shared) {
  const std::size_t cols = plane.view->cols;
  for (std::size_t k = 0; k < Of(plane).rank; ++k) {
    shared[k] = 0;
    for (std::size_t j = 0; j < cols; ++j) shared[k] += Of(plane).v[k * cols + j] * packed[j];
  }
  ++inputs_made;
}

void Matvec(const PreparedPlane& plane, const PlaneProduct& product) {
  const std::size_t rank = Of(plane).rank;
  for (std::size_t t = 0; t < product.tokens; ++t)
    for (std::size_t r = 0; r < product.rows; ++r)
      for (std::size_t k = 0; k < rank; ++k)
        product.y[t * product.y_stride + r] +=
            Of(plane).u[(product.row_begin + r) * rank + k] * product.shared[t * rank + k];
}

void DecodeRow(const PreparedPlane& plane, const RowSum& sum) {
  const std::size_t cols = plane.view->cols, rank = Of(plane).rank;
  for (std::size_t j = 0; j < cols; ++j) {
    float weight = 0;
    for (std::size_t k = 0; k < rank; ++k)
      weight += Of(plane).u[sum.row * rank + k] * Of(plane).v[k * cols + j];
    sum.out[j] = sum.fresh ? weight : sum.out[j] + weight;
  }
}

const ResidentKind kLowRank = {
    .name = "low_rank", .inputs = Inputs, .matvec = Matvec, .decode_row = DecodeRow};
const codecs::PlaneKind kLowRankCodec = {.name = "low_rank"};

std::vector<float> Normals(std::size_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(random.Normal());
  return values;
}

class SharedProductTest : public testing::Test {
 protected:
  static constexpr std::size_t kRows = 500, kCols = 96, kRank = 3;

  void SetUp() override {
    matrix_.rows = kRows;
    matrix_.cols = kCols;
    matrix_.Add(codecs::RawSpec(DType::kF32), {BytesOf(std::span<const float>(base_))});
    matrix_.Add({"low_rank", {}, 0}, std::vector<ByteSpan>{});
    auto raw = PreparePlane(matrix_.planes[0]);
    ASSERT_TRUE(raw.ok());
    auto low = std::make_shared<LowRank>();
    low->row = &kLowRank;
    low->kind = &kLowRankCodec;
    low->view = &matrix_.planes[1];
    low->own_product = true;
    low->needs.packed = true;
    low->needs.shared = low->rank = kRank;
    low->u = u_;
    low->v = v_;
    matrix_.prepared = {*raw, low};
    inputs_made = 0;
  }
  double Expected(const float* x, std::size_t row) const {
    double sum = 0;
    for (std::size_t j = 0; j < kCols; ++j) {
      double weight = base_[row * kCols + j];
      for (std::size_t k = 0; k < kRank; ++k)
        weight += static_cast<double>(u_[row * kRank + k]) * v_[k * kCols + j];
      sum += weight * x[j];
    }
    return sum;
  }
  std::vector<float> Run(const std::vector<float>& x, std::size_t tokens, Compute compute) {
    std::vector<float> y(tokens * kRows);
    // The same plane in two jobs, each of many tasks.
    const LinearJob jobs[] = {{&matrix_, 0, 200, nullptr, y.data(), kRows},
                              {&matrix_, 200, 300, nullptr, y.data() + 200, kRows}};
    RunLinear(jobs, x.data(), kCols, tokens, kCols, compute);
    return y;
  }

  const std::vector<float> base_ = Normals(kRows * kCols, 1), u_ = Normals(kRows * kRank, 2),
                           v_ = Normals(kRank * kCols, 3);
  ResidentMatrix matrix_;
};

TEST_F(SharedProductTest, IsMadeOnceATokenForAllRows) {
  for (const std::size_t tokens : {1, 5, 600}) {
    inputs_made = 0;
    const std::vector<float> x = Normals(tokens * kCols, 4);
    const std::vector<float> y = Run(x, tokens, Compute::kFast);
    EXPECT_EQ(static_cast<std::size_t>(inputs_made), tokens);
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t r = 0; r < kRows; ++r)
        ASSERT_NEAR(y[t * kRows + r], Expected(&x[t * kCols], r), 2e-4) << t << " " << r;
  }
}

TEST_F(SharedProductTest, ExactArithmeticDecodesThePlane) {
  const std::vector<float> x = Normals(2 * kCols, 5);
  const std::vector<float> y = Run(x, 2, Compute::kExact);
  EXPECT_EQ(inputs_made, 0);
  for (std::size_t r = 0; r < kRows; ++r)
    ASSERT_NEAR(y[kRows + r], Expected(&x[kCols], r), 2e-4) << r;
}

TEST_F(SharedProductTest, IsLeftOutWithItsPlane) {
  const std::vector<float> x = Normals(kCols, 6);
  std::vector<float> y(kRows);
  const LinearJob job{
      .matrix = &matrix_, .rows = kRows, .y = y.data(), .y_stride = kRows, .plane_count = 1};
  RunLinear({&job, 1}, x.data(), kCols, 1, kCols, Compute::kFast);
  EXPECT_EQ(inputs_made, 0);
}

TEST_F(SharedProductTest, ATokenIsTheSameAloneAndAtAnyThreadCount) {
  const std::vector<float> x = Normals(7 * kCols, 7);
  const std::vector<float> together = Run(x, 7, Compute::kFast);
  SetThreads(1);
  EXPECT_EQ(together, Run(x, 7, Compute::kFast));
  SetThreads(0);
  const std::vector<float> token(x.begin() + 3 * kCols, x.begin() + 4 * kCols);
  const std::vector<float> alone = Run(token, 1, Compute::kFast);
  for (std::size_t r = 0; r < kRows; ++r) ASSERT_EQ(alone[r], together[3 * kRows + r]);
}

}  // namespace
}  // namespace ingot::loader
