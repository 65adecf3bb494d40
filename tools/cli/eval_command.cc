// `ingot eval`: an artifact against the model it was made from.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "artifact/reader.h"
#include "base/bytes.h"
#include "base/file.h"
#include "inspect/summary.h"
#include "inspect/text_format.h"
#include "loader/ingot.h"
#include "tools/cli/common.h"
#include "tools/cli/evaluation.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

constexpr std::size_t kSampledTokens = 2048;

struct EvalCommand {
  std::string file, reference, windows = "llama", cache;
  KeyOption key;
  std::vector<std::string> texts;
  bool context_given = false;  // else learned positions may shorten it
  std::size_t context = 512, stride = 0, tokens = 0, masked = 32;
  std::uint64_t seed = 1;
  int levels = -1;
  bool json = false, quiet = false;
};

// Text that the reference writes itself at temperature 1, a sequence of `context` tokens from an
// empty context after the other, so that every window is one sequence.
Result<EvalText> SampleText(const std::shared_ptr<const loader::Model>& reference,
                            const EvalCommand& command) {
  EvalText text;
  model::TokenId first = -1;
  if (const auto tokenizer = reference->tokenizer(); tokenizer.ok()) {
    text.bos_id = BosOf(**tokenizer);
    first = (*tokenizer)->bos_id();
    if (first < 0 && !(*tokenizer)->eos_ids().empty()) first = (*tokenizer)->eos_ids()[0];
  }
  first = std::max(first, 0);
  const std::size_t wanted =
      std::max(command.tokens > 0 ? command.tokens : kSampledTokens, command.context);
  text.origin = fmt::format("sampled by the reference, seed {}", command.seed);
  loader::Session session(reference);
  ProgressLine line(command.quiet || command.json);
  for (std::uint64_t i = 0; text.tokens.size() + command.context <= wanted; ++i) {
    session.Reset();
    loader::GenerateOptions options;
    options.max_tokens = command.context - 1;
    options.stop_at_eos = false;
    options.sampler.seed = command.seed + i;
    INGOT_ASSIGN(const auto result,
                 loader::GenerateFromIds(session, {&first, 1}, options, [&](std::string_view) {
                   line.Count(text.tokens.size() + session.position(), wanted,
                              "tokens of a text by the reference");
                   return true;
                 }));
    text.tokens.push_back(first);
    text.tokens.insert(text.tokens.end(), result.tokens.begin(), result.tokens.end());
  }
  return text;
}

// Names everything that decides the reference's answers: the files it lies in, tokens and windows.
std::string CacheKey(const EvalCommand& command, const EvalText& text) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<fs::path> files = {command.reference};
  if (fs::is_directory(command.reference, error)) {
    files.clear();
    for (const auto& entry : fs::directory_iterator(command.reference, error))
      files.push_back(entry.path());
    std::sort(files.begin(), files.end());
  }
  std::string key = fmt::format("{} {} {} {} {}\n", command.windows, command.context,
                                command.stride, command.tokens, text.bos_id);
  if (text.mask_id >= 0)
    key +=
        fmt::format("masked {} of {} by seed {}, {} and {} around\n", text.mask_id, command.masked,
                    command.seed, fmt::join(text.before, " "), fmt::join(text.after, " "));
  for (const fs::path& path : files)
    key += fmt::format("{} {} {}\n", path.filename().string(), fs::file_size(path, error),
                       fs::last_write_time(path, error).time_since_epoch().count());
  key += HexOf(artifact::DigestOf(BytesOf(std::span<const model::TokenId>(text.tokens))));
  return HexOf(artifact::DigestOf(AsBytes(key)));
}

