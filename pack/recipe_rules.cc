#include "pack/recipe_rules.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace ingot::pack {
namespace {

// Presets without calibration; docs/codecs.md has what each was measured to cost.
codecs::RecipeOptions Int(std::int64_t bits, std::int64_t group) {
  codecs::RecipeOptions recipe;
  recipe.codec = bits == 8 ? "int8_rtn" : "int4_rtn";
  recipe.group = group;
  return recipe;
}

// Zero points and 8-bit scales: at equal size less divergence than symmetric codes with fp16 scales
// (docs/benchmarks.md).
codecs::RecipeOptions Int4Asymmetric(std::int64_t group) {
  codecs::RecipeOptions recipe = Int(4, group);
  recipe.levels = "asymmetric";
  recipe.scales = "q8";
  return recipe;
}

constexpr std::array kTargets = {
    TargetInfo{"quality", "8 bits: at most 8.3 bits a linear weight, close to the source", 7.4,
               "entropy_v1"},
    TargetInfo{"balanced",
               "4 bits: at most 4.5 bits a linear weight, in memory as in the file; the default",
               4.2, "int4_gptq"},
    TargetInfo{"size",
               "3 bits: at most 3.1 bits a linear weight in the file, 8 in memory; needs "
               "statistics",
               3, "entropy_v2"},
};

Result<std::int64_t> ParseCount(std::string_view key, std::string_view value) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size() || number <= 0)
    return InvalidArgument(fmt::format("{}='{}' is not a positive number", key, value));
  return number;
}

Result<double> ParseReal(std::string_view key, std::string_view value) {
  double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size() || !(number > 0) ||
      !std::isfinite(number))
    return InvalidArgument(fmt::format("{}='{}' is not a positive number", key, value));
  return number;
}

Status SetOption(std::string_view item, codecs::RecipeOptions& recipe) {
  const std::size_t equals = item.find('=');
  if (equals == std::string_view::npos)
    return InvalidArgument(fmt::format("'{}' is not key=value", item));
  const std::string_view key = item.substr(0, equals);
  const std::string_view value = item.substr(equals + 1);
  if (key == "group") {
    INGOT_ASSIGN(recipe.group, ParseCount(key, value));
  } else if (key == "bits") {
    INGOT_ASSIGN(recipe.bits, ParseCount(key, value));
  } else if (key == "dimension") {
    INGOT_ASSIGN(recipe.dimension, ParseCount(key, value));
  } else if (key == "effort") {
    recipe.effort = value;
  } else if (key == "levels") {
    recipe.levels = value;
  } else if (key == "scales") {
    recipe.scales = value;
  } else if (key == "transform") {
    recipe.transform = value;
  } else if (key == "step") {
    INGOT_ASSIGN(recipe.step, ParseReal(key, value));
  } else if (key == "rate") {
    INGOT_ASSIGN(recipe.rate, ParseReal(key, value));
  } else {
    return InvalidArgument(
        fmt::format("unknown option '{}' (known: group, bits, dimension, effort, levels, scales, "
                    "transform, step, rate)",
                    key));
  }
  return OkStatus();
}

}  // namespace

Result<codecs::RecipeOptions> ParseRecipe(std::string_view text) {
  codecs::RecipeOptions recipe;
  const std::size_t colon = text.find(':');
  recipe.codec = text.substr(0, colon);
  if (recipe.codec.empty()) return InvalidArgument("no codec is named");
  if (colon == std::string_view::npos) return recipe;
  std::string_view rest = text.substr(colon + 1);
  while (true) {
    const std::size_t comma = rest.find(',');
    INGOT_TRY(SetOption(rest.substr(0, comma), recipe));
    if (comma == std::string_view::npos) return recipe;
    rest.remove_prefix(comma + 1);
  }
}

