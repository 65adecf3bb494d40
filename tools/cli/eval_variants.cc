#include "tools/cli/eval_variants.h"

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "inspect/summary.h"
#include "tools/cli/bench_speculation.h"
#include "tools/cli/common.h"
#include "tools/cli/name_choice.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

using jobs::Variant;

std::vector<std::string> Row(const Variant& variant, const jobs::VariantsJobResult& result) {
  const loader::EvalResult& m = variant.measured;
  std::vector<std::string> row = {
      variant.name,
      fmt::format("{:.4f} ± {:.4f}", m.kl_mean, m.kl_mean_stderr),
      fmt::format("{:.1f} ± {:.1f} %", 100 * m.top1_agreement, 100 * m.top1_agreement_stderr),
      fmt::format("{:.3f} {:+.2f} ± {:.2f} %", m.perplexity, m.delta_perplexity_percent,
                  m.delta_perplexity_percent_stderr),
      fmt::format("{:.2f}", variant.bits_a_weight),
      fmt::format("{:.2f} of {}", variant.kept_layers, result.layers),
      variant.speed
          ? fmt::format("{:.2f} ± {:.2f}", variant.speed->value, variant.speed->stderr_of_value)
          : "",
      ClassesText(variant.classes)};
  if (!result.energy.empty())
    row.push_back(variant.joules_a_token ? fmt::format("{:.3f}", *variant.joules_a_token) : "");
  return row;
}

inspect::Json VariantJson(const Variant& variant) {
  const loader::EvalResult& m = variant.measured;
  inspect::Json json = {
      {"name", variant.name},
      {"kl", m.kl_mean},
      {"kl_stderr", m.kl_mean_stderr},
      {"kl_p99", m.kl_p99},
      {"top1", m.top1_agreement},
      {"perplexity", m.perplexity},
      {"delta_perplexity_percent", m.delta_perplexity_percent},
      {"delta_perplexity_percent_stderr", m.delta_perplexity_percent_stderr},
      {"tokens", m.tokens},
      {"kept_layers", variant.kept_layers},
      {"bits_a_weight", variant.bits_a_weight},
      {"rows_by_class", {{"below", variant.classes.below}, {"above", variant.classes.above}}}};
  json["speed"] = variant.speed ? inspect::Json(variant.speed->value) : inspect::Json(nullptr);
  json["speed_stderr"] =
      variant.speed ? inspect::Json(variant.speed->stderr_of_value) : inspect::Json(nullptr);
  json["joules_a_token"] =
      variant.joules_a_token ? inspect::Json(*variant.joules_a_token) : inspect::Json(nullptr);
  return json;
}

void Print(const jobs::VariantsJobOptions& job, const jobs::VariantsJobResult& result) {
  const loader::EvalResult& first = result.variants.front().measured;
  PrintPage(
      "{} against {}\n", untrusted::Printable(job.artifact),
      job.reference.empty() ? "all of its planes and layers" : untrusted::Printable(job.reference));
  PrintPage("  {}; windows of {}, the first half a prompt, {} tokens decoded and scored\n",
            untrusted::Printable(result.text), first.context, first.tokens);
  std::vector<std::vector<std::string>> rows = {
      {"", "KL", "top-1", "perplexity, change", "bits read", "layers", "speed", "classes"}};
  if (!result.speed_of.empty()) rows[0][6] += " of " + result.speed_of;
  if (!result.energy.empty()) rows[0].push_back("J/token");
  for (const Variant& variant : result.variants) rows.push_back(Row(variant, result));
  PrintRows(rows);
  if (result.energy.empty())
    PrintPage("  energy not measured: there is no counter that can be read\n");
}

// The text of plain decoding, so there is no divergence to measure: what was accepted, and how much
// of the text was repetition.
Status EvalSpeculation(const VariantsChoice& choice, const jobs::VariantsJobOptions& job, bool json,
                       JobLine& line) {
  jobs::BenchJobOptions bench;
  bench.file = job.artifact;
  bench.key = job.key;
  bench.levels = job.levels;
  bench.max_decoded_bytes = job.max_decoded_bytes;
  jobs::SpeculationBenchOptions speculation;
  speculation.texts = job.texts;
  speculation.modes = choice.speculation;
  speculation.sampler.temperature = 0.8;
  INGOT_ASSIGN(const jobs::SpeculationBenchResult result,
               jobs::RunSpeculationBench(bench, speculation, line.monitor()));
  line.Clear();
  if (json)
    fmt::print("{}\n", untrusted::PrintableJson(SpeculationJson(result)));
  else
    PrintSpeculationTable(result);
  return CheckSame(result);
}

}  // namespace

void AddVariantsOptions(CLI::App* command, VariantsChoice& choice) {
  AddExitOptions(command, choice.exits);
  AddPrecisionOptions(command, choice.precision);
  command
      ->add_option(
          "--speculate", choice.speculation,
          "auto, lookup, planes, layers, off: what drafts give on the text; the text is the same")
      ->type_name("LIST")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->transform(NameOf("way to speculate", SpeculationModes()));
}

Status EvalVariants(const VariantsChoice& choice, jobs::VariantsJobOptions job, bool json,
                    JobLine& line) {
  INGOT_ASSIGN(job.precision, ChoosePrecision(choice.precision));
  if (!choice.speculation.empty()) {
    if (job.precision || choice.exits.given())
      return InvalidArgument("--speculate, --precision and --exit are measured one at a time");
    return EvalSpeculation(choice, job, json, line);
  }
  if (choice.exits.given())
    job.exits = [&choice](const loader::Model& model) { return ChooseExits(choice.exits, model); };
  INGOT_ASSIGN(const jobs::VariantsJobResult result, jobs::RunVariantsJob(job, line.monitor()));
  line.Clear();
  if (!json) {
    Print(job, result);
    return OkStatus();
  }
  inspect::Json out = {
      {"text", result.text},
      {"layers", result.layers},
      {"speed_of", result.speed_of},
      {"energy", result.energy.empty() ? inspect::Json(nullptr) : inspect::Json(result.energy)},
      {"variants", inspect::Json::array()}};
  for (const Variant& variant : result.variants) out["variants"].push_back(VariantJson(variant));
  fmt::print("{}\n", untrusted::PrintableJson(out));
  return OkStatus();
}

}  // namespace ingot::cli
