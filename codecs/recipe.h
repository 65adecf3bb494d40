// Named recipes: a codec of the mission as a list of planes, and the encoder that fills them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "codecs/encoders/tensor_encoder.h"

namespace ingot::codecs {

// What a user may set: --codec NAME --group G --bits B.
struct RecipeOptions {
  std::string codec = "int4_rtn";
  std::int64_t group = 0;  // weights that share a scale, 0 = the recipe's default
  std::int64_t bits = 0;   // 0 = the recipe's default
  std::string levels;  // "symmetric", "asymmetric", "normal", "log"; empty = the recipe's default
  std::string scales;  // "f16", "q8" (8-bit scales under one fp16 a row); empty = default
  std::string transform;  // "none", "hadamard", "awq"; empty = default
  double step = 0;        // entropy_v1: the model-wide constant c of its steps; 0 = from `rate`
  double rate = 0;        // entropy_v1: stored bits per weight to reach by choosing c; 0 = default
};

struct RecipeInfo {
  std::string_view name;
  std::string_view summary;  // one line for --help and docs
};

// Recipes that this build encodes, in a fixed order.
std::span<const RecipeInfo> Recipes();

// Resolves options for a tensor of this width and source format. NotFound for an unknown name (says
// which exist), InvalidArgument for options that the recipe does not take.
Result<std::unique_ptr<TensorEncoder>> MakeEncoder(const RecipeOptions& options, std::uint64_t cols,
                                                   DType dtype);

// Whether the recipe, its transform left open, rotates its rows (hadamard) where a matrix's Hessian
// is known: the error compensated codecs, whose KL falls by more than half. Whoever resolves
// options sets the transform; MakeEncoder takes an empty one as none.
bool RotatesByDefault(const RecipeOptions& options);

}  // namespace ingot::codecs
