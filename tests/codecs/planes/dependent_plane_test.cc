#include "codecs/planes/dependent_plane.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "codecs/rounding/entropy_pack.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

constexpr int kScalarClasses = 3;

PlaneSpec Spec(std::int64_t band, std::int64_t states = 256, std::int64_t restart = 50) {
  return {"dependent",
          {{"band", band}, {"states", states}, {"restart", restart}, {"scalar", kScalarClasses}},
          0};
}

PlaneView View(const PlaneSpec& spec, std::uint64_t rows, std::uint64_t cols,
               const std::vector<std::vector<std::uint8_t>>& streams) {
  PlaneView view{&spec, rows, cols, {}};
  for (const auto& stream : streams) view.streams.emplace_back(stream);
  return view;
}

// Any codes, factors and classes; now and then an escape.
std::vector<std::vector<std::uint8_t>> Sample(std::uint64_t rows, std::uint64_t cols,
                                              std::uint64_t seed, bool escapes = true) {
  Random random(seed);
  EntropyCodes band;
  band.rows = rows;
  band.cols = cols;
  LineClasses classes;
  const auto factor = [&](double middle) {
    return EntropyFactor(EntropyRecord(static_cast<float>(middle * std::exp2(random.Normal())), 0));
  };
  for (std::uint64_t i = 0; i < rows; ++i) {
    band.row_factors.push_back(factor(1));
    classes.rows.push_back(static_cast<std::uint8_t>(random.Below(4)));
  }
  for (std::uint64_t j = 0; j < cols; ++j) {
    band.column_factors.push_back(factor(0.01));
    classes.columns.push_back(static_cast<std::uint8_t>(random.Below(random.Below(9) + 1)));
  }
  for (std::uint64_t i = 0; i < rows * cols; ++i) {
    double code = 6 * random.Normal();
    if (escapes && random.Below(150) == 0) code = 300 * random.Normal();
    band.codes.push_back(
        static_cast<std::int32_t>(std::lround(escapes ? code : std::clamp(code, -127.0, 127.0))));
  }
  return PackEntropy(band, classes).streams;
}

// The page, read naively: the code of every weight in class order, then each column by itself.
// Polynomials from the page's table.
std::vector<float> NaiveDecode(const PlaneSpec& spec, std::uint64_t rows, std::uint64_t cols,
                               const std::vector<std::vector<std::uint8_t>>& streams) {
  const auto attribute = [&](const char* name) {
    return std::get<std::int64_t>(spec.attributes.at(name));
  };
  const std::map<std::int64_t, std::pair<int, int>> polynomials = {
      {4, {05, 02}}, {8, {013, 04}}, {64, {0103, 024}}, {256, {0515, 0362}}};
  const auto [h0, h1] = polynomials.at(attribute("states"));
  const auto band_rows = static_cast<std::uint64_t>(attribute("band"));
  const auto restart = static_cast<std::uint64_t>(attribute("restart"));
  std::vector<int> codes(rows * cols);
  std::size_t at = 0, escape = 0;
  const auto row_record = [&](std::uint64_t i) {
    return LoadLe<std::uint16_t>(streams[1].data() + 2 * i);
  };
  const auto column_record = [&](std::uint64_t i, std::uint64_t j) {
    return LoadLe<std::uint16_t>(streams[2].data() + 2 * (i / band_rows * cols + j));
  };
  for (std::uint64_t begin = 0; begin < rows; begin += band_rows)
    for (int k = 0; k < 63; ++k)
      for (std::uint64_t i = begin; i < std::min(rows, begin + band_rows); ++i)
        for (std::uint64_t j = 0; j < cols; ++j) {
          if ((row_record(i) >> 11) + (column_record(i, j) >> 11) != k) continue;
          const int byte = streams[0][at++];
          codes[i * cols + j] =
              byte != 0 ? byte - 128 : LoadLe<std::int32_t>(streams[3].data() + 4 * escape++);
        }
  std::vector<float> out(rows * cols);
  const auto factor = [](std::uint16_t r) {
    return std::ldexp(64.0f + static_cast<float>(r & 63), (r >> 6 & 31) - 15 - 6);
  };
  for (std::uint64_t j = 0; j < cols; ++j) {
    int state = 0;
    for (std::uint64_t i = 0; i < rows; ++i) {
      if (i % band_rows % restart == 0) state = 0;
      const int k = codes[i * cols + j];
      int level = 4 * k;
      if ((row_record(i) >> 11) + (column_record(i, j) >> 11) >= kScalarClasses) {
        level = state % 2 == 0 ? 4 * k + 1 : -(4 * k + 1);
        state = state / 2 ^ (state % 2 != 0 ? h0 / 2 : 0) ^ (k % 2 != 0 ? h1 / 2 : 0);
      }
      out[i * cols + j] =
          static_cast<float>(level) * factor(row_record(i)) * factor(column_record(i, j));
    }
  }
  return out;
}

