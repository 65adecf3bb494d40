// vq and lowrank planes: the decoders against the page, read naively; what validation refuses.
#include "codecs/planes/vq_plane.h"

#include <gtest/gtest.h>

#include "codecs/planes/lowrank_plane.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

using Bytes = std::vector<std::vector<std::uint8_t>>;

// Streams of the right sizes, any bytes; `halves` are finite f16.
Bytes Sample(const PlaneSpec& spec, std::uint64_t rows, std::uint64_t cols,
             const std::vector<bool>& halves) {
  Random random(rows * 1000 + cols);
  Bytes streams;
  const auto specs = *(*FindPlaneKind(spec.kind))->streams(spec, cols);
  for (std::size_t s = 0; s < specs.size(); ++s) {
    auto& stream = streams.emplace_back(*StreamBytes(specs[s], rows));
    for (std::uint8_t& byte : stream) byte = static_cast<std::uint8_t>(random.Below(256));
    if (halves[s])
      for (std::size_t i = 0; i < stream.size(); i += 2)
        StoreLe(stream.data() + i, ToFp16(static_cast<float>(random.Normal())));
  }
  return streams;
}

PlaneView View(const PlaneSpec& spec, std::uint64_t rows, std::uint64_t cols, const Bytes& bytes) {
  PlaneView view{&spec, rows, cols, {}};
  for (const auto& stream : bytes) view.streams.emplace_back(stream);
  return view;
}

float Half(const std::vector<std::uint8_t>& bytes, std::uint64_t i) {
  return FromFp16(LoadLe<std::uint16_t>(bytes.data() + 2 * i));
}

// Bit b of code i of a row of n codes, as section 2 of the page says where it lies.
int CodeBit(const std::uint8_t* row, int bits, std::uint64_t n, std::uint64_t i, int b) {
  for (int shift = 0, width; shift < bits; shift += width) {
    width = bits - shift >= 8 ? 8 : bits - shift >= 4 ? 4 : bits - shift >= 2 ? 2 : 1;
    const std::uint64_t block = 512 / static_cast<unsigned>(width),
                        per = 8u / static_cast<unsigned>(width);
    const std::uint64_t last = width == 8 ? 0 : n % block;
    const std::uint64_t bytes = width == 8 ? n : 64 * (n / block) + (last + per - 1) / per;
    if (b < shift + width) {
      if (width == 8) return row[i] >> (b - shift) & 1;
      const std::uint64_t within = i % block;
      const std::uint64_t stride = i / block == n / block ? (last + per - 1) / per : 64;
      const std::uint8_t byte = row[64 * (i / block) + within % stride];
      return byte >> (static_cast<int>(within / stride) * width + b - shift) & 1;
    }
    row += bytes;
  }
  return 0;
}

std::vector<float> NaiveVq(int dimension, int bits, std::uint64_t group, std::uint64_t rows,
                           std::uint64_t cols, const Bytes& streams) {
  std::vector<float> out(rows * cols);
  const std::uint64_t vectors = CeilDiv(cols, static_cast<std::uint64_t>(dimension));
  const std::uint64_t row_bytes = streams[0].size() / rows;
  for (std::uint64_t r = 0; r < rows; ++r)
    for (std::uint64_t j = 0; j < cols; ++j) {
      std::uint64_t index = 0;
      for (int b = 0; b < bits; ++b)
        index |=
            static_cast<std::uint64_t>(CodeBit(streams[0].data() + r * row_bytes, bits, vectors,
                                               j / static_cast<unsigned>(dimension), b))
            << b;
      const float word = Half(streams[2], index * static_cast<unsigned>(dimension) +
                                              j % static_cast<unsigned>(dimension));
      out[r * cols + j] = word * Half(streams[1], r * CeilDiv(cols, group) + j / group);
    }
  return out;
}

TEST(VqPlane, DecodesAsThePageSays) {
  for (const int dimension : {1, 2, 4})
    for (const int bits : {1, 3, 4, 7, 8, 11, 12})
      for (const std::uint64_t cols : {1, 3, 64, 515, 1030})
        for (const std::int64_t group : {1, 6, 64, 2000}) {
          const PlaneSpec spec = VqSpec(dimension, bits, group, 0);
          const Bytes streams = Sample(spec, 3, cols, {false, true, true});
          const PlaneView view = View(spec, 3, cols, streams);
          std::vector<float> out(3 * cols), row(cols);
          ASSERT_TRUE(DecodeTensorRows({&view, 1}, 0, 3, out).ok());
          ASSERT_EQ(out,
                    NaiveVq(dimension, bits, static_cast<std::uint64_t>(group), 3, cols, streams))
              << dimension << " " << bits << " " << cols << " " << group;
          ASSERT_TRUE(DecodeTensorRows({&view, 1}, 1, 2, row).ok());
          ASSERT_TRUE(std::equal(row.begin(), row.end(), out.begin() + static_cast<long>(cols)));
        }
}

