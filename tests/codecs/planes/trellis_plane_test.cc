// trellis planes and the encoder that fills them: the decoder against the page, read naively, on
// every instruction set; the search against trying all; distortion, losses and degenerate matrices.
#include "codecs/planes/trellis_plane.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/parallel.h"
#include "codecs/encoders/trellis_encode.h"
#include "codecs/planes/bit_fields.h"
#include "codecs/rounding/bitshift_kernels.h"
#include "codecs/rounding/bitshift_search.h"
#include "tests/codecs/hessian_samples.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

PlaneSpec InRows(std::int64_t bits, std::int64_t state, std::int64_t tile) {
  return {"trellis", {{"bits", bits}, {"state", state}, {"tile", tile}}, 0};
}
PlaneSpec Spec(std::int64_t bits, std::int64_t state, std::int64_t tile) {
  PlaneSpec spec = InRows(bits, state, tile);
  spec.attributes["order"] = std::string("columns");
  return spec;
}

// The page, bit by bit: a column's ring as text of bits, windows of it read backwards.
std::vector<float> Naive(int bits, int state_bits, std::uint64_t tile, std::uint64_t rows,
                         std::uint64_t cols, const std::vector<std::uint8_t>& codes,
                         const std::vector<float>& scales) {
  std::vector<float> out(rows * cols);
  for (std::uint64_t first = 0; first < rows; first += tile) {
    const std::uint64_t n = std::min(tile, rows - first);
    for (std::uint64_t j = 0; j < cols; ++j)
      for (std::uint64_t i = 0; i < n; ++i) {
        std::uint32_t state = 0;
        for (int b = 0; b < state_bits; ++b) {
          const std::uint64_t back = static_cast<std::uint64_t>(b / bits) % n;
          const std::uint8_t code = codes[(first + (i + n - back) % n) * cols + j];
          state |= static_cast<std::uint32_t>(code >> (b % bits) & 1) << b;
        }
        const std::uint32_t x = state * 34038481u + 76625530u;
        const int sum = static_cast<int>(x % 256 + x / 256 % 256 + x / 65536 % 256 + x / 16777216);
        out[(first + i) * cols + j] = static_cast<float>((sum + 2) / 4 - 128) * scales[first + i];
      }
  }
  return out;
}

// Random codes and scales, as the page lays them out.
struct Written {
  Written(const PlaneSpec& plane_spec, std::uint64_t row_count, std::uint64_t cols)
      : spec(plane_spec), rows(row_count), layout(*TrellisLayout::Parse(spec, cols)) {
    Random random(rows + cols);
    codes.resize(rows * cols);
    packed.resize(rows * layout.code_row_bytes);
    halves.resize(2 * rows);
    for (auto& code : codes)
      code = static_cast<std::uint8_t>(random.Below(1u << static_cast<unsigned>(layout.bits)));
    for (std::uint64_t r = 0; r < rows; ++r) {
      StoreLe(halves.data() + 2 * r, ToFp16(static_cast<float>(random.Normal())));
      scales.push_back(FromFp16(LoadLe<std::uint16_t>(halves.data() + 2 * r)));
      if (layout.columns)
        PutColumns(r);
      else
        PackCodes(codes.data() + r * cols, layout.bits, cols,
                  packed.data() + r * layout.code_row_bytes);
    }
  }
  // Bit (column + 1) n - 1 - row of codes in the tile, bit by bit.
  void PutColumns(std::uint64_t row) {
    const std::uint64_t first = row / layout.tile_rows * layout.tile_rows;
    const std::uint64_t n = std::min(layout.tile_rows, rows - first);
    const auto bits = static_cast<std::uint64_t>(layout.bits);
    for (std::uint64_t j = 0; j < layout.cols; ++j)
      for (std::uint64_t b = 0; b < bits; ++b) {
        const std::uint64_t at = ((j + 1) * n - 1 - (row - first)) * bits + b;
        std::uint8_t& byte = packed[first * layout.code_row_bytes + at / 8];
        byte = static_cast<std::uint8_t>(byte | (codes[row * layout.cols + j] >> b & 1) << at % 8);
      }
  }
  PlaneView view() const { return {&spec, rows, layout.cols, {packed, halves}}; }
  std::vector<float> expected() const {
    return Naive(layout.bits, layout.state, layout.tile_rows, rows, layout.cols, codes, scales);
  }

