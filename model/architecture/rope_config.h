// Rotary embeddings from a config.json: rope_theta and rope_scaling of older transformers, or
// rope_parameters of transformers 5 (flat, or one object a layer type). Where a config has both,
// what transformers makes of them: rope_scaling wins.
#pragma once

#include <cstdint>
#include <string>

#include "model/architecture/architecture.h"
#include "model/architecture/config_reader.h"

namespace ingot::model {

struct RopeRequest {
  std::uint64_t head_dim = 0;
  std::uint64_t max_positions = 0;
  // Phi-3 takes nothing from rope_scaling for it, only the config's own key. 0: max_positions, and
  // rope_scaling is asked.
  std::uint64_t default_original_positions = 0;
  double default_theta = 10000;
  // Whether the family can rotate a part of each head, what the part is where nothing says it, and
  // the key beside rope_parameters that may say it ("": none).
  bool partial = false;
  double default_partial = 1;
  const char* partial_key = "partial_rotary_factor";
  // Names the object inside rope_parameters where these differ by layer type; empty: flat.
  std::string layer_type = {};
  // Old-style keys, for this layer type. An empty scaling key: never scaled.
  const char* theta_key = "rope_theta";
  const char* scaling_key = "rope_scaling";
  // The name "yarn" means longrope in old Phi-3 files.
  bool yarn_is_longrope = false;
};

// Types: default, linear, dynamic, llama3, yarn, longrope (also "su"). Errors stick in `config`;
// InvalidArgument for numbers that do not fit, Unsupported for another type.
//
// Computed in float32 in the order transformers computes in, so that the tables agree to the last
// bit or so.
//
// Sources: Su et al. 2021 (rope), kaiokendev (linear), bloc97 (NTK), Peng et al. 2023 (YaRN), Ding
// et al. 2024 (LongRoPE), the LLaMA 3.1 release (llama3).
RopeSpec ReadRope(ConfigReader& config, const RopeRequest& request);

}  // namespace ingot::model
