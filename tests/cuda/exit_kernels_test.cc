// Exit kernels against float64: shapes ragged in every direction, all types, poisoned outputs.
#include "loader/cuda/kernels/exit_kernels.h"

#include <numeric>
#include <string>

#include "tests/cuda/device_case.h"

namespace ingot::cuda {
namespace {

constexpr FloatType kTypes[] = {FloatType::kF32, FloatType::kF16, FloatType::kBf16};

double Bound(FloatType type) {
  return type == FloatType::kF32 ? 1e-6 : type == FloatType::kF16 ? 1e-3 : 5e-3;
}

class ExitKernels : public DeviceCase {};

double Sigmoid(double v) { return 1 / (1 + std::exp(-v)); }

struct RouteShape {
  int rows, cols, bottleneck;
};

std::vector<double> Routed(const RouteShape& shape, const std::vector<float>& x,
                           const std::vector<float>& norm, const std::vector<float>& down,
                           const std::vector<float>& up, bool sigmoid) {
  std::vector<double> scores;
  for (int r = 0; r < shape.rows; ++r) {
    const float* row = x.data() + static_cast<std::size_t>(r) * shape.cols;
    double square = 0, score = 0;
    for (int c = 0; c < shape.cols; ++c) square += double{row[c]} * row[c];
    const double scale = 1 / std::sqrt(square / shape.cols + 1e-5);
    for (int o = 0; o < shape.bottleneck; ++o) {
      double h = 0;
      for (int c = 0; c < shape.cols; ++c)
        h += row[c] * scale * norm[static_cast<std::size_t>(c)] *
             down[static_cast<std::size_t>(o) * shape.cols + c];
      score += h * Sigmoid(h) * up[static_cast<std::size_t>(o)];
    }
    scores.push_back(sigmoid ? Sigmoid(score) : score);
  }
  return scores;
}

TEST_F(ExitKernels, NormRoute) {
  // 1030 rows take the form for many; a bottleneck beyond 128 is cut over blocks there, too.
  for (const RouteShape& shape : {RouteShape{1, 64, 16},
                                  {8, 200, 128},
                                  {13, 77, 21},
                                  {9, 1040, 18},
                                  {33, 96, 7},
                                  {1030, 40, 130}}) {
    for (const FloatType type : kTypes) {
      if (shape.rows > 1000 && type != FloatType::kBf16) continue;
      SCOPED_TRACE(std::to_string(shape.rows) + " rows, type " +
                   std::to_string(static_cast<int>(type)));
      const auto size = [](int a, int b) { return static_cast<std::size_t>(a) * b; };
      const auto given = [&](const std::vector<float>& v) { return Loaded(Stored(v, type), type); };
      const auto x = given(Normal(size(shape.rows, shape.cols), 3, 1));
      auto norm = given(Normal(size(shape.cols, 1), 0.2f, 2));
      for (float& v : norm) v += 1;
      norm = given(norm);
      const auto down =
          given(Normal(size(shape.bottleneck, shape.cols), 1 / std::sqrt(float(shape.cols)), 3));
      const auto up = Normal(size(shape.bottleneck, 1), 0.3f, 4);
      DeviceArray<std::uint8_t> dx(Stored(x, type)), dnorm(Stored(norm, type)),
          ddown(Stored(down, type)), scratch(NormRouteScratch(shape.rows, shape.bottleneck));
      DeviceArray<float> dup(up), scores(size(shape.rows, 1));
      scratch.Poison(0);
      NormRouteArgs args{.x = dx.data(),
                         .norm = dnorm.data(),
                         .down = ddown.data(),
                         .up = dup.data(),
                         .scores = scores.data(),
                         .scratch = scratch.data(),
                         .rows = shape.rows,
                         .cols = shape.cols,
                         .bottleneck = shape.bottleneck};
      args.type = type;
      for (const bool sigmoid : {true, false}) {
        if (sigmoid && shape.rows > 1000) continue;
        args.sigmoid = sigmoid;
        scores.Poison();
        Launch([&] { return launch_norm_route(&args, stream_); },
               [&] {
                 std::vector<std::uint8_t> bytes;
                 AppendBytes(scores.Get(), bytes);
                 return bytes;
               });
        EXPECT_LE(RelativeError(scores.Get(), Routed(shape, x, norm, down, up, sigmoid)),
                  Bound(type));
      }
    }
  }
}

// exits: of 10, how many; 0 and 10 are all or none.
void CheckCompact(int rows, std::int64_t row_bytes, int of_ten, void* stream) {
  std::mt19937 random(static_cast<unsigned>(rows) + 17u * static_cast<unsigned>(of_ten));
  std::vector<std::int32_t> exits;
  for (int r = 0; r < rows; ++r)
    exits.push_back(static_cast<int>(random() % 10) < of_ten ? 1 + static_cast<int>(random() % 9)
                                                             : 0);
  std::vector<std::uint8_t> x(static_cast<std::size_t>(rows * row_bytes));
  for (auto& b : x) b = static_cast<std::uint8_t>(random());
  std::vector<std::vector<std::int32_t>> wanted(2);
  for (int r = 0; r < rows; ++r)
    wanted[exits[static_cast<std::size_t>(r)] != 0 ? 1 : 0].push_back(r);
  DeviceArray<std::uint8_t> dx(x), kept(x.size()), exited(x.size());
  DeviceArray<std::int32_t> dexits(exits), keep(exits.size()), leave(exits.size()), count(1),
      scratch(CompactScratch(rows));
  const CompactArgs args{.x = dx.data(),
                         .exits = dexits.data(),
                         .kept = kept.data(),
                         .exited = exited.data(),
                         .keep_index = keep.data(),
                         .exit_index = leave.data(),
                         .keep_count = count.data(),
                         .scratch = scratch.data(),
                         .rows = rows,
                         .row_bytes = row_bytes};
  const int error = launch_batch_compact(&args, stream);
  ASSERT_EQ(error, 0) << ErrorText(error, stream);
  ASSERT_EQ(WaitStream(stream), 0) << ErrorText(WaitStream(stream), stream);
  EXPECT_EQ(count.Get()[0], static_cast<std::int32_t>(wanted[0].size()));
  for (int leaves = 0; leaves < 2; ++leaves) {
    const auto index = (leaves ? leave : keep).Get();
    const auto bytes = (leaves ? exited : kept).Get();
    const auto& rows_of = wanted[static_cast<std::size_t>(leaves)];
    ASSERT_TRUE(std::equal(rows_of.begin(), rows_of.end(), index.begin()));
    for (std::size_t i = 0; i < rows_of.size(); ++i)
      ASSERT_EQ(
          0, std::memcmp(bytes.data() + i * static_cast<std::size_t>(row_bytes),
                         x.data() + rows_of[i] * row_bytes, static_cast<std::size_t>(row_bytes)));
    // Nothing behind them was touched.
    for (std::size_t i = rows_of.size() * static_cast<std::size_t>(row_bytes); i < bytes.size();
         ++i)
      ASSERT_EQ(bytes[i], 0xff);
  }
}

TEST_F(ExitKernels, CompactAnyNumberOfRows) {
  for (const int rows : {0, 1, 7, 8, 31, 32, 33, 128, 1024, 1025, 2100})
    for (const int of_ten : {0, 3, 10}) {
      if (rows > 128 && of_ten != 3) continue;
      SCOPED_TRACE(std::to_string(rows) + " rows, " + std::to_string(of_ten) + " of ten leave");
      CheckCompact(rows, rows > 128 ? 16 : 48, of_ten, stream_);
      if (rows < 200) CheckCompact(rows, 38, of_ten, stream_);
    }
}

TEST_F(ExitKernels, ScatterAndBack) {
  for (const std::int64_t row_bytes : {64, 30}) {
    const int rows = 21, out_rows = 40;
    std::vector<std::int32_t> places;
    for (int r = 0; r < rows; ++r) places.push_back((r * 7 + 3) % out_rows);
    places[4] = -1;
    places[5] = out_rows;
    std::vector<std::uint8_t> x(static_cast<std::size_t>(rows * row_bytes));
    std::iota(x.begin(), x.end(), std::uint8_t{0});
    std::vector<std::uint8_t> wanted(static_cast<std::size_t>(out_rows * row_bytes), 0xff);
    for (int r = 0; r < rows; ++r)
      if (r != 4 && r != 5)
        std::copy_n(x.begin() + r * row_bytes, row_bytes,
                    wanted.begin() + places[static_cast<std::size_t>(r)] * row_bytes);
    DeviceArray<std::uint8_t> dx(x), out(wanted.size());
    DeviceArray<std::int32_t> dplaces(places);
    const ScatterArgs args{.exited = dx.data(),
                           .places = dplaces.data(),
                           .out = out.data(),
                           .rows = rows,
                           .out_rows = out_rows,
                           .row_bytes = row_bytes};
    Launch([&] { return launch_exit_scatter(&args, stream_); }, [&] { return out.Get(); });
    EXPECT_EQ(out.Get(), wanted);
  }
}

TEST_F(ExitKernels, Projection) {
  for (const int cols : {64, 77, 4096}) {
    for (const FloatType type : kTypes) {
      const int rows = cols > 1000 ? 3 : 11, out_rows = 12;
      const auto given = [&](const std::vector<float>& v) { return Loaded(Stored(v, type), type); };
      const auto x = given(Normal(static_cast<std::size_t>(rows * cols), 2, 5));
      const auto norm = given(Normal(static_cast<std::size_t>(cols), 1, 6));
      std::vector<std::int32_t> places(static_cast<std::size_t>(rows));
      for (int r = 0; r < rows; ++r) places[static_cast<std::size_t>(r)] = (r * 5 + 2) % out_rows;
      places[1] = -7;
      DeviceArray<std::uint8_t> dx(Stored(x, type)), dnorm(Stored(norm, type)),
          out(static_cast<std::size_t>(out_rows * cols * FloatBytes(type)));
      DeviceArray<std::int32_t> dplaces(places);
      const ProjectionArgs args{.exited = dx.data(),
                                .norm = dnorm.data(),
                                .places = dplaces.data(),
                                .out = out.data(),
                                .rows = rows,
                                .out_rows = out_rows,
                                .cols = cols,
                                .eps = 1e-5f,
                                .type = type};
      Launch([&] { return launch_exit_projection(&args, stream_); }, [&] { return out.Get(); });
      const auto got = Loaded(out.Get(), type);
      for (int r = 0; r < rows; ++r) {
        if (r == 1) continue;
        const float* row = x.data() + r * cols;
        double square = 0;
        for (int c = 0; c < cols; ++c) square += double{row[c]} * row[c];
        std::vector<double> wanted;
        for (int c = 0; c < cols; ++c)
          wanted.push_back(row[c] / std::sqrt(square / cols + 1e-5) *
                           norm[static_cast<std::size_t>(c)]);
        const float* at = got.data() + places[static_cast<std::size_t>(r)] * cols;
        EXPECT_LE(RelativeError({at, at + cols}, wanted), Bound(type));
      }
    }
  }
}

TEST_F(ExitKernels, RefusesWhatItDoesNotTake) {
  NormRouteArgs route{.rows = 1, .cols = 0, .bottleneck = 1};
  EXPECT_EQ(launch_norm_route(&route, stream_), kBadArguments);
  CompactArgs compact{.rows = -1};
  EXPECT_EQ(launch_batch_compact(&compact, stream_), kBadArguments);
  ScatterArgs scatter{.rows = 1, .row_bytes = -1};
  EXPECT_EQ(launch_exit_scatter(&scatter, stream_), kBadArguments);
  ProjectionArgs projection{.rows = 1, .cols = 0};
  EXPECT_EQ(launch_exit_projection(&projection, stream_), kBadArguments);
}

}  // namespace
}  // namespace ingot::cuda