  PlaneSpec spec;
  std::uint64_t rows;
  TrellisLayout layout;
  std::vector<std::uint8_t> codes, packed, halves;
  std::vector<float> scales;
};

void ExpectDecodes(const Written& written) {
  const std::vector<PlaneView> views = {written.view()};
  const std::uint64_t cols = written.layout.cols;
  std::vector<float> out(written.rows * cols), row(cols);
  ASSERT_TRUE(DecodeTensorRows(views, 0, written.rows, out).ok());
  ASSERT_EQ(out, written.expected());
  for (std::uint64_t r = 0; r < written.rows; r += 3) {
    ASSERT_TRUE(DecodeTensorRows(views, r, r + 1, row).ok());
    ASSERT_TRUE(std::equal(row.begin(), row.end(), out.begin() + static_cast<long>(r * cols)));
  }
}

TEST(TrellisPlane, DecodesAsThePageSays) {
  for (const int bits : {2, 3, 4})
    for (const int state : {8, 14, 16})
      for (const std::uint64_t rows : {1, 2, 5, 40})
        for (const std::int64_t tile : {1, 3, 16, 256})
          for (const std::uint64_t cols : {1, 33, 130}) {
            SCOPED_TRACE(testing::Message()
                         << bits << " " << state << " " << rows << " " << tile << " " << cols);
            ExpectDecodes(Written(InRows(bits, state, tile), rows, cols));
            ExpectDecodes(Written(Spec(bits, state, tile), rows, cols));
          }
}

TEST(TrellisPlane, RowsAndColumnsAreOneAnother) {
  for (const int bits : {2, 3, 4})
    for (const std::uint64_t rows : {1, 7, 50}) {
      const Written in_rows(InRows(bits, 14, 16), rows, 37);
      const Written in_columns(Spec(bits, 14, 16), rows, 37);
      EXPECT_EQ(TrellisInColumns(in_columns.view()), std::nullopt);
      const auto turned = TrellisInColumns(in_rows.view());
      ASSERT_TRUE(turned.has_value());
      ASSERT_TRUE(std::ranges::equal(turned->span(), in_columns.packed)) << bits << " " << rows;
    }
}

TEST(TrellisPlane, AttributesAndSizesAreChecked) {
  for (const PlaneSpec& spec : {Spec(1, 14, 256), Spec(5, 14, 256), Spec(2, 7, 256),
                                Spec(2, 17, 256), Spec(2, 14, 0), Spec(2, 14, 65537)})
    EXPECT_EQ(TrellisLayout::Parse(spec, 10).status().code(), StatusCode::kInvalidArgument);
  PlaneSpec other = Spec(3, 14, 256);
  other.attributes["order"] = std::string("rows");
  EXPECT_EQ(TrellisLayout::Parse(other, 10).status().code(), StatusCode::kInvalidArgument);
  const PlaneSpec spec = InRows(3, 14, 256);
  std::vector<std::uint8_t> codes(4 * CodeRowBytes(3, 30)), scales(8), less(7);
  EXPECT_TRUE(TrellisValidate({&spec, 4, 30, {codes, scales}}).ok());
  EXPECT_EQ(TrellisValidate({&spec, 4, 30, {codes, less}}).code(), StatusCode::kCorruption);
  EXPECT_EQ(TrellisValidate({&spec, 5, 30, {codes, scales}}).code(), StatusCode::kCorruption);
}

TEST(TrellisPlane, EveryInstructionSetReadsTheSame) {
  Random random(2);
  for (const std::size_t count : {1, 15, 16, 100})
    for (const int bits : {2, 3, 4}) {
      std::vector<std::uint8_t> codes(count), expected(count), found(count);
      std::vector<std::uint16_t> from(count), a(count), b(count);
      for (auto& code : codes) code = static_cast<std::uint8_t>(random.Below(1u << bits));
      for (auto& state : from) state = static_cast<std::uint16_t>(random.Below(65536));
      a = from;
      kBitshiftRow.For(Isa::kScalar)(codes.data(), count, bits, 0x3fff, a.data(), expected.data());
      for (const Isa isa : kIsas) {
        if (!HasIsa(isa)) continue;
        b = from;
        kBitshiftRow.For(isa)(codes.data(), count, bits, 0x3fff, b.data(), found.data());
        ASSERT_EQ(a, b);
        ASSERT_EQ(expected, found);
      }
    }
}

