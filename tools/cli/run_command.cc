// `ingot run`.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inspect/summary.h"
#include "inspect/text_format.h"
#include "loader/cuda/cuda_text.h"
#include "loader/energy_meter.h"
#include "loader/ingot.h"
#include "loader/memory_use.h"
#include "loader/refinement.h"
#include "loader/run_settings.h"
#include "loader/speculate/draft_policy.h"
#include "model/chat/chat_format.h"
#include "tools/cli/bench_speculation.h"
#include "tools/cli/chat.h"
#include "tools/cli/common.h"
#include "tools/cli/device_option.h"
#include "tools/cli/model_text.h"
#include "tools/cli/name_choice.h"
#include "tools/cli/number_checks.h"
#include "tools/cli/policy_options.h"
#include "tools/cli/until_stop.h"
#include "tools/cli/verify_option.h"
#include "untrusted/printable.h"
#include "untrusted/text_input.h"

namespace ingot::cli {
namespace {

// Where nobody says otherwise: neither the command line nor the model.
constexpr double kTemperature = 0.8, kTopP = 0.95;
constexpr std::size_t kTopK = 40;
// Where the model says only that it wants to be sampled: transformers' defaults.
constexpr double kSampledTemperature = 1, kSampledTopP = 1;
constexpr std::size_t kSampledTopK = 50;
// Of an answer, at most: it is the model that ends it.
constexpr std::uint64_t kAnswerTokens = 2048;

// What the command line says of sampling.
struct SamplingOptions {
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<std::size_t> top_k;
};

struct RunCommand {
  std::string file;
  std::optional<std::string> prompt;
  KeyOption key;
  SamplingOptions sampling;
  bool greedy = false, exact = false, ignore_eos = false, quiet = false, stats = false;
  bool early = false;
  loader::SessionOptions::Cache cache = loader::SessionOptions::Cache::kAuto;
  std::string device = "cpu";
  int levels = -1;
  std::uint64_t max_decoded = 0;
  loader::Verify verify = loader::Verify::kEager;
  std::uint64_t context = 0;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> stops;
  bool json = false;
  bool chat = false, no_template = false;
  std::string system, chat_template;
  ExitChoice exits;
  PrecisionChoice precision;
  loader::GenerateOptions generate;
};

std::string_view StopName(loader::StopReason stop, bool by_text) {
  if (by_text) return "stop_text";
  switch (stop) {
    case loader::StopReason::kMaxTokens:
      return "max_tokens";
    case loader::StopReason::kEndOfText:
      return "end_of_text";
    case loader::StopReason::kCallback:
      return "interrupted";
    case loader::StopReason::kContextFull:
      return "context_full";
  }
  return "?";
}

nlohmann::json DraftJson(const loader::DraftCounts& counts) {
  return {{"drafts", counts.drafts},
          {"tokens", counts.tokens},
          {"judged", counts.judged},
          {"accepted", counts.accepted}};
}

// Of each layer, the tokens that left after it; the last: those that ran all.
nlohmann::json ExitsJson(const loader::GenerateResult& result) {
  if (result.exits.left.empty()) return nullptr;
  return {{"rows", result.exits.rows},
          {"kept_layers", result.exits.kept_layers()},
          {"left_after", result.exits.left},
          {"recomputed_layers", result.recomputed_layers}};
}

nlohmann::json ResultJson(const loader::GenerateResult& result, const std::string& text,
                          std::string_view stop, std::uint64_t seed, double load_seconds,
                          std::optional<std::size_t> early_tokens) {
  const nlohmann::json early =
      early_tokens ? nlohmann::json(*early_tokens) : nlohmann::json(nullptr);
  return {{"text", text},
          {"early_tokens", early},
          {"stop", stop},
          {"seed", seed},
          {"prompt_tokens", result.prompt_tokens},
          {"tokens", result.tokens.size()},
          {"prefill_seconds", result.prefill_seconds},
          {"decode_steps", result.decode_steps},
          {"decode_tokens", result.decode_tokens},
          {"bits_a_weight", result.bits_a_weight},
          {"exits", ExitsJson(result)},
          {"speculation",
           {{"lookup", DraftJson(result.speculation.lookup)},
            {"planes", DraftJson(result.speculation.planes())},
            {"layers", DraftJson(result.speculation.layers())},
            {"repeated", result.speculation.repeated}}},
          {"decode_seconds", result.decode_seconds},
          {"load_seconds", load_seconds}};
}

Result<std::string> PromptOf(const RunCommand& command) {
  if (*command.prompt != "-") return *command.prompt;
  if (command.file == "-")
    return InvalidArgument("the artifact and the prompt cannot both come from standard input");
  return untrusted::ReadText(*command.prompt);
}

// The options as they are, else what the model wants, else the defaults; `said` becomes a line
// about what is the model's doing, empty where nothing is.
Status ChooseSampling(const RunCommand& command, const loader::Model& model,
                      loader::SamplerOptions& sampler, std::string& said) {
  const SamplingOptions& asked = command.sampling;
  const bool all_asked =
      asked.temperature && asked.top_k && asked.top_p && asked.min_p && asked.repetition_penalty;
  model::GenerationConfig wanted;
  if (!all_asked) {
    INGOT_ASSIGN(wanted, loader::GenerationOf(model).At(command.file));
  }
  const auto choose = [&](const char* name, const auto& option, const auto& model_says,
                          auto otherwise) {
    if (option) return static_cast<decltype(otherwise)>(*option);
    if (!model_says) return otherwise;
    said += fmt::format("{}{} {}", said.empty() ? "" : ", ", name, *model_says);
    return static_cast<decltype(otherwise)>(*model_says);
  };
  const bool sampled = wanted.do_sample.value_or(false);
  sampler.repetition_penalty =
      choose("repeat-penalty", asked.repetition_penalty, wanted.repetition_penalty, 1.0);
  if (command.greedy || (!asked.temperature && !wanted.do_sample.value_or(true))) {
    sampler.temperature = 0;
    if (!command.greedy) said += fmt::format("{}greedy", said.empty() ? "" : ", ");
  } else {
    sampler.temperature = choose("temperature", asked.temperature, wanted.temperature,
                                 sampled ? kSampledTemperature : kTemperature);
    sampler.top_k = choose("top-k", asked.top_k, wanted.top_k, sampled ? kSampledTopK : kTopK);
    sampler.top_p = choose("top-p", asked.top_p, wanted.top_p, sampled ? kSampledTopP : kTopP);
    sampler.min_p = choose("min-p", asked.min_p, wanted.min_p, 0.0);
    if (sampled && said.empty()) said = "sampled";
  }
  if (!said.empty()) said = fmt::format("as {} says: {}", wanted.file, said);
  return OkStatus();
}

// The model's chat template, or what the command line wants instead: one of its others by name, or
// a file's.
Result<model::ChatFormat> FormatOf(const RunCommand& command, const loader::Model& model) {
  if (command.no_template) return model::ChatFormat::Plain();
  const std::string& name = command.chat_template;
  if (!name.ends_with(".jinja")) return loader::ChatFormatOf(model, name).At(command.file);
  INGOT_ASSIGN(const std::string source, untrusted::ReadText(name));
  return loader::ChatFormatOf(model, name, source).At(name);
}

// What is said first.
std::vector<model::ChatMessage> Opening(const RunCommand& command) {
  if (command.system.empty()) return {};
  return {{"system", command.system}};
}

// An encoder's: the prompt with its masks filled.
Status RunEncoder(const RunCommand& command, loader::Session& session, std::string_view prompt,
                  double load_seconds) {
  INGOT_ASSIGN(const loader::FillResult result, loader::FillMasks(session, prompt));
  if (command.json) {
    nlohmann::json masks = nlohmann::json::array();
    for (const loader::FilledMask& mask : result.masks)
      masks.push_back({{"position", mask.position}, {"probability", mask.probability}});
    fmt::print("{}\n", untrusted::PrintableJson({{"text", result.text},
                                                 {"masks", masks},
                                                 {"tokens", result.tokens},
                                                 {"seconds", result.seconds},
                                                 {"load_seconds", load_seconds}}));
    return OkStatus();
  }
  if (!WriteText(result.text) || !WriteText(OnTerminal() ? "\n" : ""))
    return IoError("cannot write to standard output");
  if (command.quiet) return OkStatus();
  std::string line;
  for (const loader::FilledMask& mask : result.masks)
    line += fmt::format("{}position {} p {:.3f}", line.empty() ? "" : ", ", mask.position,
                        mask.probability);
  PrintError("{} masks filled ({}); {} tokens, {:.3f} s; load {:.2f} s\n", result.masks.size(),
             line, result.tokens, result.seconds, load_seconds);
  return OkStatus();
}

// "speculation: 47 tokens in 21 steps; planes 14 drafts, 37 of 48 tokens accepted; 6 % of tokens
// end a 4-gram seen before"
void PrintSpeculation(const loader::GenerateResult& result) {
  const loader::SpeculationStats& stats = result.speculation;
  std::string line =
      fmt::format("speculation: {} tokens in {} steps", result.decode_tokens, result.decode_steps);
  const auto add = [&](const char* name, const loader::DraftCounts& counts) {
    if (counts.drafts > 0)
      line += fmt::format("; {} {} drafts, {} of {} tokens accepted", name, counts.drafts,
                          counts.accepted, counts.tokens);
  };
  add("lookup", stats.lookup);
  add("planes", stats.planes());
  add("layers", stats.layers());
  const double share = static_cast<double>(stats.repeated) /
                       static_cast<double>(std::max<std::uint64_t>(stats.tokens, 1));
  PrintError("{}; {:.0f} % of tokens end a 4-gram seen before\n", line, 100 * share);
}

// "precision: 5.43 bits a weight read; class 0 60 %, 1 40 %, 2 0 %, 3 0 %"
void PrintPrecision(const loader::GenerateResult& result) {
  const std::string classes = ClassesText(result.precision);
  PrintError("precision: {:.2f} bits a weight read{}{}\n", result.bits_a_weight,
             classes.empty() ? "" : "; ", classes);
}

// What a GPU does not do yet is the processor's: said where a GPU was asked for, by name.
Status CheckDevice(const RunCommand& command, const loader::Model& model) {
  if (command.device == "cpu" || command.device == "auto") return OkStatus();
  if (model.architecture().masked)
    return InvalidArgument("an encoder on a GPU: leave --device out");
  if (command.chat && !command.prompt.has_value())
    return InvalidArgument("a conversation on a GPU: leave --device out, or give --prompt TEXT");
  if (command.cache != loader::SessionOptions::Cache::kAuto)
    return InvalidArgument("--kv on a GPU, which keeps f16, or f32 with --exact: leave --kv out");
  return OkStatus();
}

// On the GPU that was asked for, with `ids` of the prompt; null for the processor.
Result<std::unique_ptr<cuda::CudaRunner>> RunnerOf(
    const RunCommand& command, const std::shared_ptr<const loader::Model>& model,
    std::string_view prompt, std::vector<model::TokenId>& ids,
    const loader::GenerateOptions& generate) {
  if (command.device == "cpu") return std::unique_ptr<cuda::CudaRunner>();
  if (ids.empty()) {
    INGOT_ASSIGN(ids, loader::PromptIds(*model, prompt));
  }
  cuda::CudaOptions options;
  options.exact = command.exact;
  options.context = command.context > 0 ? command.context : ids.size() + generate.max_tokens;
  std::string why;
  INGOT_ASSIGN(auto runner, GpuRunner(command.device, model, options, why));
  if (!why.empty() && !command.quiet) PrintError("on the processor: {}\n", why);
  return runner;
}

// "memory: weights 75.1 MB, cache 3.2 MB, ...", and joules where a counter says how many.
void PrintStats(loader::Session& session, const loader::GenerateResult& result,
                loader::EnergyMeter* energy) {
  const auto bytes = [](const std::optional<std::uint64_t>& value) {
    return value.has_value() ? inspect::HumanBytes(*value) : std::string("not measured");
  };
  const loader::MemoryUse memory = loader::MeasureMemory(session.model(), session.runner());
  PrintError("memory: weights {}, cache {}, activations {}, other {}; resident {}, at most {}\n",
             bytes(memory.weights), bytes(memory.cache), bytes(memory.activations),
             bytes(memory.other), bytes(memory.resident), bytes(memory.peak_resident));
  const auto joules = energy != nullptr ? energy->Joules() : std::nullopt;
  const std::uint64_t tokens = result.prompt_tokens + result.decode_tokens;
  if (joules.has_value())
    PrintError("energy: {:.3f} J a token ({})\n",
               *joules / static_cast<double>(std::max<std::uint64_t>(tokens, 1)), energy->what());
  else
    PrintError("energy: not measured, there is no counter that can be read\n");
}

// Finer levels that join a text under --early.
struct EarlyStart {
  std::optional<loader::Refinement> refinement;
  std::optional<std::size_t> tokens;  // of the coarsest level alone

