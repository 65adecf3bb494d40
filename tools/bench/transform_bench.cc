// Input transforms, one thread:
//   transform_bench [--benchmark_filter=Inputs|Rows|Hessian]
//     Inputs/WIDTH    one token's activations turned, as before every product: microseconds
//     Rows/WIDTH      decoded rows turned back: weights a second
//     Hessian/WIDTH   A H A^T: seconds
// The widths: smollm2 (576, 1536), 7B LLaMA (4096, 11008), TinyLlama (2048, 5632), a prime.
// INGOT_ISA=avx2|scalar lowers the kernels.
#include <benchmark/benchmark.h>

#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "codecs/planes/transform.h"

namespace ingot::codecs {
namespace {

std::vector<float> Normals(std::size_t n) {
  Random random(1);
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(random.Normal());
  return values;
}

void Inputs(benchmark::State& state) {
  const auto cols = static_cast<std::uint64_t>(state.range(0));
  const auto rotation = *MakeHadamard(HadamardSpec(cols), cols);
  const std::vector<float> x = Normals(cols);
  std::vector<float> out(cols);
  for (auto _ : state) {
    rotation->Apply(x.data(), out.data());
    benchmark::DoNotOptimize(out.data());
  }
}

void Rows(benchmark::State& state) {
  const auto cols = static_cast<std::uint64_t>(state.range(0));
  const auto rotation = *MakeHadamard(HadamardSpec(cols), cols);
  std::vector<float> row = Normals(cols);
  for (auto _ : state) {
    rotation->Restore(row.data());
    benchmark::DoNotOptimize(row.data());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(cols));
}

void Scale(benchmark::State& state) {
  const auto cols = static_cast<std::uint64_t>(state.range(0));
  const auto scale = *MakeColumnScale(cols, ColumnScaleStream(std::vector<float>(cols, 1.5f)));
  const std::vector<float> x = Normals(cols);
  std::vector<float> out(cols);
  for (auto _ : state) {
    scale->Apply(x.data(), out.data());
    benchmark::DoNotOptimize(out.data());
  }
}

void Hessian(benchmark::State& state) {
  SetThreads(1);
  const auto cols = static_cast<std::uint64_t>(state.range(0));
  const auto rotation = *MakeHadamard(HadamardSpec(cols), cols);
  std::vector<float> hessian = Normals(cols * cols);
  for (auto _ : state) TransformHessian(*rotation, hessian.data());
}

BENCHMARK(Inputs)->Arg(576)->Arg(1536)->Arg(2048)->Arg(4096)->Arg(5632)->Arg(11008)->Arg(1009);
BENCHMARK(Rows)->Arg(576)->Arg(1536)->Arg(4096)->Arg(11008);
BENCHMARK(Scale)->Arg(576)->Arg(4096);
BENCHMARK(Hessian)->Arg(576)->Arg(1536)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace ingot::codecs

BENCHMARK_MAIN();
