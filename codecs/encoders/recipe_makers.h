// What recipes make of options: the planes, and the encoder that fills them. codecs/recipe.cc gives
// each a name, the options it takes and their defaults.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "codecs/encoders/tensor_encoder.h"

namespace ingot::codecs {

// What a user may set: --codec NAME --group G --bits B.
struct RecipeOptions {
  std::string codec = "int4_rtn";
  std::int64_t group = 0;  // weights that share a scale, 0 = the recipe's default
  std::int64_t bits = 0;   // 0 = the recipe's default
  std::string levels;  // "symmetric", "asymmetric", "normal", "log"; empty = the recipe's default
  std::string scales;  // "f16", "q8" (8-bit scales under one fp16 a row); empty = default
  std::string transform;       // "none", "hadamard", "awq"; empty = default
  double step = 0;             // of a ladder by steps: the model-wide constant c; 0 = from `rate`
  double rate = 0;             // stored bits per weight to reach by choosing c; 0 = default
  std::string effort;          // "", or "high": more states, longer
  std::int64_t dimension = 0;  // weights that share an index of a codebook, 0 = by `bits`
};

// Resolves options for a tensor of this width and source format. REQUIRES: `options` holds only
// what the recipe takes, defaults filled in; an empty transform is none. InvalidArgument for values
// that the recipe cannot have.
using RecipeMaker = Result<std::unique_ptr<TensorEncoder>> (*)(const RecipeOptions& options,
                                                               std::uint64_t cols, DType dtype);

// One int plane, rounded to nearest.
Result<std::unique_ptr<TensorEncoder>> MakeNearestInts(const RecipeOptions& options,
                                                       std::uint64_t cols, DType dtype);
// The same, rounded by statistics where there are some; no log levels.
Result<std::unique_ptr<TensorEncoder>> MakeGuidedInts(const RecipeOptions& options,
                                                      std::uint64_t cols, DType dtype);
// The same, with grids and codes improved in turns until the loss stays.
Result<std::unique_ptr<TensorEncoder>> MakeLongGuidedInts(const RecipeOptions& options,
                                                          std::uint64_t cols, DType dtype);
// 4 bits, and 2 bits of what they left as level 1.
Result<std::unique_ptr<TensorEncoder>> MakeResidual(const RecipeOptions& options,
                                                    std::uint64_t cols, DType dtype);
// 4 (or 8) bits, 4 more as level 1, and a remainder that restores the source as level 2.
Result<std::unique_ptr<TensorEncoder>> MakeNested(const RecipeOptions& options, std::uint64_t cols,
                                                  DType dtype);
// 4 bits under channel scales, and the costliest weights as f16.
Result<std::unique_ptr<TensorEncoder>> MakeAwq(const RecipeOptions& options, std::uint64_t cols,
                                               DType dtype);
// fp8 in blocks of `group`, and outliers as f16.
Result<std::unique_ptr<TensorEncoder>> MakeFp8Hybrid(const RecipeOptions& options,
                                                     std::uint64_t cols, DType dtype);
// Indices into a codebook of the tensor, `bits` a weight.
Result<std::unique_ptr<TensorEncoder>> MakeCalibratedVq(const RecipeOptions& options,
                                                        std::uint64_t cols, DType dtype);
// A low rank, a codebook's 2 bits for what it leaves, and `bits` of what both leave as level 1.
Result<std::unique_ptr<TensorEncoder>> MakeTenpakX(const RecipeOptions& options, std::uint64_t cols,
                                                   DType dtype);
// A fixed rate of 2, 3 or 4 bits by a bit-shift trellis.
Result<std::unique_ptr<TensorEncoder>> MakeTrellis(const RecipeOptions& options, std::uint64_t cols,
                                                   DType dtype);
// Integers of any rate under `step` or `rate`.
Result<std::unique_ptr<TensorEncoder>> MakeEntropy(const RecipeOptions& options, std::uint64_t cols,
                                                   DType dtype);
// The source's bits, exponents apart.
Result<std::unique_ptr<TensorEncoder>> MakeLossless(const RecipeOptions& options,
                                                    std::uint64_t cols, DType dtype);
// The source's own values.
Result<std::unique_ptr<TensorEncoder>> MakeRaw(const RecipeOptions& options, std::uint64_t cols,
                                               DType dtype);

}  // namespace ingot::codecs
