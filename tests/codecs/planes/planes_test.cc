#include <gtest/gtest.h>

#include <cmath>

#include "base/cpu.h"
#include "codecs/planes/bit_fields.h"
#include "codecs/planes/convert_rows.h"
#include "codecs/planes/fp8_plane.h"
#include "codecs/planes/raw_split_plane.h"
#include "codecs/planes/remainder_plane.h"
#include "codecs/planes/sparse_plane.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

TEST(Convert, EveryCodeInEveryInstructionSetMatchesTheScalarFormats) {
  std::vector<std::uint8_t> bytes(2 * 65536);
  for (std::uint32_t h = 0; h < 65536; ++h)
    StoreLe(bytes.data() + 2 * h, static_cast<std::uint16_t>(h));
  using Loop = void (*)(const std::uint8_t*, std::size_t, float*);
  const auto check = [&](Loop loop, float (*scalar)(std::uint16_t)) {
    for (const std::size_t skip : {0, 1, 13}) {
      std::vector<float> out(65536 - skip);
      loop(bytes.data() + 2 * skip, out.size(), out.data());
      for (std::size_t i = 0; i < out.size(); ++i)
        ASSERT_EQ(std::bit_cast<std::uint32_t>(out[i]),
                  std::bit_cast<std::uint32_t>(scalar(static_cast<std::uint16_t>(i + skip))))
            << i + skip;
    }
  };
  check(
      [](const std::uint8_t* p, std::size_t n, float* out) {
        ConvertToFloat(DType::kBf16, {p, 2 * n}, {out, n});
      },
      FromBf16);
  check(
      [](const std::uint8_t* p, std::size_t n, float* out) {
        ConvertToFloat(DType::kF16, {p, 2 * n}, {out, n});
      },
      FromFp16);
  if (!HasIsa(Isa::kAvx2)) GTEST_SKIP() << "no AVX2";
  check(Bf16ToFloatAvx2, FromBf16);
  check(Fp16ToFloatAvx2, FromFp16);
  if (!HasIsa(Isa::kAvx512)) GTEST_SKIP() << "no AVX-512";
  check(Bf16ToFloatAvx512, FromBf16);
  check(Fp16ToFloatAvx512, FromFp16);
}

TEST(Convert, ByteFormats) {
  std::vector<std::uint8_t> bytes(256);
  for (int c = 0; c < 256; ++c) bytes[c] = static_cast<std::uint8_t>(c);
  std::vector<float> out(256);
  ConvertToFloat(DType::kI8, bytes, out);
  for (int c = 0; c < 256; ++c) EXPECT_EQ(out[c], c < 128 ? c : c - 256);
  ConvertToFloat(DType::kF8E4m3, bytes, out);
  for (int c = 0; c < 256; ++c)
    EXPECT_EQ(std::bit_cast<std::uint32_t>(out[c]),
              std::bit_cast<std::uint32_t>(FromFp8E4m3(static_cast<std::uint8_t>(c))));
}

TEST(MergeBf16, EveryInstructionSetEveryLength) {
  using Loop = void (*)(const std::uint8_t*, const std::uint8_t*, std::size_t, std::uint8_t*);
  std::vector<Loop> loops = {MergeBf16Scalar, kMergeBf16.Best()};
  if (HasIsa(Isa::kAvx2)) loops.push_back(MergeBf16Avx2);
  if (HasIsa(Isa::kAvx512)) loops.push_back(MergeBf16Avx512);
  for (const Loop loop : loops)
    for (std::size_t n = 0; n < 130; ++n) {
      std::vector<std::uint8_t> e(n), r(n), out(2 * n + 1, 0xee);
      for (std::size_t i = 0; i < n; ++i) {
        e[i] = static_cast<std::uint8_t>(i * 91 + n);
        r[i] = static_cast<std::uint8_t>(i * 57 + 3 * n);
      }
      loop(e.data(), r.data(), n, out.data());
      for (std::size_t i = 0; i < n; ++i) {
        const int expected = (r[i] >> 7) * 32768 + e[i] * 128 + r[i] % 128;
        ASSERT_EQ(LoadLe<std::uint16_t>(out.data() + 2 * i), expected);
      }
      ASSERT_EQ(out[2 * n], 0xee);
    }
}

