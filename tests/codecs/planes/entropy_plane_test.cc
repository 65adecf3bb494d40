#include "codecs/planes/entropy_plane.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "codecs/rounding/entropy_pack.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

PlaneSpec Spec(std::int64_t band) { return {"entropy", {{"band", band}}, 0}; }

PlaneView View(const PlaneSpec& spec, std::uint64_t rows, std::uint64_t cols,
               const std::vector<std::vector<std::uint8_t>>& streams) {
  PlaneView view{&spec, rows, cols, {}};
  for (const auto& stream : streams) view.streams.emplace_back(stream);
  return view;
}

// Codes whose spread differs by row and column; now and then far out.
EntropyCodes SampleCodes(std::uint64_t rows, std::uint64_t cols, std::uint64_t seed,
                         bool escapes = true) {
  Random random(seed);
  EntropyCodes band;
  band.rows = rows;
  band.cols = cols;
  for (std::uint64_t i = 0; i < rows; ++i)
    band.row_factors.push_back(
        EntropyFactor(EntropyRecord(static_cast<float>(std::exp2(random.Normal())), 0)));
  for (std::uint64_t j = 0; j < cols; ++j)
    band.column_factors.push_back(
        EntropyFactor(EntropyRecord(static_cast<float>(0.01 * std::exp2(random.Normal())), 0)));
  std::vector<double> row_spread, column_spread;
  for (std::uint64_t i = 0; i < rows; ++i) row_spread.push_back(std::exp2(random.Normal()));
  for (std::uint64_t j = 0; j < cols; ++j) column_spread.push_back(std::exp2(random.Normal()));
  for (std::uint64_t i = 0; i < rows; ++i)
    for (std::uint64_t j = 0; j < cols; ++j) {
      double code = 3 * row_spread[i] * column_spread[j] * random.Normal();
      if (escapes && random.Below(300) == 0) code = 200 * random.Normal();
      if (!escapes) code = std::clamp(code, -127.0, 127.0);
      band.codes.push_back(static_cast<std::int32_t>(std::lround(code)));
    }
  return band;
}

// The page, read naively: every weight's class, codes dealt out in class order.
std::vector<float> NaiveDecode(std::int64_t band_rows, std::uint64_t rows, std::uint64_t cols,
                               const std::vector<std::vector<std::uint8_t>>& streams) {
  std::vector<float> out(rows * cols);
  std::size_t at = 0, escape = 0;
  for (std::uint64_t begin = 0, band = 0; begin < rows; begin += band_rows, ++band) {
    const std::uint64_t end = std::min<std::uint64_t>(rows, begin + band_rows);
    for (int k = 0; k < 63; ++k)
      for (std::uint64_t i = begin; i < end; ++i)
        for (std::uint64_t j = 0; j < cols; ++j) {
          const auto row = LoadLe<std::uint16_t>(streams[1].data() + 2 * i);
          const auto column = LoadLe<std::uint16_t>(streams[2].data() + 2 * (band * cols + j));
          if ((row >> 11) + (column >> 11) != k) continue;
          const auto factor = [](std::uint16_t r) {
            return std::ldexp(64.0f + (r & 63), (r >> 6 & 31) - 15 - 6);
          };
          const int byte = streams[0][at++];
          const int code =
              byte != 0 ? byte - 128 : LoadLe<std::int32_t>(streams[3].data() + 4 * escape++);
          out[i * cols + j] = static_cast<float>(code) * factor(row) * factor(column);
        }
  }
  return out;
}

TEST(EntropyRecord, NearestOfElevenBitsForEveryFactor) {
  for (std::uint32_t bits = 0x40; bits < 0x7c0; ++bits) {
    const auto record = static_cast<std::uint16_t>(21 << 11 | bits);
    const float factor = EntropyFactor(record);
    EXPECT_EQ(factor, std::ldexp(64.0f + static_cast<float>(bits & 63),
                                 static_cast<int>(bits >> 6) - 15 - 6));
    EXPECT_EQ(EntropyRecord(factor, 21), record);
    EXPECT_EQ(EntropyRecord(factor * 1.003f, 21), record);
    EXPECT_EQ(EntropyRecord(factor * 0.9985f, 21), record);
    EXPECT_EQ(EntropyClass(record), 21);
  }
  EXPECT_EQ(EntropyFactor(EntropyRecord(0, 0)), 0x1p-14f);
  EXPECT_EQ(EntropyFactor(EntropyRecord(1e30f, 31)), 65024.0f);
}