loader::EvalOptions OptionsOf(const EvalCommand& command, const EvalText& text) {
  loader::EvalOptions options;
  if (command.windows == "strided") options.windows = loader::WindowKind::kStrided;
  if (command.windows == "masked") options.windows = loader::WindowKind::kMasked;
  options.mask_id = text.mask_id;
  options.before = text.before;
  options.after = text.after;
  options.masked_positions = command.masked;
  options.seed = command.seed;
  options.context = command.context;
  options.stride =
      command.stride > 0 ? command.stride : std::max<std::size_t>(command.context / 2, 1);
  options.bos_id = text.bos_id;
  options.max_tokens = command.tokens;
  options.cache_path = command.cache;
  if (!command.cache.empty()) options.cache_key = CacheKey(command, text);
  return options;
}

// "perplexity", or an encoder's: masked pseudo-perplexity (Salazar et al., 2020).
std::string MeasureOf(const EvalCommand& command) {
  return command.windows == "masked" ? "pseudo-perplexity" : "perplexity";
}

// Which positions were scored, for an encoder.
std::string ScoredOf(const EvalCommand& command) {
  if (command.windows != "masked") return {};
  if (command.masked == 0) return ", every token masked in turn";
  return fmt::format(", {} tokens of each masked in turn, seed {}", command.masked, command.seed);
}

inspect::Json ResultJson(const EvalCommand& command, const loader::EvalResult& r,
                         const inspect::Summary& summary, const EvalText& text) {
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
          {"windows", command.windows + ScoredOf(command)},
          {"measure", MeasureOf(command)},
          {"text", text.origin},
          {"bits_per_weight_linear", summary.role("linear").stored_bits_per_weight()},
          {"bits_per_weight_total", summary.total.stored_bits_per_weight()},
          {"bytes", summary.file_bytes},
          {"root_digest", summary.root_digest}};
}

void PrintTable(const EvalCommand& command, const loader::EvalResult& r,
                const inspect::Summary& summary, const EvalText& text) {
  fmt::print("{} against {}\n", untrusted::Printable(command.file),
             untrusted::Printable(command.reference));
  fmt::print("  text                {}; {} windows of {}{}, {} scored tokens\n",
             untrusted::Printable(text.origin), command.windows, r.context, ScoredOf(command),
             r.tokens);
  fmt::print("  size                {}, {:.3f} bpw over linear weights, {:.3f} over all\n",
             inspect::HumanBytes(summary.file_bytes),
             summary.role("linear").stored_bits_per_weight(),
             summary.total.stored_bits_per_weight());
  const std::string measure = MeasureOf(command);
  const std::size_t width = std::max<std::size_t>(19, measure.size() + 10);
  const auto line = [&](std::string_view name, double value, double error,
                        std::string_view unit = "") {
    fmt::print("  {:<{}} {:>10.4f} ± {:.4f}{}\n", name, width, value, error, unit);
  };
  line("reference " + measure, r.reference_perplexity, r.reference_perplexity_stderr);
  line(measure, r.perplexity, r.perplexity_stderr);
  line("delta " + measure, r.delta_perplexity_percent, r.delta_perplexity_percent_stderr, " %");
  line("KL mean", r.kl_mean, r.kl_mean_stderr, " nats");
  fmt::print("  {:<{}} {:>10.4f} nats\n", "KL 99th percentile", width, r.kl_p99);
  line("top-1 agreement", 100 * r.top1_agreement, 100 * r.top1_agreement_stderr, " %");
}

