#include "pack/slab_source.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "artifact/reader.h"
#include "base/float_formats.h"
#include "tests/pack/one_matrix.h"

namespace ingot::pack {
namespace {

TEST(SlabSource, SlabsConcatenateToTheTensorAsItIsOrTransposed) {
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kI8}) {
    const std::size_t element = DTypeBytes(dtype);
    // Wide enough that a transposed slab takes several reads.
    const OneMatrix checkpoint(700, 1100, dtype);
    for (const bool transposed : {false, true}) {
      const PlannedTensor tensor = Planned(checkpoint, transposed, 301);
      ByteBuffer buffer(tensor.slab_rows * tensor.cols * element);
      std::uint64_t row = 0;
      for (std::uint32_t slab = 0; slab < tensor.slab_count; ++slab) {
        const auto bytes = ReadSlab(checkpoint, tensor, slab, buffer.span());
        ASSERT_TRUE(bytes.ok());
        const std::uint64_t rows = bytes->size() / (tensor.cols * element);
        for (std::uint64_t r = 0; r < rows; ++r, ++row)
          for (std::uint64_t c = 0; c < tensor.cols; ++c) {
            const std::uint64_t source = transposed ? c * 1100 + row : row * 1100 + c;
            ASSERT_EQ(0, std::memcmp(bytes->data() + (r * tensor.cols + c) * element,
                                     checkpoint.bytes().data() + source * element, element));
          }
      }
      EXPECT_EQ(row, tensor.rows);
    }
  }
}

template <typename T>
std::vector<std::uint8_t> Bytes(const std::vector<T>& values) {
  const ByteSpan bytes = BytesOf(std::span<const T>(values));
  return {bytes.begin(), bytes.end()};
}

TEST(SlabSource, FindsEveryNonfiniteCodeAtEveryPlace) {
  for (const std::size_t at : {0u, 1u, 7u, 8u, 63u, 64u, 99u}) {
    for (const std::uint16_t code : {0x7f80, 0xff80, 0x7fc0, 0x7f81, 0xffff}) {
      std::vector<std::uint16_t> bf16(100, 0x7f7f);  // the largest finite value
      bf16[at] = code;
      EXPECT_EQ(FindNonfinite(DType::kBf16, Bytes(bf16)), at);
    }
    for (const std::uint16_t code : {0x7c00, 0xfc00, 0x7e00, 0x7c01}) {
      std::vector<std::uint16_t> f16(100, 0xfbff);
      f16[at] = code;
      EXPECT_EQ(FindNonfinite(DType::kF16, Bytes(f16)), at);
    }
    for (const float value : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
      std::vector<float> f32(100, -std::numeric_limits<float>::max());
      f32[at] = -value;
      EXPECT_EQ(FindNonfinite(DType::kF32, Bytes(f32)), at);
    }
    std::vector<std::uint8_t> f8(100, 0xfe);
    f8[at] = 0xff;
    EXPECT_EQ(FindNonfinite(DType::kF8E4m3, f8), at);
  }
  EXPECT_EQ(FindNonfinite(DType::kBf16, Bytes(std::vector<std::uint16_t>(100, 0xff7f))),
            std::nullopt);
  EXPECT_EQ(FindNonfinite(DType::kF32, {}), std::nullopt);
  EXPECT_EQ(FindNonfinite(DType::kI8, std::vector<std::uint8_t>(9, 0x7f)), std::nullopt);
}

TEST(SlabSource, CheckIsTheDigestAndTheSearchInOne) {
  std::vector<std::uint16_t> values(300'000);  // several pieces
  std::iota(values.begin(), values.end(), std::uint16_t{0});
  for (std::uint16_t& value : values) value &= 0x3fff;
  EXPECT_EQ(CheckSlab(DType::kBf16, Bytes(values)).digest, DigestOf(Bytes(values)));
  EXPECT_FALSE(CheckSlab(DType::kBf16, Bytes(values)).nonfinite.has_value());
  values[200'001] = 0x7fc0;
  values[200'005] = 0x7f80;
  const SlabCheck check = CheckSlab(DType::kBf16, Bytes(values));
  EXPECT_EQ(check.digest, DigestOf(Bytes(values)));
  EXPECT_EQ(check.nonfinite, 200'001u);
}

}  // namespace
}  // namespace ingot::pack