TEST(VqPlane, AttributesAndSizesAreChecked) {
  const auto parsed = [](const PlaneSpec& spec) { return VqLayout::Parse(spec, 10).status(); };
  EXPECT_TRUE(parsed(VqSpec(4, 12, 1, 0)).ok());
  for (const PlaneSpec& spec : {VqSpec(3, 4, 1, 0), VqSpec(0, 4, 1, 0), VqSpec(5, 4, 1, 0),
                                VqSpec(2, 0, 1, 0), VqSpec(2, 13, 1, 0), VqSpec(2, 4, 0, 0)})
    EXPECT_EQ(parsed(spec).code(), StatusCode::kInvalidArgument);
  EXPECT_NE(parsed(VqSpec(3, 4, 1, 0)).message().find("1, 2, 4"), std::string::npos);
  PlaneSpec more = VqSpec(2, 4, 1, 0);
  more.attributes["size"] = std::int64_t{1};
  EXPECT_FALSE(parsed(more).ok());
  const PlaneSpec spec = VqSpec(2, 4, 8, 0);
  const Bytes streams = Sample(spec, 5, 21, {false, true, true});
  for (std::size_t s = 0; s < streams.size(); ++s)
    for (const int change : {-1, 1}) {
      Bytes bent = streams;
      bent[s].resize(bent[s].size() + static_cast<std::size_t>(change));
      EXPECT_EQ(VqValidate(View(spec, 5, 21, bent)).code(), StatusCode::kCorruption) << s;
    }
  EXPECT_EQ(VqCodeBits(VqSpec(4, 8, 1, 0)), 2);
  EXPECT_EQ(VqCodeBits(VqSpec(4, 9, 1, 0)), 3);
}

// W = U V by the page: the sum over factors in order, in float32.
TEST(LowRankPlane, DecodesAsThePageSays) {
  for (const std::string factors : {"f16", "i8"})
    for (const std::uint64_t cols : {5, 64, 130})
      for (const std::int64_t rank : {1, 5}) {
        const PlaneSpec spec = LowRankSpec(rank, factors, 0);
        const bool bytes = factors == "i8";
        const Bytes streams = Sample(
            spec, 7, cols,
            bytes ? std::vector<bool>{false, true, false, true} : std::vector<bool>{true, true});
        const auto n = static_cast<std::uint64_t>(rank);
        const auto u = [&](std::uint64_t r, std::uint64_t k) {
          if (!bytes) return Half(streams[0], r * n + k);
          return static_cast<float>(static_cast<std::int8_t>(streams[0][r * n + k])) *
                 Half(streams[1], r);
        };
        const auto v = [&](std::uint64_t k, std::uint64_t j) {
          if (!bytes) return Half(streams[1], k * cols + j);
          return static_cast<float>(static_cast<std::int8_t>(streams[2][k * cols + j])) *
                 Half(streams[3], k);
        };
        const PlaneView view = View(spec, 7, cols, streams);
        std::vector<float> out(7 * cols), part(2 * cols);
        ASSERT_TRUE(DecodeTensorRows({&view, 1}, 0, 7, out).ok());
        for (std::uint64_t r = 0; r < 7; ++r)
          for (std::uint64_t j = 0; j < cols; ++j) {
            float sum = 0;
            for (std::uint64_t k = 0; k < n; ++k) {
              const float product = u(r, k) * v(k, j);
              sum = sum + product;
            }
            ASSERT_EQ(out[r * cols + j], sum) << factors << " " << r << " " << j;
          }
        ASSERT_TRUE(DecodeTensorRows({&view, 1}, 3, 5, part).ok());
        EXPECT_TRUE(
            std::equal(part.begin(), part.end(), out.begin() + static_cast<long>(3 * cols)));
      }
}

TEST(LowRankPlane, AttributesAndSizesAreChecked) {
  for (const PlaneSpec& spec :
       {LowRankSpec(0, "f16", 0), LowRankSpec(11, "f16", 0), LowRankSpec(2, "f32", 0)})
    EXPECT_EQ(LowRankLayout::Parse(spec, 10).status().code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(LowRankLayout::Parse(LowRankSpec(kMaxRank + 1, "i8", 0), 1 << 20).ok());
  for (const char* factors : {"f16", "i8"}) {
    const PlaneSpec spec = LowRankSpec(3, factors, 0);
    const Bytes streams = Sample(spec, 5, 21, std::vector<bool>(4));
    for (std::size_t s = 0; s < streams.size(); ++s) {
      Bytes bent = streams;
      bent[s].pop_back();
      EXPECT_EQ(LowRankValidate(View(spec, 5, 21, bent)).code(), StatusCode::kCorruption) << s;
    }
  }
}

}  // namespace
}  // namespace ingot::codecs
