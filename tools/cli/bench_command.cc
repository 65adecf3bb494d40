// `ingot bench`: speeds beside the machine's limits.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "inspect/summary.h"
#include "inspect/text_format.h"
#include "jobs/bench_job.h"
#include "jobs/exits_bench.h"
#include "jobs/speculation_bench.h"
#include "loader/speculate/draft_policy.h"
#include "tools/cli/bench_speculation.h"
#include "tools/cli/bench_stops.h"
#include "tools/cli/common.h"
#include "tools/cli/job_line.h"
#include "tools/cli/name_choice.h"
#include "tools/cli/number_checks.h"
#include "tools/cli/policy_options.h"
#include "tools/cli/verify_option.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

using jobs::SpeedBench;

struct BenchCommand {
  jobs::BenchJobOptions job;
  jobs::SpeculationBenchOptions speculation;
  KeyOption key;
  jobs::ExitsBenchOptions exits;
  PrecisionChoice precision;
  bool json = false, quiet = false, no_prompt = false, no_load = false, of_exits = false,
       of_stops = false;
};

std::string_view KindName(SpeedBench::Kind kind) {
  switch (kind) {
    case SpeedBench::Kind::kPrefill:
      return "prefill";
    case SpeedBench::Kind::kRows:
      return "rows";
    case SpeedBench::Kind::kDecode:
      break;
  }
  return "decode";
}

inspect::Json SpreadJson(const jobs::Spread& spread) {
  return {{"median_s", spread.median}, {"low_s", spread.low}, {"high_s", spread.high}};
}

template <typename T>
inspect::Json OrNull(const std::optional<T>& value) {
  return value.has_value() ? inspect::Json(*value) : inspect::Json(nullptr);
}

inspect::Json SpeedJson(const SpeedBench& bench) {
  inspect::Json json = SpreadJson(bench.seconds);
  json["kind"] = KindName(bench.kind);
  json["batch"] = bench.batch;
  json["context"] = bench.context;
  if (bench.planes > 0) json["planes"] = bench.planes;
  json["tokens_per_s"] = bench.tokens_a_second();
  json["limit_read_s"] = bench.floor.read_seconds;
  json["limit_products_s"] = bench.floor.product_seconds;
  json["share_of_limit"] = bench.floor.seconds() / bench.seconds.median;
  json["joules_per_token"] = OrNull(bench.joules_a_token);
  return json;
}

inspect::Json MemoryJson(const loader::MemoryUse& memory) {
  return {{"weights", memory.weights},           {"cache", memory.cache},
          {"activations", memory.activations},   {"other", OrNull(memory.other)},
          {"resident", OrNull(memory.resident)}, {"peak_resident", OrNull(memory.peak_resident)}};
}

inspect::Json ResultJson(const BenchCommand& command, const jobs::BenchJobResult& result) {
  const loader::MachineLimits& limits = result.limits;
  inspect::Json json = {
      {"file", command.job.file},
      {"threads", limits.threads},
      {"isa", limits.isa},
      {"runs", command.job.runs},
      {"limits",
       {{"read_bytes_per_s", limits.read_bytes},
        {"float_products_per_s", limits.float_products},
        {"int8_products_per_s", limits.int8_products},
        {"bf16_products_per_s",
         limits.bf16_products > 0 ? inspect::Json(limits.bf16_products) : inspect::Json(nullptr)}}},
      {"weight_bytes_per_step", result.cost.weight_bytes},
      {"kv", result.cache},
      {"kv_bytes_per_token", result.cache_bytes_a_token},
      {"memory", MemoryJson(result.memory)},
      {"energy", result.energy.empty() ? inspect::Json(nullptr) : inspect::Json(result.energy)}};
  if (result.load.has_value()) {
    json["load"]["file_bytes"] = result.load->file_bytes;
    json["load"]["warm"] = SpreadJson(result.load->warm);
    json["load"]["first_step"] = SpreadJson(result.load->first_step);
    json["load"]["cold"] =
        result.load->cold.has_value() ? SpreadJson(*result.load->cold) : inspect::Json(nullptr);
  }
  json["speeds"] = inspect::Json::array();
  for (const SpeedBench& bench : result.speeds) json["speeds"].push_back(SpeedJson(bench));
  return json;
}

