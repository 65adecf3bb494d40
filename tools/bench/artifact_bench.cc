// The container's speeds beside their floors: BLAKE3 alone on one core, VerifyAll over a file in
// the page cache, ReadStream of mapped and rANS streams, packing raw bytes, opening.
//   build/release/bin/artifact_bench --benchmark_min_time=1
#include <benchmark/benchmark.h>
#include <blake3.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "artifact/reader.h"
#include "artifact/writer.h"
#include "base/parallel.h"
#include "base/random.h"

namespace {

using namespace ingot;
using namespace ingot::artifact;

constexpr std::size_t kTensors = 64;
constexpr std::size_t kTensorBytes = 4 << 20;  // 256 MiB of raw streams

std::string BenchPath() {
  return (std::filesystem::temp_directory_path() / ("ingot_bench_" + std::to_string(getpid())))
      .string();
}

std::vector<std::uint8_t> Noise(std::size_t n) {
  Random random(1);
  std::vector<std::uint8_t> bytes(n);
  for (auto& b : bytes) b = static_cast<std::uint8_t>(random.Next());
  return bytes;
}

// Exponents of normal numbers: what rANS sees.
std::vector<std::uint8_t> Exponents(std::size_t n) {
  Random random(2);
  std::vector<std::uint8_t> bytes(n);
  for (auto& b : bytes)
    b = static_cast<std::uint8_t>(120 + static_cast<int>(random.Normal() * 1.2));
  return bytes;
}

void PackTo(const std::string& path, const std::vector<std::uint8_t>& bytes, std::size_t tensors,
            CodingHint hint) {
  ArtifactPlan plan;
  for (std::size_t i = 0; i < tensors; ++i) {
    TensorPlan tensor;
    tensor.record.name = "t" + std::to_string(i);
    tensor.record.shape = {bytes.size()};
    tensor.record.dtype = tensor.record.codec = tensor.record.role = "raw";
    StreamRecord stream;
    stream.name = "values";
    tensor.record.planes.push_back({"raw", Json::object(), 0, {stream}});
    tensor.hints = {{hint}};
    plan.tensors.push_back(tensor);
  }
  auto writer = ArtifactWriter::Open(path, std::move(plan), true);
  if (!writer.ok()) std::abort();
  for (std::size_t i = 0; i < tensors; ++i)
    if (!(*writer)->AddSlab(i, 0, {{bytes}}, Json()).ok()) std::abort();
  if (!(*writer)->Finish(nullptr, nullptr).ok()) std::abort();
}

// The file all benches read, made once.
const std::string& RawFile() {
  static const struct Holder {
    std::string path = BenchPath();
    Holder() { PackTo(path, Noise(kTensorBytes), kTensors, CodingHint::kRaw); }
    ~Holder() { std::filesystem::remove(path); }
  } holder;
  return holder.path;
}

void Rate(benchmark::State& state, std::size_t bytes) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes));
}

void Blake3OneCore(benchmark::State& state) {
  const auto bytes = Noise(4 << 20);
  for (auto _ : state) benchmark::DoNotOptimize(DigestOf(bytes));
  Rate(state, bytes.size());
}
BENCHMARK(Blake3OneCore);

void ReadFileOnce(benchmark::State& state) {
  const int fd = open(RawFile().c_str(), O_RDONLY);
  std::vector<std::uint8_t> block(256 << 10);
  std::size_t total = 0;
  for (auto _ : state) {
    total = 0;
    for (ssize_t n; (n = pread(fd, block.data(), block.size(), static_cast<off_t>(total))) > 0;)
      total += static_cast<std::size_t>(n);
  }
  close(fd);
  Rate(state, total);
}
BENCHMARK(ReadFileOnce);

void VerifyAll(benchmark::State& state) {
  SetThreads(static_cast<std::size_t>(state.range(0)));
  const auto reader = ArtifactReader::Open(RawFile(), {});
  for (auto _ : state)
    if (!(*reader)->VerifyAll(nullptr)->empty()) std::abort();
  Rate(state, (*reader)->header().file_bytes);
  SetThreads(0);
}
BENCHMARK(VerifyAll)->Arg(1)->Arg(2)->UseRealTime();

void ReadMappedStreams(benchmark::State& state) {
  for (auto _ : state) {
    const auto reader = ArtifactReader::Open(RawFile(), {});
    for (const auto& tensor : (*reader)->manifest().tensors)
      if (!(*reader)->ReadStream(tensor.planes[0].streams[0]).ok()) std::abort();
  }
  Rate(state, kTensors * kTensorBytes);
}
BENCHMARK(ReadMappedStreams);

void OpenOnly(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(ArtifactReader::Open(RawFile(), {}).ok());
}
BENCHMARK(OpenOnly);

void DecodeRans(benchmark::State& state) {
  const std::string path = BenchPath() + "_rans";
  const auto bytes = Exponents(4 << 20);
  PackTo(path, bytes, 8, CodingHint::kEntropy);
  const auto reader = ArtifactReader::Open(path, {});
  for (auto _ : state)
    for (const auto& tensor : (*reader)->manifest().tensors)
      if (!(*reader)->ReadStream(tensor.planes[0].streams[0]).ok()) std::abort();
  Rate(state, 8 * bytes.size());
  std::filesystem::remove(path);
}
BENCHMARK(DecodeRans);

void PackRaw(benchmark::State& state) {
  const std::string path = BenchPath() + "_pack";
  const auto bytes = Noise(kTensorBytes);
  for (auto _ : state) PackTo(path, bytes, 16, CodingHint::kRaw);
  Rate(state, 16 * kTensorBytes);
  std::filesystem::remove(path);
}
BENCHMARK(PackRaw);

}  // namespace

BENCHMARK_MAIN();
