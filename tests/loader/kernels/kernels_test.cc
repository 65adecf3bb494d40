// Every kernel row against row 0 on ragged shapes.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "base/float_formats.h"
#include "base/random.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/bit_fields.h"
#include "codecs/planes/int_levels.h"
#include "loader/kernels/kernel_registry.h"
#include "loader/planes/resident_fp8.h"
#include "loader/planes/resident_int.h"

namespace ingot::loader {
namespace {

constexpr std::uint64_t kWidths[] = {1, 7, 64, 100, 128, 200, 576, 1000, 1536};
constexpr std::int64_t kGroups[] = {8, 12, 16, 32, 64, 100, 128, 192, 256, 2048};
constexpr std::uint64_t kRows = 7;

std::vector<float> RandomFloats(std::size_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(random.Normal());
  return values;
}

// A plane with random streams; the bytes end exactly where the streams do.
struct TestPlane {
  codecs::PlaneSpec spec;
  std::vector<std::unique_ptr<std::vector<std::uint8_t>>> bytes;
  codecs::PlaneView view;
  std::shared_ptr<const PreparedPlane> prepared;
};

const PreparedInt& IntOf(const TestPlane& plane) {
  return static_cast<const PreparedInt&>(*plane.prepared);
}
const PlaneOperand& OperandOf(const TestPlane& plane) {
  return plane.spec.kind == "fp8" ? static_cast<const PreparedFp8&>(*plane.prepared).operand
                                  : IntOf(plane).operand;
}

void FillScales(bool wide, std::vector<std::uint8_t>& bytes, Random& random) {
  for (std::size_t i = 0; i + 1 < bytes.size(); i += wide ? 4 : 2) {
    const auto scale = static_cast<float>(0.01 + 0.02 * random.Uniform());
    if (wide)
      StoreLe(bytes.data() + i, scale);
    else
      StoreLe(bytes.data() + i, ToFp16(scale));
  }
}

std::unique_ptr<TestPlane> MakePlane(codecs::PlaneSpec spec, std::uint64_t rows, std::uint64_t cols,
                                     std::uint64_t seed) {
  auto plane = std::make_unique<TestPlane>();
  plane->spec = std::move(spec);
  Random random(seed);
  const auto kind = codecs::FindPlaneKind(plane->spec.kind);
  EXPECT_TRUE(kind.ok());
  const auto streams = (*kind)->streams(plane->spec, cols);
  EXPECT_TRUE(streams.ok()) << streams.status().message();
  plane->view = {&plane->spec, rows, cols, {}};
  for (const codecs::StreamSpec& stream : *streams) {
    auto bytes = std::make_unique<std::vector<std::uint8_t>>(rows * stream.bytes);
    for (std::uint8_t& b : *bytes) b = static_cast<std::uint8_t>(random.Below(256));
    const auto format = plane->spec.attributes.find("scales");
    const auto is = [&](const char* name) {
      return format != plane->spec.attributes.end() &&
             format->second == codecs::Attribute(std::string(name));
    };
    if ((stream.name == "scales" && !is("q8")) || stream.name == "row_scales" ||
        stream.name == "minima")
      FillScales(is("f32"), *bytes, random);
    plane->view.streams.push_back({bytes->data(), bytes->size()});
    plane->bytes.push_back(std::move(bytes));
  }
  EXPECT_TRUE((*kind)->validate(plane->view).ok());
  auto prepared = PreparePlane(plane->view);
  EXPECT_TRUE(prepared.ok());
  plane->prepared = *prepared;
  return plane;
}

codecs::PlaneSpec IntSpec(std::int64_t bits, std::int64_t group, const std::string& levels,
                          const std::string& scales) {
  return {"int", {{"bits", bits}, {"group", group}, {"levels", levels}, {"scales", scales}}, 0};
}

double RelativeError(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(error / std::max(norm, 1e-30));
}

TEST(PanelDotTest, EveryRowAgreesWithTheReference) {
  for (const Isa isa : kIsas) {
    if (!HasIsa(isa)) continue;
    PanelDotKernel& kernel = kPanelDot.For(isa);
    for (const std::uint64_t cols : kWidths)
      for (const std::size_t tokens : {1, 2, 5, 7, 13}) {
        const std::size_t stride = DotStride(cols);
        std::vector<float> w(kRows * stride, 0.0f), x(tokens * stride, 0.0f);
        for (std::size_t r = 0; r < kRows; ++r)
          std::ranges::copy(RandomFloats(cols, r + cols), w.begin() + r * stride);
        for (std::size_t t = 0; t < tokens; ++t)
          std::ranges::copy(RandomFloats(cols, 100 + t), x.begin() + t * stride);
        std::vector<float> want(tokens * kRows, 1.5f), got = want;
        PanelDot dot{w.data(),           stride,      kRows, x.data(), stride, tokens,
                     stride - kDotLanes, want.data(), kRows};
        PanelDotScalar(dot);
        dot.y = got.data();
        kernel(dot);
        EXPECT_LT(RelativeError(got, want), 1e-6) << IsaName(isa) << " " << cols << " " << tokens;
      }
  }
}

TEST(PanelDotTest, ATokenIsTheSameInAnyBatch) {
  constexpr std::size_t kCols = 1000, kTokens = 13;
  const std::size_t stride = DotStride(kCols);
  std::vector<float> w(kRows * stride, 0.0f), x(kTokens * stride, 0.0f);
  for (std::size_t r = 0; r < kRows; ++r)
    std::ranges::copy(RandomFloats(kCols, r), w.begin() + r * stride);
  for (std::size_t t = 0; t < kTokens; ++t)
    std::ranges::copy(RandomFloats(kCols, 50 + t), x.begin() + t * stride);
  for (const Isa isa : kIsas) {
    if (!HasIsa(isa)) continue;
    PanelDotKernel& kernel = kPanelDot.For(isa);
    std::vector<float> together(kTokens * kRows, 0.0f), alone = together;
    PanelDot dot{w.data(),           stride,          kRows, x.data(), stride, kTokens,
                 stride - kDotLanes, together.data(), kRows};
    kernel(dot);
    for (std::size_t t = 0; t < kTokens; ++t)
      kernel({w.data(), stride, kRows, x.data() + t * stride, stride, 1, stride - kDotLanes,
              alone.data() + t * kRows, kRows});
    EXPECT_EQ(together, alone) << IsaName(isa);
  }
}

TEST(QuantizeTest, EveryRowGivesTheReferencesInputs) {
  for (const Isa isa : kIsas) {
    if (!HasIsa(isa)) continue;
    const IntMatvecKernel& kernel = kIntMatvec.For(isa);
    for (const std::uint64_t cols : kWidths)
      for (const unsigned spans : {0u, 8u, 28u}) {
        const std::vector<float> x = RandomFloats(cols, cols);
        AlignedBuffer<InputLine> want(LinesOfToken(cols)), got(LinesOfToken(cols));
        std::memset(static_cast<void*>(want.data()), 0, want.size() * sizeof(InputLine));
        std::memset(static_cast<void*>(got.data()), 0, got.size() * sizeof(InputLine));
        QuantizeInputsScalar(x.data(), cols, spans, want.data());
        kernel.quantize(x.data(), cols, spans, got.data());
        EXPECT_EQ(std::memcmp(want.data(), got.data(), want.size() * sizeof(InputLine)), 0)
            << IsaName(isa) << " " << cols << " " << spans;
      }
  }
}

// A product's operands, of `tokens` random tokens.
struct IntProduct {
  IntProduct(const TestPlane& plane, std::size_t tokens)
      : x(tokens * LinesOfToken(plane.view.cols)), scratch(MatvecScratch(OperandOf(plane))) {
    const std::uint64_t cols = plane.view.cols;
    const auto span = static_cast<unsigned>(IntOf(plane).span);
    for (std::size_t t = 0; t < tokens; ++t)
      QuantizeInputsScalar(RandomFloats(cols, t).data(), cols, span,
                           x.data() + t * LinesOfToken(cols));
    matvec = {&OperandOf(plane), IntOf(plane).span,  0,      plane.view.rows,
              x.data(),          LinesOfToken(cols), tokens, scratch.data(),
              nullptr,           plane.view.rows};
  }
  std::vector<float> Run(const IntMatvecKernel& kernel) {
    std::vector<float> y(matvec.tokens * matvec.y_stride, 0.25f);
    matvec.y = y.data();
    kernel.run(matvec);
    return y;
  }
  AlignedBuffer<InputLine> x;
  AlignedBuffer<float> scratch;
  IntMatvec matvec;
};

void CheckIntMatvec(const TestPlane& plane, const std::string& what) {
  IntProduct product(plane, 7);
  const std::vector<float> want = product.Run(kIntMatvec.For(Isa::kScalar));
  for (const Isa isa : kIsas) {
    if (!HasIsa(isa)) continue;
    EXPECT_LT(RelativeError(product.Run(kIntMatvec.For(isa)), want), 3e-6)
        << IsaName(isa) << " " << what;
  }
}

TEST(IntMatvecTest, EveryRowAgreesWithTheReference) {
  std::size_t planned = 0;
  for (const std::uint64_t cols : kWidths)
    for (const std::int64_t group : kGroups)
      for (const std::int64_t bits : {1, 2, 3, 4, 5, 6, 7, 8})
        for (const char* levels : {"symmetric", "asymmetric", "normal", "minimum"}) {
          if (*levels == 'n' && bits != codecs::kNormalBits) continue;
          if (*levels == 's' && bits == 1) continue;
          const bool third = (cols + static_cast<std::uint64_t>(group)) % 3 == 0;
          const char* scales = !third ? "f16" : *levels == 'm' ? "f32" : "q8";
          // Whole and broken tiles, and vectors of them.
          const std::uint64_t rows = cols % 64 == 0 ? 45 : kRows;
          const auto plane = MakePlane(IntSpec(bits, group, levels, scales), rows, cols, cols);
          const std::string what = std::to_string(bits) + " bits, group " + std::to_string(group) +
                                   ", " + std::to_string(cols) + " cols, " + levels + " " + scales;
          // Only groups that cut the byte product's four inputs lack one.
          EXPECT_EQ(plane->prepared->own_product,
                    static_cast<std::uint64_t>(group) >= cols || group % 4 == 0)
              << what;
          if (!plane->prepared->own_product) continue;
          ++planned;
          CheckIntMatvec(*plane, what);
        }
  EXPECT_GT(planned, 1000u);
}

// To the bit: in any batch, and among any rows.
TEST(IntMatvecTest, ATokenAndARowAreTheSameInAnyTile) {
  for (const std::int64_t bits : {3, 4, 8})
    for (const std::int64_t group : {16, 96, 640})
      for (const char* levels : {"symmetric", "asymmetric", "normal", "minimum"}) {
        if (*levels == 'n' && bits != codecs::kNormalBits) continue;
        constexpr std::size_t kTokens = 13;
        const auto plane = MakePlane(IntSpec(bits, group, levels, "f16"), 70, 1100, 5);
        IntProduct product(*plane, kTokens);
        const IntMatvec all = product.matvec;
        for (const Isa isa : kIsas) {
          if (!HasIsa(isa)) continue;
          product.matvec = all;
          const std::vector<float> together = product.Run(kIntMatvec.For(isa));
          std::vector<float> alone(together.size(), 0.25f);
          for (std::size_t t = 0; t < kTokens; ++t)
            for (std::size_t r = 0; r < all.rows; r += 9) {
              IntMatvec one = all;
              one.x = all.x + t * all.x_lines;
              one.tokens = 1;
              one.row_begin = r;
              one.rows = std::min<std::size_t>(9, all.rows - r);
              one.y = alone.data() + t * all.y_stride + r;
              kIntMatvec.For(isa).run(one);
            }
          EXPECT_EQ(together, alone)
              << IsaName(isa) << " " << bits << " " << group << " " << levels;
        }
      }
}

// -0 and +0 differ: remainder planes are relative to the bits of the sum before them.
bool SameBits(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}

TEST(RowDecodeTest, EveryRowGivesTheCodecsValues) {
  for (const std::uint64_t cols : kWidths) {
    std::vector<std::unique_ptr<TestPlane>> planes;
    for (const std::int64_t group : kGroups) {
      for (const std::int64_t bits : {1, 2, 3, 4, 5, 6, 7, 8})
        planes.push_back(MakePlane(IntSpec(bits, group, bits % 2 == 0 ? "symmetric" : "asymmetric",
                                           group < 64 ? "q8" : "f16"),
                                   kRows, cols, cols + static_cast<std::uint64_t>(bits)));
      for (const char* scales : {"f16", "f32"})
        for (const char* levels : {"minimum", "asymmetric"})
          planes.push_back(
              MakePlane(IntSpec(group % 8 == 0 ? 8 : 5, group, levels, scales), kRows, cols, cols));
      for (const char* scales : {"q8", "f16"})
        planes.push_back(MakePlane(IntSpec(4, group, "normal", scales), kRows, cols, cols));
      planes.push_back(MakePlane({"fp8", {{"format", std::string("e4m3")}, {"block", group}}, 0},
                                 kRows, cols, cols));
    }
    for (const auto& plane : planes)
      for (const Isa isa : kIsas) {
        if (!HasIsa(isa)) continue;
        const RowDecodeKernel& kernel = kRowDecode.For(isa);
        if (kernel.decode_int == nullptr) continue;
        std::vector<std::uint8_t> scratch(DecodeScratch(cols));
        for (std::uint64_t r = 0; r < kRows; ++r) {
          std::vector<float> want(cols, 0.5f), got = want, fresh(cols, NAN), zero(cols, 0.0f);
          plane->prepared->kind->decode_rows(plane->view, r, r + 1, want.data());
          plane->prepared->kind->decode_rows(plane->view, r, r + 1, zero.data());
          const auto run = plane->spec.kind == "fp8" ? kernel.decode_fp8 : kernel.decode_int;
          run({&OperandOf(*plane), r, true, scratch.data(), got.data()});
          run({&OperandOf(*plane), r, false, scratch.data(), fresh.data()});
          for (std::size_t i = 0; i < cols; ++i) {
            ASSERT_TRUE(SameBits(got[i], want[i]))
                << IsaName(isa) << " " << plane->spec.kind << " " << cols << " at " << i;
            ASSERT_TRUE(SameBits(fresh[i], zero[i]));
          }
        }
      }
  }
}

}  // namespace
}  // namespace ingot::loader
