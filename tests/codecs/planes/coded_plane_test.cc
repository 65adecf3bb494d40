#include "codecs/planes/coded_plane.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/int_plane.h"

namespace ingot::codecs {
namespace {

using Origin = CodedForm::Origin;

CodedRows RandomRows(const CodedForm& form, std::uint64_t rows, std::uint64_t cols,
                     Random& random) {
  const std::uint64_t groups = CeilDiv(cols, form.group);
  CodedRows coded;
  for (std::uint64_t i = 0; i < rows * cols; ++i)
    coded.codes.push_back(static_cast<std::uint8_t>(random.Below(1u << form.bits)));
  for (std::uint64_t i = 0; i < rows * groups; ++i) {
    const auto number = [&] {
      const auto any = static_cast<float>(random.Normal());
      return form.half_scales ? FromFp16(ToFp16(any)) : any;
    };
    coded.scales.push_back(number());
    if (form.origin == Origin::kMinimum) coded.offsets.push_back(number());
    if (form.origin == Origin::kZero)
      coded.offsets.push_back(static_cast<float>(random.Below(256)) /
                              static_cast<float>(1 << (8 - form.bits)));
  }
  return coded;
}

// base/coded_rows.h read literally.
float Value(const CodedForm& form, const CodedRows& rows, std::uint64_t cols, std::uint64_t i) {
  const std::uint64_t group = i / cols * CeilDiv(cols, form.group) + i % cols / form.group;
  const auto code = static_cast<float>(rows.codes[i]);
  const float scale = rows.scales[group];
  if (form.origin == Origin::kMinimum) {
    const float product = code * scale;
    return product + rows.offsets[group];
  }
  const float zero =
      form.origin == Origin::kZero ? rows.offsets[group] : static_cast<float>(1 << (form.bits - 1));
  return (code - zero) * scale;
}

TEST(CodedPlane, StandsForJustTheSourcesNumbers) {
  Random random(7);
  for (int bits = 1; bits <= 8; ++bits)
    for (const Origin origin : {Origin::kMiddle, Origin::kZero, Origin::kMinimum})
      for (const bool half : {false, true})
        for (const std::uint64_t cols : {1, 33, 128, 300}) {
          const CodedForm form{bits, cols == 33 ? 16u : 32u, origin, half};
          const CodedRows rows = RandomRows(form, 3, cols, random);
          const PlaneSpec spec = CodedSpec(form);
          const auto streams = CodedStreams(form, rows, cols);
          PlaneView view{&spec, 3, cols, {}};
          view.streams.assign(streams.begin(), streams.end());
          ASSERT_TRUE(IntValidate(view).ok());
          std::vector<float> out(3 * cols);
          IntDecodeRows(view, 0, 3, out.data());
          for (std::uint64_t i = 0; i < out.size(); ++i)
            ASSERT_EQ(out[i], Value(form, rows, cols, i)) << bits << " " << cols << " " << i;
        }
}

TEST(CodedPlane, MinimaHaveNoRowScales) {
  const PlaneSpec spec = IntSpec(4, 32, "minimum", "q8", 0);
  EXPECT_NE(IntStreams(spec, 64).status().message().find("levels with minima"), std::string::npos);
}

}  // namespace
}  // namespace ingot::codecs
