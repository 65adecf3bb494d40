// Encode and decode speed of every recipe, one thread, on BF16 weights that look like a trained
// matrix:
//   build/release/bin/codecs_bench
// and, with INGOT_MODELS=/directory/of/smollm2-135m, the error of each recipe on its real weights:
//   build/release/bin/codecs_bench --benchmark_filter=RealError
// items/s are weights; "rel" is sqrt(sum error^2 / sum weight^2); "bpw" counts every stored byte.
#include <benchmark/benchmark.h>
#include <htscodecs/rANS_static4x16.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/float_formats.h"
#include "base/parallel.h"
#include "base/random.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/raw_split_plane.h"
#include "codecs/recipe.h"
#include "model/source/mapped_file.h"

namespace ingot::codecs {
namespace {

constexpr std::uint64_t kRows = 512, kCols = 2048;

std::vector<std::uint8_t> TrainedLike() {
  std::vector<std::uint8_t> bytes(2 * kRows * kCols);
  Random random(1);
  for (std::uint64_t i = 0; i < kRows * kCols; ++i) {
    double w = 0.02 * random.Normal();
    if (random.Uniform() < 0.002) w *= 6;
    StoreLe(bytes.data() + 2 * i, ToBf16(static_cast<float>(w)));
  }
  return bytes;
}

std::vector<PlaneView> Views(const TensorEncoder& encoder, const EncodedSlab& slab,
                             std::uint64_t rows, std::uint64_t cols) {
  std::vector<PlaneView> views;
  for (std::size_t p = 0; p < slab.planes.size(); ++p) {
    PlaneView view{&encoder.planes()[p], rows, cols, {}};
    for (const auto& stream : slab.planes[p]) view.streams.emplace_back(stream);
    views.push_back(std::move(view));
  }
  return views;
}

double StoredBits(const EncodedSlab& slab, std::uint64_t weights) {
  double bytes = 0;
  for (const auto& plane : slab.planes)
    for (const auto& stream : plane) bytes += static_cast<double>(stream.size());
  return 8 * bytes / static_cast<double>(weights);
}

void Encode(benchmark::State& state, const RecipeOptions& recipe) {
  SetThreads(1);
  const std::vector<std::uint8_t> bytes = TrainedLike();
  const auto encoder = *MakeEncoder(recipe, kCols, DType::kBf16);
  const WeightSlab slab{DType::kBf16, kRows, kCols, bytes};
  EncodedSlab encoded;
  for (auto _ : state) {
    encoded = *encoder->EncodeSlab(slab);
    benchmark::DoNotOptimize(encoded);
  }
  state.SetItemsProcessed(state.iterations() * kRows * kCols);
  state.SetBytesProcessed(state.iterations() * 2 * kRows * kCols);
  state.counters["bpw"] = StoredBits(encoded, kRows * kCols);
  state.counters["rel"] = std::sqrt(encoded.squared_error / encoded.squared_weight);
}

void Decode(benchmark::State& state, const std::string& codec) {
  SetThreads(1);
  const std::vector<std::uint8_t> bytes = TrainedLike();
  const auto encoder = *MakeEncoder({.codec = codec}, kCols, DType::kBf16);
  const EncodedSlab encoded = *encoder->EncodeSlab({DType::kBf16, kRows, kCols, bytes});
  const std::vector<PlaneView> views = Views(*encoder, encoded, kRows, kCols);
  std::vector<float> out(kRows * kCols);
  for (auto _ : state)
    if (!DecodeTensorRows(views, 0, kRows, out).ok()) return state.SkipWithError("decode failed");
  state.SetItemsProcessed(state.iterations() * kRows * kCols);
  state.SetBytesProcessed(state.iterations() * 2 * kRows * kCols);
}

// rANS decode of the exponents and the merge to BF16, in blocks of 1 MiB: what loading lossless
// costs.
void LosslessMerge(benchmark::State& state) {
  const std::vector<std::uint8_t> bytes = TrainedLike();
  const auto encoder = *MakeEncoder({.codec = "lossless_v1"}, kCols, DType::kBf16);
  EncodedSlab encoded = *encoder->EncodeSlab({DType::kBf16, kRows, kCols, bytes});
  std::vector<std::uint8_t>& exponents = encoded.planes[0][0];
  const std::vector<std::uint8_t>& rest = encoded.planes[0][1];
  unsigned int size = rans_compress_bound_4x16(static_cast<unsigned>(exponents.size()), 0x04);
  std::vector<std::uint8_t> coded(size);
  rans_compress_to_4x16(exponents.data(), static_cast<unsigned>(exponents.size()), coded.data(),
                        &size, 0x04);
  std::vector<std::uint8_t> symbols(exponents.size()), out(bytes.size());
  for (auto _ : state) {
    unsigned int n = static_cast<unsigned>(symbols.size());
    if (rans_uncompress_to_4x16(coded.data(), size, symbols.data(), &n) == nullptr)
      return state.SkipWithError("rANS refused");
    kMergeBf16.Best()(symbols.data(), rest.data(), n, out.data());
    benchmark::ClobberMemory();
  }
  if (out != bytes) return state.SkipWithError("not bit-exact");
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
  state.counters["stored_percent"] =
      100.0 * static_cast<double>(size + rest.size()) / static_cast<double>(bytes.size());
}

void MergeOnly(benchmark::State& state) {
  const std::size_t n = 256 << 10;
  std::vector<std::uint8_t> e(n, 120), r(n, 3), out(2 * n);
  for (auto _ : state) {
    kMergeBf16.Best()(e.data(), r.data(), n, out.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(2 * n));
}

struct RealTensor {
  std::uint64_t rows, cols;
  ByteSpan bytes;
};

std::vector<RealTensor> RealTensors(const model::MappedFile& file) {
  const auto header_bytes = LoadLe<std::uint64_t>(file.bytes().data());
  const auto header = nlohmann::json::parse(AsText(file.bytes().subspan(8, header_bytes)));
  std::vector<RealTensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__" || entry["shape"].size() != 2) continue;
    const std::uint64_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    tensors.push_back({entry["shape"][0], entry["shape"][1],
                       file.bytes().subspan(8 + header_bytes + begin, end - begin)});
  }
  return tensors;
}

void RealError(benchmark::State& state, const RecipeOptions& options) {
  const char* models = std::getenv("INGOT_MODELS");
  if (models == nullptr) return state.SkipWithError("INGOT_MODELS is not set");
  const Result<model::MappedFile> file =
      model::MappedFile::Open(std::string(models) + "/smollm2-135m/model.safetensors");
  if (!file.ok()) return state.SkipWithError(file.status().message().c_str());
  const std::vector<RealTensor> tensors = RealTensors(*file);
  double error = 0, weight = 0, bits = 0, count = 0, relative = 0;
  for (auto _ : state) {
    error = weight = bits = count = relative = 0;
    for (const RealTensor& t : tensors) {
      const auto encoder = *MakeEncoder(options, t.cols, DType::kBf16);
      const EncodedSlab slab = *encoder->EncodeSlab({DType::kBf16, t.rows, t.cols, t.bytes});
      const auto n = static_cast<double>(t.rows * t.cols);
      error += slab.squared_error;
      weight += slab.squared_weight;
      bits += StoredBits(slab, t.rows * t.cols) * n;
      relative += std::sqrt(slab.squared_error / slab.squared_weight) * n;
      count += n;
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(count));
  state.counters["rel"] = std::sqrt(error / weight);
  state.counters["mean_rel"] = relative / count;
  state.counters["bpw"] = bits / count;
}

// The exponents of every real matrix through rANS, against the BF16 bytes.
void RealLossless(benchmark::State& state) {
  const char* models = std::getenv("INGOT_MODELS");
  if (models == nullptr) return state.SkipWithError("INGOT_MODELS is not set");
  const Result<model::MappedFile> file =
      model::MappedFile::Open(std::string(models) + "/smollm2-135m/model.safetensors");
  if (!file.ok()) return state.SkipWithError(file.status().message().c_str());
  double stored = 0, source = 0;
  for (auto _ : state) {
    stored = source = 0;
    for (const RealTensor& t : RealTensors(*file)) {
      const auto encoder = *MakeEncoder({.codec = "lossless_v1"}, t.cols, DType::kBf16);
      EncodedSlab slab = *encoder->EncodeSlab({DType::kBf16, t.rows, t.cols, t.bytes});
      auto& symbols = slab.planes[0][0];
      unsigned int size = rans_compress_bound_4x16(static_cast<unsigned>(symbols.size()), 0x04);
      std::vector<std::uint8_t> coded(size);
      rans_compress_to_4x16(symbols.data(), static_cast<unsigned>(symbols.size()), coded.data(),
                            &size, 0x04);
      stored += size + static_cast<double>(slab.planes[0][1].size());
      source += static_cast<double>(t.bytes.size());
    }
  }
  state.counters["stored_percent"] = 100 * stored / source;
}

int Register() {
  for (const Recipe& recipe : Recipes()) {
    const std::string name(recipe.name);
    benchmark::RegisterBenchmark(("Encode/" + name).c_str(), Encode, RecipeOptions{.codec = name});
    benchmark::RegisterBenchmark(("Decode/" + name).c_str(), Decode, name);
    benchmark::RegisterBenchmark(("RealError/" + name).c_str(), RealError,
                                 RecipeOptions{.codec = name})
        ->Iterations(1);
  }
  benchmark::RegisterBenchmark(
      "Encode/int4_rtn_asymmetric_g32_q8", Encode,
      RecipeOptions{.codec = "int4_rtn", .group = 32, .levels = "asymmetric", .scales = "q8"});
  for (const char* levels : {"symmetric", "asymmetric", "log", "normal"})
    for (const std::int64_t group : {32, 64, 128})
      for (const char* scales : {"f16", "q8"})
        benchmark::RegisterBenchmark(
            ("RealError/int4_" + std::string(levels) + "_g" + std::to_string(group) + "_" + scales)
                .c_str(),
            RealError,
            RecipeOptions{.codec = "int4_rtn", .group = group, .levels = levels, .scales = scales})
            ->Iterations(1);
  benchmark::RegisterBenchmark("Lossless/rans_and_merge", LosslessMerge);
  benchmark::RegisterBenchmark("Lossless/merge", MergeOnly);
  benchmark::RegisterBenchmark("Lossless/real", RealLossless)->Iterations(1);
  return 0;
}

const int registered = Register();

}  // namespace
}  // namespace ingot::codecs

BENCHMARK_MAIN();
