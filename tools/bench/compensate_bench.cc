// Compensated rounding against the floor of its matrix products, one thread:
//   build/release/bin/compensate_bench
// Shapes of a 135M and of a 1.1B model (rows x cols). items/s are weights. The floor is the one
// product that the method cannot do without, W H (rows x cols x cols fused multiply-adds), by the
// kernels that the method itself uses; feedback does half of it a pass.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <cmath>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "base/random.h"
#include "codecs/recipe.h"
#include "codecs/rounding/compensate.h"

namespace ingot::codecs {
namespace {

// Positive definite, with channels of different magnitudes; a real one takes too long to make.
std::vector<float> BandedHessian(std::uint64_t n) {
  std::vector<float> h(n * n), scale(n);
  Random random(3);
  for (float& s : scale) s = static_cast<float>(std::exp(0.5 * random.Normal()));
  for (std::uint64_t i = 0; i < n; ++i)
    for (std::uint64_t j = 0; j < n; ++j) {
      const double distance = std::fabs(static_cast<double>(i) - static_cast<double>(j));
      h[i * n + j] = scale[i] * scale[j] * static_cast<float>(std::exp(-0.05 * distance));
    }
  return h;
}

std::vector<std::uint8_t> TrainedLike(std::uint64_t weights) {
  std::vector<std::uint8_t> bytes(2 * weights);
  Random random(1);
  for (std::uint64_t i = 0; i < weights; ++i)
    StoreLe(bytes.data() + 2 * i, ToBf16(static_cast<float>(0.02 * random.Normal())));
  return bytes;
}

void Count(benchmark::State& state, std::uint64_t weights) {
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * weights));
  state.counters["s/Mweight"] =
      benchmark::Counter(static_cast<double>(state.iterations() * weights) * 1e-6,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void Floor(benchmark::State& state) {
  const auto rows = static_cast<std::uint64_t>(state.range(0));
  const auto cols = static_cast<std::uint64_t>(state.range(1));
  const CompensateKernels& kernels = kCompensate.Best();
  AlignedArray<float> d(cols * kTileRows), t(cols * kTileRows), panel(cols * kPanelColumns);
  Random random(5);
  for (std::size_t i = 0; i < d.size(); ++i) d[i] = static_cast<float>(random.Normal());
  for (std::size_t i = 0; i < panel.size(); ++i) panel[i] = static_cast<float>(random.Normal());
  constexpr std::uint64_t kDepth = 256;
  for (auto _ : state) {
    for (std::uint64_t r = 0; r < rows; r += kTileRows)
      for (std::uint64_t k = 0; k < cols; k += kDepth)
        for (std::uint64_t c = 0; c < cols; c += kPanelColumns)
          kernels.feed_back(d.data() + k * kTileRows, panel.data() + k * kPanelColumns,
                            std::min(kDepth, cols - k), t.data() + c * kTileRows,
                            panel.data() + k * kPanelColumns);
    benchmark::DoNotOptimize(t.data());
    benchmark::ClobberMemory();
  }
  Count(state, rows * cols);
}

void Prepare(benchmark::State& state) {
  SetThreads(1);
  const auto rows = static_cast<std::uint64_t>(state.range(0));
  const auto cols = static_cast<std::uint64_t>(state.range(1));
  const std::vector<float> h = BandedHessian(cols);
  for (auto _ : state) {
    const auto made = Compensation::Make({.rows = rows, .cols = cols, .hessian = h}, {});
    benchmark::DoNotOptimize(made.ok());
  }
  Count(state, rows * cols);
}

void Encode(benchmark::State& state, const RecipeOptions& options) {
  SetThreads(1);
  const auto rows = static_cast<std::uint64_t>(state.range(0));
  const auto cols = static_cast<std::uint64_t>(state.range(1));
  const std::vector<float> h = BandedHessian(cols);
  const std::vector<std::uint8_t> bytes = TrainedLike(rows * cols);
  const auto encoder = *MakeEncoder(options, cols, DType::kBf16);
  WholeSlab source({DType::kBf16, rows, cols, bytes});
  const auto guide = *encoder->Prepare({.rows = rows, .cols = cols, .hessian = h}, source);
  for (auto _ : state) {
    const auto slab = encoder->EncodeGuided({DType::kBf16, rows, cols, bytes}, 0, *guide);
    benchmark::DoNotOptimize(slab.ok());
  }
  Count(state, rows * cols);
}

void Shapes(benchmark::internal::Benchmark* bench) {
  bench->Unit(benchmark::kMillisecond);
  for (const auto& [rows, cols] :
       {std::pair{576, 576}, {1536, 576}, {576, 1536}, {2048, 2048}, {5632, 2048}, {2048, 5632}})
    bench->Args({rows, cols});
}

BENCHMARK(Floor)->Apply(Shapes);
BENCHMARK(Prepare)->Apply(Shapes);
BENCHMARK_CAPTURE(Encode, int4_gptq, RecipeOptions{.codec = "int4_gptq"})->Apply(Shapes);
BENCHMARK_CAPTURE(Encode, int4_gptq_asymmetric,
                  RecipeOptions{.codec = "int4_gptq", .levels = "asymmetric"})
    ->Apply(Shapes);
BENCHMARK_CAPTURE(Encode, int4_gptq_hadamard,
                  RecipeOptions{.codec = "int4_gptq", .transform = "hadamard"})
    ->Apply(Shapes);
BENCHMARK_CAPTURE(Encode, int4_opt_llama_v1, RecipeOptions{.codec = "int4_opt_llama_v1"})
    ->Apply(Shapes);

}  // namespace
}  // namespace ingot::codecs

// Memory is kept for the next tile, as `ingot pack` does.
int main(int argc, char** argv) {
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 256 << 20);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
