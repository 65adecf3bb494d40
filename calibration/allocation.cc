#include "calibration/allocation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace ingot::calibration {
namespace {

// A step along a tensor's hull to its next candidate: more bytes, less loss.
struct Step {
  std::size_t tensor = 0;
  std::size_t to = 0;  // candidate
  double bytes = 0;
  double saved = 0;
  double slope() const { return saved / bytes; }
};

// Candidates on the lower convex hull, from fewest bytes to least loss.
std::vector<std::size_t> LowerHull(const Candidates& candidates) {
  std::vector<std::size_t> order(candidates.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const Candidate &x = candidates[a], &y = candidates[b];
    if (x.bytes != y.bytes) return x.bytes < y.bytes;
    return x.loss != y.loss ? x.loss < y.loss : a < b;
  });
  const auto slope = [&](std::size_t a, std::size_t b) {
    return (candidates[a].loss - candidates[b].loss) / (candidates[b].bytes - candidates[a].bytes);
  };
  std::vector<std::size_t> hull;
  for (const std::size_t i : order) {
    if (!hull.empty() && candidates[i].loss >= candidates[hull.back()].loss) continue;
    while (hull.size() >= 2 && slope(hull[hull.size() - 2], hull.back()) <= slope(hull.back(), i))
      hull.pop_back();
    hull.push_back(i);
  }
  return hull;
}

// The start (every tensor at its fewest bytes) and all steps, best first.
struct Sweep {
  Allocation start;
  std::vector<Step> steps;
};

Sweep MakeSweep(const std::vector<Candidates>& tensors) {
  Sweep sweep;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const std::vector<std::size_t> hull = LowerHull(tensors[t]);
    sweep.start.choice.push_back(hull.front());
    sweep.start.bytes += tensors[t][hull.front()].bytes;
    sweep.start.loss += tensors[t][hull.front()].loss;
    for (std::size_t i = 1; i < hull.size(); ++i) {
      const Candidate &from = tensors[t][hull[i - 1]], &to = tensors[t][hull[i]];
      sweep.steps.push_back({t, hull[i], to.bytes - from.bytes, from.loss - to.loss});
    }
  }
  // Slopes fall along a hull, so a stable order never takes a tensor's second step before its
  // first.
  std::stable_sort(sweep.steps.begin(), sweep.steps.end(),
                   [](const Step& a, const Step& b) { return a.slope() > b.slope(); });
  return sweep;
}

void Take(const Step& step, Allocation& allocation) {
  allocation.choice[step.tensor] = step.to;
  allocation.bytes += step.bytes;
  allocation.loss -= step.saved;
  allocation.price = step.slope();
}

}  // namespace

Result<Allocation> AllocateBytes(const std::vector<Candidates>& tensors, double budget_bytes) {
  Sweep sweep = MakeSweep(tensors);
  Allocation allocation = std::move(sweep.start);
  if (allocation.bytes > budget_bytes)
    return InvalidArgument(
        fmt::format("a budget of {:.0f} bytes is too small: the smallest choice "
                    "takes {:.0f}",
                    budget_bytes, std::ceil(allocation.bytes)));
  // A tensor whose step did not fit takes no later one: it would skip a step of its hull.
  std::vector<bool> stuck(tensors.size());
  for (const Step& step : sweep.steps) {
    if (stuck[step.tensor]) continue;
    if (allocation.bytes + step.bytes > budget_bytes)
      stuck[step.tensor] = true;
    else
      Take(step, allocation);
  }
  return allocation;
}

Result<Allocation> AllocateLoss(const std::vector<Candidates>& tensors, double max_loss) {
  Sweep sweep = MakeSweep(tensors);
  Allocation allocation = std::move(sweep.start);
  for (const Step& step : sweep.steps) {
    if (allocation.loss <= max_loss) return allocation;
    Take(step, allocation);
  }
  if (allocation.loss <= max_loss) return allocation;
  return InvalidArgument(
      fmt::format("a loss of {:.3g} nats a token cannot be reached: the best "
                  "choice is predicted to lose {:.3g}",
                  max_loss, allocation.loss));
}

Allocation AllocateAtPrice(const std::vector<Candidates>& tensors, double price) {
  Sweep sweep = MakeSweep(tensors);
  Allocation allocation = std::move(sweep.start);
  for (const Step& step : sweep.steps) {
    if (step.slope() < price) break;
    Take(step, allocation);
  }
  return allocation;
}

}  // namespace ingot::calibration