TEST(DependentPlane, DecodesAsThePageSays) {
  for (const std::int64_t states : {4, 8, 64, 256})
    for (const std::uint64_t rows : {1, 2, 63, 130})
      for (const std::uint64_t cols : {1, 3, 64, 577}) {
        const auto streams = Sample(rows, cols, rows * 1000 + cols + states);
        const PlaneSpec spec = Spec(static_cast<std::int64_t>(rows), states);
        const PlaneView view = View(spec, rows, cols, streams);
        ASSERT_TRUE(DependentValidate(view).ok()) << DependentValidate(view).message();
        std::vector<float> out(rows * cols);
        ASSERT_TRUE(DecodeTensorRows({&view, 1}, 0, rows, out).ok());
        ASSERT_EQ(out, NaiveDecode(spec, rows, cols, streams))
            << states << " " << rows << " " << cols;
        for (std::uint64_t r = 0; r < rows; r += 7) {
          std::vector<float> row(cols);
          ASSERT_TRUE(DecodeTensorRows({&view, 1}, r, r + 1, row).ok());
          ASSERT_TRUE(std::equal(row.begin(), row.end(), out.begin() + r * cols)) << r;
        }
      }
}

TEST(DependentPlane, BandsAndRestartsBeginAfresh) {
  const std::uint64_t cols = 100;
  std::vector<std::vector<std::uint8_t>> streams(4);
  for (const std::uint64_t rows : {20, 20, 7})
    for (const auto part = Sample(rows, cols, rows + streams[0].size());
         const std::size_t s : {0, 1, 2, 3})
      streams[s].insert(streams[s].end(), part[s].begin(), part[s].end());
  for (const std::int64_t restart : {1, 8, 20, 1000}) {
    const PlaneSpec spec = Spec(20, 64, restart);
    const PlaneView view = View(spec, 47, cols, streams);
    std::vector<float> out(47 * cols);
    ASSERT_TRUE(DecodeTensorRows({&view, 1}, 0, 47, out).ok());
    EXPECT_EQ(out, NaiveDecode(spec, 47, cols, streams));
    std::vector<float> some(9 * cols);
    ASSERT_TRUE(DecodeTensorRows({&view, 1}, 35, 44, some).ok());
    EXPECT_TRUE(std::equal(some.begin(), some.end(), out.begin() + 35 * cols));
  }
}

TEST(DependentPlane, EveryInstructionSetReadsTheSame) {
  Random random(5);
  for (const TrellisCode& code : kTrellisCodes)
    for (const std::size_t count : {0, 1, 15, 64, 200}) {
      std::vector<std::uint8_t> codes(count);
      std::vector<std::uint16_t> states(count);
      for (std::size_t p = 0; p < count; ++p) {
        codes[p] = static_cast<std::uint8_t>(random.Below(256));
        states[p] = static_cast<std::uint16_t>(random.Below(code.states));
      }
      for (const Isa isa : kIsas) {
        if (!HasIsa(isa)) continue;
        std::vector<std::uint16_t> after = states;
        std::vector<std::int16_t> levels(count);
        kDependentRow.For(isa)(codes.data(), count, code, after.data(), levels.data());
        for (std::size_t p = 0; p < count; ++p) {
          const int k = codes[p] - 128;
          ASSERT_EQ(levels[p], TrellisLevel(states[p], k)) << IsaName(isa);
          ASSERT_EQ(after[p], code.Next(states[p], static_cast<std::uint32_t>(k)));
          ASSERT_LT(after[p], code.states);
        }
      }
    }
}

