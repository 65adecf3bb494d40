// Pages of codes: what they lose, by a second decoder; attention over them on every rung.
#include "loader/cpu/packed_page_writer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/bytes.h"
#include "base/float_formats.h"
#include "base/random.h"
#include "loader/cpu/page_format.h"
#include "loader/kernels/packed_page.h"

namespace ingot::loader {
namespace {

struct Source {
  explicit Source(std::size_t head_dim, std::uint64_t seed) : dim(head_dim) {
    const PageFormat& f16 = *FindPageFormat("f16");
    bytes.resize(f16.head_bytes(dim));
    Random random(seed);
    for (std::size_t t = 0; t < kPageTokens; ++t) {
      std::vector<float> key(dim), value(dim);
      for (std::size_t d = 0; d < dim; ++d) {
        // Channels of keys differ in size and lie off zero; some tokens' values are large.
        key[d] = static_cast<float>(random.Normal() + 3.0) * (d % 7 == 0 ? 5.0f : 0.5f);
        value[d] = static_cast<float>(random.Normal()) * (t % 9 == 0 ? 8.0f : 1.0f);
      }
      f16.write(bytes.data(), dim, t, key.data(), value.data());
    }
  }
  float Key(std::size_t t, std::size_t d) const { return Half(d * kPageTokens + t); }
  float Value(std::size_t t, std::size_t d) const {
    return Half(dim * kPageTokens + t * ValueStride(dim) + d);
  }
  float Half(std::size_t i) const { return FromFp16(LoadLe<std::uint16_t>(bytes.data() + 2 * i)); }
  std::size_t dim;
  std::vector<std::uint8_t> bytes;
};

// The layout of packed_page.h, read again: streams one after the other.
struct Reader {
  Reader(int code_bits, std::size_t head_dim, const std::vector<std::uint8_t>& page)
      : bits(code_bits), dim(head_dim) {
    const std::uint8_t* at = page.data();
    const auto take = [&](std::size_t bytes) { return std::exchange(at, at + bytes); };
    keys = take(dim * 64 * bits / 8);
    values = take(64 * dim * bits / 8);
    key_scales = take(2 * dim);
    key_minima = take(bits == 4 ? 2 * dim : 0);
    value_scales = take(64 * dim / 32 * 2);
    value_minima = take(bits == 4 ? 64 * dim / 32 * 2 : 0);
    EXPECT_EQ(at, page.data() + page.size());
  }
  float Scaled(int code, const std::uint8_t* scales, const std::uint8_t* minima,
               std::size_t i) const {
    const float scale = FromFp16(LoadLe<std::uint16_t>(scales + 2 * i));
    if (bits == 8) return scale * static_cast<float>(code - 128);
    return scale * static_cast<float>(code) + FromFp16(LoadLe<std::uint16_t>(minima + 2 * i));
  }
  float Key(std::size_t t, std::size_t d) const {
    const int code = bits == 8 ? keys[d * 64 + t] : keys[d * 32 + t % 32] >> (t / 32 * 4) & 15;
    return Scaled(code, key_scales, key_minima, d);
  }
  float Value(std::size_t t, std::size_t d) const {
    const int code = bits == 8
                         ? values[t * dim + d]
                         : values[t * dim / 2 + d / 32 * 16 + d % 16] >> (d / 16 % 2 * 4) & 15;
    return Scaled(code, value_scales, value_minima, t * (dim / 32) + d / 32);
  }
  float KeyScale(std::size_t d) const {
    return FromFp16(LoadLe<std::uint16_t>(key_scales + 2 * d));
  }
  float ValueScale(std::size_t t, std::size_t d) const {
    return FromFp16(LoadLe<std::uint16_t>(value_scales + 2 * (t * (dim / 32) + d / 32)));
  }
  int bits;
  std::size_t dim;
  const std::uint8_t *keys, *values, *key_scales, *key_minima, *value_scales, *value_minima;
};

const PageFormat& FormatOf(int bits) { return *FindPageFormat(bits == 8 ? "int8" : "int4"); }

std::vector<std::uint8_t> Packed(int bits, const Source& source) {
  std::vector<std::uint8_t> page(FormatOf(bits).head_bytes(source.dim));
  FormatOf(bits).close(source.bytes.data(), source.dim, page.data());
  return page;
}

// Errors in steps: half of one, and what rounding scale and minimum adds; and no less, or codes
// would have been given away.
TEST(PackedPageTest, ANumberIsWithinHalfAStep) {
  for (const int bits : {8, 4})
    for (const std::size_t dim : {32, 64, 96, 160}) {
      const Source source(dim, dim);
      const std::vector<std::uint8_t> page = Packed(bits, source);
      const Reader reader(bits, dim, page);
      double worst_key = 0, worst_value = 0;
      for (std::size_t t = 0; t < kPageTokens; ++t)
        for (std::size_t d = 0; d < dim; ++d) {
          worst_key = std::max<double>(
              worst_key, std::fabs(reader.Key(t, d) - source.Key(t, d)) / reader.KeyScale(d));
          worst_value =
              std::max<double>(worst_value, std::fabs(reader.Value(t, d) - source.Value(t, d)) /
                                                reader.ValueScale(t, d));
        }
      for (const double worst : {worst_key, worst_value}) {
        EXPECT_LE(worst, bits == 8 ? 0.57 : 0.52) << bits << " bits, " << dim;
        EXPECT_GE(worst, 0.49) << bits << " bits, " << dim;
      }
    }
}

TEST(PackedPageTest, NumbersThatAreOneAndNumbersThatAreNone) {
  for (const int bits : {8, 4}) {
    Source source(32, 1);
    for (std::size_t i = 0; i < source.bytes.size(); i += 2)
      StoreLe<std::uint16_t>(source.bytes.data() + i, ToFp16(i % 128 < 64 ? -0.5f : 0.0f));
    const std::vector<std::uint8_t> same = Packed(bits, source);
    const Reader reader(bits, 32, same);
    for (std::size_t t = 0; t < kPageTokens; ++t)
      EXPECT_NEAR(reader.Key(t, 3), source.Key(t, 3), 1e-3);
    for (std::size_t i = 0; i < source.bytes.size(); i += 6)
      StoreLe<std::uint16_t>(source.bytes.data() + i, i % 4 == 0 ? 0x7e00 : 0x7c00);
    Packed(bits, source);  // no undefined conversion
  }
}

TEST(PackedPageTest, TakesLessMemoryThanHalves) {
  for (const std::size_t dim : {32, 64, 128, 256}) {
    const double half = static_cast<double>(FindPageFormat("f16")->head_bytes(dim));
    EXPECT_LE(static_cast<double>(FormatOf(8).head_bytes(dim)), 0.53 * half);
    EXPECT_LE(static_cast<double>(FormatOf(4).head_bytes(dim)), 0.30 * half);
  }
}

struct Shape {
  std::size_t rows, dim;
  std::uint64_t positions, window;
  bool alibi;
};

// Rows of one tile, the last page half full.
class Cache {
 public:
  Cache(int bits, const Shape& shape) : bits_(bits), shape_(shape) {
    const std::uint64_t count = CeilDiv(shape.positions, kPageTokens);
    for (std::uint64_t p = 0; p < count; ++p) {
      sources_.emplace_back(shape.dim, p + 1);
      pages_.push_back(Packed(bits, sources_.back()));
    }
    Random random(3);
    queries_.resize(shape.rows * shape.dim);
    for (float& q : queries_) q = static_cast<float>(random.Normal() * 0.05);
    for (std::size_t r = 0; r < shape.rows; ++r) {
      end_.push_back(shape.positions - r % 3);
      begin_.push_back(shape.window > 0 && end_[r] > shape.window ? end_[r] - shape.window : 0);
      slopes_.push_back(0.1f * static_cast<float>(r + 1));
    }
  }
  std::vector<float> Run(const VectorKernels& kernels) {
    std::vector<const void*> closed, open;
    for (std::size_t p = 0; p < pages_.size(); ++p) {
      closed.push_back(p + 1 < pages_.size() ? pages_[p].data() : nullptr);
      open.push_back(p + 1 < pages_.size() ? nullptr : sources_[p].bytes.data());
    }
    std::vector<float> out(shape_.rows * ValueStride(shape_.dim));
    AttentionTile tile;
    tile.rows = shape_.rows;
    tile.head_dim = shape_.dim;
    tile.value_stride = ValueStride(shape_.dim);
    tile.queries = queries_.data();
    tile.begin = begin_.data();
    tile.end = end_.data();
    tile.keys = closed.data();
    tile.values = open.data();
    tile.alibi = shape_.alibi ? slopes_.data() : nullptr;
    tile.out = out.data();
    FormatOf(bits_).attend(kernels, tile);
    return out;
  }
  // In double, from the second decoder.
  std::vector<float> Naive() const {
    std::vector<float> out(shape_.rows * ValueStride(shape_.dim));
    for (std::size_t r = 0; r < shape_.rows; ++r) {
      std::vector<double> weights;
      double sum = 0;
      for (std::uint64_t at = begin_[r]; at < end_[r]; ++at) {
        double score = 0;
        for (std::size_t d = 0; d < shape_.dim; ++d)
          score += static_cast<double>(queries_[r * shape_.dim + d]) * Number(at, d, true);
        if (shape_.alibi)
          score -= static_cast<double>(slopes_[r]) * static_cast<double>(end_[r] - 1 - at);
        weights.push_back(std::exp(score));
        sum += weights.back();
      }
      for (std::size_t d = 0; d < shape_.dim; ++d) {
        double value = 0;
        for (std::uint64_t at = begin_[r]; at < end_[r]; ++at)
          value += weights[at - begin_[r]] * Number(at, d, false);
        out[r * ValueStride(shape_.dim) + d] = static_cast<float>(value / sum);
      }
    }
    return out;
  }

