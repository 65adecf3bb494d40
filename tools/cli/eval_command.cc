// `ingot eval`: an artifact against the model it was made from.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "inspect/text_format.h"
#include "jobs/choices_job.h"
#include "jobs/eval_job.h"
#include "loader/cuda/cuda_text.h"
#include "tools/cli/common.h"
#include "tools/cli/device_option.h"
#include "tools/cli/eval_variants.h"
#include "tools/cli/job_line.h"
#include "tools/cli/number_checks.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

struct EvalCommand {
  jobs::EvalJobOptions job;
  std::string windows = "llama";
  KeyOption key;
  std::size_t context = 512;
  std::string choices;
  std::size_t questions = 0;
  VariantsChoice variants;
  std::string device = "cpu";
  bool json = false, quiet = false;
};

// "perplexity", or an encoder's: masked pseudo-perplexity (Salazar et al., 2020).
std::string MeasureOf(const jobs::EvalJobResult& result) {
  return result.windows == loader::WindowKind::kMasked ? "pseudo-perplexity" : "perplexity";
}

// Which positions were scored, for an encoder.
std::string ScoredOf(const EvalCommand& command, const jobs::EvalJobResult& result) {
  if (result.windows != loader::WindowKind::kMasked) return {};
  if (command.job.masked == 0) return ", every token masked in turn";
  return fmt::format(", {} tokens of each masked in turn, seed {}", command.job.masked,
                     command.job.seed);
}

inspect::Json ResultJson(const EvalCommand& command, const jobs::EvalJobResult& result) {
  const loader::EvalResult& r = result.measured;
  const inspect::Summary& summary = result.summary;
  return {{"perplexity", r.perplexity},
          {"perplexity_stderr", r.perplexity_stderr},
          {"reference_perplexity", r.reference_perplexity},
          {"reference_perplexity_stderr", r.reference_perplexity_stderr},
          {"delta_perplexity_percent", r.delta_perplexity_percent},
          {"delta_perplexity_percent_stderr", r.delta_perplexity_percent_stderr},
          {"kl_mean", r.kl_mean},
          {"kl_mean_stderr", r.kl_mean_stderr},
          {"kl_p99", r.kl_p99},
          {"top1_agreement", r.top1_agreement},
          {"top1_agreement_stderr", r.top1_agreement_stderr},
          {"tokens", r.tokens},
          {"context", r.context},
          {"windows", std::string(jobs::WindowName(result.windows)) + ScoredOf(command, result)},
          {"measure", MeasureOf(result)},
          {"text", result.text},
          {"bits_per_weight_linear", summary.role("linear").stored_bits_per_weight()},
          {"bits_per_weight_total", summary.total.stored_bits_per_weight()},
          {"bytes", summary.file_bytes},
          {"root_digest", summary.root_digest}};
}

// What is left where there is no reference.
inspect::Json AloneJson(const EvalCommand& command, const jobs::EvalJobResult& result) {
  inspect::Json json = ResultJson(command, result);
  for (const char* key :
       {"reference_perplexity", "reference_perplexity_stderr", "delta_perplexity_percent",
        "delta_perplexity_percent_stderr", "kl_mean", "kl_mean_stderr", "kl_p99", "top1_agreement",
        "top1_agreement_stderr"})
    json.erase(key);
  if (result.summary.tensors.empty())
    for (const char* key :
         {"bits_per_weight_linear", "bits_per_weight_total", "bytes", "root_digest"})
      json.erase(key);
  return json;
}

void PrintAlone(const EvalCommand& command, const jobs::EvalJobResult& result) {
  const loader::EvalResult& r = result.measured;
  PrintPage("{}\n", untrusted::Printable(command.job.artifact));
  PrintPage("  text                {}; {} windows of {}{}, {} scored tokens\n",
            untrusted::Printable(result.text), jobs::WindowName(result.windows), r.context,
            ScoredOf(command, result), r.tokens);
  PrintPage("  {:<19} {:>10.4f} ± {:.4f}\n", MeasureOf(result), r.perplexity, r.perplexity_stderr);
}

// Accuracy in percent, with the right word for what chose.
void PrintAccuracy(std::string_view name, double value, double error) {
  PrintPage("  {:<34} {:>7.2f} ± {:.2f} %\n", name, 100 * value, 100 * error);
}

void PrintChoices(const EvalCommand& command, const jobs::ChoicesResult& result) {
  PrintPage("{}{}{}\n", untrusted::Printable(command.job.artifact),
            command.job.reference.empty() ? "" : " against ",
            untrusted::Printable(command.job.reference));
  PrintPage("  questions                          {} of {}\n", result.questions,
            untrusted::Printable(command.choices));
  PrintAccuracy("right, by likelihood", result.accuracy.right, result.accuracy.right_stderr);
  PrintAccuracy("right, by likelihood a byte", result.accuracy.by_byte,
                result.accuracy.by_byte_stderr);
  if (!result.reference_scores.has_value()) return;
  PrintAccuracy("reference, by likelihood", result.reference_accuracy.right,
                result.reference_accuracy.right_stderr);
  PrintAccuracy("reference, by likelihood a byte", result.reference_accuracy.by_byte,
                result.reference_accuracy.by_byte_stderr);
  PrintAccuracy("difference, by likelihood", result.difference, result.difference_stderr);
  PrintAccuracy("difference, by likelihood a byte", result.by_byte_difference,
                result.by_byte_difference_stderr);
  PrintAccuracy("same choice", result.agreement, result.agreement_stderr);
}

