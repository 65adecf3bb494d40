// A matrix that its source has in codes, kept in them: what lossless_v1 makes of quantized
// checkpoints. Each slab is decoded again and compared with what the source stands for.
//
// Thread rule: immutable.
#pragma once

#include <memory>

#include "codecs/encoders/tensor_encoder.h"
#include "model/source/checkpoint.h"

namespace ingot::pack {

// Null where the source has the matrix in other ways. The checkpoint outlives it.
std::unique_ptr<codecs::TensorEncoder> MakeKeptCodes(const model::Checkpoint& checkpoint,
                                                     const model::TensorInfo& tensor);

}  // namespace ingot::pack