 private:
  double Number(std::uint64_t at, std::size_t d, bool key) const {
    const std::size_t page = at / kPageTokens, t = at % kPageTokens;
    if (page + 1 == pages_.size())
      return key ? sources_[page].Key(t, d) : sources_[page].Value(t, d);
    const Reader reader(bits_, shape_.dim, pages_[page]);
    return key ? reader.Key(t, d) : reader.Value(t, d);
  }
  int bits_;
  Shape shape_;
  std::vector<Source> sources_;
  std::vector<std::vector<std::uint8_t>> pages_;
  std::vector<float> queries_, slopes_;
  std::vector<std::uint64_t> begin_, end_;
};

TEST(PackedPageTest, EveryRungAttendsToWhatTheCodesStandFor) {
  for (const int bits : {8, 4})
    for (const Shape& shape :
         {Shape{1, 64, 40, 0, false}, Shape{3, 64, 100, 0, false}, Shape{16, 32, 200, 0, false},
          Shape{5, 96, 150, 70, false}, Shape{7, 128, 131, 0, true}, Shape{2, 160, 68, 64, true}}) {
      Cache cache(bits, shape);
      const std::vector<float> want = cache.Naive();
      for (const Isa isa : kIsas) {
        if (!HasIsa(isa)) continue;
        const std::vector<float> got = cache.Run(kVectorKernels.For(isa));
        for (std::size_t i = 0; i < want.size(); ++i)
          ASSERT_NEAR(got[i], want[i], 2e-5 * std::fabs(want[i]) + 2e-5)
              << IsaName(isa) << ", " << bits << " bits, " << shape.rows << " rows of " << shape.dim
              << " at " << i;
      }
    }
}

}  // namespace
}  // namespace ingot::loader