inspect::Json ChoicesJson(const EvalCommand& command, const jobs::ChoicesResult& result) {
  const auto accuracy = [](const jobs::ChoiceAccuracy& a) {
    return inspect::Json{{"likelihood", a.right},
                         {"likelihood_stderr", a.right_stderr},
                         {"by_byte", a.by_byte},
                         {"by_byte_stderr", a.by_byte_stderr}};
  };
  inspect::Json json = {{"choices", command.choices},
                        {"questions", result.questions},
                        {"accuracy", accuracy(result.accuracy)},
                        {"log_likelihoods", result.scores}};
  if (!result.reference_scores.has_value()) return json;
  json["reference_accuracy"] = accuracy(result.reference_accuracy);
  json["reference_log_likelihoods"] = *result.reference_scores;
  json["difference"] = result.difference;
  json["difference_stderr"] = result.difference_stderr;
  json["by_byte_difference"] = result.by_byte_difference;
  json["by_byte_difference_stderr"] = result.by_byte_difference_stderr;
  json["same_choice"] = result.agreement;
  json["same_choice_stderr"] = result.agreement_stderr;
  return json;
}

Status RunChoices(const EvalCommand& command, JobLine& line) {
  jobs::ChoicesJobOptions job;
  job.model = command.job.artifact;
  job.reference = command.job.reference;
  job.questions = command.choices;
  job.most = command.questions;
  job.levels = command.job.levels;
  job.max_decoded_bytes = command.job.max_decoded_bytes;
  job.key = command.job.key;
  INGOT_ASSIGN(const jobs::ChoicesResult result, jobs::RunChoicesJob(job, line.monitor()));
  line.Clear();
  if (command.json)
    fmt::print("{}\n", untrusted::PrintableJson(ChoicesJson(command, result)));
  else
    PrintChoices(command, result);
  return OkStatus();
}

void PrintTable(const EvalCommand& command, const jobs::EvalJobResult& result) {
  const loader::EvalResult& r = result.measured;
  const inspect::Summary& summary = result.summary;
  PrintPage("{} against {}\n", untrusted::Printable(command.job.artifact),
            untrusted::Printable(command.job.reference));
  PrintPage("  text                {}; {} windows of {}{}, {} scored tokens\n",
            untrusted::Printable(result.text), jobs::WindowName(result.windows), r.context,
            ScoredOf(command, result), r.tokens);
  PrintPage("  size                {}, {:.3f} bpw over linear weights, {:.3f} over all\n",
            inspect::HumanBytes(summary.file_bytes),
            summary.role("linear").stored_bits_per_weight(),
            summary.total.stored_bits_per_weight());
  const std::string measure = MeasureOf(result);
  const std::size_t width = std::max<std::size_t>(19, measure.size() + 10);
  const auto line = [&](std::string_view name, double value, double error,
                        std::string_view unit = "") {
    PrintPage("  {:<{}} {:>10.4f} ± {:.4f}{}\n", name, width, value, error, unit);
  };
  line("reference " + measure, r.reference_perplexity, r.reference_perplexity_stderr);
  line(measure, r.perplexity, r.perplexity_stderr);
  line("delta " + measure, r.delta_perplexity_percent, r.delta_perplexity_percent_stderr, " %");
  line("KL mean", r.kl_mean, r.kl_mean_stderr, " nats");
  PrintPage("  {:<{}} {:>10.4f} nats\n", "KL 99th percentile", width, r.kl_p99);
  line("top-1 agreement", 100 * r.top1_agreement, 100 * r.top1_agreement_stderr, " %");
}

jobs::VariantsJobOptions VariantsOf(const EvalCommand& command) {
  jobs::VariantsJobOptions job;
  job.artifact = command.job.artifact;
  job.reference = command.job.reference;
  job.texts = command.job.texts;
  if (command.job.context) job.context = *command.job.context;
  if (command.job.tokens > 0) job.tokens = command.job.tokens;
  job.levels = command.job.levels;
  job.max_decoded_bytes = command.job.max_decoded_bytes;
  job.key = command.job.key;
  return job;
}

