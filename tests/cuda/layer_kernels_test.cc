// Norms, rotations, pointwise arithmetic, rows and input transforms against float64.
#include "loader/cuda/kernels/layer_kernels.h"

#include <algorithm>
#include <functional>
#include <string>

#include "tests/cuda/device_case.h"

namespace ingot::cuda {
namespace {

using LayerKernels = DeviceCase;

TEST_F(LayerKernels, Norms) {
  struct Sample {
    int rows, cols, weight_rows;
    bool mean, bias, scales;
  };
  for (const Sample& s : {Sample{3, 200, 1, false, false, false},
                          {4, 33, 2, true, true, false},
                          {2, 128, 1, false, false, true},
                          {2, 1, 1, true, true, true}}) {
    const auto size = static_cast<std::size_t>(s.rows * s.cols);
    auto x = Normal(size, 2, 1);
    for (float& v : x) v += 1;
    const auto weight = Normal(static_cast<std::size_t>(s.weight_rows * s.cols), 1, 2);
    const auto bias = Normal(weight.size(), 1, 3),
               scales = Normal(static_cast<std::size_t>(s.cols), 1, 4);
    DeviceArray<float> dx(x), dweight(weight), dbias(bias), dscales(scales), y(size);
    NormArgs args{.x = dx.data(),
                  .weight = dweight.data(),
                  .bias = s.bias ? dbias.data() : nullptr,
                  .scales = s.scales ? dscales.data() : nullptr,
                  .y = y.data(),
                  .rows = s.rows,
                  .cols = s.cols,
                  .weight_rows = s.weight_rows,
                  .eps = 1e-5f,
                  .offset = 1,
                  .subtracts_mean = s.mean};
    std::vector<double> wanted;
    for (int r = 0; r < s.rows; ++r) {
      const float* row = x.data() + r * s.cols;
      double mean = 0, square = 0;
      if (s.mean)
        for (int c = 0; c < s.cols; ++c) mean += double{row[c]} / s.cols;
      for (int c = 0; c < s.cols; ++c) square += (row[c] - mean) * (row[c] - mean) / s.cols;
      for (int c = 0; c < s.cols; ++c) {
        const auto w = static_cast<std::size_t>(r % s.weight_rows * s.cols + c);
        double v = (row[c] - mean) / std::sqrt(square + 1e-5) * (1 + double{weight[w]});
        if (s.bias) v += bias[w];
        wanted.push_back(s.scales ? v * scales[static_cast<std::size_t>(c)] : v);
      }
    }
    EXPECT_LE(RelativeError(Result(y, [&] { return launch_norm(&args, stream_); }), wanted), 1e-6);
    DeviceArray<std::uint16_t> half(size);
    args.y = half.data();
    args.type = FloatType::kBf16;
    ASSERT_EQ(launch_norm(&args, stream_), 0);
    ASSERT_EQ(WaitStream(stream_), 0);
    std::vector<float> rounded;
    for (const std::uint16_t v : half.Get()) rounded.push_back(FromBf16(v));
    EXPECT_LE(RelativeError(rounded, wanted), 3e-3);
  }
}

TEST_F(LayerKernels, Rope) {
  const int rows = 3, heads = 2, dim = 10, dims = 6;
  const auto x = Normal(rows * heads * dim, 1, 5), table = Normal(rows * dims, 1, 6);
  DeviceArray<float> dx(x), dtable(table);
  for (const bool interleaved : {false, true}) {
    std::vector<double> wanted(x.begin(), x.end());
    for (int r = 0; r < rows; ++r)
      for (int h = 0; h < heads; ++h)
        for (int i = 0; i < dims / 2; ++i) {
          const auto at = static_cast<std::size_t>((r * heads + h) * dim);
          const auto a = at + static_cast<std::size_t>(interleaved ? 2 * i : i);
          const auto b = a + (interleaved ? 1 : dims / 2);
          const double c = table[static_cast<std::size_t>(r * dims + i)],
                       s = table[static_cast<std::size_t>(r * dims + dims / 2 + i)];
          wanted[a] = x[a] * c - x[b] * s;
          wanted[b] = x[b] * c + x[a] * s;
        }
    const RopeArgs args{dx.data(), dtable.data(), rows, heads, dim, dims, interleaved};
    EXPECT_LE(RelativeError(Result(
                                dx, [&] { return launch_rope(&args, stream_); }, x),
                            wanted),
              1e-6);
  }
}

TEST_F(LayerKernels, PointwiseOps) {
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  const auto gelu = [](double v) { return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))); };
  const auto tanh_gelu = [](double v) {
    return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
  };
  struct Op {
    Pointwise op;
    std::function<double(double x, double other)> wanted;
    bool alone = false;  // an activation without a factor
  };
  const std::vector<Op> ops = {
      {Pointwise::kSilu, [&](double x, double o) { return x * sigmoid(x) * o; }},
      {Pointwise::kSilu, [&](double x, double) { return x * sigmoid(x); }, true},
      {Pointwise::kGelu, [&](double x, double o) { return gelu(x) * o; }},
      {Pointwise::kGeluTanh, [&](double x, double o) { return tanh_gelu(x) * o; }},
      {Pointwise::kRelu, [](double x, double o) { return std::max(x, 0.0) * o; }},
      {Pointwise::kSquaredRelu, [](double x, double) { return x > 0 ? x * x : 0; }, true},
      {Pointwise::kSigmoid, [&](double x, double) { return sigmoid(x); }, true},
      {Pointwise::kTanh, [](double x, double) { return std::tanh(x); }, true},
      {Pointwise::kIdentity, [](double x, double o) { return x * o; }},
      {Pointwise::kAddScaled, [](double x, double o) { return x + 1.5 * o; }},
      {Pointwise::kScale, [](double x, double) { return 1.5 * x; }},
      {Pointwise::kSoftcap, [](double x, double) { return 1.5 * std::tanh(x / 1.5); }},
      {Pointwise::kClamp, [](double x, double) { return std::clamp(x, -1.5, 1.5); }},
      {Pointwise::kTimesRow, [](double x, double o) { return x * o; }},
      {Pointwise::kGateRow, [&](double x, double o) { return x * sigmoid(o); }}};
  const int rows = 7, cols = 43;
  const auto x = Normal(rows * cols, 2, 7), other = Normal(rows * cols, 1, 8);
  DeviceArray<float> dx(x), dother(other), y(rows * cols);
  for (const Op& op : ops) {
    SCOPED_TRACE(static_cast<int>(op.op));
    PointwiseArgs args{
        dx.data(), op.alone ? nullptr : dother.data(), y.data(), rows * cols, cols, 1.5f, op.op};
    std::vector<double> wanted;
    for (int i = 0; i < rows * cols; ++i) {
      const int of = op.op == Pointwise::kTimesRow  ? i % cols
                     : op.op == Pointwise::kGateRow ? i / cols
                                                    : i;
      wanted.push_back(
          op.wanted(x[static_cast<std::size_t>(i)], other[static_cast<std::size_t>(of)]));
    }
    EXPECT_LE(RelativeError(Result(y, [&] { return launch_pointwise(&args, stream_); }), wanted),
              1e-6);
  }
}

