#include "base/float_formats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ingot {
namespace {

// The nearest representable value by exhaustive search, ties to the even code: slow and obvious.
template <typename Code, typename From>
Code Nearest(double value, int codes, From from) {
  Code best = 0;
  double best_error = std::numeric_limits<double>::infinity();
  for (int c = 0; c < codes; ++c) {
    const double candidate = from(static_cast<Code>(c));
    if (!std::isfinite(candidate)) continue;
    const double error = std::fabs(candidate - value);
    if (error < best_error || (error == best_error && (c & 1) == 0)) {
      best = static_cast<Code>(c);
      best_error = error;
    }
  }
  return best;
}

TEST(FloatFormats, EveryFp16CodeRoundTrips) {
  for (int c = 0; c < 65536; ++c) {
    const auto code = static_cast<std::uint16_t>(c);
    const float value = FromFp16(code);
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(FromFp16(ToFp16(value)))) << c;
    else
      EXPECT_EQ(ToFp16(value), code) << c;
  }
}

TEST(FloatFormats, EveryBf16CodeRoundTrips) {
  for (int c = 0; c < 65536; ++c) {
    const auto code = static_cast<std::uint16_t>(c);
    const float value = FromBf16(code);
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(FromBf16(ToBf16(value)))) << c;
    else
      EXPECT_EQ(ToBf16(value), code) << c;
  }
}

TEST(FloatFormats, EveryFp8CodeRoundTrips) {
  for (int c = 0; c < 256; ++c) {
    const auto code = static_cast<std::uint8_t>(c);
    const float value = FromFp8E4m3(code);
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(FromFp8E4m3(ToFp8E4m3(value)))) << c;
    else
      EXPECT_EQ(ToFp8E4m3(value), code) << c;
  }
  EXPECT_EQ(FromFp8E4m3(0x7e), 448.0f);
  EXPECT_EQ(ToFp8E4m3(1e9f), 0x7e);
  EXPECT_EQ(ToFp8E4m3(-std::numeric_limits<float>::infinity()), 0xfe);
}

TEST(FloatFormats, Fp8RoundsToNearestEven) {
  for (int i = -4000; i <= 4000; ++i) {
    const float value = static_cast<float>(i) * 0.113f;
    const auto expected = Nearest<std::uint8_t>(value, 256, FromFp8E4m3);
    EXPECT_EQ(FromFp8E4m3(ToFp8E4m3(value)), FromFp8E4m3(expected)) << value;
  }
  EXPECT_EQ(FromFp8E4m3(ToFp8E4m3(17.0f)), 16.0f);  // ties to even
  EXPECT_EQ(FromFp8E4m3(ToFp8E4m3(19.0f)), 20.0f);
}

TEST(FloatFormats, Fp16MidpointsTieToEven) {
  for (int c = 0; c < 0x7bff; ++c) {
    const double low = FromFp16(static_cast<std::uint16_t>(c));
    const double high = FromFp16(static_cast<std::uint16_t>(c + 1));
    const auto middle = static_cast<float>((low + high) / 2);  // exact in float
    const auto expected = static_cast<std::uint16_t>((c & 1) ? c + 1 : c);
    EXPECT_EQ(ToFp16(middle), expected) << c;
  }
  EXPECT_EQ(ToFp16(65519.0f), 0x7bff);
  EXPECT_EQ(ToFp16(65520.0f), 0x7c00);
}

}  // namespace
}  // namespace ingot
