// What takes a state after some layer for what the last layer would give: an affine map of low rank
// beside the state itself, learned from pairs. No LibTorch type shows.
//
// Thread rule: plain values.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "base/status.h"

namespace ingot::calibration {

struct TranslatorExamples {
  std::size_t width = 0;           // of a state
  std::span<const float> states;   // examples x width, root mean square one
  std::span<const float> last;     // the last layer's, likewise
  std::span<const float> weights;  // width: how much each of its values counts
  std::size_t held_out = 0;  // examples at the end that choose the ridge and are not learned from
};

// x + up (down x) + bias, nearest to the last layer's state in the weighted mean square.
struct TrainedTranslator {
  std::size_t rank = 0;
  std::vector<float> down;  // rank x width
  std::vector<float> up;    // width x rank
  std::vector<float> bias;  // width
  // Weighted mean squares of held-out examples: of the state as it is, and translated.
  double identity_error = 0, error = 0;
};

// What LibTorch does: calibration::TrainTranslator, of at most `rank`.
using TranslatorTrainer =
    std::function<Result<TrainedTranslator>(const TranslatorExamples&, std::size_t rank)>;

}  // namespace ingot::calibration