PlaneSpec Fp8Spec(std::int64_t block) {
  PlaneSpec spec{"fp8", {}, 0};
  spec.attributes["format"] = "e4m3";
  spec.attributes["block"] = block;
  return spec;
}

TEST(Fp8Plane, EveryCodeTimesItsBlockScale) {
  const PlaneSpec spec = Fp8Spec(100);
  std::vector<std::uint8_t> codes(256), scales(6);
  for (int c = 0; c < 256; ++c) codes[c] = static_cast<std::uint8_t>(c);
  for (int b = 0; b < 3; ++b)
    StoreLe(scales.data() + 2 * b, ToFp16(0.5f * static_cast<float>(b + 1)));
  const PlaneView view{&spec, 1, 256, {codes, scales}};
  std::vector<float> out(256);
  ASSERT_TRUE(DecodeTensorRows({&view, 1}, 0, 1, out).ok());
  for (int c = 0; c < 256; ++c) {
    if ((c & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(out[c]));
      continue;
    }
    const int e = (c >> 3) & 15, m = c & 7;
    const double magnitude = e == 0 ? std::ldexp(m, -9) : std::ldexp(8 + m, e - 10);
    EXPECT_EQ(out[c], (c >= 128 ? -magnitude : magnitude) * 0.5 * (c / 100 + 1)) << c;
  }
}

TEST(Fp8Plane, RefusesBadSpecsAndSizes) {
  EXPECT_FALSE(Fp8Streams(Fp8Spec(0), 10).ok());
  PlaneSpec other = Fp8Spec(4);
  other.attributes["format"] = "e5m2";
  EXPECT_FALSE(Fp8Streams(other, 10).ok());
  const PlaneSpec spec = Fp8Spec(4);
  const std::vector<std::uint8_t> bytes(100);
  const ByteSpan all(bytes);
  EXPECT_TRUE(Fp8Validate({&spec, 2, 10, {all.first(20), all.first(12)}}).ok());
  EXPECT_FALSE(Fp8Validate({&spec, 2, 10, {all.first(19), all.first(12)}}).ok());
  EXPECT_FALSE(Fp8Validate({&spec, 2, 10, {all.first(20), all.first(11)}}).ok());
  EXPECT_FALSE(Fp8Validate({&spec, 2, 10, {all.first(20)}}).ok());
}

// e4m3 has 3 mantissa bits: an error of at most 2^-4 of a weight, and with Gaussian weights 2.5 %
// rms.
TEST(Fp8Hybrid, TakesOutliersExactlyAndRoundsTheRest) {
  const std::uint64_t cols = 576;
  const auto bytes = StoreAs(DType::kBf16, SampleWeights(8, cols, 6));
  const std::vector<float> x = ToFloats(DType::kBf16, bytes);
  const auto encoder = *MakeEncoder({.codec = "fp8_hybrid_v1"}, cols, DType::kBf16);
  const auto slab = encoder->EncodeSlab({DType::kBf16, 8, cols, bytes});
  ASSERT_TRUE(slab.ok());
  const auto views = ViewsOf(encoder->planes(), *slab, 8, cols);
  std::vector<float> out(8 * cols), base(8 * cols);
  ASSERT_TRUE(DecodeTensorRows(views, 0, 8, out).ok());
  ASSERT_TRUE(DecodeTensorRows(std::span(views).first(1), 0, 8, base).ok());
  std::size_t outliers = 0;
  for (std::uint64_t r = 0; r < 8; ++r) {
    double sum = 0, squares = 0;
    for (std::uint64_t i = 0; i < cols; ++i) {
      sum += x[r * cols + i];
      squares += std::pow(static_cast<double>(x[r * cols + i]), 2);
    }
    const double mean = sum / cols, deviation = std::sqrt(squares / cols - mean * mean);
    for (std::uint64_t i = r * cols; i < (r + 1) * cols; ++i) {
      if (std::fabs(x[i] - mean) > 3 * deviation * 1.0001) {
        ++outliers;
        ASSERT_EQ(base[i], 0.0f);
        ASSERT_EQ(out[i], FromFp16(ToFp16(x[i])));
      } else if (std::fabs(x[i] - mean) < 3 * deviation * 0.9999) {
        ASSERT_EQ(out[i], base[i]);
        ASSERT_NEAR(out[i], x[i], std::fabs(x[i]) / 15.9 + 1e-6);
      }
    }
  }
  EXPECT_GT(outliers, 8u);
  const double relative = std::sqrt(slab->squared_error / slab->squared_weight);
  EXPECT_GT(relative, 0.005);
  EXPECT_LT(relative, 0.028);
}

