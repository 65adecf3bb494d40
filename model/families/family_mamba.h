// State-space mixers under the names that transformers gives their tensors: shared by pure Mamba
// models and hybrids.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "model/families/family.h"

namespace ingot::model {

inline constexpr std::uint64_t kMaxStateSize = 1 << 16;
inline constexpr std::uint64_t kMaxConvKernel = 64;

struct MambaSizes {
  std::uint64_t hidden = 0, inner = 0, state = 0, kernel = 0;
  std::uint64_t rank = 0;               // Mamba
  std::uint64_t heads = 0, groups = 0;  // Mamba-2
  bool bias = false;                    // in_proj, out_proj
  bool conv_bias = true;
  Activation activation = Activation::kSilu;  // of the convolution; gates are SiLU, always
};

// The rank of the time step: a number, or "auto" (and absent) for ceil(hidden / 16).
std::uint64_t TimeStepRank(ConfigReader& config, const char* key, std::uint64_t hidden);

// in_proj, conv1d, x_proj, dt_proj, A_log, D, out_proj under `module`; no norms.
MambaSpec MambaMixer(const std::string& module, const MambaSizes& sizes);
// in_proj, conv1d, dt_bias, A_log, D, norm, out_proj under `module`.
Mamba2Spec Mamba2Mixer(const std::string& module, const MambaSizes& sizes, double norm_eps);

// Heads of Mamba-2 and their groups divide what they must; Fails otherwise.
void CheckMamba2Sizes(ConfigReader& config, const MambaSizes& sizes);

// Sets the limits of dt from [low, high]; high may be infinite, which JSON has no number for:
// {"__float__": "Infinity"}.
void ReadTimeStepLimits(ConfigReader& config, const char* key, Mamba2Spec& mamba);

}  // namespace ingot::model