TEST(EntropyPlane, PackedCodesComeBackThroughBothDecoders) {
  for (const std::uint64_t rows : {1, 2, 63, 130})
    for (const std::uint64_t cols : {1, 3, 64, 577}) {
      const EntropyCodes band = SampleCodes(rows, cols, rows * 1000 + cols);
      const EntropyStreamsOut packed = PackEntropy(band);
      const PlaneSpec spec = Spec(static_cast<std::int64_t>(rows));
      const PlaneView view = View(spec, rows, cols, packed.streams);
      ASSERT_TRUE(EntropyValidate(view).ok()) << EntropyValidate(view).message();
      std::vector<float> out(rows * cols);
      ASSERT_TRUE(DecodeTensorRows({&view, 1}, 0, rows, out).ok());
      EXPECT_EQ(out, NaiveDecode(static_cast<std::int64_t>(rows), rows, cols, packed.streams));
      for (std::uint64_t i = 0; i < rows; ++i)
        for (std::uint64_t j = 0; j < cols; ++j)
          ASSERT_EQ(out[i * cols + j], static_cast<float>(band.codes[i * cols + j]) *
                                           band.row_factors[i] * band.column_factors[j]);
      for (std::uint64_t r = 0; r < rows; r += 7) {
        std::vector<float> row(cols);
        ASSERT_TRUE(DecodeTensorRows({&view, 1}, r, r + 1, row).ok());
        ASSERT_TRUE(std::equal(row.begin(), row.end(), out.begin() + r * cols)) << r;
      }
      for (std::size_t c = 0; c < packed.cuts.size(); ++c) {
        EXPECT_LT(packed.cuts[c], rows * cols);
        EXPECT_TRUE(c == 0 || packed.cuts[c - 1] < packed.cuts[c]);
      }
    }
}

TEST(EntropyPlane, BandsFollowOneAnother) {
  const std::uint64_t cols = 100;
  std::vector<std::vector<std::uint8_t>> streams(4);
  for (const std::uint64_t rows : {20, 20, 7})
    for (const EntropyStreamsOut part =
             PackEntropy(SampleCodes(rows, cols, rows + streams[0].size()));
         const std::size_t s : {0, 1, 2, 3})
      streams[s].insert(streams[s].end(), part.streams[s].begin(), part.streams[s].end());
  const PlaneSpec spec = Spec(20);
  const PlaneView view = View(spec, 47, cols, streams);
  std::vector<float> out(47 * cols);
  ASSERT_TRUE(DecodeTensorRows({&view, 1}, 0, 47, out).ok());
  EXPECT_EQ(out, NaiveDecode(20, 47, cols, streams));
  std::vector<float> some(9 * cols);
  ASSERT_TRUE(DecodeTensorRows({&view, 1}, 35, 44, some).ok());
  EXPECT_TRUE(std::equal(some.begin(), some.end(), out.begin() + 35 * cols));
}

// Bits of the codes if every chunk took what its symbols' entropy says.
double EntropyBits(const std::vector<std::uint8_t>& codes, const std::vector<std::uint64_t>& cuts) {
  double bits = 0;
  std::uint64_t begin = 0;
  for (std::size_t c = 0; c <= cuts.size(); ++c) {
    const std::uint64_t end = c < cuts.size() ? cuts[c] : codes.size();
    std::map<int, double> counts;
    for (std::uint64_t i = begin; i < end; ++i) ++counts[codes[i]];
    for (const auto& [byte, n] : counts)
      bits -= n * std::log2(n / static_cast<double>(end - begin));
    begin = end;
  }
  return bits;
}