Status RunEval(EvalCommand command) {
  INGOT_TRY(inspect::CheckNotAModel(command.file));
  INGOT_ASSIGN(const auto key, LoadVerifyingKey(command.key));
  artifact::OpenOptions open;
  open.key = PointerTo(key);
  open.allow_truncated = true;
  INGOT_ASSIGN(auto opened, artifact::ArtifactReader::Open(command.file, open));
  const std::shared_ptr<const artifact::ArtifactReader> reader = std::move(opened);
  const inspect::Summary summary = inspect::Summarize(*reader, PointerTo(key));
  loader::ModelOptions model_options;
  model_options.compute = loader::Compute::kExact;
  INGOT_ASSIGN(const auto reference, loader::Model::Open(command.reference, model_options));
  model_options.selection.levels = command.levels;
  model_options.allow_truncated = true;
  INGOT_ASSIGN(const auto artifact, loader::Model::FromArtifact(reader, model_options));

  if (reference->architecture().masked != artifact->architecture().masked)
    return InvalidArgument(
        fmt::format("{}: one of the two is an encoder, the other is not", command.reference));
  if (reference->architecture().masked) {
    if (command.texts.empty())
      return InvalidArgument(
          fmt::format("{}: an encoder writes no text of its own: give one with "
                      "--text",
                      command.reference));
    command.windows = "masked";
    command.context = std::min<std::size_t>(command.context, reference->bound().position_limit());
  }
  const model::Architecture& architecture = reference->architecture();
  if (!command.context_given)
    command.context = std::min<std::size_t>(command.context, reference->bound().position_limit());
  if (!command.quiet && architecture.max_positions > 0 &&
      command.context > architecture.max_positions)
    Warn(fmt::format("windows of {} tokens are longer than the {} that the model was trained for",
                     command.context, architecture.max_positions));
  INGOT_ASSIGN(const EvalText text, command.texts.empty()
                                        ? SampleText(reference, command)
                                        : ReadTexts(*reference, *artifact, command.texts));
  loader::EvalOptions options = OptionsOf(command, text);
  ProgressLine line(command.quiet || command.json);
  options.progress = [&](std::size_t done, std::size_t windows) {
    line.Count(done, windows, "windows");
  };
  const auto reference_logits = LogitsOf(reference), artifact_logits = LogitsOf(artifact);
  INGOT_ASSIGN(const loader::EvalResult result,
               loader::Evaluate(*reference_logits, *artifact_logits, text.tokens, options));
  line.Clear();
  if (command.json)
    fmt::print("{}\n", untrusted::PrintableJson(ResultJson(command, result, summary, text)));
  else
    PrintTable(command, result, summary, text);
  return OkStatus();
}

}  // namespace

void AddEvalCommand(CLI::App& app, Outcome& outcome) {
  auto o = std::make_shared<EvalCommand>();
  CLI::App* c = app.add_subcommand(
      "eval", "what compression cost: perplexity, KL divergence, top-1 agreement");
  c->add_option("FILE", o->file, "artifact")->required();
  c->add_option("--reference", o->reference, "the model it was made from")
      ->type_name("MODEL")
      ->required();
  c->add_option(
       "--text", o->texts,
       "text to evaluate on, may be given several times; without it the reference writes one")
      ->type_name("FILE")
      ->allow_extra_args(false);
  CLI::Option* context = c->add_option("--context", o->context, "tokens of a window")
                             ->type_name("N")
                             ->check(CLI::Range(2, 1 << 20))
                             ->capture_default_str();
  c->add_option(
       "--windows", o->windows,
       "llama: back to back, second half scored, as llama-perplexity; strided: Hugging Face's")
      ->check(CLI::IsMember({"llama", "strided"}))
      ->capture_default_str();
  c->add_option("--stride", o->stride, "of strided windows, 0: half of the context")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  c->add_option("--tokens", o->tokens,
                "use the first N tokens of the text; 0: all, 2048 where it is sampled")
      ->type_name("N")
      ->capture_default_str();
  c->add_option("--masked", o->masked,
                "an encoder's: tokens of each window that are masked in turn, drawn by --seed; 0: "
                "all of them")
      ->type_name("N")
      ->capture_default_str();
  c->add_option("--cache", o->cache, "keep the reference's answers in this file")
      ->type_name("FILE");
  c->add_option("--seed", o->seed, "of the sampled text, or of the masked tokens")
      ->capture_default_str();
  c->add_option("--levels", o->levels, "refinement levels to use, by default all")
      ->type_name("N")
      ->check(CLI::Range(1, 64));
  AddVerifyingKeyOptions(c, o->key);
  c->add_flag("--json", o->json, "one JSON object");
  c->add_flag("-q,--quiet", o->quiet, "no progress");
  AddThreadsOption(c);
  OnRun(c, outcome, [o, context] {
    o->context_given = context->count() > 0;
    return RunEval(*o);
  });
}

}  // namespace ingot::cli
