// The registry of recipes: a row for each codec that `--codec` names. What a codec takes, what its
// options are unless given, and how the packer treats it stands in its row and nowhere else.
//
// Thread rule: constants and pure functions.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "codecs/encoders/recipe_makers.h"

namespace ingot::codecs {

// Options that a recipe takes beside its name.
struct RecipeKeys {
  bool group = false, bits = false, levels = false, scales = false;
  bool hadamard = false;  // transform=hadamard
  bool rate = false;      // step and rate
  bool dimension = false;
  bool effort = false;
};

// What they are where they are not given.
struct RecipeDefaults {
  std::int64_t bits = 0;   // of a weight's codes at level 0
  std::int64_t group = 0;  // weights that share a scale
  std::string_view levels = "symmetric";
  std::string_view scales = "f16";
};

// What a budget chooses among (pack/allocate.h).
enum class RecipeLadder {
  kNone,
  kBits,     // the recipes of one maker, by their bits
  kOwnBits,  // the recipe's own bits
  kSteps,    // one step for the model
};

struct Recipe {
  std::string_view name;
  std::string_view summary;  // one line for --help and docs
  RecipeMaker make = nullptr;
  RecipeKeys keys;
  RecipeDefaults defaults;

  RecipeLadder ladder = RecipeLadder::kNone;
  // Of kOwnBits: a recipe whose ladder of bits goes on where its own ends; empty: nothing does.
  std::string_view finer = {};
  // Its rows are rotated (hadamard), the transform left open, where a matrix's Hessian is known: of
  // the error compensated codecs, whose KL falls by more than half.
  bool rotates = false;
  // Embedding and head get it as well where linear weights do, its bits left open: they are read
  // whole for every token of text and the most sensitive matrices of small models. With
  // `fine_bits`, where not 0.
  bool fine = false;
  std::int64_t fine_bits = 0;
  // Keeps the source's own bits: there is nothing to choose for it.
  bool exact = false;
  // A matrix that the source has in codes is kept in them (pack/kept_codes.h).
  bool keeps_codes = false;
  // Its method is what it does with statistics of the matrix's inputs: without them it would be
  // another codec under this one's name, and is refused.
  bool needs_statistics = false;
};

// Recipes that this build encodes, in a fixed order.
std::span<const Recipe> Recipes();
// NotFound for an unknown name (says which exist).
Result<const Recipe*> FindRecipe(std::string_view name);
// The rungs of a recipe's ladder of bits, fewest first. REQUIRES: recipe.ladder is kBits.
std::vector<const Recipe*> RungsOf(const Recipe& recipe);

// Resolves options for a tensor of this width and source format. NotFound for an unknown name,
// InvalidArgument for options that the recipe does not take.
Result<std::unique_ptr<TensorEncoder>> MakeEncoder(const RecipeOptions& options, std::uint64_t cols,
                                                   DType dtype);

// Whether the recipe, its options left so, is rotated where a Hessian is known. Whoever resolves
// options sets the transform; MakeEncoder takes an empty one as none.
bool RotatesByDefault(const RecipeOptions& options);

}  // namespace ingot::codecs