TEST_F(LayerKernels, RowsAndSlices) {
  const int cols = 150;
  const auto x = Normal(5 * cols, 1, 9), sum = Normal(5 * cols, 1, 10);
  const std::vector<std::int32_t> ids = {4, 0, 2};
  const std::vector<float> weights = {0.5f, -2, 3};
  DeviceArray<float> dx(x), dweights(weights), taken(3 * cols), added(5 * cols);
  DeviceArray<std::int32_t> dids(ids);
  const RowsArgs take{dx.data(), dids.data(), nullptr, taken.data(), 3, cols};
  const RowsArgs add{dx.data(), dids.data(), dweights.data(), added.data(), 3, cols};
  const auto got = Result(taken, [&] { return launch_rows(&take, stream_); });
  const auto summed = Result(
      added, [&] { return launch_rows(&add, stream_); }, sum);
  auto wanted = sum;
  for (std::size_t i = 0; i < 3; ++i)
    for (int c = 0; c < cols; ++c) {
      const auto to = static_cast<std::size_t>(ids[i] * cols + c),
                 from = i * cols + static_cast<std::size_t>(c);
      EXPECT_EQ(got[from], x[to]);
      wanted[to] += weights[i] * x[from];
    }
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(summed[i], wanted[i], 1e-6);

  DeviceArray<float> slice(5 * 12);
  const SliceArgs args{dx.data(), slice.data(), 5, cols, 7, 4, 50, 3};
  const auto pieces = Result(slice, [&] { return launch_slice(&args, stream_); });
  for (int r = 0; r < 5; ++r)
    for (int c = 0; c < 12; ++c)
      EXPECT_EQ(pieces[static_cast<std::size_t>(12 * r + c)],
                x[static_cast<std::size_t>(r * cols + 7 + c / 4 * 50 + c % 4)]);
}

