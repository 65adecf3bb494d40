#include "jobs/budget_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "pack/size_estimate.h"

namespace ingot::jobs {
namespace {

constexpr std::array kSweepBits = {2.0,  2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 4.0,
                                   4.25, 4.5,  5.0, 5.5,  6.0, 6.5,  7.0, 8.0};

// Bytes of the file that allocation does not choose: other tensors, tokenizer, index.
double FixedBytes(const model::Checkpoint& checkpoint, const pack::PackPlan& plan,
                  const std::vector<pack::TensorCurve>& curves) {
  double bytes = pack::EstimateOverhead(checkpoint);
  for (const pack::PlannedTensor& tensor : plan.tensors) {
    const bool chosen = std::any_of(curves.begin(), curves.end(), [&](const auto& curve) {
      return curve.tensor == tensor.source.name;
    });
    if (!chosen) bytes += static_cast<double>(tensor.bytes.exact + tensor.bytes.at_most);
  }
  return bytes;
}

Result<pack::Budget> BudgetOf(const BudgetGoal& options, double fixed_bytes) {
  using Kind = pack::Budget::Kind;
  if ((options.bits > 0) + !options.size_text.empty() + (options.max_kl > 0) != 1)
    return InvalidArgument("give one of --bpw, --size and --max-kl");
  if (options.bits > 0) return pack::Budget{Kind::kLinearBits, options.bits};
  if (options.max_kl > 0) return pack::Budget{Kind::kKl, options.max_kl};
  const double matrices = static_cast<double>(options.size_bytes) - fixed_bytes;
  if (matrices <= 0)
    return InvalidArgument(
        fmt::format("--size {}: tokenizer and tensors that are kept take {:.0f} "
                    "bytes already",
                    options.size_text, fixed_bytes));
  return pack::Budget{Kind::kBytes, matrices};
}

std::string BudgetText(const BudgetGoal& options) {
  if (options.bits > 0) return fmt::format("bpw {}", options.bits);
  if (options.max_kl > 0) return fmt::format("max-kl {}", options.max_kl);
  return "size " + options.size_text;
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
                                   const pack::PlanOptions& options, const Monitor& monitor) {
  if (options.statistics == nullptr)
    return InvalidArgument(
        "a budget is spent by what calibration knows: give --stats FILE (see calibrate) or "
        "--calib");
  INGOT_ASSIGN(const pack::PackPlan plan, pack::MakePlan(checkpoint, options));
  BudgetCurves known;
  known.codec = pack::LadderCodec(codec);
  INGOT_ASSIGN(known.curves,
               pack::MeasureCurves(checkpoint, plan, known.codec, memory_bytes,
                                   [&](std::size_t done, std::size_t total) {
                                     return monitor.Tell({"budget", done, total, "matrices tried"});
                                   }));
  known.fixed_bytes = FixedBytes(checkpoint, plan, known.curves);
  return known;
}

Status ChooseByBudget(const BudgetCurves& known, const BudgetGoal& budget, double correction,
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

std::vector<BudgetPoint> SweepBudget(const BudgetCurves& known) {
  std::vector<BudgetPoint> points;
  for (const double bits : kSweepBits) {
    const auto assignment = pack::Assign(known.curves, {pack::Budget::Kind::kLinearBits, bits});
    if (!assignment.ok()) continue;  // below what the ladder can do
    points.push_back({LinearBits(known.curves, *assignment), assignment->linear_bytes,
                      assignment->bytes + known.fixed_bytes, assignment->predicted_loss});
  }
  return points;
}

}  // namespace ingot::jobs
