// Small tensors of mixers as float32, row-major, found by the address of their name in an
// architecture.
//
// Thread rule: filled by one thread, then immutable.
#pragma once

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace ingot::loader {

class ValueTable {
 public:
  // REQUIRES: a bound name.
  const float* Of(const std::string& name) const { return values_.at(&name); }

  // `values` outlive this table.
  void Bind(const std::string& name, const float* values) { values_[&name] = values; }
  // The name stands for other values from here on.
  void Replace(const std::string& name, AlignedBuffer<float> values) {
    values_[&name] = owned_.emplace_back(std::move(values)).data();
  }

 private:
  std::unordered_map<const std::string*, const float*> values_;
  std::vector<AlignedBuffer<float>> owned_;
};

}  // namespace ingot::loader
