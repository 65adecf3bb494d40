#include "jobs/pack_options.h"

#include <algorithm>
#include <utility>

#include "calibration/statistics.h"
#include "pack/recipe_rules.h"

namespace ingot::jobs {
namespace {

bool ChoosesCodec(const codecs::RecipeOptions& r) {
  return !r.codec.empty() || r.group != 0 || r.bits != 0 || !r.levels.empty() ||
         !r.scales.empty() || !r.transform.empty() || r.rate != 0 || r.dimension != 0 ||
         !r.effort.empty();
}

bool NeedsStatistics(const codecs::RecipeOptions& recipe) {
  const auto row = codecs::FindRecipe(recipe.codec);
  return row.ok() && (*row)->needs_statistics;
}

bool RulesNeedStatistics(const PackJobOptions& options) {
  return std::ranges::any_of(options.rules, [](const std::string& text) {
    const auto rule = pack::ParseRule(text);
    return rule.ok() && NeedsStatistics(rule->recipe);
  });
}

Result<pack::RolePreset> PresetOf(const PackJobOptions& options, bool by_budget) {
  const bool codec = ChoosesCodec(options.recipe);
  if (options.budget.given() && !options.target.empty())
    return InvalidArgument("give --target, or a budget, not both");
  if (codec && !options.target.empty())
    return InvalidArgument("give --target, or --codec with its options, not both");
  // What a budget does not choose, since statistics do not know it, stays close to the source.
  if (!codec && by_budget) return pack::TargetPreset("quality");
  // Nearest rounding at three bits would be a model's ruin: the promise is kept or refused.
  if (!codec && options.target == "size" && KnowledgeOf(options) == Knowledge::kNothing)
    return InvalidArgument(
        "--target size is 3 bits a weight, which need statistics: --calib self or --calib FILE, "
        "and "
        "no --fast");
  if (!codec) return pack::TargetPreset(options.target.empty() ? "balanced" : options.target);
  codecs::RecipeOptions recipe = options.recipe;
  if (recipe.codec.empty()) recipe.codec = codecs::RecipeOptions{}.codec;
  return pack::CodecPreset(recipe);
}

}  // namespace

std::uint64_t LearnTokens(const LearnOptions& learn, const TextMix& mix) {
  if (learn.tokens > 0) return learn.tokens;
  return mix.files.empty() ? kSelfTokens : kTextTokens;
}

Knowledge KnowledgeOf(const PackJobOptions& options) {
  if (!options.statistics.empty() || options.calibrate) return Knowledge::kGiven;
  if (options.fast) return Knowledge::kNothing;
  const bool wants = !options.learn.texts.empty() || options.budget.given() ||
                     !ChoosesCodec(options.recipe) || NeedsStatistics(options.recipe) ||
                     RulesNeedStatistics(options);
  return wants ? Knowledge::kInputs : Knowledge::kNothing;
}

void SpendTargetByStatistics(PackJobOptions& options) {
  if (options.statistics.empty() || ChoosesCodec(options.recipe) || options.budget.given()) return;
  const std::string target = options.target.empty() ? "balanced" : options.target;
  for (const pack::TargetInfo& info : pack::Targets()) {
    if (target != info.name) continue;
    options.budget.bits = info.learned_bits;
    options.budget.codec = info.learned_codec;
    options.target.clear();
  }
}

Result<pack::PlanOptions> PlanOptionsOf(const PackJobOptions& options, bool by_budget) {
  pack::PlanOptions plan;
  INGOT_ASSIGN(plan.preset, PresetOf(options, by_budget));
  for (const std::string& text : options.rules) {
    INGOT_ASSIGN(pack::Rule rule, pack::ParseRule(text));
    plan.rules.push_back(std::move(rule));
  }
  if (!options.statistics.empty()) {
    INGOT_ASSIGN(plan.statistics, calibration::Statistics::Open(options.statistics));
  }
  plan.allow_unused = options.allow_unused;
  plan.require_tokenizer = options.require_tokenizer;
  return plan;
}

}  // namespace ingot::jobs
