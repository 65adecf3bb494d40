// The loader's op set, float32, that lets somebody see what each matrix is fed and change what it
// puts out.
//
// Thread rule: as loader::CpuOps.
#pragma once

#include <functional>
#include <initializer_list>
#include <vector>

#include "loader/cpu/cpu_ops.h"

namespace ingot::calibration {

class WatchedOps : public loader::CpuOps {
 public:
  using Tensor = loader::Tensor;
  using CpuOps::CpuOps;

  // Before matrices are multiplied with x; may be empty.
  std::function<void(std::initializer_list<const model::LinearRef*> refs, const Tensor& x)>
      before_linear;
  // After one was, rows of x by its outputs; may be empty.
  std::function<void(const model::LinearRef& ref, Tensor& y)> after_linear;
  // A product that nobody needs (its input is still seen): it gives one column of zeros.
  const model::LinearRef* skip = nullptr;

  std::vector<Tensor> Linear(std::initializer_list<const model::LinearRef*> refs, const Tensor& x);
  // All of them are exact, and all are watched.
  std::vector<Tensor> ExactLinear(std::initializer_list<const model::LinearRef*> refs,
                                  const Tensor& x) {
    return Linear(refs, x);
  }
};

static_assert(model::OpSet<WatchedOps> && model::RwkvOps<WatchedOps>);
static_assert(model::MambaOps<WatchedOps> && model::RetentionOps<WatchedOps>);

}  // namespace ingot::calibration