struct SparseCase {
  std::uint64_t cols;
  std::vector<std::uint32_t> counts, columns;
  std::uint64_t values;
  bool good;
};

TEST(SparsePlane, ChecksEveryIndex) {
  const PlaneSpec spec{"sparse", {{"format", "f16"}}, 0};
  const SparseCase cases[] = {
      {10, {2, 0, 1}, {3, 9, 0}, 3, true},
      {10, {0, 0, 0}, {}, 0, true},
      {10, {2, 0, 1}, {3, 3, 0}, 3, false},   // twice
      {10, {2, 0, 1}, {4, 3, 0}, 3, false},   // unsorted
      {10, {2, 0, 1}, {3, 10, 0}, 3, false},  // past the row
      {10, {2, 0, 2}, {3, 9, 0}, 3, false},   // more than there are
      {10, {2, 0, 0}, {3, 9, 0}, 3, false},   // fewer
      {10, {65535, 0, 0}, {3, 9, 0}, 3, false},
      {10, {2, 0, 1}, {3, 9, 0}, 2, false},  // values missing
      {10, {2, 0}, {3, 9}, 2, false},        // a row missing
      {65536, {1, 0, 1}, {65535, 7}, 2, true},
      {70000, {1, 0, 1}, {69999, 7}, 2, true},
      {70000, {1, 0, 1}, {70000, 7}, 2, false},
  };
  for (const SparseCase& c : cases) {
    std::vector<std::uint8_t> counts(c.counts.size() * SparseCountBytes(c.cols));
    std::vector<std::uint8_t> columns(c.columns.size() * SparseColumnBytes(c.cols));
    std::vector<std::uint8_t> values(2 * c.values);
    for (std::size_t i = 0; i < c.counts.size(); ++i)
      std::memcpy(counts.data() + i * SparseCountBytes(c.cols), &c.counts[i],
                  SparseCountBytes(c.cols));
    for (std::size_t i = 0; i < c.columns.size(); ++i)
      std::memcpy(columns.data() + i * SparseColumnBytes(c.cols), &c.columns[i],
                  SparseColumnBytes(c.cols));
    for (std::uint64_t i = 0; i < c.values; ++i)
      StoreLe(values.data() + 2 * i, ToFp16(static_cast<float>(i + 1)));
    const PlaneView view{&spec, 3, c.cols, {counts, columns, values}};
    const Status status = SparseValidate(view);
    ASSERT_EQ(status.ok(), c.good) << status.message();
    if (!c.good) {
      EXPECT_EQ(status.code(), StatusCode::kCorruption);
      continue;
    }
    std::vector<float> out(3 * c.cols, 0.0f);
    SparseDecodeRows(view, 0, 3, out.data());
    std::size_t entry = 0;
    for (std::size_t r = 0; r < 3; ++r)
      for (std::uint32_t k = 0; k < c.counts[r]; ++k, ++entry)
        EXPECT_EQ(out[r * c.cols + c.columns[entry]], static_cast<float>(entry + 1));
    std::vector<float> last(c.cols, 0.0f);
    SparseDecodeRows(view, 2, 3, last.data());
    EXPECT_TRUE(std::equal(last.begin(), last.end(), out.begin() + 2 * c.cols));
  }
}