Result<Rule> ParseRule(std::string_view text) {
  const std::string place = fmt::format("rule '{}'", text);
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0)
    return InvalidArgument("expected GLOB=CODEC[:key=value,...]").At(place);
  Rule rule;
  rule.text = text;
  rule.glob = text.substr(0, equals);
  INGOT_ASSIGN(rule.recipe, ParseRecipe(text.substr(equals + 1)).At(place));
  return rule;
}

std::string RecipeText(const codecs::RecipeOptions& recipe) {
  std::string options;
  const auto add = [&](std::string_view key, const std::string& value) {
    options += fmt::format("{}{}={}", options.empty() ? ":" : ",", key, value);
  };
  if (recipe.group != 0) add("group", std::to_string(recipe.group));
  if (recipe.bits != 0) add("bits", std::to_string(recipe.bits));
  if (recipe.dimension != 0) add("dimension", std::to_string(recipe.dimension));
  if (!recipe.effort.empty()) add("effort", recipe.effort);
  if (!recipe.levels.empty()) add("levels", recipe.levels);
  if (!recipe.scales.empty()) add("scales", recipe.scales);
  if (!recipe.transform.empty()) add("transform", recipe.transform);
  if (recipe.step != 0) add("step", fmt::format("{}", recipe.step));
  if (recipe.rate != 0) add("rate", fmt::format("{}", recipe.rate));
  return recipe.codec + options;
}

bool GlobMatches(const std::string& glob, const std::string& tensor) {
  if (::fnmatch(glob.c_str(), tensor.c_str(), 0) == 0) return true;
  static constexpr std::string_view kSuffix = ".weight";
  if (!tensor.ends_with(kSuffix)) return false;
  const std::string stem = tensor.substr(0, tensor.size() - kSuffix.size());
  return ::fnmatch(glob.c_str(), stem.c_str(), 0) == 0;
}

std::span<const TargetInfo> Targets() { return kTargets; }

Result<RolePreset> TargetPreset(std::string_view target) {
  if (target == "quality") return RolePreset{Int(8, 64), Int(8, 64), Int(8, 64)};
  if (target == "balanced") return RolePreset{Int4Asymmetric(32), Int(8, 64), Int(8, 64)};
  if (target == "size") return RolePreset{Int4Asymmetric(128), Int(8, 128), Int(8, 128)};
  return InvalidArgument(
      fmt::format("unknown target '{}' (known: quality, balanced, size)", target));
}

codecs::RecipeOptions LadderCodec(const codecs::RecipeOptions& codec) {
  codecs::RecipeOptions ladder = codec;
  if (ladder.codec.empty()) ladder.codec = "entropy_v1";
  const auto recipe = codecs::FindRecipe(ladder.codec);
  if (!recipe.ok()) return ladder;
  if ((*recipe)->rotates && ladder.transform.empty()) ladder.transform = "hadamard";
  if ((*recipe)->ladder != codecs::RecipeLadder::kBits || ladder.group != 0 ||
      !ladder.scales.empty())
    return ladder;
  // For nearly the bits of group 128 with f16 scales, a finer grid.
  ladder.group = 64;
  ladder.scales = "q8";
  return ladder;
}

RolePreset LearnedPreset(const codecs::RecipeOptions& codec, double bits, bool tied) {
  codecs::RecipeOptions chosen = LadderCodec(codec);
  const auto row = codecs::FindRecipe(chosen.codec);
  // A step takes what a rate of as many bits does; rates end at 7 bits.
  if (row.ok() && (*row)->keys.rate) chosen.rate = std::min(bits, 7.0);
  return {chosen, tied ? chosen : Int(8, 64), chosen};
}

RolePreset CodecPreset(const codecs::RecipeOptions& recipe) {
  const auto row = codecs::FindRecipe(recipe.codec);
  const bool is_fine = recipe.bits != 0 ? recipe.bits >= 8 : row.ok() && (*row)->fine;
  codecs::RecipeOptions fine = is_fine ? recipe : Int(8, recipe.group);
  if (is_fine && recipe.bits == 0) fine.bits = (*row)->fine_bits;
  return {recipe, fine, fine};
}

}  // namespace ingot::pack
