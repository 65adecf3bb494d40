#include "tools/cli/pack_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "inspect/text_format.h"
#include "tools/cli/common.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

// A tokenizer and the manifest compress to about this share of the tokenizer's files.
constexpr double kAssetShare = 0.35;
constexpr double kFileOverhead = 64 << 10;
constexpr std::array kSweepBits = {2.0,  2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 4.0,
                                   4.25, 4.5,  5.0, 5.5,  6.0, 6.5,  7.0, 8.0};

codecs::RecipeOptions LadderCodec(const codecs::RecipeOptions& codec) {
  codecs::RecipeOptions ladder = codec;
  if (ladder.codec.empty()) ladder.codec = "entropy_v1";
  if (!ladder.codec.ends_with("_gptq")) return ladder;
  if (ladder.transform.empty()) ladder.transform = "hadamard";
  if (ladder.group != 0 || !ladder.scales.empty()) return ladder;
  // For nearly the bits of group 128 with f16 scales, a finer grid.
  ladder.group = 64;
  ladder.scales = "q8";
  return ladder;
}

// Bytes of the file that allocation does not choose: other tensors, tokenizer, index.
double FixedBytes(const model::Checkpoint& checkpoint, const pack::PackPlan& plan,
                  const std::vector<pack::TensorCurve>& curves) {
  double bytes = kFileOverhead;
  for (const auto& [name, content] : checkpoint.assets())
    bytes += kAssetShare * static_cast<double>(content.size());
  for (const pack::PlannedTensor& tensor : plan.tensors) {
    const bool chosen = std::any_of(curves.begin(), curves.end(), [&](const auto& curve) {
      return curve.tensor == tensor.source.name;
    });
    if (!chosen) bytes += static_cast<double>(tensor.bytes.exact + tensor.bytes.at_most);
  }
  return bytes;
}

Result<pack::Budget> BudgetOf(const BudgetOptions& options, double fixed_bytes) {
  using Kind = pack::Budget::Kind;
  if ((options.bits > 0) + !options.size.empty() + (options.max_kl > 0) != 1)
    return InvalidArgument("give one of --bpw, --size and --max-kl");
  if (options.bits > 0) return pack::Budget{Kind::kLinearBits, options.bits};
  if (options.max_kl > 0) return pack::Budget{Kind::kKl, options.max_kl};
  INGOT_ASSIGN(const std::uint64_t size, ParseSize(options.size).At("--size"));
  const double matrices = static_cast<double>(size) - fixed_bytes;
  if (matrices <= 0)
    return InvalidArgument(
        fmt::format("--size {}: tokenizer and tensors that are kept take {:.0f} "
                    "bytes already",
                    options.size, fixed_bytes));
  return pack::Budget{Kind::kBytes, matrices};
}

std::string BudgetText(const BudgetOptions& options) {
  if (options.bits > 0) return fmt::format("bpw {}", options.bits);
  if (options.max_kl > 0) return fmt::format("max-kl {}", options.max_kl);
  return "size " + options.size;
}

double LinearBits(const std::vector<pack::TensorCurve>& curves, const pack::Assignment& a) {
  double weights = 0;
  for (const pack::TensorCurve& curve : curves)
    if (curve.role == model::TensorRole::kLinear) weights += static_cast<double>(curve.weights);
  return weights > 0 ? 8 * a.linear_bytes / weights : 0;
}

}  // namespace

Result<BudgetCurves> MeasureBudget(const model::Checkpoint& checkpoint,
                                   const codecs::RecipeOptions& codec, std::uint64_t memory_bytes,
                                   bool quiet, const pack::PlanOptions& options) {
  if (options.statistics == nullptr)
    return InvalidArgument(
        "a budget is spent by what calibration knows: give --stats FILE (see calibrate) or "
        "--calib");
  INGOT_ASSIGN(const pack::PackPlan plan, pack::MakePlan(checkpoint, options));
  ProgressLine line(quiet);
  BudgetCurves known;
  known.codec = LadderCodec(codec);
  INGOT_ASSIGN(known.curves, pack::MeasureCurves(checkpoint, plan, known.codec, memory_bytes,
                                                 [&](std::size_t done, std::size_t total) {
                                                   line.Count(done, total, "matrices tried");
                                                 }));
  line.Clear();
  known.fixed_bytes = FixedBytes(checkpoint, plan, known.curves);
  return known;
}

Status ChooseByBudget(const BudgetCurves& known, const BudgetOptions& budget, double correction,
                      pack::PlanOptions& options) {
  INGOT_ASSIGN(pack::Budget wanted, BudgetOf(budget, known.fixed_bytes));
  if (wanted.kind == pack::Budget::Kind::kKl) wanted.value /= correction;
  INGOT_ASSIGN(const pack::Assignment assignment, pack::Assign(known.curves, wanted));
  for (std::size_t i = 0; i < known.curves.size(); ++i)
    options.chosen[known.curves[i].tensor] = assignment.recipes[i];
  options.allocation = {{"budget", BudgetText(budget)},
                        {"codec", pack::RecipeText(known.codec)},
                        {"predicted_loss", assignment.predicted_loss * correction},
                        {"predicted_linear_bits", LinearBits(known.curves, assignment)}};
  if (correction != 1) options.allocation["loss_correction"] = correction;
  return OkStatus();
}

Result<std::string> BudgetSweep(const BudgetCurves& known, bool json) {
  std::vector<std::vector<std::string>> rows = {
      {"bpw", "linear bytes", "file (about)", "predicted KL"}};
  pack::Json list = pack::Json::array();
  for (const double bits : kSweepBits) {
    const auto assignment = pack::Assign(known.curves, {pack::Budget::Kind::kLinearBits, bits});
    if (!assignment.ok()) continue;  // below what the ladder can do
    const double file = assignment->bytes + known.fixed_bytes;
    const double linear_bits = LinearBits(known.curves, *assignment);
    rows.push_back({fmt::format("{:.3f}", linear_bits),
                    fmt::format("{:.0f}", assignment->linear_bytes),
                    inspect::HumanBytes(static_cast<std::uint64_t>(file)),
                    fmt::format("{:.5f}", assignment->predicted_loss)});
    list.push_back({{"bits_per_weight_linear", linear_bits},
                    {"linear_bytes", assignment->linear_bytes},
                    {"file_bytes", file},
                    {"predicted_loss", assignment->predicted_loss}});
  }
  return json ? untrusted::PrintableJson(list) + "\n" : inspect::AlignTable(rows, "");
}

}  // namespace ingot::cli