TEST(BitshiftKernels, EveryInstructionSetTakesTheSameStep) {
  Random random(3);
  for (const int bits : {2, 3, 4}) {
    const std::size_t states = 256, heads = states >> bits;
    AlignedArray<float> from(states), values(states), expected(states), found(states);
    for (std::size_t s = 0; s < states; ++s) {
      from[s] = static_cast<float>(random.Below(20));  // with ties
      values[s] = static_cast<float>(random.Normal());
    }
    std::vector<std::uint8_t> first(heads), second(heads);
    kBitshift.For(Isa::kScalar)
        .step[bits - 2](
            {from.data(), values.data(), 0.3f, 0.7f, heads, expected.data(), first.data()});
    for (const Isa isa : kIsas) {
      if (!HasIsa(isa)) continue;
      kBitshift.For(isa).step[bits - 2](
          {from.data(), values.data(), 0.3f, 0.7f, heads, found.data(), second.data()});
      EXPECT_EQ(first, second);
      for (std::size_t s = 0; s < states; ++s) ASSERT_EQ(expected[s], found[s]);
    }
    // By definition.
    for (std::size_t s = 0; s < states; ++s) {
      float best = from[s >> bits];
      for (std::size_t p = 1; p < std::size_t{1} << bits; ++p)
        best = std::min(best, from[p * heads + (s >> bits)]);
      const double off = static_cast<double>(values[s]) - 0.3f;
      EXPECT_NEAR(expected[s], best + 0.7 * off * off, 1e-4);
    }
  }
}

double Cost(int state_bits, int bits, std::span<const float> targets,
            std::span<const float> weights, std::span<const std::uint8_t> codes) {
  std::vector<float> ones(targets.size(), 1.0f);
  std::vector<std::uint8_t> copy(codes.begin(), codes.end());
  const auto levels = Naive(bits, state_bits, targets.size(), targets.size(), 1, copy, ones);
  double cost = 0;
  for (std::size_t i = 0; i < targets.size(); ++i)
    cost += weights[i] * std::pow(static_cast<double>(levels[i]) - targets[i], 2);
  return cost;
}

// The cheapest ring there is: of all borders, held at both ends, the cheapest path.
double LeastRing(int state_bits, int bits, std::span<const float> targets,
                 std::span<const float> weights) {
  const std::size_t states = std::size_t{1} << state_bits, heads = states >> bits;
  double least = 1e30;
  for (std::size_t border = 0; border < heads; ++border) {
    std::vector<double> cost(states, 1e30), next(states);
    cost[border] = 0;
    for (std::size_t i = 0; i < targets.size(); ++i) {
      for (std::size_t s = 0; s < states; ++s) {
        double before = 1e30;
        for (std::size_t p = 0; p < states / heads; ++p)
          before = std::min(before, cost[p * heads + (s >> bits)]);
        const double level = BitshiftByte(static_cast<std::uint32_t>(s)) - 128;
        next[s] = before + weights[i] * std::pow(level - targets[i], 2);
      }
      cost.swap(next);
    }
    for (std::size_t p = 0; p < states / heads; ++p)
      least = std::min(least, cost[p * heads + border]);
  }
  return least;
}

