// Small networks over normed hidden states, down(silu(up x)), that say one number: what they learn
// from, how, and what came of it. No LibTorch type shows.
//
// Thread rule: plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/status.h"

namespace ingot::calibration {

struct RouterExamples {
  std::size_t width = 0;           // of a state
  std::span<const float> states;   // examples x width, normed
  std::span<const float> targets;  // one each: a number to predict, or 0 and 1
  std::size_t held_out = 0;        // so many at the end are not learned from
};

struct RouterOptions {
  std::size_t hidden = 128;
  bool classify = false;  // targets are 0 and 1, and the router says a logit; else least squares
  std::size_t epochs = 40;
  std::size_t patience = 5;  // epochs without a better held-out loss before it stops
  std::size_t batch = 256;
  double rate = 1e-3;  // Adam's
  std::uint64_t seed = 0;
};

struct TrainedRouter {
  std::vector<float> up;    // hidden x width
  std::vector<float> down;  // hidden
  // Of held-out examples: the loss (mean square, or balanced cross-entropy in nats) of the router
  // and of saying always the same.
  double loss = 0, constant_loss = 0;
  std::vector<float> held_out;  // what it says of each held-out example
};

// What LibTorch does: calibration::TrainRouter.
using RouterTrainer =
    std::function<Result<TrainedRouter>(const RouterExamples&, const RouterOptions&)>;

}  // namespace ingot::calibration
