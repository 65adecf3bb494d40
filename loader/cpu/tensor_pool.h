// Float matrices whose memory goes back to a pool: a forward makes and drops a few dozen per layer,
// and a decode step should not call malloc for each.
//
// Thread rule: a pool and its tensors belong to one thread. Tensors must not outlive their pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace ingot::loader {

class TensorPool;

// How many planes of a matrix each row of a tensor meets; null: all of them, every row.
using RowPlanes = std::shared_ptr<const std::vector<std::uint32_t>>;

// rows x cols floats, row-major, contiguous. Movable; gives its memory back when destroyed.
class Tensor {
 public:
  Tensor() = default;
  Tensor(Tensor&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        buffer_(std::move(other.buffer_)),
        rows_(std::exchange(other.rows_, 0)),
        cols_(std::exchange(other.cols_, 0)),
        planes_(std::move(other.planes_)) {}
  Tensor& operator=(Tensor&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(buffer_, other.buffer_);
    std::swap(rows_, other.rows_);
    std::swap(cols_, other.cols_);
    std::swap(planes_, other.planes_);
    return *this;
  }
  ~Tensor();

  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }
  std::size_t size() const { return rows_ * cols_; }
  float* data() { return buffer_.data(); }
  const float* data() const { return buffer_.data(); }
  float* row(std::size_t r) { return data() + r * cols_; }
  const float* row(std::size_t r) const { return data() + r * cols_; }
  const RowPlanes& planes() const { return planes_; }
  void set_planes(RowPlanes planes) { planes_ = std::move(planes); }

 private:
  friend class TensorPool;
  Tensor(TensorPool* pool, AlignedBuffer<float> buffer, std::size_t rows, std::size_t cols)
      : pool_(pool), buffer_(std::move(buffer)), rows_(rows), cols_(cols) {}
  TensorPool* pool_ = nullptr;
  AlignedBuffer<float> buffer_;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  RowPlanes planes_;
};

class TensorPool {
 public:
  TensorPool() = default;
  TensorPool(const TensorPool&) = delete;
  TensorPool& operator=(const TensorPool&) = delete;

  // Uninitialised.
  Tensor Make(std::size_t rows, std::size_t cols);

  // Of its tensors and of what it keeps for the next ones.
  std::uint64_t resident_bytes() const { return resident_bytes_; }

 private:
  friend class Tensor;
  std::uint64_t resident_bytes_ = 0;
  std::vector<AlignedBuffer<float>> free_;
};

}  // namespace ingot::loader
