// RWKV's checkpoints as the rest of the program wants them. A view over another source: small
// tensors flat ([1, 1, hidden] and [heads, head] alike), the five matrices of version 6's
// time_maa_w2 apart (time_maa_w2.0 and on), and a config.json that is whole: what it leaves open,
// or all of it beside a bare .pth file, follows from the tensors' names and shapes.
//
// Thread rule: as Checkpoint.
#pragma once

#include <memory>

#include "base/status.h"
#include "model/source/checkpoint.h"

namespace ingot::model {

// The view where the source holds RWKV's tensors, else the source itself.
Result<std::unique_ptr<Checkpoint>> AdaptRwkv(std::unique_ptr<Checkpoint> source);

}  // namespace ingot::model
