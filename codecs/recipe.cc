#include "codecs/recipe.h"

#include <algorithm>
#include <array>
#include <string>

#include "codecs/encoders/dependent_makers.h"

namespace ingot::codecs {
namespace {

constexpr RecipeKeys kNearest{
    .group = true, .bits = true, .levels = true, .scales = true, .hadamard = true};

constexpr Recipe Nearest(std::string_view name, std::int64_t bits, std::string_view summary) {
  return {.name = name,
          .summary = summary,
          .make = MakeNearestInts,
          .keys = kNearest,
          .defaults = {.bits = bits, .group = 128},
          .fine = bits >= 8};
}

constexpr Recipe Guided(std::string_view name, std::int64_t bits, std::string_view summary) {
  return {.name = name,
          .summary = summary,
          .make = MakeGuidedInts,
          .keys = kNearest,
          .defaults = {.bits = bits, .group = 128},
          .ladder = RecipeLadder::kBits,
          .rotates = true,
          .needs_statistics = true};
}

constexpr std::array kRecipes = {
    Nearest("int4_rtn", 4, "4-bit (or --bits) nearest rounding, best clip range a group of 128"),
    Nearest("int2_rtn", 2, "int4_rtn with 2 bits"),
    Nearest("int3_rtn", 3, "int4_rtn with 3 bits"),
    Nearest("int8_rtn", 8, "int4_rtn with 8 bits"),
    Guided("int4_gptq", 4, "4-bit (or --bits) rounding that compensates its errors by statistics"),
    Guided("int2_gptq", 2, "int4_gptq with 2 bits"),
    Guided("int3_gptq", 3, "int4_gptq with 3 bits"),
    Guided("int5_gptq", 5, "int4_gptq with 5 bits"),
    Guided("int6_gptq", 6, "int4_gptq with 6 bits"),
    Guided("int8_gptq", 8, "int4_gptq with 8 bits"),
    Recipe{.name = "int4_g8_fp16_v1",
           .summary = "4 bits, an fp16 scale every 8 weights: 6 bits per weight",
           .make = MakeNearestInts,
           .keys = {.levels = true, .hadamard = true},
           .defaults = {.bits = 4, .group = 8}},
    Recipe{.name = "int4_awq_v1",
           .summary = "4 bits g256 under activation-aware channel scales; 0.5 % in fp16",
           .make = MakeAwq,
           .keys = {.group = true, .levels = true, .scales = true},
           .defaults = {.bits = 4, .group = 256},
           .needs_statistics = true},
    Recipe{
        .name = "int4_opt_llama_v1",
        .summary = "4 bits; scales, zero points and codes improved in turns until the loss stays",
        .make = MakeLongGuidedInts,
        .keys = {.group = true, .levels = true, .scales = true, .hadamard = true},
        .defaults = {.bits = 4, .group = 128, .levels = "asymmetric"}},
    Recipe{.name = "int4_residual_v1",
           .summary = "4 bits g16, then 2 bits g16 of the residual as level 1",
           .make = MakeResidual,
           .keys = {.group = true, .levels = true, .scales = true, .hadamard = true},
           .defaults = {.bits = 4, .group = 16}},
    Recipe{.name = "fp8_hybrid_v1",
           .summary = "fp8 e4m3 in blocks of 128; |z| > 3 outliers in fp16",
           .make = MakeFp8Hybrid,
           .keys = {.group = true},
           .defaults = {.bits = 8, .group = 128},
           .fine = true},
    Recipe{.name = "nested_v1",
           .summary = "4 bits, 8 bits, then the exact source, as three levels",
           .make = MakeNested,
           .keys = {.group = true, .bits = true, .levels = true, .hadamard = true},
           .defaults = {.bits = 4, .group = 128},
           .rotates = true,
           .fine = true,
           .fine_bits = 8},
    Recipe{
        .name = "calibrated_vq",
        .summary = "a codebook a matrix (--bits, 4; --dimension 1, 2 or 4), k-means by statistics",
        .make = MakeCalibratedVq,
        .keys = {.group = true, .bits = true, .hadamard = true, .dimension = true},
        .defaults = {.bits = 4},
        .ladder = RecipeLadder::kOwnBits,
        .rotates = true,
        .needs_statistics = true},
    Recipe{.name = "tenpak_x_v1",
           .summary = "rank 32, 2 bits of a codebook, then 4 bits of the residual as level 1",
           .make = MakeTenpakX,
           .keys = {.group = true, .levels = true, .scales = true, .hadamard = true},
           .defaults = {.bits = 4, .group = 128, .scales = "q8"},
           .rotates = true,
           .needs_statistics = true},
    Recipe{.name = "trellis_v1",
           .summary =
               "2, 3 or 4 bits (--bits, 3) by a trellis, small in memory; --effort high: better",
           .make = MakeTrellis,
           .keys = {.bits = true, .hadamard = true, .effort = true},
           .defaults = {.bits = 3},
           .ladder = RecipeLadder::kOwnBits,
           .finer = "int4_gptq",
           .rotates = true,
           .needs_statistics = true},
    Recipe{.name = "entropy_v1",
           .summary = "integers of any rate (--rate, --step), entropy-coded: smallest on disk",
           .make = MakeEntropy,
           .keys = {.rate = true},
           .ladder = RecipeLadder::kSteps},
    Recipe{.name = "entropy_v2",
           .summary = "entropy_v1 by a trellis (--bits of state, 8): .2 bit smaller, packs slower",
           .make = MakeDependent,
           .keys = {.bits = true, .rate = true},
           .ladder = RecipeLadder::kSteps},
    Recipe{.name = "lossless_v1",
           .summary = "bit-exact; exponents apart, for entropy coding; a source's codes as codes",
           .make = MakeLossless,
           .fine = true,
           .exact = true,
           .keeps_codes = true},
    Recipe{.name = "raw",
           .summary = "the source's own values",
           .make = MakeRaw,
           .fine = true,
           .exact = true},
};

Status CheckOptions(const RecipeOptions& options, const RecipeKeys& keys) {
  const auto refuse = [&](const char* name) {
    return InvalidArgument("codec " + options.codec + " takes no option '" + name + "'");
  };
  if (options.group != 0 && !keys.group) return refuse("group");
  if (options.bits != 0 && !keys.bits) return refuse("bits");
  if (!options.levels.empty() && !keys.levels) return refuse("levels");
  if (!options.scales.empty() && !keys.scales) return refuse("scales");
  if (options.step != 0 && !keys.rate) return refuse("step");
  if (options.rate != 0 && !keys.rate) return refuse("rate");
  if (options.dimension != 0 && !keys.dimension) return refuse("dimension");
  if (!options.effort.empty() && !keys.effort) return refuse("effort");
  if (!options.effort.empty() && options.effort != "high")
    return InvalidArgument("effort '" + options.effort + "' (known: high)");
  const std::string& transform = options.transform;
  if (!transform.empty() && transform != "none" && transform != "hadamard" && transform != "awq")
    return InvalidArgument("transform '" + transform + "' (known: none, hadamard, awq)");
  if ((transform == "hadamard" && !keys.hadamard) || transform == "awq")
    return InvalidArgument("codec " + options.codec + " takes no transform '" + transform + "'");
  if (options.group < 0)
    return InvalidArgument("group " + std::to_string(options.group) + ": at least 1 weight");
  return OkStatus();
}

RecipeOptions Filled(RecipeOptions options, const RecipeDefaults& defaults) {
  if (options.bits == 0) options.bits = defaults.bits;
  if (options.group == 0) options.group = defaults.group;
  if (options.levels.empty()) options.levels = defaults.levels;
  if (options.scales.empty()) options.scales = defaults.scales;
  return options;
}

}  // namespace

std::span<const Recipe> Recipes() { return kRecipes; }

Result<const Recipe*> FindRecipe(std::string_view name) {
  std::string known;
  for (const Recipe& recipe : kRecipes) {
    if (recipe.name == name) return &recipe;
    known += (known.empty() ? "" : ", ") + std::string(recipe.name);
  }
  return NotFound("codec '" + std::string(name) + "' (known: " + known + ")");
}

std::vector<const Recipe*> RungsOf(const Recipe& recipe) {
  std::vector<const Recipe*> rungs;
  for (const Recipe& other : kRecipes)
    if (other.ladder == RecipeLadder::kBits && other.make == recipe.make) rungs.push_back(&other);
  std::sort(rungs.begin(), rungs.end(),
            [](const Recipe* a, const Recipe* b) { return a->defaults.bits < b->defaults.bits; });
  return rungs;
}

Result<std::unique_ptr<TensorEncoder>> MakeEncoder(const RecipeOptions& options, std::uint64_t cols,
                                                   DType dtype) {
  INGOT_ASSIGN(const Recipe* recipe, FindRecipe(options.codec));
  INGOT_TRY(CheckOptions(options, recipe->keys));
  return recipe->make(Filled(options, recipe->defaults), cols, dtype);
}

bool RotatesByDefault(const RecipeOptions& options) {
  const Result<const Recipe*> recipe = FindRecipe(options.codec);
  return recipe.ok() && (*recipe)->rotates && options.transform.empty() && options.levels != "log";
}

}  // namespace ingot::codecs