// What makes the codes codes: from any state, every other one is reached by exactly two branches,
// which come from states of the same levels with codes of different parity.
TEST(TrellisCodes, BranchesMeetInPairs) {
  for (const TrellisCode& code : kTrellisCodes) {
    EXPECT_EQ(FindTrellisCode(code.states), &code);
    std::vector<std::vector<std::pair<int, int>>> from(code.states);
    for (int s = 0; s < code.states; ++s)
      for (int k = 0; k < 2; ++k) {
        const std::uint32_t next = code.Next(s, k);
        ASSERT_LT(next, static_cast<std::uint32_t>(code.states));
        from[next].push_back({s & 1, k});
      }
    for (const auto& branches : from) {
      ASSERT_EQ(branches.size(), 2u) << code.states;
      EXPECT_EQ(branches[0].first, branches[1].first) << code.states;
      EXPECT_NE(branches[0].second, branches[1].second) << code.states;
    }
  }
  for (const int states : {0, 1, 2, 3, 5, 255, 8192, -4})
    EXPECT_EQ(FindTrellisCode(states), nullptr);
}

class HostileDependent : public testing::Test {
 protected:
  HostileDependent() : streams_(Sample(40, 50, 4)) {
    EXPECT_GT(streams_[3].size(), 0u);
    EXPECT_TRUE(Check().ok()) << Check().message();
  }
  Status Check() { return DependentValidate(View(spec_, 40, 50, streams_)); }
  void Refused(const std::string& why) {
    const Status status = Check();
    EXPECT_EQ(status.code(), StatusCode::kCorruption) << why;
    EXPECT_NE(status.message().find(why), std::string::npos) << status.message();
  }
  PlaneSpec spec_ = Spec(40);
  std::vector<std::vector<std::uint8_t>> streams_;
};

TEST_F(HostileDependent, EveryStreamCutShortAtEveryLength) {
  for (std::size_t s = 0; s < 4; ++s) {
    const auto whole = streams_[s];
    while (!streams_[s].empty()) {
      streams_[s].pop_back();
      EXPECT_FALSE(Check().ok()) << s << " " << streams_[s].size();
    }
    streams_[s] = whole;
  }
}

TEST_F(HostileDependent, RecordsAndEscapesOutOfRange) {
  const auto whole = streams_;
  StoreLe(streams_[1].data() + 6, static_cast<std::uint16_t>(3 << 11 | 0x7c0));
  Refused("dependent plane: record 3 of 'rows'");
  streams_ = whole;
  StoreLe(streams_[3].data(), std::int32_t{(1 << 21) + 1});
  Refused("beyond 2^21");
  StoreLe(streams_[3].data(), std::int32_t{-100});
  Refused("needs none");
}

TEST_F(HostileDependent, AttributesOutOfRange) {
  const PlaneSpec good = spec_;
  const auto refused = [&](const char* name, std::int64_t value, const char* why) {
    spec_ = good;
    spec_.attributes[name] = value;
    const Status status = Check();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << name << value;
    EXPECT_NE(status.message().find(why), std::string::npos) << status.message();
  };
  refused("band", 0, "'band'");
  refused("states", 2, "'states'");
  refused("states", 100, "power of two");
  refused("states", 8192, "'states'");
  refused("restart", 0, "'restart'");
  refused("scalar", -1, "'scalar'");
  refused("scalar", 64, "'scalar'");
  refused("more", 1, "");
  for (const char* name : {"band", "states", "restart", "scalar"}) {
    spec_ = good;
    spec_.attributes.erase(name);
    EXPECT_EQ(Check().code(), StatusCode::kInvalidArgument) << name;
  }
  EXPECT_EQ(DependentStreams(Spec(1), 0).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ingot::codecs