std::string Milliseconds(double seconds) { return fmt::format("{:.2f}", seconds * 1e3); }

std::vector<std::string> SpeedRow(const SpeedBench& bench, bool energy) {
  const bool prefill = bench.kind == SpeedBench::Kind::kPrefill;
  const loader::StepFloor& floor = bench.floor;
  std::vector<std::string> row = {
      std::string(KindName(bench.kind)) +
          (bench.planes > 0 ? fmt::format(" {} planes", bench.planes) : ""),
      prefill ? "" : std::to_string(bench.batch),
      std::to_string(bench.context),
      fmt::format("{:.1f}", bench.tokens_a_second()),
      Milliseconds(bench.seconds.median),
      Milliseconds(bench.seconds.low) + "-" + Milliseconds(bench.seconds.high),
      Milliseconds(floor.seconds()),
      floor.read_seconds >= floor.product_seconds ? "memory" : "products",
      fmt::format("{:.0f} %", 100 * floor.seconds() / bench.seconds.median)};
  if (energy)
    row.push_back(bench.joules_a_token.has_value() ? fmt::format("{:.3f}", *bench.joules_a_token)
                                                   : "not measured");
  return row;
}

void PrintTable(const BenchCommand& command, const jobs::BenchJobResult& result) {
  const loader::MachineLimits& limits = result.limits;
  PrintPage("{}\n", untrusted::Printable(command.job.file));
  PrintPage(
      "  machine   {} threads, {}; reads {:.1f} GB/s; G products/s: int8 {:.0f}, float {:.0f}{}\n",
      limits.threads, limits.isa, limits.read_bytes / 1e9, limits.int8_products / 1e9,
      limits.float_products / 1e9,
      limits.bf16_products > 0 ? fmt::format(", bf16 {:.0f}", limits.bf16_products / 1e9) : "");
  PrintPage("  a step    reads {} of weights; keys and values {}, {} a token\n",
            inspect::HumanBytes(static_cast<std::uint64_t>(result.cost.weight_bytes)), result.cache,
            inspect::HumanBytes(static_cast<std::uint64_t>(result.cache_bytes_a_token)));
  if (result.load.has_value())
    PrintPage("  load      {}: warm {} ms, with a first token {} ms, cold {}\n",
              inspect::HumanBytes(result.load->file_bytes), Milliseconds(result.load->warm.median),
              Milliseconds(result.load->first_step.median),
              result.load->cold.has_value() ? Milliseconds(result.load->cold->median) + " ms"
                                            : "not measured: the system keeps the file in memory");
  const loader::MemoryUse& memory = result.memory;
  PrintPage("  memory    weights {}, cache {}, activations {}{}{}\n",
            inspect::HumanBytes(memory.weights), inspect::HumanBytes(memory.cache),
            inspect::HumanBytes(memory.activations),
            memory.other ? ", other " + inspect::HumanBytes(*memory.other) : "",
            memory.peak_resident ? "; peak " + inspect::HumanBytes(*memory.peak_resident) : "");
  PrintPage("  energy    {}\n",
            result.energy.empty() ? "not measured: no counter that can be read" : result.energy);
  const bool energy = !result.energy.empty();
  std::vector<std::vector<std::string>> rows = {
      {"", "batch", "context", "tokens/s", "ms", "quartiles", "limit ms", "of", "reached"}};
  if (energy) rows[0].push_back("J/token");
  for (const SpeedBench& bench : result.speeds) rows.push_back(SpeedRow(bench, energy));
  PrintRows(rows);
}

