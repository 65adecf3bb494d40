// Products of matrices whose rows do not stand alone, by kinds that no artifact has yet: transforms
// of outputs, rows that are decoded in blocks, and rows that share a product.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/raw_plane.h"
#include "codecs/planes/transform.h"
#include "loader/cpu/linear.h"

namespace ingot::loader {
namespace {

constexpr std::uint64_t kBlock = 8, kRank = 3;

Result<std::uint64_t> BlockOf(const codecs::PlaneSpec&) { return kBlock; }
Status Valid(const codecs::PlaneView&) { return OkStatus(); }

// Walsh-Hadamard over each block of rows.
void TurnBlocks(const codecs::PlaneView& plane, std::uint64_t begin, std::uint64_t end,
                float* acc) {
  ASSERT_EQ(begin % kBlock, 0u);
  ASSERT_EQ(end % kBlock, 0u);
  for (std::uint64_t first = 0; first < end - begin; first += kBlock)
    for (std::uint64_t j = 0; j < plane.cols; ++j) {
      float in[kBlock];
      for (std::uint64_t i = 0; i < kBlock; ++i) in[i] = acc[(first + i) * plane.cols + j];
      for (std::uint64_t i = 0; i < kBlock; ++i) {
        float sum = 0;
        for (std::uint64_t k = 0; k < kBlock; ++k)
          sum += __builtin_popcountll(i & k) % 2 != 0 ? -in[k] : in[k];
        acc[(first + i) * plane.cols + j] = sum * 0.35355339f;
      }
    }
}
const codecs::PlaneKind kRowHadamard = {.name = "row_hadamard",
                                        .validate = Valid,
                                        .decode_rows = TurnBlocks,
                                        .role = codecs::PlaneRole::kTransformsOutputs,
                                        .row_block = BlockOf};

// One row of values for all rows of a block, which differ in sign.
void AddTiles(const codecs::PlaneView& plane, std::uint64_t begin, std::uint64_t end, float* acc) {
  ASSERT_EQ(begin % kBlock, 0u);
  for (std::uint64_t r = begin; r < end; ++r)
    for (std::uint64_t j = 0; j < plane.cols; ++j) {
      const std::uint64_t at = r / kBlock * plane.cols + j;
      *acc++ += (r % 2 == 0 ? 1.0f : -1.0f) * LoadLe<float>(plane.streams[0].data() + 4 * at);
    }
}
const codecs::PlaneKind kTiles = {
    .name = "tiles", .validate = Valid, .decode_rows = AddTiles, .row_block = BlockOf};

// U V, U in stream 0, V in stream 1.
std::uint64_t RankOf(const codecs::PlaneView&) { return kRank; }
void FactorRows(const codecs::PlaneView& plane, std::uint64_t begin, std::uint64_t end,
                float* out) {
  std::memcpy(out, plane.streams[1].data() + 4 * begin * plane.cols,
              4 * (end - begin) * plane.cols);
}
void CoefficientRows(const codecs::PlaneView& plane, std::uint64_t begin, std::uint64_t end,
                     float* out) {
  std::memcpy(out, plane.streams[0].data() + 4 * begin * kRank, 4 * (end - begin) * kRank);
}
void AddLowRank(const codecs::PlaneView& plane, std::uint64_t begin, std::uint64_t end,
                float* acc) {
  for (std::uint64_t r = begin; r < end; ++r, acc += plane.cols)
    for (std::uint64_t k = 0; k < kRank; ++k)
      for (std::uint64_t j = 0; j < plane.cols; ++j)
        acc[j] += LoadLe<float>(plane.streams[0].data() + 4 * (r * kRank + k)) *
                  LoadLe<float>(plane.streams[1].data() + 4 * (k * plane.cols + j));
}
const codecs::SharedProduct kShared = {RankOf, FactorRows, CoefficientRows};
const codecs::PlaneKind kLowRank = {
    .name = "low_rank", .validate = Valid, .decode_rows = AddLowRank, .shared = &kShared};

std::vector<float> Normals(std::size_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(random.Normal());
  return values;
}

// A raw plane, then what is added.
struct Built {
  static constexpr std::uint64_t kRows = 400, kCols = 72;
  ResidentMatrix matrix;
  std::vector<std::unique_ptr<std::vector<float>>> values;

