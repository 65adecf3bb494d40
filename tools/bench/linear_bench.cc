// Matrix products of the loader against the machine's limits, one thread unless a name says else:
//   linear_bench [--benchmark_filter=Decode|Prefill|Floor|Panel|Dispatch]
//     Floor/Read        64-byte loads summed over a buffer larger than the caches: GB/s
//     Floor/Fma         float FMAs in registers: GFLOP/s
//     Decode/...        one token through a matrix of 64 MiB of weights: GB/s of stored bytes
//     Prefill/...       512 tokens: GFLOP/s (two a product)
//     error             of products against float32 activations, relative
//     cycles            of one thread a weight: the least of its runs' processor times, by a clock
//                       that a chain of products tells
//     Dispatch/...      one token through a matrix of a 135M model, microseconds
// INGOT_ISA=avx2|scalar lowers the kernels.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "base/random.h"
#include "codecs/plane_codec.h"
#include "loader/cpu/linear.h"
#include "loader/cpu/panel_decode.h"
#include "loader/kernels/kernel_registry.h"

namespace ingot::loader {
namespace {

struct Matrix {
  ResidentMatrix matrix;
  std::vector<std::vector<std::uint8_t>> bytes;
  std::uint64_t stored_bytes = 0;
};

std::unique_ptr<Matrix> MakeMatrix(codecs::PlaneSpec spec, std::uint64_t rows, std::uint64_t cols) {
  auto made = std::make_unique<Matrix>();
  Random random(1);
  made->matrix.rows = rows;
  made->matrix.cols = cols;
  made->matrix.specs.push_back(std::move(spec));
  const codecs::PlaneSpec& own = made->matrix.specs[0];
  made->matrix.planes.push_back({&own, rows, cols, {}});
  const auto kind = codecs::FindPlaneKind(own.kind);
  const auto streams = (*kind)->streams(own, cols);
  for (const codecs::StreamSpec& stream : *streams) {
    std::vector<std::uint8_t> bytes(rows * stream.bytes);
    for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) StoreLe(bytes.data() + i, random.Next());
    if (stream.name == "scales" || own.kind == "raw")
      for (std::size_t i = 0; i + 2 <= bytes.size(); i += 2)
        StoreLe(bytes.data() + i, ToFp16(static_cast<float>(random.Uniform())));
    made->stored_bytes += bytes.size();
    made->bytes.push_back(std::move(bytes));
  }
  for (const auto& bytes : made->bytes)
    made->matrix.planes[0].streams.push_back({bytes.data(), bytes.size()});
  if (!PrepareMatrix(made->matrix).ok()) std::abort();
  return made;
}

codecs::PlaneSpec Int(std::int64_t bits, std::int64_t group, const char* levels = "symmetric") {
  return {"int",
          {{"bits", bits},
           {"group", group},
           {"levels", std::string(levels)},
           {"scales", std::string("f16")}},
          0};
}
codecs::PlaneSpec Raw(const char* dtype) { return {"raw", {{"dtype", std::string(dtype)}}, 0}; }
codecs::PlaneSpec Trellis(std::int64_t bits) {
  return {"trellis",
          {{"bits", bits}, {"order", std::string("columns")}, {"state", 14}, {"tile", 256}},
          0};
}
codecs::PlaneSpec Fp8() {
  return {"fp8", {{"format", std::string("e4m3")}, {"block", std::int64_t{128}}}, 0};
}

double ThreadSeconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Cycles a second, the most of many tries: a product and an addition that wait for one another are
// 4 on any processor with AVX2.
double ClockRate() {
  constexpr int kLinks = 1000000;
  double least = 1;
  for (int attempt = 0; attempt < 40; ++attempt) {
    const double begin = ThreadSeconds();
    std::uint64_t chain = 3;
    for (int i = 0; i < kLinks; ++i) chain = chain * 6364136223846793005u + 1442695040888963407u;
    benchmark::DoNotOptimize(chain);
    least = std::min(least, ThreadSeconds() - begin);
  }
  return 4.0 * kLinks / least;
}

// Of products y against those of float32 activations.
double RelativeError(const ResidentMatrix& matrix, const std::vector<float>& x, std::size_t tokens,
                     const std::vector<float>& y) {
  std::vector<float> exact(y.size());
  const LinearJob job{&matrix, 0, matrix.rows, nullptr, exact.data(), matrix.rows};
  RunLinear({&job, 1}, x.data(), matrix.cols, tokens, matrix.cols, Compute::kExact);
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    error += (double{y[i]} - exact[i]) * (double{y[i]} - exact[i]);
    norm += double{exact[i]} * exact[i];
  }
  return std::sqrt(error / norm);
}

void RunOnce(benchmark::State& state, const codecs::PlaneSpec& spec, std::uint64_t rows,
             std::uint64_t cols, std::size_t tokens, Compute compute, std::size_t threads) {
  SetThreads(threads);
  const auto made = MakeMatrix(spec, rows, cols);
  std::vector<float> x(tokens * cols), y(tokens * rows);
  Random random(2);
  for (float& v : x) v = static_cast<float>(random.Normal());
  const LinearJob job{&made->matrix, 0, rows, nullptr, y.data(), rows};
  double least = 1e9;
  for (auto _ : state) {
    const double begin = ThreadSeconds();
    RunLinear({&job, 1}, x.data(), cols, tokens, cols, compute);
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
    least = std::min(least, ThreadSeconds() - begin);
  }
  static const double clock = ClockRate();
  if (threads == 1) state.counters["cycles"] = least * clock / static_cast<double>(rows * cols);
  state.counters["error"] = RelativeError(made->matrix, x, tokens, y);
  const double runs = static_cast<double>(state.iterations());
  const double flops = 2.0 * static_cast<double>(rows * cols * tokens) * runs;
  state.counters["GB/s"] = benchmark::Counter(static_cast<double>(made->stored_bytes) * runs / 1e9,
                                              benchmark::Counter::kIsRate);
  state.counters["GFLOP/s"] = benchmark::Counter(flops / 1e9, benchmark::Counter::kIsRate);
  SetThreads(0);
}