Status BenchExits(const BenchCommand& command, JobLine& line) {
  INGOT_ASSIGN(const jobs::ExitsBenchResult result,
               jobs::RunExitsBench(command.job, command.exits, line.monitor()));
  line.Clear();
  const auto ratio = [](const jobs::Spread& spread) {
    return inspect::Json{{"median", spread.median}, {"low", spread.low}, {"high", spread.high}};
  };
  if (command.json) {
    fmt::print("{}\n", untrusted::PrintableJson({{"layers", result.layers},
                                                 {"exits", result.exits},
                                                 {"overhead_one", ratio(result.overhead_one)},
                                                 {"overhead_batch", ratio(result.overhead_batch)},
                                                 {"kept_layers", result.kept_layers},
                                                 {"speed", ratio(result.speed)},
                                                 {"predicted", result.predicted},
                                                 {"of_predicted", result.of_predicted}}));
    return OkStatus();
  }
  const auto text = [](const jobs::Spread& spread) {
    return fmt::format("{:.3f} ({:.3f}-{:.3f})", spread.median, spread.low, spread.high);
  };
  PrintPage("{}: {} exits, {} layers\n", untrusted::Printable(command.job.file), result.exits,
            result.layers);
  PrintPage("  time where nobody leaves   {} of none asked; {} for a batch of {}\n",
            text(result.overhead_one), text(result.overhead_batch), command.exits.batch);
  PrintPage(
      "  batch of {}, some leave     {:.2f} layers kept, {} times as fast as none; the layers kept "
      "predict {:.3f}: {:.2f} of it\n",
      command.exits.batch, result.kept_layers, text(result.speed), result.predicted,
      result.of_predicted);
  return OkStatus();
}

Status RunBench(BenchCommand& command) {
  INGOT_ASSIGN(const auto key, LoadVerifyingKey(command.key));
  command.job.key = PointerTo(key);
  if (command.no_prompt) command.job.prompts.clear();
  command.job.loads = !command.no_load;
  JobLine line({.progress = command.quiet || command.json, .notes = command.quiet});
  INGOT_ASSIGN(const auto precision, ChoosePrecision(command.precision));
  if (precision && command.speculation.modes.empty())
    return InvalidArgument(
        "bench --precision goes with --speculate; eval --precision measures it alone");
  if (precision) command.speculation.precision = *precision;
  if (command.of_stops) return BenchStops(command.job, command.speculation, command.json, line);
  if (!command.speculation.modes.empty()) {
    INGOT_ASSIGN(const jobs::SpeculationBenchResult result,
                 jobs::RunSpeculationBench(command.job, command.speculation, line.monitor()));
    line.Clear();
    if (command.json)
      fmt::print("{}\n", untrusted::PrintableJson(SpeculationJson(result)));
    else
      PrintSpeculationTable(result);
    return CheckSame(result);
  }
  if (command.of_exits) return BenchExits(command, line);
  INGOT_ASSIGN(const jobs::BenchJobResult result, jobs::RunBenchJob(command.job, line.monitor()));
  line.Clear();
  if (command.json)
    fmt::print("{}\n", untrusted::PrintableJson(ResultJson(command, result)));
  else
    PrintTable(command, result);
  return OkStatus();
}

CLI::Option* AddList(CLI::App* c, const char* name, std::vector<std::uint64_t>& list,
                     const char* help) {
  return c->add_option(name, list, help)
      ->type_name("LIST")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->transform(WholeNumber())
      ->capture_default_str();
}

