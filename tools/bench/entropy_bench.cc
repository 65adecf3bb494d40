// entropy_v1 (states 0) and entropy_v2 at load, one core: rANS chunks to resident planes. Items are
// weights.
//   entropy_bench --benchmark_filter=Load
// Verify: BLAKE3 of the stored bytes. Decode: rANS alone. Load: digest, rANS, and the planes that
// kernels read. Encode: rounding and packing, without statistics.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>

#include "artifact/coding.h"
#include "artifact/reader.h"
#include "artifact/writer.h"
#include "base/parallel.h"
#include "base/random.h"
#include "codecs/encoders/entropy_encode.h"
#include "codecs/plane_codec.h"
#include "loader/planes/resident_dependent.h"
#include "loader/planes/resident_entropy.h"

namespace ingot {
namespace {

constexpr std::uint64_t kRows = 2048, kCols = 2048;

std::vector<std::uint8_t> Weights() {
  Random random(1);
  std::vector<double> columns(kCols);
  for (double& c : columns) c = 0.02 * std::exp2(0.5 * random.Normal());
  std::vector<std::uint8_t> bytes(kRows * kCols * 4);
  for (std::uint64_t i = 0; i < kRows; ++i) {
    const double row = std::exp2(0.3 * random.Normal());
    for (std::uint64_t j = 0; j < kCols; ++j)
      StoreLe(bytes.data() + 4 * (i * kCols + j),
              static_cast<float>(row * columns[j] * random.Normal()));
  }
  return bytes;
}

codecs::EntropyMethod Method(std::int64_t states) {
  codecs::EntropyMethod method;
  method.trellis = codecs::FindTrellisCode(states);
  return method;
}

codecs::EncodedSlab Encoded(double rate, std::int64_t states, codecs::PlaneSpec* spec) {
  const auto encoder = *codecs::MakeEntropyEncoder(Method(states), 0, rate, kCols, DType::kF32);
  const auto bytes = Weights();
  *spec = encoder->planes()[0];
  return *encoder->EncodeSlab({DType::kF32, kRows, kCols, bytes});
}

// The artifact of one matrix, opened. Rates in hundredths of a bit.
struct Sample {
  Sample(std::int64_t rate, std::int64_t states) {
    codecs::PlaneSpec spec;
    const codecs::EncodedSlab slab = Encoded(static_cast<double>(rate) / 100, states, &spec);
    artifact::ArtifactPlan plan;
    plan.fingerprint = "bench";
    artifact::TensorPlan tensor;
    tensor.record.name = "w";
    tensor.record.shape = {kRows, kCols};
    tensor.record.dtype = "f32";
    tensor.record.codec = states == 0 ? "entropy_v1" : "entropy_v2";
    tensor.record.role = "linear";
    artifact::PlaneRecord plane{spec.kind, artifact::Json::object(), 0, {}};
    for (const auto& [name, value] : spec.attributes)
      plane.attributes[name] = std::get<std::int64_t>(value);
    for (const char* name : {"codes", "rows", "columns", "escapes"})
      plane.streams.push_back({name, 0, 0, 0});
    tensor.record.planes.push_back(plane);
    tensor.hints = {{artifact::CodingHint::kEntropy, artifact::CodingHint::kGeneral,
                     artifact::CodingHint::kGeneral, artifact::CodingHint::kGeneral}};
    plan.tensors.push_back(tensor);
    const std::string path =
        (std::filesystem::temp_directory_path() / "ingot_entropy_bench.ingot").string();
    auto writer = *artifact::ArtifactWriter::Open(path, plan, true);
    const std::vector<ByteSpan> streams(slab.planes[0].begin(), slab.planes[0].end());
    const artifact::StreamCuts cuts{0, 0, slab.cuts[0].offsets};
    if (!writer->AddSlab(0, 0, {streams}, {}, {&cuts, 1}).ok()) std::abort();
    if (!writer->Finish(nullptr, {}).ok()) std::abort();
    reader = *artifact::ArtifactReader::Open(path, {});
    std::filesystem::remove(path);
    specs = spec;
  }

  const std::vector<artifact::StreamRecord>& records() const {
    return reader->manifest().tensors[0].planes[0].streams;
  }
  std::vector<artifact::StreamBytes> Read() const {
    std::vector<artifact::StreamBytes> streams;
    for (const auto& record : records()) streams.push_back(*reader->ReadStream(record));
    return streams;
  }

  codecs::PlaneView View(const std::vector<artifact::StreamBytes>& streams) const {
    codecs::PlaneView view{&specs, kRows, kCols, {}};
    for (const auto& stream : streams) view.streams.push_back(stream.bytes());
    return view;
  }

  std::unique_ptr<artifact::ArtifactReader> reader;
  codecs::PlaneSpec specs;
};

auto Resident(const codecs::PlaneView& view) {
  return view.spec->kind == "entropy" ? loader::ResidentEntropy(view)
                                      : loader::ResidentDependent(view);
}

void SetCounters(benchmark::State& state, const Sample& sample) {
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRows * kCols));
  double stored = 0;
  const auto& codes = sample.records()[0];
  for (std::uint32_t c = 0; c < codes.chunk_count; ++c)
    stored += sample.reader->chunks()[codes.first_chunk + c].stored_bytes;
  state.counters["bits"] = 8 * stored / static_cast<double>(kRows * kCols);
  state.counters["chunks"] = codes.chunk_count;
}

void ReadCodes(benchmark::State& state) {
  SetThreads(1);
  const Sample sample(state.range(0), state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(sample.Read());
  SetCounters(state, sample);
}
BENCHMARK(ReadCodes)->Args({300, 0})->Args({300, 256})->Name("DigestAndDecode");

void Load(benchmark::State& state) {
  SetThreads(1);
  const Sample sample(state.range(0), state.range(1));
  for (auto _ : state) {
    const auto streams = sample.Read();
    const codecs::PlaneView view = sample.View(streams);
    if (!(*codecs::FindPlaneKind(sample.specs.kind))->validate(view).ok()) std::abort();
    benchmark::DoNotOptimize(Resident(view));
  }
  SetCounters(state, sample);
}
BENCHMARK(Load)
    ->Args({200, 0})
    ->Args({300, 0})
    ->Args({400, 0})
    ->Args({200, 256})
    ->Args({300, 256})
    ->Args({400, 256})
    ->Args({650, 256});

void Turn(benchmark::State& state) {
  SetThreads(1);
  const Sample sample(state.range(0), state.range(1));
  const auto streams = sample.Read();
  const codecs::PlaneView view = sample.View(streams);
  for (auto _ : state) benchmark::DoNotOptimize(Resident(view));
  SetCounters(state, sample);
}
BENCHMARK(Turn)->Args({200, 0})->Args({400, 0})->Args({300, 256})->Name("ResidentOnly");

void Encode(benchmark::State& state) {
  SetThreads(1);
  const auto encoder =
      *codecs::MakeEntropyEncoder(Method(state.range(0)), 0.25, 0, kCols, DType::kF32);
  const auto bytes = Weights();
  for (auto _ : state)
    benchmark::DoNotOptimize(*encoder->EncodeSlab({DType::kF32, kRows, kCols, bytes}));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRows * kCols));
}
BENCHMARK(Encode)->Arg(0)->Arg(16)->Arg(256);

}  // namespace
}  // namespace ingot

BENCHMARK_MAIN();