// What --device says of both models: in float32, as on the processor.
Status ChooseDevice(EvalCommand& command, JobLine& line) {
  if (command.device == "cpu") return OkStatus();
  if (command.variants.given() || !command.choices.empty())
    return InvalidArgument(
        "exits, precision, drafts and choices are measured on the processor: leave --device out");
  command.job.device = [&command, &line](std::shared_ptr<const loader::Model> model,
                                         std::size_t context)
      -> Result<std::unique_ptr<loader::LogitSource>> {
    cuda::CudaOptions options;
    options.exact = true;
    options.context = context;
    std::string why;
    INGOT_ASSIGN(auto runner, GpuRunner(command.device, std::move(model), options, why));
    if (!why.empty()) line.monitor().Note("on the processor: " + why);
    if (runner == nullptr) return std::unique_ptr<loader::LogitSource>();
    return cuda::LogitsOf(std::move(runner));
  };
  return OkStatus();
}

Status RunEval(EvalCommand& command) {
  INGOT_ASSIGN(const auto key, LoadVerifyingKey(command.key));
  command.job.key = PointerTo(key);
  if (command.windows == "strided") command.job.windows = loader::WindowKind::kStrided;
  JobLine line({.progress = command.quiet || command.json, .notes = command.quiet});
  INGOT_TRY(ChooseDevice(command, line));
  if (command.variants.given())
    return EvalVariants(command.variants, VariantsOf(command), command.json, line);
  INGOT_TRY(ChoosePrecision(command.variants.precision).status());
  if (!command.choices.empty()) return RunChoices(command, line);
  INGOT_ASSIGN(const jobs::EvalJobResult result, jobs::RunEvalJob(command.job, line.monitor()));
  line.Clear();
  if (result.alone && command.json)
    fmt::print("{}\n", untrusted::PrintableJson(AloneJson(command, result)));
  else if (result.alone)
    PrintAlone(command, result);
  else if (command.json)
    fmt::print("{}\n", untrusted::PrintableJson(ResultJson(command, result)));
  else
    PrintTable(command, result);
  return OkStatus();
}

}  // namespace

void AddEvalCommand(CLI::App& app, Outcome& outcome) {
  auto o = std::make_shared<EvalCommand>();
  CLI::App* c = app.add_subcommand(
      "eval", "what compression cost: perplexity, KL divergence, top-1 agreement");
  c->add_option("FILE", o->job.artifact, "artifact; without --reference a model, too")->required();
  c->add_option("--reference", o->job.reference,
                "the model it was made from; without one perplexity alone is measured")
      ->type_name("MODEL");
  c->add_option(
       "--text", o->job.texts,
       "text to evaluate on, or several; without it the reference writes one")
      ->type_name("FILE");
  c->add_option("--choices", o->choices,
                "instead of a text: multiple-choice questions, a JSON object a line (HellaSwag's, "
                "MMLU's, ARC's, or context, options, answer)")
      ->type_name("FILE.jsonl")
      ->excludes("--text");
  c->add_option("--questions", o->questions, "the file's first N questions, 0: all")
      ->type_name("N")
      ->transform(WholeNumber())
      ->needs("--choices")
      ->capture_default_str();
  CLI::Option* context = c->add_option("--context", o->context, "tokens of a window")
                             ->type_name("N")
                             ->transform(WholeNumber(2, 1 << 20))
                             ->capture_default_str();
  c->add_option(
       "--windows", o->windows,
       "llama: back to back, second half scored, as llama-perplexity; strided: Hugging Face's")
      ->check(CLI::IsMember({"llama", "strided"}))
      ->capture_default_str();
  c->add_option("--stride", o->job.stride, "of strided windows, 0: half of the context")
      ->type_name("N")
      ->transform(WholeNumber())
      ->capture_default_str();
  c->add_option("--tokens", o->job.tokens,
                "use the first N tokens of the text; 0: all, 2048 where it is sampled")
      ->type_name("N")
      ->transform(WholeNumber())
      ->capture_default_str();
  c->add_option("--masked", o->job.masked,
                "an encoder's: tokens of each window that are masked in turn, drawn by --seed; 0: "
                "all of them")
      ->type_name("N")
      ->transform(WholeNumber())
      ->capture_default_str();
  c->add_option("--cache", o->job.cache, "keep the reference's answers in this file")
      ->type_name("FILE");
  c->add_flag("--force", o->job.force, "replace a --cache that holds other answers");
  c->add_option("--seed", o->job.seed, "of the sampled text, or of the masked tokens")
      ->type_name("N")
      ->transform(Seed())
      ->capture_default_str();
  c->add_option("--levels", o->job.levels, "refinement levels to use, by default all")
      ->type_name("N")
      ->transform(WholeNumber(1, 64));
  AddVariantsOptions(c, o->variants);
  AddDeviceOption(c, o->device);
  AddMaxDecodedOption(c, o->job.max_decoded_bytes);
  AddVerifyingKeyOptions(c, o->key);
  c->add_flag("--json", o->json, "one JSON object");
  c->add_flag("-q,--quiet", o->quiet, "no progress");
  AddThreadsOption(c);
  OnRun(c, outcome, [o, context] {
    if (context->count() > 0) o->job.context = o->context;
    return RunEval(*o);
  });
}

}  // namespace ingot::cli
