#include "loader/kernels/rate_kernels.h"

namespace ingot::loader {
namespace {

constexpr int kChains = 8;

// The compiler takes a value for changed here.
template <typename T>
inline void Touch(T& value) {
  __asm__ volatile("" : "+m"(value));
}

template <typename T, typename Sum>
std::uint64_t Products(std::uint64_t rounds) {
  T a[kChains], b = 3;
  Sum sums[kChains] = {};
  for (int i = 0; i < kChains; ++i) a[i] = static_cast<T>(i + 1);
  Touch(a);
  Touch(b);
  for (std::uint64_t r = 0; r < rounds; ++r)
    for (int i = 0; i < kChains; ++i)
      sums[i] = static_cast<Sum>(sums[i] + static_cast<Sum>(a[i]) * static_cast<Sum>(b));
  Touch(sums);
  return rounds * kChains;
}

std::uint64_t Read(const void* from, std::size_t bytes) {
  const auto* words = static_cast<const std::uint64_t*>(from);
  std::uint64_t sums[8] = {};
  for (std::size_t i = 0; i < bytes / 8; i += 8)
    for (std::size_t k = 0; k < 8; ++k) sums[k] += words[i + k];
  std::uint64_t sum = 0;
  for (const std::uint64_t s : sums) sum += s;
  return sum;
}

}  // namespace

const RateKernels kRateScalar = {Products<float, float>, Products<std::int8_t, std::uint32_t>,
                                 nullptr, Read};
constinit const Ladder<RateKernels> kRates = {kRateScalar, kRateAvx2, kRateAvx512};

}  // namespace ingot::loader
