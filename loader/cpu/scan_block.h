// Columns of activations as the scan kernels take them: blocks of kScanLanes channels, padded with
// zeros, in chunks of tokens that stay in the first-level cache.
//
// Thread rule: a block belongs to one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "loader/cpu/tensor_pool.h"
#include "loader/kernels/scan_kernels.h"

namespace ingot::loader {

inline constexpr std::size_t kScanChunk = 64;  // tokens

class ScanBlock {
 public:
  // Columns [first, min(first + kScanLanes, end)) of rows [token, token + tokens), each followed by
  // zeros. REQUIRES: tokens <= kScanChunk, first < end.
  float* Load(const Tensor& from, std::size_t token, std::size_t tokens, std::size_t first,
              std::size_t end) {
    const std::size_t count = std::min(kScanLanes, end - first);
    for (std::size_t t = 0; t < tokens; ++t) {
      float* row = values_ + t * kScanLanes;
      std::memcpy(row, from.row(token + t) + first, count * sizeof(float));
      std::fill(row + count, row + kScanLanes, 0.0f);
    }
    return values_;
  }
  // The other way; the padding is dropped.
  void Store(Tensor& to, std::size_t token, std::size_t tokens, std::size_t first,
             std::size_t end) const {
    const std::size_t count = std::min(kScanLanes, end - first);
    for (std::size_t t = 0; t < tokens; ++t)
      std::memcpy(to.row(token + t) + first, values_ + t * kScanLanes, count * sizeof(float));
  }
  float* data() { return values_; }

 private:
  alignas(64) float values_[kScanChunk * kScanLanes];
};

// f(first token, tokens) for each chunk of [first, first + tokens).
template <typename F>
void ForEachScanChunk(std::size_t first, std::size_t tokens, F f) {
  for (std::size_t t = 0; t < tokens; t += kScanChunk)
    f(first + t, std::min(kScanChunk, tokens - t));
}

}  // namespace ingot::loader