TEST_F(LayerKernels, Hadamard) {
  struct Sample {
    int rows, cols, odd, chunk;
  };
  for (const Sample& s :
       {Sample{2, 64, 1, 64}, {3, 72, 9, 4}, {2, 160, 5, 16}, {1, 9, 9, 1}, {1, 576, 9, 64}}) {
    const int block = s.odd * s.chunk;
    const auto x = Normal(static_cast<std::size_t>(s.rows * s.cols), 1, 11);
    std::vector<float> signs, matrix;
    for (int c = 0; c < s.cols; ++c) signs.push_back(c * 7 % 5 < 2 ? -1.0f : 1.0f);
    for (int i = 0; i < s.odd; ++i)
      for (int j = 0; j < s.odd; ++j)
        matrix.push_back(static_cast<float>((i == 0 ? 1 : std::sqrt(2.0)) *
                                            std::cos(M_PI * (2 * j + 1) * i / (2 * s.odd)) /
                                            std::sqrt(block)));
    std::vector<double> wanted;
    for (int r = 0; r < s.rows; ++r)
      for (int c = 0; c < s.cols; ++c) {
        const int begin = c / block * block, i = c % block / s.chunk, b = c % s.chunk;
        double sum = 0;
        for (int j = 0; j < s.odd; ++j)
          for (int a = 0; a < s.chunk; ++a) {
            const int k = begin + j * s.chunk + a;
            sum += matrix[static_cast<std::size_t>(i * s.odd + j)] *
                   (__builtin_popcount(a & b) % 2 ? -1 : 1) * signs[static_cast<std::size_t>(k)] *
                   x[static_cast<std::size_t>(r * s.cols + k)];
          }
        wanted.push_back(sum);
      }
    DeviceArray<float> dx(x), dsigns(signs), dmatrix(matrix), y(x.size());
    const HadamardArgs args{dx.data(), dsigns.data(), dmatrix.data(), y.data(),
                            s.rows,    s.cols,        s.odd,          s.chunk};
    EXPECT_LE(RelativeError(Result(y, [&] { return launch_hadamard(&args, stream_); }), wanted),
              1e-6);
  }
}

TEST_F(LayerKernels, RefusesWhatItDoesNotTake) {
  NormArgs norm{.rows = 1, .cols = 0};
  EXPECT_EQ(launch_norm(&norm, stream_), kBadArguments);
  RopeArgs rope{.rows = 1, .heads = 1, .head_dim = 4, .dims = 3};
  EXPECT_EQ(launch_rope(&rope, stream_), kBadArguments);
  PointwiseArgs pointwise{.count = 1, .op = Pointwise::kAddScaled};
  EXPECT_EQ(launch_pointwise(&pointwise, stream_), kBadArguments);
  RowsArgs rows{.count = -1, .cols = 1};
  EXPECT_EQ(launch_rows(&rows, stream_), kBadArguments);
  SliceArgs slice{.rows = 1, .cols = 9, .begin = 1, .width = 4, .stride = 5, .pieces = 2};
  EXPECT_EQ(launch_slice(&slice, stream_), kBadArguments);
  HadamardArgs hadamard{.rows = 1, .cols = 8, .odd = 1, .chunk = 6};
  EXPECT_EQ(launch_hadamard(&hadamard, stream_), kBadArguments);
}

}  // namespace
}  // namespace ingot::cuda
