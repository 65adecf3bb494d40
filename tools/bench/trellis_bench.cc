// entropy_v2, and the fixed rates, on independent normal weights: how far from the rate-distortion
// bound, and how fast.
//   trellis_bench                 rates 1 to 7 with 256 states, then 3 bits with 4 to 4096 states
//   trellis_bench fixed           trellis_v1 at 2, 3 and 4 bits, and codebooks of as many
//   trellis_bench search STATES TRIES SEED
//                                 random trellises, the best of them so far a line
// Bits are those of stored chunks: codes, records and escapes, coded as an artifact codes them, and
// their entries in the chunk table. Times are CPU nanoseconds a weight of one thread.
#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include "artifact/coding.h"
#include "base/parallel.h"
#include "base/random.h"
#include "codecs/plane_codec.h"
#include "codecs/recipe.h"
#include "codecs/rounding/trellis_search.h"

namespace ingot {
namespace {

constexpr std::uint64_t kRows = 4096, kCols = 1024;
constexpr double kEntryBytes = 64;  // of a chunk in the chunk table

struct Sample {
  std::vector<std::uint8_t> bytes;
  std::vector<float> weights;
  double squares = 0;

  explicit Sample(std::uint64_t seed, std::uint64_t count = kRows * kCols)
      : bytes(4 * count), weights(count) {
    Random random(seed);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      weights[i] = static_cast<float>(random.Normal());
      StoreLe(bytes.data() + 4 * i, weights[i]);
      squares += static_cast<double>(weights[i]) * weights[i];
    }
  }
};

double Seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// Bytes that a stream takes in an artifact.
double Stored(artifact::CodingHint hint, ByteSpan stream, std::vector<std::uint64_t> cuts) {
  cuts.push_back(stream.size());
  double bytes = 0;
  std::uint64_t begin = 0;
  for (const std::uint64_t cut : cuts)
    while (begin < cut) {
      const std::uint64_t end = std::min(cut, begin + artifact::kMaxChunkBytes);
      bytes += kEntryBytes;
      bytes += static_cast<double>(
          artifact::EncodeChunk(hint, stream.subspan(begin, end - begin)).stored.size());
      begin = end;
    }
  return bytes;
}

struct Measured {
  double bits = 0, error = 0, gap = 0, encode_ns = 0, decode_ns = 0;
};

Measured Measure(const Sample& sample, const codecs::RecipeOptions& options) {
  const auto encoder = *codecs::MakeEncoder(options, kCols, DType::kF32);
  const codecs::WeightSlab matrix{DType::kF32, kRows, kCols, sample.bytes};
  const double begin = Seconds();
  const codecs::EncodedSlab slab = *encoder->EncodeSlab(matrix);
  Measured m;
  const auto count = static_cast<double>(kRows * kCols);
  m.encode_ns = 1e9 * (Seconds() - begin) / count;
  codecs::PlaneView view{&encoder->planes()[0], kRows, kCols, {}};
  double bytes = 0;
  for (std::size_t s = 0; s < slab.planes[0].size(); ++s) {
    const ByteSpan stream = slab.planes[0][s];
    view.streams.push_back(stream);
    bytes += Stored(s == 0 ? artifact::CodingHint::kEntropy : artifact::CodingHint::kGeneral,
                    stream, s == 0 ? slab.cuts[0].offsets : std::vector<std::uint64_t>{});
  }
  m.bits = 8 * bytes / count;
  std::vector<float> decoded(kRows * kCols);
  const double then = Seconds();
  if (!codecs::DecodeTensorRows({&view, 1}, 0, kRows, decoded).ok()) std::abort();
  m.decode_ns = 1e9 * (Seconds() - then) / count;
  for (std::size_t i = 0; i < decoded.size(); ++i) {
    const double e = static_cast<double>(sample.weights[i]) - decoded[i];
    m.error += e * e / sample.squares;
  }
  m.gap = m.bits + 0.5 * std::log2(m.error);
  return m;
}

void Tables() {
  const Sample sample(1);
  fmt::print("{} x {} normal weights, {}\n", kRows, kCols, IsaName(BestIsa()));
  fmt::print(
      "  rate states   bits  error/variance  2^-2R     above bound  entropy_v1  encode ns  to "
      "float ns\n");
  const auto line = [&](double rate, int states) {
    codecs::RecipeOptions options;
    options.codec = "entropy_v2";
    // The step that gives about this rate, so that no search is timed.
    options.step = 4.13 * std::exp2(-rate);
    options.bits = std::bit_width(static_cast<unsigned>(states)) - 1;
    const Measured m = Measure(sample, options);
    options.codec = "entropy_v1";
    options.bits = 0;
    const Measured v1 = Measure(sample, options);
    fmt::print("{:6.2f} {:6} {:6.3f}  {:14.6f}  {:8.6f}  {:11.4f}  {:10.4f}  {:9.1f}  {:10.2f}\n",
               rate, states, m.bits, m.error, std::exp2(-2 * m.bits), m.gap, v1.gap, m.encode_ns,
               m.decode_ns);
  };
  for (const double rate : {1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0}) line(rate, 256);
  for (const codecs::TrellisCode& code : codecs::kTrellisCodes) line(3, code.states);
}

// Codecs of a fixed rate: error of the codes alone, a scale a row apart.
void FixedRates() {
  constexpr std::uint64_t rows = 1024, cols = 96;
  const Sample sample(1, rows * cols);
  fmt::print("{} x {} normal weights, {}\n", rows, cols, IsaName(BestIsa()));
  fmt::print(
      "                                bits  error/variance  2^-2R     encode ns  to float ns\n");
  const auto line = [&](const char* name, const codecs::RecipeOptions& options) {
    const auto encoder = *codecs::MakeEncoder(options, cols, DType::kF32);
    const double begin = Seconds();
    const codecs::EncodedSlab slab = *encoder->EncodeSlab({DType::kF32, rows, cols, sample.bytes});
    const double then = Seconds();
    codecs::PlaneView view{&encoder->planes()[0], rows, cols, {}};
    for (const auto& stream : slab.planes[0]) view.streams.emplace_back(stream);
    std::vector<float> decoded(rows * cols);
    const double before = Seconds();
    if (!codecs::DecodeTensorRows({&view, 1}, 0, rows, decoded).ok()) std::abort();
    const double after = Seconds(), count = static_cast<double>(rows * cols);
    double error = 0;
    for (std::size_t i = 0; i < decoded.size(); ++i) {
      const double e = static_cast<double>(sample.weights[i]) - decoded[i];
      error += e * e / sample.squares;
    }
    fmt::print("{:<30} {:5}  {:14.6f}  {:8.6f}  {:9.1f}  {:10.2f}\n", name, options.bits, error,
               std::exp2(-2.0 * static_cast<double>(options.bits)), 1e9 * (then - begin) / count,
               1e9 * (after - before) / count);
  };
  for (const std::int64_t bits : {2, 3, 4}) {
    line("trellis_v1, 2^14 states", {.codec = "trellis_v1", .bits = bits});
    line("trellis_v1, 2^16 states", {.codec = "trellis_v1", .bits = bits, .effort = "high"});
    for (const std::int64_t dimension : {1, 2, 4})
      if (bits * dimension <= 12)
        line(fmt::format("calibrated_vq, dimension {}", dimension).c_str(),
             {.codec = "calibrated_vq", .bits = bits, .dimension = dimension});
  }
}

// Squared error plus price of a column of normal samples at 3 bits: what a search minimises.
double Cost(const codecs::TrellisCode& code, std::size_t count, std::uint64_t seed) {
  constexpr double kSpread = 1.92, kPrice = 0.09;
  Random random(seed);
  std::vector<float> targets(count + codecs::kTrellisPadding);
  for (std::size_t n = 0; n < count; ++n)
    targets[n] = static_cast<float>(kSpread * random.Normal());
  const std::vector<float> rates(
      targets.size(), static_cast<float>(kPrice / (2 * kSpread * kSpread * std::log(2.0))));
  const std::vector<std::uint8_t> classes(count);
  codecs::CodeCosts prices{};
  for (int byte = 1; byte < 256; ++byte) {
    const double at = (byte - 128 + 0.25) / kSpread;
    prices[static_cast<std::size_t>(byte)] =
        static_cast<float>(kPrice * (at * at / 2 / std::log(2.0) + std::log2(2.5066 * kSpread)));
  }
  codecs::TrellisSearch search(code);
  std::vector<std::int32_t> codes(count), levels(count);
  search.Run({targets.data(), rates.data(), classes.data(), &prices, count}, codes.data(),
             levels.data());
  double sum = 0;
  for (std::size_t n = 0; n < count; ++n) {
    const double e = targets[n] - 0.25 * levels[n];
    sum += e * e + prices[static_cast<std::size_t>(codes[n] + 128)];
  }
  return sum / static_cast<double>(count);
}

void Search(int states, int tries, std::uint64_t seed) {
  Random random(seed);
  double best = 1e9;
  for (int i = 0; i < tries; ++i) {
    // h0 of full degree and odd; h1 even and of less, so that both branches into a state come from
    // one set of levels.
    const auto h0 = static_cast<std::uint32_t>(states) | 1u |
                    static_cast<std::uint32_t>(random.Below(static_cast<std::uint64_t>(states)));
    const auto h1 =
        2 * static_cast<std::uint32_t>(random.Below(static_cast<std::uint64_t>(states) / 2));
    const codecs::TrellisCode code{states, static_cast<std::uint16_t>(h0 >> 1),
                                   static_cast<std::uint16_t>(h1 >> 1)};
    if (code.input == 0 || code.input >= states / 2) continue;
    if (Cost(code, 1 << 14, 1) > best * 1.002) continue;
    const double cost = Cost(code, 1 << 17, 2);
    if (cost >= best) continue;
    best = cost;
    fmt::print("{} states, h0 {:o}, h1 {:o}: {:.6f} squared steps\n", states, h0, h1, cost);
  }
}

}  // namespace
}  // namespace ingot

int main(int argc, char** argv) {
  ingot::SetThreads(1);
  if (argc == 5 && std::string_view(argv[1]) == "search")
    ingot::Search(std::atoi(argv[2]), std::atoi(argv[3]),
                  static_cast<std::uint64_t>(std::atoll(argv[4])));
  else if (argc == 2 && std::string_view(argv[1]) == "fixed")
    ingot::FixedRates();
  else
    ingot::Tables();
}
