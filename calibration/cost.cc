#include "calibration/cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>

#include "base/bytes.h"
#include "calibration/stages.h"

namespace ingot::calibration {
namespace {

constexpr double kFloat = sizeof(float);
constexpr std::size_t kHeadRows = 64;  // of logits at once (backward_pass.cc)

struct StageCost {
  double weights = 0;        // floats
  double outer = 0;          // floats of all sums of outer products
  double largest_outer = 0;  // of the largest
  double inputs = 0;         // floats a token that are recorded
  double outputs = 0;        // floats a token that products write
  double linear = 0;         // multiply-adds a token
  double summing = 0;        // multiply-adds a token of the outer products, half of each
};

StageCost CostOf(const model::Architecture& a, std::size_t stage, double routed_share) {
  StageCost cost;
  const bool head = stage > a.layers.size();
  const model::MlpSpec* mlp = !head && stage > 0 ? &a.layers[stage - 1].mlp : nullptr;
  std::set<const model::LinearRef*> experts;
  const auto square = [](const model::LinearRef& ref) {
    return static_cast<double>(ref.cols) * static_cast<double>(ref.cols);
  };
  VisitInputs(a, stage, [&](const model::LinearRef& ref, bool expert) {
    const double share = expert ? routed_share : 1;
    cost.outer += square(ref);
    cost.largest_outer = std::max(cost.largest_outer, square(ref));
    cost.inputs += share * static_cast<double>(ref.cols);
    cost.summing += share * square(ref) / 2;
  });
  if (mlp != nullptr)
    for (const model::MlpSpec& expert : mlp->experts)
      experts.insert({&expert.gate, &expert.up, &expert.down});
  VisitStage(
      a, stage,
      [&](const model::LinearRef& ref) {
        const double size = static_cast<double>(ref.rows) * static_cast<double>(ref.cols);
        const double share = experts.contains(&ref) ? routed_share : 1;
        cost.weights += size;
        cost.linear += share * size;
        cost.outputs += share * static_cast<double>(ref.rows);
      },
      [](const model::NormSpec&) {});
  return cost;
}

// Floats a token that a layer's mixer keeps for its scores, or its states.
double ScoreFloats(const model::LayerSpec& layer, double context) {
  return model::VisitMixer(layer, [&](const auto& mixer) { return mixer.kept_floats(context); });
}

double RoutedShare(const model::Architecture& a, std::size_t stage) {
  if (stage == 0 || stage > a.layers.size()) return 1;
  const model::MlpSpec& mlp = a.layers[stage - 1].mlp;
  if (mlp.experts.empty()) return 1;
  return static_cast<double>(mlp.experts_per_token) / static_cast<double>(mlp.experts.size());
}

std::uint64_t Bytes(double bytes) { return static_cast<std::uint64_t>(std::ceil(bytes)); }

std::string MiB(std::uint64_t bytes) { return fmt::format("{} MiB", CeilDiv(bytes, 1 << 20)); }

}  // namespace

CalibrationCost EstimateCost(const model::Architecture& a, const RunSize& size) {
  CalibrationCost cost;
  const double context = static_cast<double>(size.context);
  const double tokens = static_cast<double>(size.windows) * context;
  const double backward = static_cast<double>(size.backward_windows) * context;
  const double hidden = static_cast<double>(a.hidden_size);
  const bool trains = size.backward_windows > 0;
  double fixed = 0, window = 0, waiting = 0, outer = 0;
  for (std::size_t stage = 0; stage < StageCount(a); ++stage) {
    const StageCost s = CostOf(a, stage, RoutedShare(a, stage));
    const bool layer = stage > 0 && stage <= a.layers.size();
    const bool head = stage > a.layers.size();
    const double scores = layer ? ScoreFloats(a.layers[stage - 1], context) : 0;  // a token
    // Twice the largest sum of outer products: its factorisation is a copy.
    fixed = std::max(fixed, s.weights + s.outer + s.largest_outer);
    waiting = std::max(waiting, context * s.inputs);
    double forward = context * (s.inputs + (head ? 0 : 2 * s.outputs) + 8 * hidden + 3 * scores);
    double gradient = context * (2.5 * (s.inputs + s.outputs) + 16 * hidden + 5 * scores);
    if (head)
      gradient =
          kHeadRows * (5 * static_cast<double>(a.vocab_size) + 8 * hidden) + 2 * context * hidden;
    window = std::max(window, trains ? std::max(forward, gradient) : forward);
    outer += s.outer;
    cost.multiply_adds +=
        tokens * ((head ? 0 : s.linear) + s.summing + (layer ? 2 * context * hidden : 0)) +
        backward * (2 * s.linear + 6 * context * (layer ? hidden : 0));
  }
  cost.fixed_bytes = size.process_bytes + Bytes(kFloat * fixed);
  cost.window_bytes = Bytes(kFloat * window);
  cost.waiting_bytes = Bytes(kFloat * waiting);
  cost.output_bytes = Bytes(kFloat * outer);
  const double borders = 2 * tokens + static_cast<double>(a.layers.size() + 3) * backward;
  cost.work_bytes = Bytes(kFloat * (outer + borders * static_cast<double>(BorderWidth(a))));
  return cost;
}

Result<Concurrency> FitConcurrency(const CalibrationCost& cost, std::uint64_t memory_bytes,
                                   std::size_t threads, std::size_t windows) {
  const std::uint64_t least = cost.fixed_bytes + cost.window_bytes;
  if (memory_bytes < least)
    return LimitExceeded(
        fmt::format("calibration needs at least {} of memory, {} are allowed: raise --memory or "
                    "shorten --context",
                    MiB(least), MiB(memory_bytes)));
  const std::uint64_t room = memory_bytes - cost.fixed_bytes;
  const auto one = std::max<std::uint64_t>(cost.window_bytes, 1);
  Concurrency fit;
  fit.running = std::clamp<std::size_t>(room / one, 1, std::max<std::size_t>(threads, 1));
  const std::uint64_t left = room - std::min(room, fit.running * one);
  fit.held =
      fit.running + std::min<std::uint64_t>(left / std::max<std::uint64_t>(cost.waiting_bytes, 1),
                                            3 * fit.running);
  fit.held = std::clamp<std::size_t>(fit.held, 1, std::max<std::size_t>(windows, 1));
  fit.running = std::min(fit.running, fit.held);
  return fit;
}

}  // namespace ingot::calibration
