// The methods by which checkpoints are quantized, one registry row and one file each. A method
// finds its weights among the stored tensors and gives each a decoder; what it does not know it
// refuses by name, so that no scale or zero point is passed over in silence.
//
// Thread rule: pure functions over a PartTable that one thread owns.
#pragma once

#include <vector>

#include "base/status.h"
#include "model/source/quantized/quantization_context.h"
#include "model/source/quantized/quantized_weight.h"

namespace ingot::model {

// The weights of the method that the config names, and those that any checkpoint may hold as 8-bit
// codes beside a tensor of scales. Marks all it reads as taken. Unsupported: a method, format or
// key that is not known, or codes and scales that nothing here reads; Corruption: parts that are
// missing or do not fit.
Result<std::vector<QuantizedWeight>> FindQuantizedWeights(QuantizationContext context);

}  // namespace ingot::model
