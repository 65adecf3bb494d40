// trellis planes as kernels see them: products of every instruction set near the reference, the
// same whatever tokens, threads and rows they are computed with, for rings of every shape.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "base/random.h"
#include "codecs/planes/trellis_plane.h"
#include "loader/cpu/linear.h"
#include "loader/kernels/kernel_registry.h"
#include "tests/loader/loaded_rows.h"

namespace ingot::loader {
namespace {

struct Shape {
  std::int64_t bits, state, tile;
  std::uint64_t rows, cols;
};
const Shape kShapes[] = {
    {2, 14, 256, 300, 200}, {3, 14, 256, 640, 576}, {4, 14, 256, 272, 64},  {2, 16, 256, 256, 33},
    {3, 16, 256, 512, 130}, {4, 16, 256, 320, 257}, {3, 8, 64, 200, 96},    {3, 14, 256, 7, 50},
    {3, 14, 48, 100, 100},  {3, 14, 1, 3, 33},      {2, 8, 512, 512, 4},    {3, 14, 1024, 1100, 20},
    {3, 14, 256, 320, 1},   {4, 14, 128, 130, 129}, {3, 14, 65536, 80, 31},
};

// A plane of random codes in columns.
struct Plane {
  explicit Plane(const Shape& shape)
      : spec{"trellis",
             {{"bits", shape.bits},
              {"order", std::string("columns")},
              {"state", shape.state},
              {"tile", shape.tile}},
             0} {
    const auto layout = *codecs::TrellisLayout::Parse(spec, shape.cols);
    Random random(shape.rows * shape.cols);
    codes.resize(shape.rows * layout.code_row_bytes);
    scales.resize(2 * shape.rows);
    for (auto& byte : codes) byte = static_cast<std::uint8_t>(random.Below(256));
    for (std::size_t i = 0; i < scales.size(); i += 2)
      StoreLe(scales.data() + i, ToFp16(static_cast<float>(0.1 * random.Normal())));
    matrix.rows = shape.rows;
    matrix.cols = shape.cols;
    matrix.specs.push_back(spec);
    matrix.planes.push_back({&matrix.specs[0], shape.rows, shape.cols, {codes, scales}});
    operand = {.bits = layout.bits,
               .state = layout.state,
               .rows = shape.rows,
               .cols = shape.cols,
               .tile_rows = layout.tile_rows,
               .row_bytes = layout.code_row_bytes,
               .codes = codes.data(),
               .scales = scales.data()};
  }

  codecs::PlaneSpec spec;
  std::vector<std::uint8_t> codes, scales;
  ResidentMatrix matrix;
  TrellisOperand operand;
};

// Rows [begin, begin + rows) times `tokens` tokens of x, which a kernel has quantized.
std::vector<float> Times(TrellisMatvecKernel* kernel, const Plane& plane, std::uint64_t begin,
                         std::size_t rows, const std::vector<float>& x, std::size_t first,
                         std::size_t tokens) {
  const std::size_t cols = plane.operand.cols, lines = LinesOfToken(cols);
  std::vector<InputLine> records(tokens * lines);
  for (std::size_t t = 0; t < tokens; ++t)
    kIntMatvec.For(Isa::kScalar)
        .quantize(x.data() + (first + t) * cols, cols, 0, records.data() + t * lines);
  AlignedBuffer<float> scratch(kTrellisScratch);
  std::vector<float> y(tokens * rows);
  kernel({.plane = &plane.operand,
          .row_begin = begin,
          .rows = rows,
          .x = records.data(),
          .x_lines = lines,
          .tokens = tokens,
          .scratch = scratch.data(),
          .y = y.data(),
          .y_stride = rows});
  return y;
}

std::vector<TrellisMatvecKernel*> Kernels() {
  std::vector<TrellisMatvecKernel*> kernels;
  if (HasIsa(Isa::kAvx2)) kernels.push_back(TrellisMatvecAvx2);
  if (HasIsa(Isa::kAvx512)) kernels.push_back(TrellisMatvecAvx512);
  if (HasVbmi()) kernels.push_back(TrellisMatvecVbmi);
  return kernels;
}

std::vector<float> Inputs(std::size_t count) {
  Random random(7);
  std::vector<float> x(count);
  for (float& v : x) v = static_cast<float>(random.Normal());
  return x;
}

TEST(TrellisMatvec, EveryInstructionSetIsNearTheReference) {
  for (const Shape& shape : kShapes) {
    const Plane plane(shape);
    const std::vector<float> x = Inputs(2 * shape.cols);
    const auto expected = Times(TrellisMatvecScalar, plane, 0, shape.rows, x, 0, 2);
    double size = 0;
    for (const float y : expected) size += double{y} * y / static_cast<double>(expected.size());
    for (TrellisMatvecKernel* kernel : Kernels()) {
      const auto found = Times(kernel, plane, 0, shape.rows, x, 0, 2);
      for (std::size_t i = 0; i < found.size(); ++i)
        ASSERT_NEAR(found[i], expected[i], 2e-5 * std::sqrt(size))
            << shape.bits << " " << shape.tile << " " << shape.rows << " " << shape.cols;
    }
  }
}

TEST(TrellisMatvec, TokensAndRowsDoNotMatter) {
  constexpr std::size_t kTokens = 8;
  for (const Shape& shape : kShapes) {
    const Plane plane(shape);
    const std::vector<float> x = Inputs(kTokens * shape.cols);
    for (TrellisMatvecKernel* kernel : Kernels()) {
      const auto all = Times(kernel, plane, 0, shape.rows, x, 0, kTokens);
      for (const std::size_t first : {std::size_t{0}, std::size_t{6}}) {
        const std::uint64_t begin = shape.rows / 3;  // of no block
        const std::size_t rows = shape.rows - begin - shape.rows / 4;
        const auto some = Times(kernel, plane, begin, rows, x, first, 1);
        for (std::size_t r = 0; r < rows; ++r)
          ASSERT_EQ(some[r], all[first * shape.rows + begin + r]);
      }
    }
  }
}

TEST(TrellisMatvec, ProductsAreThoseOfTheWeights) {
  for (const Shape& shape : kShapes) {
    Plane plane(shape);
    ASSERT_TRUE(PrepareMatrix(plane.matrix).ok());
    std::vector<float> w(shape.rows * shape.cols);
    codecs::ApplyPlanes(plane.matrix.planes, 0, shape.rows, w.data());
    EXPECT_EQ(AllRows(plane.matrix), w);
    const std::vector<float> x = Inputs(3 * shape.cols);
    for (const Compute compute : {Compute::kExact, Compute::kFast}) {
      const auto y = CheckProducts(
          plane.matrix, w, x, compute,
          compute == Compute::kFast ? ProductBounds{0.05, 0.01} : ProductBounds{2e-5, 2e-5});
      SetThreads(1);
      std::vector<float> alone(shape.rows);
      const LinearJob one{&plane.matrix, 0, shape.rows, nullptr, alone.data(), shape.rows};
      RunLinear({&one, 1}, x.data() + shape.cols, shape.cols, 1, shape.cols, compute);
      SetThreads(0);
      for (std::uint64_t r = 0; r < shape.rows; ++r) ASSERT_EQ(alone[r], y[shape.rows + r]);
    }
  }
}

}  // namespace
}  // namespace ingot::loader
