// Zeroed arrays of numbers that begin at a cache line.
//
// Thread rule: a value.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>

namespace ingot::codecs {

template <typename T>
class AlignedArray {
 public:
  AlignedArray() = default;
  explicit AlignedArray(std::size_t count)
      : count_(count), data_(static_cast<T*>(::operator new(count * sizeof(T), kLine))) {
    std::fill_n(data_.get(), count, T{});
  }

  std::size_t size() const { return count_; }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  T& operator[](std::size_t i) { return data_.get()[i]; }
  const T& operator[](std::size_t i) const { return data_.get()[i]; }

 private:
  static constexpr std::align_val_t kLine{64};
  struct Free {
    void operator()(T* p) const { ::operator delete(p, kLine); }
  };

  std::size_t count_ = 0;
  std::unique_ptr<T, Free> data_;
};

}  // namespace ingot::codecs