void AddSpeculation(CLI::App* c, jobs::SpeculationBenchOptions& o) {
  o.sampler.temperature = 0.8;
  const auto add = [&](const char* name, auto& value, const char* help, std::uint64_t least) {
    c->add_option(name, value, help)
        ->type_name("N")
        ->transform(WholeNumber(least))
        ->capture_default_str();
  };
  c->add_option(
       "--speculate", o.modes,
       "instead: continue prompts of --text plainly and in these modes: auto, lookup, planes, "
       "layers")
      ->type_name("LIST")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->transform(NameOf("way to speculate", SpeculationModes()));
  c->add_option("--text", o.texts, "texts that prompts are cut from")->type_name("FILE");
  c->add_option("--prompt-set", o.prompt_set,
                "instead of --text: prompts to continue, a JSON object with \"prompt\" a line")
      ->type_name("FILE.jsonl");
  c->add_option("--draft", o.draft, "tokens of a draft; by default as many as pay")
      ->type_name("N")
      ->transform(WholeNumber(1, loader::kMostDrafted));
  add("--prompts", o.prompts, "prompts, evenly over the texts, or the first of the set", 1);
  add("--prompt-tokens", o.prompt_tokens, "tokens of each", 1);
  add("--tokens", o.tokens, "tokens after each", 2);
  c->add_option("--temperature", o.sampler.temperature, "of their sampling, 0: greedy")
      ->check(RealNumber(0, 1e6, /*above=*/false, "from 0 to 1000000"))
      ->capture_default_str();
  add("--top-k", o.sampler.top_k, "keep the K likeliest tokens, 0: all", 0);
  c->add_option("--top-p", o.sampler.top_p, "then the fewest that hold this probability")
      ->check(RealNumber(0, 1, /*above=*/true, "above 0 and at most 1"))
      ->capture_default_str();
  c->add_option("--seed", o.sampler.seed, "of the first prompt; each has its own")
      ->type_name("N")
      ->transform(Seed())
      ->capture_default_str();
}

}  // namespace

void AddBenchCommand(CLI::App& app, Outcome& outcome) {
  auto o = std::make_shared<BenchCommand>();
  CLI::App* c = app.add_subcommand(
      "bench", "speeds of loading, prefill and decode, beside the limits of this machine");
  c->add_option("FILE", o->job.file, "artifact, Hugging Face directory or .gguf file")->required();
  AddList(c, "--batch", o->job.batches, "sequences that generate together");
  AddList(c, "--context", o->job.contexts, "positions that each has behind it");
  AddList(c, "--prompt", o->job.prompts, "tokens of the prompts of prefill");
  AddList(c, "--rows", o->job.rows, "rows of one sequence in a step, as speculation verifies them");
  c->add_option("--kv", o->job.cache, "format of keys and values")->type_name("FORMAT");
  c->add_option("--runs", o->job.runs, "runs of each, of which medians are taken")
      ->type_name("N")
      ->transform(WholeNumber())
      ->capture_default_str();
  c->add_option("--steps", o->job.steps, "steps of a run of decode")
      ->type_name("N")
      ->transform(WholeNumber())
      ->capture_default_str();
  c->add_flag("--compare-modes", o->job.compare_modes,
              "the first plane alone, the first two, ...: one token, run by run side by side");
  AddSpeculation(c, o->speculation);
  c->add_flag("--stop-rules", o->of_stops,
              "with --speculate planes or layers: what rules that say when a draft stops make of "
              "the same drafts, one that knows what will be right among them");
  c->add_flag("--exits", o->of_exits,
              "what exits cost where nobody leaves, and what a batch of eight gains whose rows do");
  AddPrecisionOptions(c, o->precision);
  c->add_flag("--no-prefill", o->no_prompt, "leave prefill out");
  c->add_flag("--no-load", o->no_load, "leave loading out");
  c->add_flag("--exact", o->job.exact, "float32 activations instead of int8 ones");
  c->add_option("--levels", o->job.levels, "refinement levels to load, by default all")
      ->type_name("N")
      ->transform(WholeNumber(1, 64));
  AddVerifyOption(c, o->job.verify);
  AddMaxDecodedOption(c, o->job.max_decoded_bytes);
  AddVerifyingKeyOptions(c, o->key);
  c->add_flag("--json", o->json, "one JSON object");
  c->add_flag("-q,--quiet", o->quiet, "show no progress");
  AddThreadsOption(c);
  OnRun(c, outcome, [o] { return RunBench(*o); });
}

}  // namespace ingot::cli
