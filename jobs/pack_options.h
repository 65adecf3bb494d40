// What is asked of a pack, and what it stands for.
//
// Thread rule: values.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "artifact/signature.h"
#include "base/status.h"
#include "codecs/recipe.h"
#include "jobs/budget_search.h"
#include "jobs/calibrate_job.h"
#include "jobs/measure_artifact.h"
#include "jobs/text_mix.h"
#include "pack/plan.h"

namespace ingot::jobs {

// Statistics that are taken before the pack, without LibTorch.
struct LearnOptions {
  // FILE[:WEIGHT], of which FILE "self" is what the model writes; none: "self" alone.
  std::vector<std::string> texts;
  std::uint64_t tokens = 0;   // 0: kSelfTokens of its own text, kTextTokens with files
  std::size_t context = 512;  // of a window, at most
  std::uint64_t seed = 0;
  std::uint64_t memory_bytes = 0;  // at most, 0: the pack's, or half of the machine's where larger
  bool keep = false;               // as OUTPUT.stats.safetensors, for the next pack
};
inline constexpr std::uint64_t kSelfTokens = 16384, kTextTokens = 65536;
std::uint64_t LearnTokens(const LearnOptions& learn, const TextMix& mix);

// What a pack knows about the model it rounds, from least to best.
enum class Knowledge {
  kNothing,  // nearest rounding
  kInputs,   // what each matrix is fed, and how much is heard of it: no LibTorch
  kGiven,    // a statistics file, or LibTorch's run
};

struct PackJobOptions {
  std::string model, output;
  // At most one of target, codec (any part of the recipe) and budget, but that a codec may spend a
  // budget. None of them: the target "balanced". With statistics a target is a budget
  // (docs/codecs.md).
  std::string target;
  codecs::RecipeOptions recipe{"", 0, 0, "", ""};
  BudgetGoal budget;
  std::vector<std::string> rules;  // "GLOB=CODEC[:...]"
  std::string statistics;          // a file of this model's; empty: none
  MeasureOptions measure;          // over its texts, where there are any, and into the manifest
  std::uint64_t memory_bytes = std::uint64_t{1} << 30;
  const artifact::SigningKey* key = nullptr;
  std::string tool;    // recorded: "ingot 0.1.0"
  bool force = false;  // replace an existing output
  bool allow_nonfinite = false, allow_unused = false, require_tokenizer = true;

  // Nearest rounding: nothing is learned about the model.
  bool fast = false;
  LearnOptions learn;
  // Told once, before work: what will be known, and what that takes (null where nothing is taken);
  // `why`: what kept the model from being learned, else empty. May be empty.
  std::function<void(Knowledge, const CalibrationPlan*, const std::string& why)> on_knowledge;

  // What needs LibTorch is done by who has it; empty: not asked for.
  // Takes the model's statistics into a file; `statistics` is then ignored.
  std::function<Status(const std::string& statistics)> calibrate;
  // Makes the output, signed where that is wanted, from an unsigned artifact.
  std::function<Status(const std::string& packed)> tune;
};

// What options ask for. kInputs where they name no statistics and their codecs, budget or target
// are better for some, or need them.
Knowledge KnowledgeOf(const PackJobOptions& options);

// With statistics, a target is spent as a budget: moves it from the one to the other.
void SpendTargetByStatistics(PackJobOptions& options);

// Preset, rules and statistics for a plan. `by_budget`: what the preset says is for matrices that
// statistics do not know. InvalidArgument for choices that exclude each other, an unknown target, a
// rule that does not parse; those of opening statistics as they are.
Result<pack::PlanOptions> PlanOptionsOf(const PackJobOptions& options, bool by_budget);

}  // namespace ingot::jobs
