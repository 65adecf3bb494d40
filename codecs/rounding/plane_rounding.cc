#include "codecs/rounding/plane_rounding.h"

#include <algorithm>

namespace ingot::codecs {

PlaneRounding::PlaneRounding(const Compensation& compensation, RoundingEffort effort)
    : compensation_(compensation),
      effort_(effort),
      best_(compensation),
      trial_(compensation),
      lanes_((compensation.cols() + kPanelColumns) * kTileRows) {}

int PlaneRounding::Keep(const IntTile& trial_int, IntTile& best_int) {
  bool take[kTileRows];
  int kept = 0;
  for (std::size_t l = 0; l < kTileRows; ++l) {
    take[l] = trial_.DampedLoss(l) < best_.DampedLoss(l);
    kept += take[l];
  }
  if (kept == 0) return 0;
  best_.TakeLanes(trial_, take);
  best_int.TakeLanes(trial_int, take);
  return kept;
}

// With codes fixed, the loss is quadratic in the scales: half its slope in scale g is
// -<levels of g, gradient>, and its curvature is about that of the diagonal. The step along this
// preconditioned slope is measured once (a whole step), then taken to the parabola's bottom.
void PlaneRounding::Step(const IntTile& plane, const float* gradient, float* changes,
                         float* slopes) const {
  const IntLayout& layout = plane.layout();
  AlignedArray<float> curvatures(layout.groups * kTileRows);
  std::fill_n(changes, layout.groups * kTileRows, 0.0f);
  for (std::uint64_t p = 0; p < layout.cols; ++p) {
    const std::uint64_t g = plane.group_of(compensation_.order()[p]) * kTileRows;
    const float* w = best_.weights(p);
    const float* e = best_.errors(p);
    const float diagonal = compensation_.diagonal()[p];
    for (std::size_t l = 0; l < kTileRows; ++l) {
      const float value = w[l] - e[l];
      changes[g + l] += value * gradient[p * kTileRows + l];
      curvatures[g + l] += diagonal * (value * value);
    }
  }
  std::fill_n(slopes, kTileRows, 0.0f);
  for (std::uint64_t g = 0; g < layout.groups; ++g)
    for (std::size_t l = 0; l < kTileRows; ++l) {
      const std::size_t at = g * kTileRows + l;
      const float slope = changes[at];
      changes[at] = curvatures[at] > 0 ? slope / curvatures[at] : 0.0f;
      slopes[l] += slope * changes[at];
    }
}

void PlaneRounding::Refit(IntTile& best_int, IntTile& trial_int) {
  const IntLayout& layout = best_int.layout();
  AlignedArray<float> changes(layout.groups * kTileRows);
  float slopes[kTileRows];
  best_.Gradient(lanes_.data());
  Step(best_int, lanes_.data(), changes.data(), slopes);
  bool all[kTileRows];
  std::fill_n(all, kTileRows, true);
  trial_int.TakeLanes(best_int, all);
  trial_int.Stretch(changes.data());
  trial_int.Values(lanes_.data());
  trial_.SetLanes(lanes_.data());
  // L(a) = L(0) - 2 a slope + a² bend.
  float best_step[kTileRows];
  for (std::size_t l = 0; l < kTileRows; ++l) {
    const double unit = compensation_.unit();
    const double bend = (trial_.DampedLoss(l) - best_.DampedLoss(l)) / unit + 2.0 * slopes[l];
    best_step[l] = bend > 0 ? static_cast<float>(slopes[l] / bend) : 0.0f;
  }
  for (std::uint64_t g = 0; g < layout.groups; ++g)
    for (std::size_t l = 0; l < kTileRows; ++l) changes[g * kTileRows + l] *= best_step[l];
  trial_int.TakeLanes(best_int, all);
  trial_int.Stretch(changes.data());
  trial_int.Values(lanes_.data());
  trial_.SetLanes(lanes_.data());
  Keep(trial_int, best_int);
}

// No sweep raises a loss: each code goes to the level nearest to the best value there is for it.
void PlaneRounding::Descend(IntTile& best_int) {
  for (int descent = 0; descent < effort_.descents; ++descent) best_.Descend(best_int);
  best_int.Values(lanes_.data());
  best_.SetLanes(lanes_.data());
}

Status PlaneRounding::Encode(const IntLayout& layout, const float* x, std::uint64_t rows,
                             std::uint64_t first, Streams& streams) {
  IntTile best_int(layout, compensation_, BestIsa()), trial_int(layout, compensation_, BestIsa());
  best_.Load(x, rows);
  trial_.Load(x, rows);
  INGOT_TRY(best_int.Fit(best_.weights(0), rows, first));
  best_.Round(best_int);
  for (int round = 0; round < effort_.rounds; ++round) {
    trial_int.FitTo(best_.targets(0));
    trial_.Round(trial_int);
    if (Keep(trial_int, best_int) == 0) break;
  }
  for (int turn = 0; turn < effort_.turns && compensation_.descends(); ++turn) {
    Descend(best_int);
    for (int refit = 0; refit < effort_.refits; ++refit) Refit(best_int, trial_int);
  }
  best_int.Store(first, rows, streams);
  return OkStatus();
}

}  // namespace ingot::codecs