  // REQUIRES: so_far tokens of the text are there.
  Status Poll(const loader::Model& model, std::size_t so_far) {
    if (!refinement) return OkStatus();
    if (model.awaits_levels()) tokens = so_far;
    return refinement->Poll().status();
  }
};

Status CheckEarly(const RunCommand& command, const loader::Model& model) {
  if (!command.early) return OkStatus();
  if (model.architecture().masked)
    return InvalidArgument("an encoder fills its masks in one step: leave --early out");
  return OkStatus();
}

// Of an artifact's levels that are missing, once it is known which.
void WarnOfLevels(const RunCommand& command, const loader::Model& model) {
  if (model.artifact() == nullptr || command.levels >= 0) return;
  if (const std::string note = inspect::MissingLevels(*model.artifact()); !note.empty())
    Warn(untrusted::TextName(command.file) + ": " + note);
}

Status RunModel(const RunCommand& command) {
  const bool talks = command.chat && !command.prompt.has_value();
  std::string prompt;
  if (!talks) {
    INGOT_ASSIGN(prompt, PromptOf(command));
  }
  INGOT_ASSIGN(const auto key, LoadVerifyingKey(command.key));
  loader::ModelOptions options;
  options.key = PointerTo(key);
  options.selection.levels = command.levels;
  options.max_decoded_bytes = command.max_decoded;
  options.verify = command.verify;
  options.compute = command.exact ? loader::Compute::kExact : loader::Compute::kFast;
  options.allow_truncated = true;
  options.early = command.early;
  const std::string name = untrusted::TextName(command.file);
  const auto start = std::chrono::steady_clock::now();
  INGOT_ASSIGN(const auto model, command.file == "-"
                                     ? loader::Model::OpenPipe(STDIN_FILENO, options).At(name)
                                     : loader::Model::Open(command.file, options));
  if (!command.early) WarnOfLevels(command, *model);
  INGOT_ASSIGN(const std::vector<std::string> notes, loader::NotesOf(*model));
  for (const std::string& note : notes) Warn(name + ": " + note);
  const double load_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  loader::SessionOptions session_options;
  session_options.context = command.context;
  session_options.cache = command.cache;
  loader::Session session(model, session_options);
  INGOT_TRY(Status(session.runner().status()));
  const auto energy = command.stats ? loader::MakePackageMeter() : nullptr;
  if (model->architecture().masked && command.chat)
    return InvalidArgument("an encoder fills masks, it does not talk: leave --chat out");
  INGOT_TRY(CheckDevice(command, *model));
  INGOT_TRY(CheckEarly(command, *model));
  if (model->architecture().masked) return RunEncoder(command, session, prompt, load_seconds);
  loader::GenerateOptions generate = command.generate;
  std::string said;
  INGOT_TRY(ChooseSampling(command, *model, generate.sampler, said));
  if (!said.empty() && !command.quiet) PrintError("{}\n", said);
  if (command.exits.given()) {
    INGOT_ASSIGN(generate.exits, ChooseExits(command.exits, *model));
  }
  INGOT_ASSIGN(const auto precision, ChoosePrecision(command.precision));
  if (precision) generate.precision = *precision;
  EarlyStart early;
  if (command.early) early.refinement.emplace(model);
  generate.before_step = [&](std::size_t tokens) { return early.Poll(*model, tokens).At(name); };
  std::vector<std::string> stops = command.stops;
  std::vector<model::TokenId> ids;
  if (command.chat) {
    auto chosen = FormatOf(command, *model);
    if (!chosen.ok()) return WithoutTemplate(std::move(chosen).status());
    const model::ChatFormat format = *std::move(chosen);
    ChatRequest chat{&format, Opening(command), generate, stops, command.stats};
    INGOT_TRY(PrepareChat(session, chat));
    if (talks) return Chat(session, chat);
    chat.messages.push_back({"user", prompt});
    INGOT_ASSIGN(ids, ChatIds(session, chat));
    generate = chat.generate;
    stops = chat.stops;
  }
  std::string text;
  bool ends_line = true;
  UntilStop until(stops, [&](std::string_view piece) {
    ends_line = piece.ends_with('\n');
    text += command.json ? piece : std::string_view();
    return command.json || WriteText(piece);
  });
  const auto piece = [&](std::string_view one) { return until.Add(one); };
  INGOT_ASSIGN(const auto gpu, RunnerOf(command, model, prompt, ids, generate));
  INGOT_ASSIGN(const loader::GenerateResult result,
               gpu != nullptr ? cuda::GenerateFromIds(*gpu, ids, generate, piece)
               : ids.empty()  ? loader::Generate(session, prompt, generate, piece)
                              : loader::GenerateFromIds(session, ids, generate, piece));
  if (!until.Finish() || until.failed()) return IoError("cannot write to standard output");
  INGOT_TRY(early.Poll(*model, result.tokens.size()).At(name));
  if (early.refinement && early.refinement->done()) WarnOfLevels(command, *model);
  if (result.stop == loader::StopReason::kContextFull) Warn("the context is full");
  if (result.beyond_trained_length) Warn("the text is longer than the model was trained for");
  const std::uint64_t seed = generate.sampler.seed;
  if (command.json) {
    fmt::print("{}\n", untrusted::PrintableJson(ResultJson(result, text,
                                                           StopName(result.stop, until.stopped()),
                                                           seed, load_seconds, early.tokens)));
    return OkStatus();
  }
  if (OnTerminal()) fmt::print("\n");
  std::fflush(stdout);
  // Where both go to one place, the status has a line of its own.
  if (!command.quiet)
    PrintError("{}{}{}\n", OnTerminal() || ends_line ? "" : "\n", SpeedLine(result, load_seconds),
               generate.sampler.temperature > 0 ? fmt::format("; seed {}", seed) : "");
  if (early.tokens.value_or(0) > 0 && !command.quiet)
    PrintError("the first {} of {} tokens are of the coarsest level alone{}\n", *early.tokens,
               result.tokens.size(),
               early.refinement->done() ? "" : "; the others were not read to their end");
  if (command.stats) {
    PrintSpeculation(result);
    if (generate.exits) PrintError("{}\n", ExitsLine(result.exits));
    if (precision) PrintPrecision(result);
    if (gpu == nullptr) PrintStats(session, result, energy.get());
  }
  return OkStatus();
}

// Before anything is read.
Status CheckEarlyOptions(const RunCommand& o) {
  if (!o.early) return OkStatus();
  if (o.device != "cpu" && o.device != "auto")
    return InvalidArgument("what a GPU holds is not refined: leave --early or --device out");
  if (o.verify == loader::Verify::kLazy)
    return InvalidArgument("--early reads what --verify lazy leaves: leave one of them out");
  if (o.precision.mode || o.generate.speculation.mode == loader::SpeculationOptions::Mode::kPlanes)
    return InvalidArgument(
        "--early begins with one level, and --precision and --speculate planes choose among "
        "several: leave --early out");
  return OkStatus();
}

Status CheckChatOptions(const RunCommand& o) {
  if (!o.chat && !o.prompt.has_value())
    return InvalidArgument("run needs --prompt TEXT, or --chat to talk");
  if (!o.chat && (!o.system.empty() || !o.chat_template.empty() || o.no_template))
    return InvalidArgument("--system, --chat-template and --no-template go with --chat");
  if (o.no_template && !o.chat_template.empty())
    return InvalidArgument("--no-template and --chat-template exclude each other");
  if (o.chat && !o.prompt.has_value() && (o.json || o.file == "-"))
    return InvalidArgument(o.json
                               ? "--json with --chat needs --prompt TEXT"
                               : "an artifact from stdin leaves no stdin to talk: give --prompt");
  return OkStatus();
}

// Another text every time, unless a seed is given.
std::uint64_t RandomSeed() {
  std::random_device device;
  return device();
}

void AddSamplerOptions(CLI::App* c, RunCommand& o) {
  SamplingOptions& s = o.sampling;
  c->add_flag("--greedy", o.greedy, "always the likeliest token");
  c->add_option("--temperature", s.temperature,
                fmt::format("0: greedy; by default the model's own, else {}", kTemperature))
      ->check(RealNumber(0, 1e6, /*above=*/false, "from 0 to 1000000"));
  c->add_option("--top-k", s.top_k,
                fmt::format("keep the K likeliest tokens, 0: all; the model's own, else {}", kTopK))
      ->transform(WholeNumber());
  c->add_option(
       "--top-p", s.top_p,
       fmt::format("then the fewest that hold this probability; the model's own, else {}", kTopP))
      ->check(RealNumber(0, 1, /*above=*/true, "above 0 and at most 1"));
  c->add_option("--min-p", s.min_p,
                "then those with this share of the likeliest one's probability; the model's own, "
                "else 0")
      ->check(FromZeroToOne());
  c->add_option("--repeat-penalty", s.repetition_penalty,
                "of tokens seen before, 1: none; the model's own, else 1")
      ->check(RealNumber(0, 1e6, /*above=*/true, "above 0 and at most 1000000"));
  c->add_option("--seed", o.seed, "the same seed gives the same text; by default another each time")
      ->type_name("N")
      ->transform(Seed());
}

}  // namespace

void AddRunCommand(CLI::App& app, Outcome& outcome) {
  auto o = std::make_shared<RunCommand>();
  o->generate.max_tokens = 128;
  CLI::App* c = app.add_subcommand(
      "run", "continue a prompt, or fill an encoder's [MASK]s; the text alone goes to stdout");
  c->add_option("FILE", o->file, "artifact (- for stdin), Hugging Face directory or .gguf file")
      ->required();
  c->add_option("-p,--prompt", o->prompt, "text to continue; - reads it from stdin")
      ->type_name("TEXT");
  c->add_flag(
      "--chat", o->chat,
      "talk to the model by its own chat template; with -p one answer, else lines of stdin");
  c->add_option("--system", o->system, "with --chat: what the model is told first")
      ->type_name("TEXT");
  c->add_option("--chat-template", o->chat_template,
                "another of the model's templates by name, or a .jinja file")
      ->type_name("NAME");
  c->add_flag("--no-template", o->no_template, "with --chat: plain 'User:' and 'Assistant:' lines");
  CLI::Option* tokens =
      c->add_option("-n,--tokens", o->generate.max_tokens, "tokens to generate, at most")
          ->type_name("N")
          ->transform(WholeNumber())
          ->capture_default_str();
  AddSamplerOptions(c, *o);
  c->add_option("--stop", o->stops, "end before this text; may be given several times")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  c->add_flag("--json", o->json, "one JSON object: the text, why it ended, speeds");
  c->add_flag("--ignore-eos", o->ignore_eos, "go on after the end of the text");
  c->add_flag("--exact", o->exact, "float32 activations instead of int8 ones");
  c->add_option("--levels", o->levels, "refinement levels to load, by default all")
      ->type_name("N")
      ->transform(WholeNumber(1, 64));
  c->add_flag("--early", o->early,
              "begin as soon as the coarsest level is there; finer ones join between tokens");
  c->add_option("--context", o->context, "longest sequence in tokens, 0: as needed")
      ->type_name("N")
      ->transform(WholeNumber())
      ->check([](const std::string& text) {
        return text == "1" ? "1 leaves no room for a token after the prompt" : std::string();
      })
      ->capture_default_str();
  AddDeviceOption(c, o->device);
  c->add_option("--kv", o->cache,
                "keys and values as f32, f16, int8 or int4; by default f16, with --exact f32")
      ->type_name("FORMAT")
      ->transform(
          NameOf("format of keys and values", std::map<std::string, loader::SessionOptions::Cache>{
                                                  {"f32", loader::SessionOptions::Cache::kF32},
                                                  {"f16", loader::SessionOptions::Cache::kF16},
                                                  {"int8", loader::SessionOptions::Cache::kInt8},
                                                  {"int4", loader::SessionOptions::Cache::kInt4}}));
  c->add_option(
       "--speculate", o->generate.speculation.mode,
       "auto, lookup, planes, layers or off: several tokens a step, the same text; by default auto")
      ->type_name("HOW")
      ->transform(NameOf("way to speculate", SpeculationModes()));
  c->add_option("--draft", o->generate.speculation.draft,
                "tokens of a draft; by default as many as pay, measured as the text goes")
      ->type_name("N")
      ->transform(WholeNumber(1, loader::kMostDrafted));
  AddExitOptions(c, o->exits);
  AddPrecisionOptions(c, o->precision);
  c->add_flag("--stats", o->stats,
              "say what memory and energy it took, and how far drafts were right");
  AddVerifyOption(c, o->verify);
  AddMaxDecodedOption(c, o->max_decoded);
  AddVerifyingKeyOptions(c, o->key);
  c->add_flag("-q,--quiet", o->quiet, "print no speeds");
  AddThreadsOption(c);
  OnRun(c, outcome, [o, tokens]() -> Status {
    INGOT_TRY(CheckChatOptions(*o));
    INGOT_TRY(CheckEarlyOptions(*o));
    if (o->early) o->device = "cpu";  // auto: what a GPU holds is not refined
    if (o->chat && tokens->count() == 0) o->generate.max_tokens = kAnswerTokens;
    if (o->greedy) o->generate.sampler.temperature = 0;
    o->generate.stop_at_eos = !o->ignore_eos;
    o->generate.sampler.seed = o->seed.has_value() ? *o->seed : RandomSeed();
    if (std::ranges::find(o->stops, "") != o->stops.end())
      return InvalidArgument("--stop: an empty text ends everything");
    return RunModel(*o);
  });
}

}  // namespace ingot::cli
