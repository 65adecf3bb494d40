// What calibration knows about one matrix, as rounding wants it: how its inputs vary together, and
// how much the model's log-likelihood hears of each output. The loss of an error dW is then
//   1/2 sum_i fisher_i (dW H dWᵀ)_ii       nats a token,
// the second-order estimate of the KL divergence that the error causes (Fisher: dL/dy of sampled
// tokens).
//
// Thread rule: borrowed views; whoever makes one keeps the statistics alive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ingot::codecs {

class SharedFactors;

struct TensorGuide {
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::span<const float> hessian;     // cols x cols, E[x xᵀ], row-major; empty: see diagonal
  std::span<const float> diagonal;    // cols, E[x_j²], used where hessian is empty; empty: ones
  std::span<const float> mean_abs;    // cols, E|x_j|; empty: square root of the Hessian's diagonal
  std::span<const float> row_fisher;  // rows, E[(dL/dy_i)²]; empty: ones
  // Where other guides have the same Hessian (or diagonal): keeps its factors for all of them.
  SharedFactors* factors = nullptr;

  bool known() const {
    return !hessian.empty() || !diagonal.empty() || !mean_abs.empty() || !row_fisher.empty();
  }
};

// A stream that belongs to the whole tensor (StreamExtent::kTensor), to no slab.
struct TensorStream {
  std::size_t plane = 0;
  std::size_t stream = 0;
  std::vector<std::uint8_t> bytes;
};

// What a recipe derives once a tensor, before its slabs: factors of the damped Hessian, the order
// of columns, transformed statistics, what is fitted to the whole matrix. Immutable; shared by the
// slabs' threads.
class PreparedTensor {
 public:
  virtual ~PreparedTensor() = default;
  virtual std::span<const TensorStream> streams() const { return {}; }
};

}  // namespace ingot::codecs
