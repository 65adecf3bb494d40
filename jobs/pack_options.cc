#include "jobs/pack_options.h"

#include <utility>

#include "calibration/statistics.h"
#include "pack/recipe_rules.h"

namespace ingot::jobs {
namespace {

bool ChoosesCodec(const codecs::RecipeOptions& r) {
  return !r.codec.empty() || r.group != 0 || r.bits != 0 || !r.levels.empty() ||
         !r.scales.empty() || !r.transform.empty() || r.rate != 0;
}

Result<pack::RolePreset> PresetOf(const PackJobOptions& options, bool by_budget) {
  const bool codec = ChoosesCodec(options.recipe);
  if (options.budget.given() && !options.target.empty())
    return InvalidArgument("give --target, or a budget, not both");
  if (codec && !options.target.empty())
    return InvalidArgument("give --target, or --codec with its options, not both");
  // What a budget does not choose, since statistics do not know it, stays close to the source.
  if (!codec && by_budget) return pack::TargetPreset("quality");
  if (!codec) return pack::TargetPreset(options.target.empty() ? "balanced" : options.target);
  codecs::RecipeOptions recipe = options.recipe;
  if (recipe.codec.empty()) recipe.codec = codecs::RecipeOptions{}.codec;
  return pack::CodecPreset(recipe);
}

}  // namespace

void SpendTargetByStatistics(PackJobOptions& options) {
  if (options.statistics.empty() || ChoosesCodec(options.recipe) || options.budget.given()) return;
  const std::string target = options.target.empty() ? "balanced" : options.target;
  for (const auto& [name, bits] :
       {std::pair{"quality", 7.4}, std::pair{"balanced", 4.0}, std::pair{"size", 3.0}}) {
    if (target != name) continue;
    options.budget.bits = bits;
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
