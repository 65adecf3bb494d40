// What a pack will do, before it does anything: each tensor's codec, planes and sizes, in streaming
// order. The plan alone decides an artifact's bytes, together with the source.
//
// Thread rule: immutable once made.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "calibration/statistics.h"
#include "codecs/recipe.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"
#include "pack/recipe_rules.h"

namespace ingot::pack {

using model::Json;

struct PlanOptions {
  RolePreset preset;
  std::vector<Rule> rules;                              // a later one overrides an earlier one
  std::map<std::string, codecs::RecipeOptions> chosen;  // by allocation, instead of the preset
  Json allocation;                  // what chose them, for the manifest; null: nothing did
  std::set<std::string> nonfinite;  // tensors with NaN or infinity, stored as they are
  bool allow_unused = false;        // tensors that the architecture does not use are left out
  bool require_tokenizer = true;
  // Of this model (checked by MakePlan); null: every recipe rounds without knowing its inputs.
  std::shared_ptr<const calibration::Statistics> statistics;
  // For a plan alone: statistics would be taken first, and know every matrix that is multiplied.
  bool statistics_to_come = false;
};

// Bytes of a tensor in the artifact's chunks.
struct PlannedBytes {
  std::uint64_t exact = 0;      // streams whose stored size is known before encoding
  std::uint64_t at_most = 0;    // streams that are compressed where it pays: their size before
  bool data_dependent = false;  // has streams whose length only encoding tells (sparse outliers)
};

struct PlannedTensor {
  model::TensorInfo source;
  model::TensorRole role = model::TensorRole::kVector;
  int layer = -1;
  bool transposed = false;           // the source holds cols x rows
  std::vector<std::uint64_t> shape;  // as stored in the artifact
  std::uint64_t rows = 0;            // matrix view; a vector is 1 x n
  std::uint64_t cols = 0;
  codecs::RecipeOptions recipe;
  std::shared_ptr<const codecs::TensorEncoder> encoder;
  std::uint64_t slab_rows = 0;
  std::uint32_t slab_count = 0;
  std::uint64_t resident_bytes = 0;  // fixed-size streams, decoded
  PlannedBytes bytes;

  std::uint64_t weights() const { return rows * cols; }
  std::uint64_t source_bytes() const { return weights() * DTypeBytes(source.dtype); }
  // Rows [begin, end) of slab `slab`.
  std::uint64_t SlabBegin(std::uint32_t slab) const { return slab * slab_rows; }
  std::uint64_t SlabEnd(std::uint32_t slab) const {
    const std::uint64_t end = SlabBegin(slab) + slab_rows;
    return end < rows ? end : rows;
  }
};

struct PackPlan {
  std::string family;
  std::vector<PlannedTensor> tensors;  // execution order
  std::vector<std::string> unused;     // in the source, left out
  std::set<std::string> nonfinite;     // stored as they are although they hold NaN or infinity
  RolePreset preset;
  std::vector<Rule> rules;
  Json allocation;
  std::shared_ptr<const calibration::Statistics> statistics;
};

// What a model lacks is not the user's typing error: InvalidArgument becomes Unsupported, exit code 1.
Status ModelError(Status status);

std::string_view RoleName(model::TensorRole role);  // "embedding", "linear", "head", "vector"

// Resolves presets and rules for every tensor the model uses. Matrices follow the rules; vectors
// (norms, biases) are stored in the source's format. Errors: InvalidArgument for options no tensor
// can have and for a rule that matches no matrix; Unsupported, NotFound or Corruption where config
// and tensors do not make a model; NotFound for an absent tokenizer.
Result<PackPlan> MakePlan(const model::Checkpoint& checkpoint, const PlanOptions& options);

}  // namespace ingot::pack
