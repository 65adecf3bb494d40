#include "loader/machine_limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "base/bytes.h"
#include "base/parallel.h"
#include "loader/kernels/rate_kernels.h"

namespace ingot::loader {
namespace {

// Several times what last-level caches hold.
constexpr std::size_t kReadBytes = std::size_t{256} << 20;
constexpr std::size_t kReadPiece = std::size_t{1} << 20;
constexpr std::uint64_t kRounds = 200'000;
// Shares of a thread's work, so that one that is held up leaves some to the others.
constexpr std::size_t kSharesPerThread = 8;

double Seconds(const std::function<void()>& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double MedianRate(std::size_t runs, const std::function<double()>& rate) {
  std::vector<double> rates;
  rate();  // clocks, page tables and threads wake up
  for (std::size_t i = 0; i < runs; ++i) rates.push_back(rate());
  std::ranges::nth_element(rates, rates.begin() + static_cast<std::ptrdiff_t>(runs / 2));
  return rates[runs / 2];
}

double ReadRate(std::size_t runs) {
  AlignedBuffer<std::uint64_t> data(kReadBytes / sizeof(std::uint64_t));
  std::memset(data.data(), 1, kReadBytes);
  std::atomic<std::uint64_t> sink{0};
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(data.data());
  const double rate = MedianRate(runs, [&] {
    return static_cast<double>(kReadBytes) / Seconds([&] {
             ParallelFor(kReadBytes / kReadPiece, 1, [&](std::size_t begin, std::size_t end) {
               sink += kRates.Best().read(bytes + begin * kReadPiece, (end - begin) * kReadPiece);
             });
           });
  });
  return sink.load() == 0 ? 0 : rate;  // every word holds ones
}

double ProductRate(std::size_t runs, std::uint64_t (*products)(std::uint64_t rounds)) {
  const std::size_t shares = kSharesPerThread * Threads();
  return MedianRate(runs, [&] {
    std::atomic<std::uint64_t> done{0};
    const double seconds = Seconds([&] {
      ParallelFor(shares, 1, [&](std::size_t begin, std::size_t end) {
        done += products((end - begin) * kRounds / kSharesPerThread);
      });
    });
    return static_cast<double>(done.load()) / seconds;
  });
}

}  // namespace

MachineLimits MeasureLimits(std::size_t runs) {
  const RateKernels& kernels = kRates.Best();
  MachineLimits limits;
  limits.threads = Threads();
  limits.isa = IsaName(BestIsa());
  limits.read_bytes = ReadRate(runs);
  limits.float_products = ProductRate(runs, kernels.float_products);
  limits.int8_products = ProductRate(runs, kernels.int8_products);
  if (HasBf16()) limits.bf16_products = ProductRate(runs, kernels.bf16_products);
  return limits;
}

}  // namespace ingot::loader
