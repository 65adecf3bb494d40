// What `entropy_v1` or `entropy_v2` will make of a matrix at a step constant c, without encoding
// it: a sample of its rows is rounded, its classes counted, chunks planned as for the whole. For
// searching the c of a model or of one tensor.
//
// Thread rule: pure functions, parallel inside.
#pragma once

#include <span>
#include <vector>

#include "codecs/plane.h"
#include "codecs/rounding/entropy_method.h"

namespace ingot::codecs {

struct EntropyEstimate {
  double step = 0;            // c
  double stored_bytes = 0;    // of the tensor's chunks (not their entries in the index)
  double predicted_loss = 0;  // nats a token; 0 where the guide knows no Fisher and no Hessian
  double squared_error = 0;   // sum over weights of (source - decoded)²
};

// Rows of a slab as floats: every one (limit 0), or about `limit` weights of rows evenly spread.
// InvalidArgument where a weight is not finite.
Result<EntropyRows> TakeEntropyRows(const WeightSlab& slab, std::uint64_t row_begin,
                                    std::uint64_t limit);

inline constexpr std::uint64_t kEntropySample = 128 << 10;  // weights that estimates look at

// One estimate for each of `steps` (each > 0). `matrix` is the whole tensor; `sample_weights` 0
// rounds all of it: the bytes are then within 0.3 % of what is stored.
Result<std::vector<EntropyEstimate>> EstimateEntropy(const WeightSlab& matrix,
                                                     const EntropyGuide& guide,
                                                     const EntropyMethod& method,
                                                     std::span<const double> steps,
                                                     std::uint64_t sample_weights = kEntropySample);

// The c at which the tensor takes `bits_per_weight` stored bits, to 0.005 bit. Where it is so small
// that its rows' and columns' records take more than a quarter of that, or so regular that no c
// needs as much, the c of normal weights at that entropy. InvalidArgument where every c needs more.
Result<double> FindEntropyStep(const EntropyRows& rows, const EntropyGuide& guide,
                               const EntropyMethod& method, double bits_per_weight);

}  // namespace ingot::codecs