  Built() {
    matrix.rows = kRows;
    matrix.cols = kCols;
    matrix.Add(codecs::RawSpec(DType::kF32), Streams({kRows * kCols}));
  }
  std::vector<ByteSpan> Streams(const std::vector<std::size_t>& sizes) {
    std::vector<ByteSpan> streams;
    for (const std::size_t size : sizes) {
      values.push_back(std::make_unique<std::vector<float>>(Normals(size, values.size() + 1)));
      streams.push_back(BytesOf(std::span<const float>(*values.back())));
    }
    return streams;
  }
  Built& Add(const codecs::PlaneKind& kind, const std::vector<std::size_t>& sizes) {
    matrix.Add({std::string(kind.name), {}, 0}, Streams(sizes));
    matrix.planes.back().kind = &kind;
    return *this;
  }
  Built& AddRotation() {
    matrix.Add(codecs::HadamardSpec(kCols), std::vector<ByteSpan>{});
    return *this;
  }
  std::vector<float> Decoded() const {
    std::vector<float> weights(kRows * kCols);
    codecs::ApplyPlanes(matrix.planes, 0, kRows, weights.data());
    return weights;
  }
};

struct Case {
  const char* name;
  void (*build)(Built& built);
};
const Case kCases[] = {
    {"outputs", [](Built& b) { b.Add(kRowHadamard, {}); }},
    {"outputs_and_inputs", [](Built& b) { b.Add(kRowHadamard, {}).AddRotation(); }},
    {"outputs_before_what_adds",
     [](Built& b) {
       b.Add(kRowHadamard, {}).Add(kLowRank, {Built::kRows * kRank, kRank * Built::kCols});
     }},
    {"blocks", [](Built& b) { b.Add(kTiles, {Built::kRows / kBlock * Built::kCols}); }},
    {"blocks_and_transforms",
     [](Built& b) {
       b.Add(kTiles, {Built::kRows / kBlock * Built::kCols}).Add(kRowHadamard, {}).AddRotation();
     }},
    {"low_rank",
     [](Built& b) {
       b.Add(kLowRank, {Built::kRows * kRank, kRank * Built::kCols});
     }},
};

class BlockedLinear : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    GetParam().build(built_);
    ASSERT_TRUE(PrepareMatrix(built_.matrix).ok());
  }
  // Two jobs whose borders lie inside blocks, the second on top of what is there.
  std::vector<float> Run(const std::vector<float>& x, std::size_t tokens, Compute compute) {
    std::vector<float> y(tokens * Built::kRows, 0.5f);
    const LinearJob jobs[] = {{.matrix = &built_.matrix,
                               .row_begin = 3,
                               .rows = 140,
                               .bias = bias_.data() + 3,
                               .y = y.data() + 3,
                               .y_stride = Built::kRows},
                              {.matrix = &built_.matrix,
                               .row_begin = 150,
                               .rows = 250,
                               .y = y.data() + 150,
                               .y_stride = Built::kRows,
                               .accumulate = true}};
    RunLinear(jobs, x.data(), Built::kCols, tokens, Built::kCols, compute);
    return y;
  }
  Built built_;
  const std::vector<float> bias_ = Normals(Built::kRows, 99);
};

TEST_P(BlockedLinear, IsTheProductOfTheDecodedWeights) {
  const std::vector<float> w = built_.Decoded();
  for (const Compute compute : {Compute::kExact, Compute::kFast})
    for (const std::size_t tokens : {1, 5, 530}) {
      const std::vector<float> x = Normals(tokens * Built::kCols, 50 + tokens);
      const std::vector<float> y = Run(x, tokens, compute);
      for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t r = 0; r < Built::kRows; ++r) {
          double want = r < 3 || (r >= 143 && r < 150) || r >= 150 ? 0.5 : bias_[r];
          if (r >= 3 && (r < 143 || r >= 150))
            for (std::size_t j = 0; j < Built::kCols; ++j)
              want += static_cast<double>(w[r * Built::kCols + j]) * x[t * Built::kCols + j];
          ASSERT_NEAR(y[t * Built::kRows + r], want, 5e-4) << t << " " << r;
        }
    }
}

TEST_P(BlockedLinear, GatheredRowsAreTheCodecsBits) {
  const std::vector<float> w = built_.Decoded();
  const std::vector<std::int32_t> ids = {0, 7, 8, 9, 399, 77};
  std::vector<float> rows(ids.size() * Built::kCols);
  GatherRows(built_.matrix, ids, rows.data());
  for (std::size_t i = 0; i < ids.size(); ++i)
    for (std::size_t j = 0; j < Built::kCols; ++j)
      ASSERT_EQ(rows[i * Built::kCols + j], w[static_cast<std::size_t>(ids[i]) * Built::kCols + j]);
}

TEST_P(BlockedLinear, ATokenIsTheSameAloneAndAtAnyThreadCount) {
  for (const Compute compute : {Compute::kExact, Compute::kFast}) {
    const std::vector<float> x = Normals(7 * Built::kCols, 7);
    const std::vector<float> together = Run(x, 7, compute);
    SetThreads(1);
    EXPECT_EQ(together, Run(x, 7, compute));
    SetThreads(0);
    const std::vector<float> token(x.begin() + 2 * Built::kCols, x.begin() + 3 * Built::kCols);
    const std::vector<float> alone = Run(token, 1, compute);
    for (std::size_t r = 0; r < Built::kRows; ++r)
      ASSERT_EQ(alone[r], together[2 * Built::kRows + r]);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, BlockedLinear, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace ingot::loader