// The search holds one border, so it is not always the best, but near; and what it says is what a
// decoder gives.
TEST(BitshiftSearch, IsNearTheBestRing) {
  Random random(5);
  double found = 0, least = 0;
  for (int trial = 0; trial < 6; ++trial) {
    constexpr std::size_t kRing = 60;
    std::vector<float> targets(kRing), weights(kRing);
    for (float& t : targets) t = static_cast<float>(37 * random.Normal());
    for (float& w : weights) w = static_cast<float>(0.2 + random.Uniform());
    BitshiftSearch search(8, 2, kRing);
    std::vector<std::uint8_t> codes(kRing), bytes(kRing);
    search.Run(targets, weights, codes, bytes);
    const std::vector<float> ones(kRing, 1.0f);
    const auto levels = Naive(2, 8, kRing, kRing, 1, codes, ones);
    for (std::size_t i = 0; i < kRing; ++i)
      ASSERT_EQ(levels[i], static_cast<float>(bytes[i]) - 128);
    const double cost = Cost(8, 2, targets, weights, codes);
    const double best = LeastRing(8, 2, targets, weights);
    EXPECT_GE(cost, best * (1 - 1e-5));
    found += cost;
    least += best;
  }
  EXPECT_LT(found, 1.03 * least);
  // Shorter than a state: all are tried.
  for (const std::size_t n : {1, 2, 3}) {
    std::vector<float> targets(n, 20.0f), weights(n, 1.0f);
    BitshiftSearch search(8, 2, 3);
    std::vector<std::uint8_t> codes(n), bytes(n);
    search.Run(targets, weights, codes, bytes);
    for (unsigned ring = 0; ring < 1u << (2 * n); ++ring) {
      std::vector<std::uint8_t> all(n);
      for (unsigned i = 0; i < n; ++i) all[i] = static_cast<std::uint8_t>(ring >> (2 * i) & 3);
      ASSERT_LE(Cost(8, 2, targets, weights, codes), Cost(8, 2, targets, weights, all) + 1e-3);
    }
  }
}

std::vector<float> Normal(std::uint64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> w(count);
  for (float& x : w) x = static_cast<float>(0.02 * random.Normal());
  return w;
}

Result<EncodedSlab> Encode(const PlaneSpec& spec, const std::vector<float>& w, std::uint64_t rows,
                           double* error) {
  const std::uint64_t cols = w.size() / rows;
  INGOT_ASSIGN(const auto encoder, MakeTrellisEncoder(spec, {}, cols, DType::kF32));
  const auto bytes = StoreAs(DType::kF32, w);
  INGOT_ASSIGN(EncodedSlab slab, encoder->EncodeSlab({DType::kF32, rows, cols, bytes}));
  std::vector<float> out(w.size());
  INGOT_TRY(DecodeTensorRows(ViewsOf(encoder->planes(), slab, rows, cols), 0, rows, out));
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    sum += std::pow(static_cast<double>(w[i]) - out[i], 2);
    squares += std::pow(static_cast<double>(w[i]), 2);
  }
  *error = squares > 0 ? sum / squares : sum;
  return slab;
}

// Few states, to be quick: between scalar quantization (Max 1960) and the bound, nearer with more.
TEST(TrellisEncoder, DistortionOfNormalWeights) {
  const auto w = Normal(256 * 24, 1);
  const double scalar[] = {0.1175, 0.03454, 0.009497};
  for (const int bits : {2, 3, 4}) {
    double few = 0, more = 0;
    ASSERT_TRUE(Encode(Spec(bits, 8, 256), w, 256, &few).ok());
    ASSERT_TRUE(Encode(Spec(bits, 12, 256), w, 256, &more).ok());
    EXPECT_LT(few, scalar[bits - 2]) << bits;
    EXPECT_LT(more, 0.95 * few) << bits;
    EXPECT_GT(more, std::exp2(-2 * bits)) << bits;
  }
}

TEST(TrellisEncoder, DegenerateMatrices) {
  const PlaneSpec spec = Spec(3, 10, 256);
  double error = 0;
  const auto at_most = [&](const std::vector<float>& w, std::uint64_t rows, double most) {
    const auto slab = Encode(spec, w, rows, &error);
    ASSERT_TRUE(slab.ok()) << slab.status().message();
    EXPECT_LE(error, most);
  };
  at_most(std::vector<float>(70 * 40), 70, 0);
  at_most(std::vector<float>(70 * 40, 0.25f), 70, 0.05);
  // A ring of one weight has 8 levels, wherever the generator put them.
  at_most({0.3f}, 1, 1);
  at_most(Normal(200, 3), 1, 0.2);
  at_most(Normal(300, 3), 300, 0.1);
  at_most(Normal(5 * 30, 3), 5, 0.15);
  std::vector<float> outlier = Normal(70 * 40, 4);
  outlier[77] = 100;
  at_most(outlier, 70, 1.0);
  std::vector<float> tiny = Normal(20 * 40, 2);
  for (std::size_t j = 0; j < 40; ++j) tiny[9 * 40 + j] = 1e-9f;
  const auto refused = Encode(spec, tiny, 20, &error);
  EXPECT_EQ(refused.status().message().substr(0, 22), "row 9: needs a scale o");
}

}  // namespace
}  // namespace ingot::codecs
