#include "jobs/self_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>
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

// Windows that are sampled together: weights are read once for all of them, and their keys and
// values lie in memory together. A window's text does not depend on the others (docs/design.md,
// "The contract").
constexpr std::size_t kTogether = 16;

// A window under way.
struct Writing {
  std::unique_ptr<loader::Sequence> sequence;
  std::vector<model::TokenId> ids;
};

// Windows [begin, end), a token of each at a time.
Status SampleWindows(loader::Runner& runner, model::TokenId first, std::size_t begin,
                     std::size_t end, const SelfTextOptions& job, calibration::TokenWindows& text,
                     const Monitor& monitor) {
  std::vector<Writing> writing;
  for (std::size_t i = begin; i < end; ++i) {
    loader::SamplerOptions options;
    options.top_p = kTopP;
    options.seed = job.seed * 0x9e3779b97f4a7c15u + i;
    INGOT_ASSIGN(loader::Sampler sampler, loader::Sampler::Make(options));
    Writing& one = writing.emplace_back();
    one.sequence = runner.Open();
    one.sequence->sampler.emplace(std::move(sampler));
    one.ids = {first};
    INGOT_TRY(runner.Admit(*one.sequence, one.ids));
  }
  std::vector<std::uint32_t> wanted(writing.size());
  std::iota(wanted.begin(), wanted.end(), 0u);
  std::vector<model::TokenId> ids(writing.size());
  std::vector<model::Row> rows(writing.size());
  std::vector<Status> status(writing.size());
  for (std::size_t position = 0; position + 1 < job.context; ++position) {
    for (std::size_t w = 0; w < writing.size(); ++w) {
      ids[w] = writing[w].ids.back();
      rows[w] = {writing[w].sequence->number(), static_cast<std::int32_t>(position)};
    }
    INGOT_ASSIGN(const loader::Tensor logits, runner.Step({ids, rows}, wanted));
    ParallelFor(writing.size(), 1, [&](std::size_t from, std::size_t to) {
      for (std::size_t w = from; w < to; ++w) {
        auto next = writing[w].sequence->sampler->Sample({logits.row(w), logits.cols()},
                                                         writing[w].ids);
        if (next.ok())
          writing[w].ids.push_back(*next);
        else
          status[w] = std::move(next).status();
      }
    });
    for (Status& s : status) INGOT_TRY(std::move(s).At(runner.model().source()));
    // Whole windows' worth, so that what is left can be told.
    const std::size_t done = begin + (end - begin) * (position + 2) / job.context;
    INGOT_TRY(monitor.Tell({"sampling", done, text.windows.size(), "windows sampled"}));
  }
  for (std::size_t w = 0; w < writing.size(); ++w)
    text.windows[begin + w] = std::move(writing[w].ids);
  return OkStatus();
}

// Sampling reads every weight for every step: at 8 bits it takes less than half the time, and what is written is the same text but for one draw in some hundreds (a divergence of
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
  loader::RunnerOptions runner_options;
  runner_options.context = job.context;
  loader::Runner runner(model, runner_options);
  for (std::size_t begin = 0; begin < text.windows.size(); begin += kTogether)
    INGOT_TRY(SampleWindows(runner, first, begin, std::min(text.windows.size(), begin + kTogether),
                            job, text, monitor));
  text.sources = {
      fmt::format("self: {} windows sampled with seed {}", text.windows.size(), job.seed)};
  return text;
}

}  // namespace ingot::jobs
