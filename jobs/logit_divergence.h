// The divergence of one vector of logits from another.
//
// Thread rule: a pure function.
#pragma once

#include <cstddef>

namespace ingot::jobs {

// KL(softmax a || softmax b) in nats, of n logits each.
double Divergence(const float* a, const float* b, std::size_t n);
// Its log; of less than 1e-6, the log of that.
double LogDivergence(const float* a, const float* b, std::size_t n);

}  // namespace ingot::jobs
