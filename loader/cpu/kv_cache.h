// Keys and values of one sequence, by layer, in pages of kPageTokens tokens that are allocated as
// the sequence grows. A page of a layer holds for each kv head
//   keys    head_dim x kPageTokens   (transposed), then
//   values  kPageTokens x value_stride (head_dim rounded up to 16, padding zero)
// in float32 or float16. Pages are the unit that tiers will move.
//
// Thread rule: one writer; during a forward threads may read what was written before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/dtype.h"
#include "base/status.h"
#include "model/architecture/architecture.h"

namespace ingot::loader {

class KvCache {
 public:
  // dtype is kF32 or kF16; `capacity` in tokens. REQUIRES: a checked architecture (BoundWeights).
  KvCache(const model::Architecture& architecture, DType dtype, std::uint64_t capacity);

  // Makes room for `tokens` more. Limit when that exceeds the capacity: nothing changes then.
  Status Reserve(std::uint64_t tokens);
  // Tokens [length, length + tokens) have been written in every layer.
  void Commit(std::uint64_t tokens) { length_ += tokens; }
  // Forgets positions from `length` on; pages are kept for reuse. REQUIRES: length <=
  // this->length().
  void Truncate(std::uint64_t length) { length_ = length; }

  // Stores the key and value of every kv head for one position: kv_heads x head_dim floats each.
  // REQUIRES: the position was reserved.
  void Write(std::size_t layer, std::uint64_t position, const float* key, const float* value);

  // Page pointers of one kv head, page by page, as the attention kernels take them.
  void Pages(std::size_t layer, std::size_t kv_head, std::uint64_t positions,
             std::vector<const void*>& keys, std::vector<const void*>& values) const;

  std::uint64_t length() const { return length_; }
  std::uint64_t capacity() const { return capacity_; }
  DType dtype() const { return dtype_; }
  std::uint64_t resident_bytes() const { return resident_bytes_; }

 private:
  struct Layer {
    std::size_t kv_heads = 0;  // 0: the layer has no attention and no pages
    std::size_t head_dim = 0;
    std::size_t value_stride = 0;
    std::size_t key_elements() const;
    std::size_t head_elements() const;  // keys and values of one head in one page
    std::vector<ByteBuffer> pages;
  };
  DType dtype_;
  std::uint64_t capacity_;
  std::uint64_t length_ = 0;
  std::uint64_t resident_bytes_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace ingot::loader
