// Rows that left the forward at a layer border and whose layers above nobody has needed yet: they
// run there, in a batch with the first later row of their sequence that does. So what every row
// sees is what it would see if none had left, bit by bit, and layers that nobody asks for are never
// run. (But for frequencies that follow a sequence's length: a row that waited turns by the length
// of then.)
//
// Thread rule: as the op set's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "loader/cpu/cpu_ops.h"
#include "model/architecture/architecture.h"
#include "model/forward/batch.h"

namespace ingot::loader {

struct WaitingRow {
  std::int32_t id = 0;
  model::Row row;
  std::size_t next = 0;  // the layer that it runs next
  std::vector<float> state;
  std::vector<float> first_value;  // RWKV 7's, of layer 0
};

// As model::RunLayers, and rows that leave (CpuOps::after_layer) wait. `waiting`: those of the
// batch's sequences before it and after it, by sequence in the batch's order, then by position.
// `ran` grows by the layers that they ran. REQUIRES: rows of a sequence stand together; room for
// all of them.
Tensor RunLayersWithWaiting(CpuOps& ops, const model::Architecture& architecture,
                            const model::Batch& batch, std::vector<WaitingRow>& waiting,
                            std::uint64_t& ran);

}  // namespace ingot::loader
