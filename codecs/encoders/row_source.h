// The weights of one matrix, a bounded number of rows at a time: what is fitted to a whole tensor
// (channel scales, codebooks, factors) is fitted to what comes through here.
//
// Thread rule: a source belongs to one thread.
#pragma once

#include <cstdint>

#include "codecs/plane.h"

namespace ingot::codecs {

class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual std::uint64_t rows() const = 0;
  virtual std::uint64_t cols() const = 0;
  // Rows that may be asked for at once.
  virtual std::uint64_t max_rows() const = 0;
  // Rows [begin, end) in the source's format, valid until the next call.
  // REQUIRES: begin < end <= rows(); end - begin <= max_rows().
  virtual Result<WeightSlab> Read(std::uint64_t begin, std::uint64_t end) = 0;
};

// A matrix that is in memory.
class WholeSlab final : public RowSource {
 public:
  explicit WholeSlab(const WeightSlab& slab) : slab_(slab) {}
  std::uint64_t rows() const override { return slab_.rows; }
  std::uint64_t cols() const override { return slab_.cols; }
  std::uint64_t max_rows() const override { return slab_.rows; }
  Result<WeightSlab> Read(std::uint64_t begin, std::uint64_t end) override {
    const std::uint64_t row_bytes = slab_.cols * DTypeBytes(slab_.dtype);
    return WeightSlab{slab_.dtype, end - begin, slab_.cols,
                      slab_.bytes.subspan(begin * row_bytes, (end - begin) * row_bytes)};
  }

 private:
  WeightSlab slab_;
};

}  // namespace ingot::codecs
