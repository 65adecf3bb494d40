// What one step cannot do without: bytes of weights and of cache that it reads, products that it
// makes. Counted from the resident planes, not measured: held against MachineLimits it gives the
// least time that a step can take.
//
// Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "loader/loaded_model.h"
#include "loader/machine_limits.h"

namespace ingot::loader {

struct StepCost {
  double weight_bytes = 0;  // once a step, however many rows it has
  // Multiply-adds of one row with the weights: with planes that have a product in 8 bits, and with
  // others.
  double int8_products = 0;
  double float_products = 0;
};

// The most planes, transforms not counted, that a matrix has.
std::size_t PlaneCount(const WeightSet& weights);

// Of a step whose rows meet `plane_count` planes of each matrix (model::Row::planes). Of a
// mixture's experts those count that one row visits: with more rows the weights read may be more,
// never less. `left_out`: layers that it does not run, ascending.
StepCost CostOfStep(const Model& model, std::size_t plane_count = SIZE_MAX,
                    std::span<const std::size_t> left_out = {});

// Bytes of keys and values that a row at position `context` reads.
double CacheBytesRead(const model::Architecture& architecture, double bytes_a_token,
                      std::uint64_t context);

struct StepFloor {
  double read_seconds = 0;     // of weights and cache, at the memory's rate
  double product_seconds = 0;  // at the rate of the products that the kernels use
  double seconds() const { return read_seconds > product_seconds ? read_seconds : product_seconds; }
};
// For `rows` rows that read `cache_bytes` together.
StepFloor FloorOfStep(const StepCost& cost, const MachineLimits& limits, double rows,
                      double cache_bytes);

}  // namespace ingot::loader