void FloorRead(benchmark::State& state) {
  std::vector<std::uint64_t> data((std::size_t{256} << 20) / 8, 1);
  for (auto _ : state) {
    std::uint64_t lanes[8] = {};
    for (std::size_t i = 0; i < data.size(); i += 8)
      for (std::size_t j = 0; j < 8; ++j) lanes[j] += data[i + j];
    benchmark::DoNotOptimize(lanes);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * data.size() * 8));
}

// The panel kernel on operands that stay in the first-level cache: its own ceiling.
void FloorFma(benchmark::State& state) {
  constexpr std::size_t kCols = 256, kRows = 4, kTokens = 6;
  std::vector<float> w(kRows * DotStride(kCols), 1.0f), x(kTokens * DotStride(kCols), 1.0f);
  std::vector<float> y(kRows * kTokens);
  for (auto _ : state) {
    kPanelDot.Best()({w.data(), DotStride(kCols), kRows, x.data(), DotStride(kCols), kTokens, kCols,
                      y.data(), kRows});
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP/s"] = benchmark::Counter(
      2.0 * kCols * kRows * kTokens * static_cast<double>(state.iterations()) / 1e9,
      benchmark::Counter::kIsRate);
}

void Register(const std::string& name, const codecs::PlaneSpec& spec, std::uint64_t rows,
              std::uint64_t cols, std::size_t tokens, Compute compute, std::size_t threads) {
  benchmark::RegisterBenchmark(
      (name + "/" + std::to_string(rows) + "x" + std::to_string(cols) +
       (compute == Compute::kFast ? "/fast" : "/exact") + "/" + std::to_string(threads) + "t")
          .c_str(),
      [=](benchmark::State& state) { RunOnce(state, spec, rows, cols, tokens, compute, threads); })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

void RegisterAll() {
  benchmark::RegisterBenchmark("Floor/Read", FloorRead);
  benchmark::RegisterBenchmark("Floor/Fma", FloorFma);
  const std::pair<const char*, codecs::PlaneSpec> kinds[] = {
      {"int4g128", Int(4, 128)},
      {"int4g128asym", Int(4, 128, "asymmetric")},
      {"int4g128normal", Int(4, 128, "normal")},
      {"int4g64", Int(4, 64)},
      {"int4g64normal", Int(4, 64, "normal")},
      {"int4g32", Int(4, 32)},
      {"int4g8", Int(4, 8)},
      {"int8g128", Int(8, 128)},
      {"int2g16", Int(2, 16)},
      {"int2g128", Int(2, 128)},
      {"int3g128", Int(3, 128)},
      {"int5g128", Int(5, 128)},
      {"int6g128", Int(6, 128)},
      {"trellis2", Trellis(2)},
      {"trellis3", Trellis(3)},
      {"trellis4", Trellis(4)},
      {"fp8", Fp8()},
      {"bf16", Raw("bf16")},
      {"f32", Raw("f32")}};
  for (const auto& [name, spec] : kinds)
    for (const Compute compute : {Compute::kFast, Compute::kExact})
      Register(std::string("Decode/") + name, spec, 65536, 2048, 1, compute, 1);
  for (const auto& [name, spec] : kinds)
    if (std::string_view(name) == "int4g128" || std::string_view(name) == "trellis3") {
      Register(std::string("Decode/") + name, spec, 65536, 2048, 1, Compute::kFast, 2);
      for (const std::size_t tokens : {4u, 64u})
        Register(fmt::format("Decode/{}x{}", name, tokens), spec, 16384, 2048, tokens,
                 Compute::kFast, 1);
    }
  Register("Decode/int4g128", Int(4, 128), 196608, 576, 1, Compute::kFast, 1);
  for (const std::int64_t bits : {2, 3, 5, 6})
    Register("Decode/int" + std::to_string(bits) + "g64", Int(bits, 64), 196608, 576, 1,
             Compute::kFast, 1);
  Register("Decode/int4g64", Int(4, 64), 196608, 576, 1, Compute::kFast, 1);
  Register("Decode/trellis3", Trellis(3), 196608, 576, 1, Compute::kFast, 1);
  for (const std::uint64_t cols : {576u, 1536u, 2048u})
    for (const Compute compute : {Compute::kFast, Compute::kExact})
      for (const char* name : {"int4g128", "bf16"})
        Register(std::string("Prefill/") + name, name[0] == 'i' ? Int(4, 128) : Raw("bf16"), 2048,
                 cols, 512, compute, 1);
  for (const std::uint64_t rows : {192u, 576u, 1536u})
    for (const std::size_t threads : {1u, 2u}) {
      Register("Dispatch/int4g128", Int(4, 128), rows, 576, 1, Compute::kFast, threads);
      Register("Dispatch/trellis3", Trellis(3), rows, 576, 1, Compute::kFast, threads);
    }
}

}  // namespace
}  // namespace ingot::loader

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  ingot::loader::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
