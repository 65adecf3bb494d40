#include "tools/cli/bench_speculation.h"

#include <fmt/format.h>

#include <vector>

#include "tools/cli/common.h"

namespace ingot::cli {
namespace {

using loader::DraftCounts;
using loader::SpeculationStats;
using Mode = loader::SpeculationOptions::Mode;

std::string NameOf(Mode mode) {
  for (const auto& [name, value] : SpeculationModes())
    if (value == mode) return name;
  return "?";
}

double Ratio(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// Of the steps that had a draft to check.
double TokensAStep(const DraftCounts& counts) {
  return counts.drafts == 0 ? 0 : 1 + Ratio(counts.accepted, counts.drafts);
}

inspect::Json DraftJson(const DraftCounts& counts) {
  return {{"drafts", counts.drafts},           {"tokens", counts.tokens},
          {"accepted", counts.accepted},       {"judged", counts.judged},
          {"acceptance", counts.acceptance()}, {"tokens_per_verify", TokensAStep(counts)}};
}

inspect::Json ModeJson(const jobs::SpeculationBench& bench) {
  const SpeculationStats& stats = bench.stats;
  return {{"mode", NameOf(bench.mode)},
          {"tokens", stats.tokens},
          {"steps", stats.steps},
          {"lookup", DraftJson(stats.lookup)},
          {"planes", DraftJson(stats.planes())},
          {"layers", DraftJson(stats.layers())},
          {"repetition_share", Ratio(stats.repeated, stats.tokens)},
          {"seconds", bench.seconds},
          {"tokens_per_s", static_cast<double>(stats.tokens) / bench.seconds},
          {"speed_of_plain",
           {{"median", bench.speed.median}, {"low", bench.speed.low}, {"high", bench.speed.high}}},
          {"different", bench.different}};
}

std::string Accepted(const DraftCounts& counts) {
  if (counts.judged == 0) return "";
  return fmt::format("{:.3f} of {}", counts.acceptance(), counts.judged);
}

std::vector<std::string> Row(const jobs::SpeculationBench& bench, bool plain) {
  const SpeculationStats& stats = bench.stats;
  DraftCounts both = stats.model;
  both.drafts += stats.lookup.drafts;
  both.accepted += stats.lookup.accepted;
  return {plain ? "plain" : NameOf(bench.mode),
          fmt::format("{:.1f}", static_cast<double>(stats.tokens) / bench.seconds),
          plain ? "1"
                : fmt::format("{:.2f} ({:.2f}-{:.2f})", bench.speed.median, bench.speed.low,
                              bench.speed.high),
          Accepted(stats.model),
          Accepted(stats.lookup),
          plain ? "" : fmt::format("{:.2f}", TokensAStep(both)),
          fmt::format("{:.0f} %", 100 * Ratio(stats.repeated, stats.tokens)),
          plain                  ? ""
          : bench.different == 0 ? "equal"
                                 : fmt::format("{} differ", bench.different)};
}

}  // namespace

const std::map<std::string, Mode>& SpeculationModes() {
  static const auto* modes = new std::map<std::string, Mode>{{"auto", Mode::kAuto},
                                                             {"lookup", Mode::kLookup},
                                                             {"planes", Mode::kPlanes},
                                                             {"layers", Mode::kLayers},
                                                             {"off", Mode::kOff}};
  return *modes;
}

inspect::Json SpeculationJson(const jobs::SpeculationBenchResult& result) {
  inspect::Json json = {{"plain", ModeJson(result.plain)}, {"modes", inspect::Json::array()}};
  for (const jobs::SpeculationBench& bench : result.modes) json["modes"].push_back(ModeJson(bench));
  return json;
}

void PrintSpeculationTable(const jobs::SpeculationBenchResult& result) {
  std::vector<std::vector<std::string>> rows = {{"", "tokens/s", "of plain (quartiles)",
                                                 "drafts accepted", "lookup accepted",
                                                 "tokens a verify", "repeated", "text"}};
  rows.push_back(Row(result.plain, true));
  for (const jobs::SpeculationBench& bench : result.modes) rows.push_back(Row(bench, false));
  PrintRows(rows);
}

Status CheckSame(const jobs::SpeculationBenchResult& result) {
  for (const jobs::SpeculationBench& bench : result.modes)
    if (bench.different > 0)
      return Corruption(
          fmt::format("--speculate {} wrote {} continuations that plain decoding does "
                      "not: this is a defect, please report it",
                      NameOf(bench.mode), bench.different));
  return OkStatus();
}

}  // namespace ingot::cli