TEST(EntropyPack, CutsPayForThemselves) {
  const EntropyCodes band = SampleCodes(400, 600, 5, false);
  const EntropyStreamsOut packed = PackEntropy(band);
  ASSERT_GT(packed.cuts.size(), 3u);
  const double whole = EntropyBits(packed.streams[0], {});
  const double parts = EntropyBits(packed.streams[0], packed.cuts);
  EXPECT_LT(parts + 8 * 230.0 * static_cast<double>(packed.cuts.size()), whole);
  const ChunkPlan plan = PlanChunks(CountClasses(band, ClassifyLines(band)));
  EXPECT_EQ(plan.borders.size(), packed.cuts.size() + 1);
  EXPECT_GT(plan.bytes, parts / 8);
  EXPECT_LT(plan.bytes, parts / 8 * 1.002 + 300.0 * static_cast<double>(plan.borders.size()));
  // A matrix too small for a second table is one chunk.
  EXPECT_TRUE(PackEntropy(SampleCodes(8, 16, 6, false)).cuts.empty());
}

class HostileEntropy : public testing::Test {
 protected:
  HostileEntropy() : streams_(PackEntropy(SampleCodes(40, 50, 4)).streams) {
    EXPECT_GT(streams_[3].size(), 0u);
    EXPECT_TRUE(Check().ok()) << Check().message();
  }
  Status Check() { return EntropyValidate(View(spec_, 40, 50, streams_)); }
  void Refused(const std::string& why) {
    const Status status = Check();
    EXPECT_EQ(status.code(), StatusCode::kCorruption) << why;
    EXPECT_NE(status.message().find(why), std::string::npos) << status.message();
  }
  PlaneSpec spec_ = Spec(40);
  std::vector<std::vector<std::uint8_t>> streams_;
};

TEST_F(HostileEntropy, EveryStreamCutShortAtEveryLength) {
  for (std::size_t s = 0; s < 4; ++s)
    for (const auto whole = streams_[s]; !streams_[s].empty();) {
      streams_[s].pop_back();
      EXPECT_FALSE(Check().ok()) << s << " " << streams_[s].size();
      if (streams_[s].empty()) {
        streams_[s] = whole;
        break;
      }
    }
  streams_[2].push_back(0);
  Refused("'columns'");
}

TEST_F(HostileEntropy, FactorsMustBeNormal) {
  for (const std::uint16_t factor : {0x000, 0x03f, 0x7c0, 0x7ff})
    for (const std::size_t s : {1, 2}) {
      const auto whole = streams_[s];
      StoreLe(streams_[s].data() + 6, static_cast<std::uint16_t>(3 << 11 | factor));
      Refused("normal");
      streams_[s] = whole;
    }
}

TEST_F(HostileEntropy, EscapesMustMatchAndBeNeeded) {
  const auto escapes = streams_[3];
  StoreLe(streams_[3].data(), std::int32_t{127});
  Refused("needs none");
  StoreLe(streams_[3].data(), std::int32_t{-(1 << 23) - 1});
  Refused("2^23");
  StoreLe(streams_[3].data(), std::int32_t{INT32_MIN});
  Refused("2^23");
  streams_[3] = escapes;
  streams_[3].resize(escapes.size() + 4);
  Refused("escapes");
  streams_[3] = escapes;
  *std::find_if(streams_[0].begin(), streams_[0].end(), [](auto b) { return b != 0; }) = 0;
  Refused("escapes");
}

TEST_F(HostileEntropy, AttributesOutOfRange) {
  spec_.attributes["band"] = std::int64_t{0};
  EXPECT_EQ(Check().code(), StatusCode::kInvalidArgument);
  spec_.attributes["band"] = std::int64_t{39};
  Refused("'columns'");
  spec_.attributes["band"] = std::int64_t{INT64_MAX};
  EXPECT_TRUE(Check().ok());
  spec_.attributes["more"] = std::int64_t{1};
  EXPECT_EQ(Check().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(EntropyStreams(Spec(1), 0).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(EntropyStreams(Spec(1), (std::uint64_t{1} << 31) + 1).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ingot::codecs
