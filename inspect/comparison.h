// Two artifacts, or an artifact and a source, side by side: what differs in shape, codec, planes,
// bits and bytes, tensor by tensor, by name.
//
// Thread rule: values and pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "inspect/summary.h"

namespace ingot::inspect {

// A tensor of both.
struct TensorPair {
  const TensorSummary* a = nullptr;
  const TensorSummary* b = nullptr;
  bool same_shape = false;
  bool same_making = false;  // codec, and planes with their parameters
  bool same_bytes = false;   // by their digests; never of a source
};

// A key of the configuration that differs; null where one has none.
struct ConfigDifference {
  std::string key;
  Json a, b;
};

// Borrows what was compared.
struct Comparison {
  const Summary* a = nullptr;
  const Summary* b = nullptr;
  std::vector<TensorPair> pairs;  // in the order of `a`
  std::vector<const TensorSummary*> only_a, only_b;
  std::vector<ConfigDifference> config;

  std::size_t same_bytes() const;   // pairs
  std::size_t same_making() const;  // pairs
  // Nothing differs that a model's outputs could show: every tensor, and the configuration.
  bool same_model() const;
};

Comparison Compare(const Summary& a, const Summary& b);

enum class PairOrder {
  kStream,
  kError,
  kBits,
  kSize
};  // the largest difference first, but kStream

// The page: both beside each other, then what differs, by layers, or with_tensors a line a tensor
// that both have. `a` and `b`: their names.
std::string ComparisonText(const Comparison& comparison, const std::string& a, const std::string& b,
                           bool with_tensors, PairOrder order, std::size_t columns);

// One object; its schema is docs/schemas/inspect-compare.json.
Json ComparisonJson(const Comparison& comparison, const std::string& a, const std::string& b,
                    PairOrder order);

}  // namespace ingot::inspect
