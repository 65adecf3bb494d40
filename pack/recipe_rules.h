// Which codec a tensor gets: presets (--target), the codec named by --codec, and rules by tensor
// name
// (--rule 'GLOB=CODEC[:key=value,...]').
//
// Thread rule: values.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "codecs/recipe.h"

namespace ingot::pack {

// Vectors, and tensors that hold a NaN under --allow-nonfinite: the source's own bytes.
inline constexpr std::string_view kRawCodec = "raw";

// A rule of the command line. A later rule that matches overrides an earlier one.
struct Rule {
  std::string text;  // as it was given
  std::string glob;
  codecs::RecipeOptions recipe;
};

// Parses "GLOB=CODEC[:key=value,...]" with the keys group, bits, levels, scales,
// transform, step, rate. The first '='
// splits, so a glob holds none. InvalidArgument says what is wrong.
Result<Rule> ParseRule(std::string_view text);

// Parses the part after '=': "int4_rtn:group=64,bits=4".
Result<codecs::RecipeOptions> ParseRecipe(std::string_view text);

// Writes a recipe as ParseRecipe reads it; options at their defaults are left out.
std::string RecipeText(const codecs::RecipeOptions& recipe);

// Shell globs: * ? [a-z], where * also crosses dots. "lm_head" matches "lm_head.weight" too.
bool GlobMatches(const std::string& glob, const std::string& tensor);

// What each role gets before rules.
struct RolePreset {
  codecs::RecipeOptions linear;
  codecs::RecipeOptions embedding;
  codecs::RecipeOptions head;
};

struct TargetInfo {
  std::string_view name;
  std::string_view summary;
  // What statistics make of it: bits of a linear weight, on the ladder of this codec.
  double learned_bits = 0;
  std::string_view learned_codec;
};
// quality, balanced, size.
std::span<const TargetInfo> Targets();
// Of nearest rounding, without statistics. InvalidArgument for an unknown target.
Result<RolePreset> TargetPreset(std::string_view target);

// What --smallest asks for: bits of a linear weight, some fewer than the default target's, which
// cost about what they do in entropy_v2.
inline constexpr double kSmallestBits = 3.75;

// Whose ladder a budget is spent on: without a codec entropy_v1's, and what its options leave open
// as allocation has it.
codecs::RecipeOptions LadderCodec(const codecs::RecipeOptions& codec);

// What a target, or a budget of as many bits, becomes where statistics spend them: LadderCodec of
// `codec` for all that they know. What they do not know (the embedding, unless it is the
// head, too) stays close to the source. For estimates: the bits of a matrix are found by trying.
RolePreset LearnedPreset(const codecs::RecipeOptions& codec, double bits, bool tied);

// The preset that `--codec` with its options stands for: linear weights get it as it is. Embedding
// and head get the same where it is fine enough for them (8 bits or more, Recipe::fine), else 8-bit
// integers of its group.
RolePreset CodecPreset(const codecs::RecipeOptions& recipe);

}  // namespace ingot::pack
