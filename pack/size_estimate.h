// What a plan's tensors will take in the file, before anything is packed: sizes that are known as
// they are, the rate of a codec that is made to meet one, and of streams that are compressed, or
// whose length the weights decide, what a sample of each kind of matrix came to; where statistics
// round the codes whose length is asked, of each matrix.
//
// Thread rule: functions without state.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "model/source/checkpoint.h"
#include "pack/plan.h"

namespace ingot::pack {

// Stored bytes of each tensor of the plan. Reads some rows of one matrix of every pattern of names
// whose size is not known without, and factors what the statistics know of those that they round.
// Errors of reading and encoding those.
Result<std::vector<std::uint64_t>> EstimateBytes(const model::Checkpoint& checkpoint,
                                                 const PackPlan& plan);

// The estimates of a plan by LearnedPreset(..., bits): what the budget spends takes `bits` of a
// weight, one with another.
void SpendBits(const PackPlan& plan, double bits, std::vector<std::uint64_t>& bytes);

// What the artifact has beside its tensors: the model's files, the manifest, the index.
double EstimateOverhead(const model::Checkpoint& checkpoint);

}  // namespace ingot::pack
