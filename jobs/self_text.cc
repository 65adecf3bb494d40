#include "jobs/self_text.h"

#include <fmt/format.h>

#include <mutex>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "files/temporary.h"
#include "loader/ingot.h"
#include "model/source/checkpoint.h"
#include "pack/pipeline.h"
#include "pack/plan.h"
#include "pack/recipe_rules.h"

namespace ingot::jobs {
namespace {

// Nucleus sampling (Holtzman et al., 2020, arXiv 1904.09751): what a small model draws from its
// softmax's tail leads it off, and statistics of such text serve real text worse.
// docs/calibration.md has the measurement.
constexpr double kTopP = 0.9;

Result<model::TokenId> FirstToken(const loader::Model& model) {
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, model.tokenizer());
  if (tokenizer->bos_id() >= 0) return tokenizer->bos_id();
  if (!tokenizer->eos_ids().empty()) return tokenizer->eos_ids().front();
  return InvalidArgument(
      "the tokenizer has neither a first nor a last token to start from: give "
      "--text");
}

Result<std::vector<model::TokenId>> SampleWindow(const std::shared_ptr<const loader::Model>& model,
                                                 model::TokenId first, std::size_t context,
                                                 std::uint64_t seed, const Monitor& monitor) {
  loader::SessionOptions session_options;
  session_options.context = context;
  loader::Session session(model, session_options);
  loader::SamplerOptions options;
  options.top_p = kTopP;
  options.seed = seed;
  INGOT_ASSIGN(loader::Sampler sampler, loader::Sampler::Make(options));
  std::vector<model::TokenId> ids = {first};
  while (ids.size() < context) {
    INGOT_TRY(monitor.Check());
    INGOT_ASSIGN(const std::span<const float> logits, session.Decode(ids.back()));
    INGOT_ASSIGN(const model::TokenId next, sampler.Sample(logits, ids));
    ids.push_back(next);
  }
  return ids;
}

// A token at a time, sampling reads every weight for every token: at 8 bits it takes less than half
// the time, and what is written is the same text but for one draw in some hundreds (a divergence of
// some thousandths of a nat). The artifact goes as soon as it is mapped.
Result<std::shared_ptr<const loader::Model>> OpenAtEightBits(const SelfTextOptions& job,
                                                             const Monitor& monitor) {
  INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(job.model));
  codecs::RecipeOptions recipe;
  recipe.codec = "int8_rtn";
  recipe.group = 64;
  pack::PlanOptions plan_options;
  plan_options.preset = pack::CodecPreset(recipe);
  plan_options.allow_unused = true;
  INGOT_ASSIGN(const pack::PackPlan plan, pack::MakePlan(*checkpoint, plan_options));
  files::RemoveStaleDirectories(job.scratch);
  INGOT_ASSIGN(const files::Temporary directory, files::Temporary::MakeDirectory(job.scratch));
  pack::PackOptions options;
  options.target = directory.path() + "/model.ingot";
  options.tool = "ingot";  // nobody reads it
  options.progress = [&](const pack::PackProgress&) { return monitor.Check(); };
  INGOT_TRY(pack::Pack(*checkpoint, plan, options).status());
  return loader::Model::Open(options.target);
}

}  // namespace

Result<calibration::TokenWindows> RunSelfTextJob(const SelfTextOptions& job,
                                                 const Monitor& monitor) {
  if (job.context < 2 || job.tokens < job.context)
    return InvalidArgument(
        fmt::format("{} tokens are less than one window of {}", job.tokens, job.context));
  INGOT_ASSIGN(const auto model, OpenAtEightBits(job, monitor));
  if (model->architecture().masked)
    return InvalidArgument("an encoder does not generate text: give --text");
  INGOT_ASSIGN(const model::TokenId first, FirstToken(*model));
  calibration::TokenWindows text;
  text.context = job.context;
  text.windows.resize(job.tokens / job.context);
  std::vector<Status> status(text.windows.size());
  std::mutex mutex;
  std::size_t done = 0;
  // A window a task: decoding a token at a time leaves little to share out inside it.
  ParallelFor(text.windows.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      auto ids =
          SampleWindow(model, first, job.context, job.seed * 0x9e3779b97f4a7c15u + i, monitor);
      const std::lock_guard lock(mutex);
      if (ids.ok()) {
        text.windows[i] = *std::move(ids);
        status[i] = monitor.Tell({"sampling", ++done, text.windows.size(), "windows sampled"});
      } else {
        status[i] = std::move(ids).status();
      }
    }
  });
  for (Status& s : status) INGOT_TRY(std::move(s));
  text.sources = {
      fmt::format("self: {} windows sampled with seed {}", text.windows.size(), job.seed)};
  return text;
}

}  // namespace ingot::jobs