// The cost of a range must not grow with the rows before it: those before the last indexed row are
// not even looked at, so that damage there changes nothing.
TEST(SparsePlane, AnIndexedRangeDoesNotReadTheRowsBefore) {
  constexpr std::uint64_t kRows = 1000, kCols = 3;
  const PlaneSpec spec{"sparse", {{"format", "f16"}}, 0};
  std::vector<std::uint8_t> counts(2 * kRows), columns, values;
  for (std::uint64_t r = 0; r < kRows; ++r) {
    StoreLe(counts.data() + 2 * r, static_cast<std::uint16_t>(r % 7 % 4));
    for (std::uint64_t c = 0; c < r % 7 % 4; ++c) {
      columns.insert(columns.end(), {static_cast<std::uint8_t>(c), 0});
      values.resize(values.size() + 2);
      StoreLe(values.data() + values.size() - 2, ToFp16(static_cast<float>(1 + r % 1000)));
    }
  }
  PlaneView view{&spec, kRows, kCols, {counts, columns, values}};
  ASSERT_TRUE(SparseValidate(view).ok());
  std::vector<float> whole(kRows * kCols, 0.0f);
  SparseDecodeRows(view, 0, kRows, whole.data());
  const std::vector<std::uint64_t> index = SparseRowIndex(view);
  ASSERT_EQ(index.size(), (kRows + kSparseIndexRows - 1) / kSparseIndexRows);
  view.row_index = index;
  for (std::uint64_t begin = 0; begin < kRows; begin += 13) {
    const std::uint64_t end = std::min(begin + 29, kRows);
    std::vector<float> part((end - begin) * kCols, 0.0f);
    SparseDecodeRows(view, begin, end, part.data());
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + begin * kCols)) << begin;
  }
  const std::uint64_t begin = 5 * kSparseIndexRows + 3;
  std::fill_n(counts.begin(), 2 * 5 * kSparseIndexRows, 0xff);
  std::vector<float> part(10 * kCols, 0.0f);
  SparseDecodeRows(view, begin, begin + 10, part.data());
  EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + begin * kCols));
}

TEST(RawSplitPlane, RefusesAnExponentThatF16DoesNotHave) {
  const PlaneSpec spec{"raw_split", {{"dtype", "f16"}}, 0};
  std::vector<std::uint8_t> exponents(20, 31), rest(2 * CodeRowBytes(11, 10));
  EXPECT_TRUE(RawSplitValidate({&spec, 2, 10, {exponents, rest}}).ok());
  exponents[13] = 32;
  EXPECT_FALSE(RawSplitValidate({&spec, 2, 10, {exponents, rest}}).ok());
  for (const char* dtype : {"i8", "f8_e4m3", "f64"}) {
    const PlaneSpec other{"raw_split", {{"dtype", dtype}}, 0};
    EXPECT_FALSE(RawSplitStreams(other, 10).ok()) << dtype;
  }
}

TEST(RemainderPlane, OrderedBitsIncreaseWithTheValue) {
  std::uint32_t last = 0;
  for (const float f : {-INFINITY, -3.0f, -1.0f, -1e-40f, -0.0f, 0.0f, 1e-40f, 1.0f, INFINITY}) {
    const std::uint32_t o = OrderedBits(std::bit_cast<std::uint32_t>(f), 32);
    EXPECT_GT(o, last);
    last = o;
  }
  for (std::uint32_t h = 0; h < 65536; ++h) ASSERT_EQ(BitsOfOrdered(OrderedBits(h, 16), 16), h);
}

TEST(RemainderPlane, KindAndFormatGoTogether) {
  const auto streams = [](const char* kind, const char* dtype) {
    return RemainderStreams({kind, {{"dtype", dtype}}, 2}, 4).ok();
  };
  EXPECT_TRUE(streams("remainder16", "bf16"));
  EXPECT_TRUE(streams("remainder16", "f16"));
  EXPECT_TRUE(streams("remainder32", "f32"));
  EXPECT_FALSE(streams("remainder16", "f32"));
  EXPECT_FALSE(streams("remainder32", "bf16"));
  EXPECT_FALSE(streams("remainder16", "i8"));
}

TEST(PlaneCodec, RefusesUnknownKindsAndMixedShapes) {
  EXPECT_EQ(FindPlaneKind("vq2").status().code(), StatusCode::kUnsupported);
  const PlaneSpec spec{"raw", {{"dtype", "i8"}}, 0};
  const std::vector<std::uint8_t> bytes(12);
  const std::vector<PlaneView> mixed = {{&spec, 3, 4, {bytes}}, {&spec, 4, 3, {bytes}}};
  std::vector<float> out(12);
  EXPECT_EQ(DecodeTensorRows(mixed, 0, 3, out).code(), StatusCode::kCorruption);
  EXPECT_FALSE(DecodeTensorRows({}, 0, 0, {}).ok());
  EXPECT_EQ(PlaneFixedBytes(spec, UINT64_MAX, 4).status().code(), StatusCode::kLimit);
}

}  // namespace
}  // namespace ingot::codecs
