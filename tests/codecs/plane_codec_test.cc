#include "codecs/plane_codec.h"

#include <gtest/gtest.h>

#include <cmath>

#include "codecs/attributes.h"
#include "codecs/encoders/tensor_encoder.h"
#include "tests/codecs/plane_samples.h"

// Kinds that no artifact has, for what the registry promises to those to come.
namespace ingot::codecs {
namespace {

// A Walsh-Hadamard transform over each block of `rows` rows: W = B W'.
Result<std::uint64_t> BlockOf(const PlaneSpec& spec) {
  AttributeReader reader(spec);
  INGOT_ASSIGN(const std::int64_t rows, reader.Integer("rows", 1, 1 << 20));
  INGOT_TRY(reader.Finish());
  return static_cast<std::uint64_t>(rows);
}
Result<std::vector<StreamSpec>> NoStreams(const PlaneSpec& spec, std::uint64_t) {
  INGOT_TRY(BlockOf(spec).status());
  return std::vector<StreamSpec>{};
}
Status ValidRows(const PlaneView& plane) {
  INGOT_ASSIGN(const std::uint64_t block, BlockOf(*plane.spec));
  if (plane.rows % block == 0) return OkStatus();
  return InvalidArgument("blocks do not divide the rows");
}
void TurnBlocks(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                float* acc) {
  const std::uint64_t block = *BlockOf(*plane.spec);
  ASSERT_EQ(row_begin % block, 0u);
  ASSERT_EQ(row_end % block, 0u);
  const float scale = 1.0f / std::sqrt(static_cast<float>(block));
  for (std::uint64_t first = 0; first < row_end - row_begin; first += block)
    for (std::uint64_t j = 0; j < plane.cols; ++j) {
      std::vector<float> in(block);
      for (std::uint64_t i = 0; i < block; ++i) in[i] = acc[(first + i) * plane.cols + j];
      for (std::uint64_t i = 0; i < block; ++i) {
        float sum = 0;
        for (std::uint64_t k = 0; k < block; ++k)
          sum += (__builtin_popcountll(i & k) % 2 != 0 ? -scale : scale) * in[k];
        acc[(first + i) * plane.cols + j] = sum;
      }
    }
}
constexpr PlaneKind kRowHadamard{
    "row_hadamard", NoStreams, ValidRows, TurnBlocks, PlaneRole::kTransformsOutputs,
    nullptr,        BlockOf};

// U V, V a stream of the tensor, and a factor for every tile of three rows.
std::uint64_t RankOf(const PlaneView& plane) {
  return static_cast<std::uint64_t>(std::get<std::int64_t>(plane.spec->attributes.at("rank")));
}
Result<std::vector<StreamSpec>> LowRankStreams(const PlaneSpec& spec, std::uint64_t cols) {
  AttributeReader reader(spec);
  INGOT_ASSIGN(const std::int64_t rank, reader.Integer("rank", 1, 64));
  INGOT_TRY(reader.Finish());
  const auto values = static_cast<std::uint64_t>(4 * rank);
  return std::vector<StreamSpec>{{"u", values},
                                 {"v", values * cols, StreamHint::kRaw, StreamExtent::kTensor},
                                 {"tiles", 4, StreamHint::kRaw, StreamExtent::kTile, 3}};
}
Status ValidLowRank(const PlaneView& plane) {
  INGOT_ASSIGN(const auto streams, LowRankStreams(*plane.spec, plane.cols));
  return CheckStreamSizes(plane, streams);
}
float Value(ByteSpan bytes, std::uint64_t i) { return LoadLe<float>(bytes.data() + 4 * i); }
void FactorRows(const PlaneView& plane, std::uint64_t begin, std::uint64_t end, float* out) {
  for (std::uint64_t i = begin * plane.cols; i < end * plane.cols; ++i)
    *out++ = Value(plane.streams[1], i);
}
void CoefficientRows(const PlaneView& plane, std::uint64_t begin, std::uint64_t end, float* out) {
  for (std::uint64_t r = begin; r < end; ++r)
    for (std::uint64_t k = 0; k < RankOf(plane); ++k)
      *out++ = Value(plane.streams[0], r * RankOf(plane) + k) * Value(plane.streams[2], r / 3);
}
void DecodeLowRank(const PlaneView& plane, std::uint64_t begin, std::uint64_t end, float* acc) {
  const std::uint64_t rank = RankOf(plane);
  std::vector<float> v(rank * plane.cols), u(rank);
  FactorRows(plane, 0, rank, v.data());
  for (std::uint64_t r = begin; r < end; ++r, acc += plane.cols) {
    CoefficientRows(plane, r, r + 1, u.data());
    for (std::uint64_t k = 0; k < rank; ++k)
      for (std::uint64_t j = 0; j < plane.cols; ++j) acc[j] += u[k] * v[k * plane.cols + j];
  }
}
constexpr SharedProduct kShared{RankOf, FactorRows, CoefficientRows};
constexpr PlaneKind kLowRank{"low_rank",       LowRankStreams, ValidLowRank, DecodeLowRank,
                             PlaneRole::kAdds, nullptr,        nullptr,      &kShared};

std::vector<std::uint8_t> Floats(std::uint64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> values(count);
  for (float& v : values) v = static_cast<float>(random.Normal());
  return StoreAs(DType::kF32, values);
}

struct Sample {
  std::uint64_t rows = 16, cols = 10;
  PlaneSpec raw{"raw", {{"dtype", "f32"}}, 0};
  PlaneSpec low_rank{"low_rank", {{"rank", std::int64_t{2}}}, 0};
  PlaneSpec turned{"row_hadamard", {{"rows", std::int64_t{8}}}, 0};
  std::vector<std::uint8_t> values = Floats(16 * 10, 1), u = Floats(16 * 2, 2),
                            v = Floats(2 * 10, 3), tiles = Floats(6, 4);
  PlaneView Raw() const { return {&raw, rows, cols, {values}}; }
  PlaneView LowRank() const { return {&low_rank, rows, cols, {u, v, tiles}, &kLowRank}; }
  PlaneView Turned() const { return {&turned, rows, cols, {}, &kRowHadamard}; }
};

TEST(Extents, SayHowLongAStreamIs) {
  EXPECT_EQ(*StreamBytes({"a", 6}, 7), 42u);
  EXPECT_EQ(*StreamBytes({"a", 6, StreamHint::kRaw, StreamExtent::kTile, 3}, 7), 18u);
  EXPECT_EQ(*StreamBytes({"a", 6, StreamHint::kRaw, StreamExtent::kTensor}, 7), 6u);
  EXPECT_EQ(*StreamBytes({"a", 0, StreamHint::kRaw, StreamExtent::kData}, 7), 0u);
  EXPECT_EQ(StreamBytes({"a", 1ull << 40}, 1ull << 40).status().code(), StatusCode::kLimit);
}

TEST(Extents, AreChecked) {
  Sample s;
  std::vector<PlaneView> planes = {s.LowRank()};
  std::vector<float> out(s.rows * s.cols);
  ASSERT_TRUE(DecodeTensorRows(planes, 0, s.rows, out).ok());
  for (std::size_t stream = 0; stream < 3; ++stream)
    for (const int change : {-1, 1}) {
      planes[0] = s.LowRank();
      std::vector<std::uint8_t> other(planes[0].streams[stream].size() +
                                      static_cast<std::size_t>(change));
      planes[0].streams[stream] = other;
      EXPECT_EQ(DecodeTensorRows(planes, 0, s.rows, out).code(), StatusCode::kCorruption) << stream;
    }
}

TEST(OutputTransform, ActsInBlocksOnTheSumWhateverRangeIsAsked) {
  const Sample s;
  // Listed before the plane that adds last, it still acts on the sum.
  const std::vector<PlaneView> planes = {s.Raw(), s.Turned(), s.LowRank()};
  EXPECT_EQ(DecodeOrder(planes), (std::vector<std::size_t>{0, 2, 1}));
  EXPECT_EQ(*RowBlock(planes), 8u);
  std::vector<float> whole(s.rows * s.cols), expected(s.rows * s.cols);
  ASSERT_TRUE(DecodeTensorRows(planes, 0, s.rows, whole).ok());
  ApplyPlanes(std::vector<PlaneView>{s.Raw(), s.LowRank()}, 0, s.rows, expected.data());
  TurnBlocks(s.Turned(), 0, s.rows, expected.data());
  EXPECT_EQ(whole, expected);
  for (std::uint64_t begin = 0; begin <= s.rows; ++begin)
    for (std::uint64_t end = begin; end <= s.rows; ++end) {
      std::vector<float> part((end - begin) * s.cols);
      ASSERT_TRUE(DecodeTensorRows(planes, begin, end, part).ok());
      EXPECT_TRUE(std::equal(part.begin(), part.end(),
                             whole.begin() + static_cast<std::ptrdiff_t>(begin * s.cols)))
          << begin << " " << end;
    }
}

TEST(OutputTransform, IsATransformToThePlaneList) {
  const Sample s;
  EXPECT_FALSE(CheckPlaneList(std::vector<PlaneView>{s.Turned(), s.Raw()}).ok());
  EXPECT_FALSE(
      CheckPlaneList(std::vector<PlaneView>{s.Raw(), s.Turned(), s.Turned(), s.Turned()}).ok());
  PlaneSpec three = s.turned, large = s.turned;
  three.attributes["rows"] = std::int64_t{3};
  PlaneView odd = s.Turned();
  odd.spec = &three;
  EXPECT_EQ(*RowBlock(std::vector<PlaneView>{s.Raw(), s.Turned(), odd}), 24u);
  large.attributes["rows"] = std::int64_t{1} << 40;
  odd.spec = &large;
  EXPECT_FALSE(CheckPlaneList(std::vector<PlaneView>{s.Raw(), odd}).ok());
}

TEST(Slabs, AreWholeBlocksAndTiles) {
  const Sample s;
  EXPECT_EQ(*SlabBlock(kRowHadamard, s.turned, s.cols), 8u);
  EXPECT_EQ(*SlabBlock(kLowRank, s.low_rank, s.cols), 3u);
  EXPECT_EQ(AlignedSlabRows(1 << 20, 1), 4u);
  EXPECT_EQ(AlignedSlabRows(1 << 20, 3), 3u);
  EXPECT_EQ(AlignedSlabRows(1 << 20, 16), 16u);
  for (const PlaneKind& kind : PlaneKinds()) EXPECT_EQ(kind.row_block, nullptr) << kind.name;
}

// (U V) x = U (V x).
TEST(SharedProduct, GivesWhatTheWeightsGive) {
  const Sample s;
  const PlaneView plane = s.LowRank();
  const SharedProduct& shared = *plane.kind->shared;
  const std::uint64_t rank = shared.rank(plane);
  ASSERT_EQ(rank, 2u);
  std::vector<float> w(s.rows * s.cols), v(rank * s.cols), u(s.rows * rank);
  ApplyPlanes({&plane, 1}, 0, s.rows, w.data());
  shared.factor_rows(plane, 0, rank, v.data());
  shared.coefficient_rows(plane, 0, s.rows, u.data());
  const std::vector<float> x = ToFloats(DType::kF32, Floats(s.cols, 9));
  std::vector<double> once(rank);
  for (std::uint64_t k = 0; k < rank; ++k)
    for (std::uint64_t j = 0; j < s.cols; ++j) once[k] += double{v[k * s.cols + j]} * x[j];
  for (std::uint64_t r = 0; r < s.rows; ++r) {
    double plain = 0, through = 0;
    for (std::uint64_t j = 0; j < s.cols; ++j) plain += double{w[r * s.cols + j]} * x[j];
    for (std::uint64_t k = 0; k < rank; ++k) through += u[r * rank + k] * once[k];
    EXPECT_NEAR(plain, through, 1e-5);
  }
}

}  // namespace
}  // namespace ingot::codecs
