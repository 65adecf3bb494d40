// Trains a router (calibration/router_options.h) by Adam with early stopping on held-out examples;
// classes weigh alike whatever their numbers.
//
// Thread rule: as calibrate.h.
#pragma once

#include "calibration/router_options.h"

namespace ingot::calibration {

// Results depend on examples, options and seed, not on threads. InvalidArgument: no examples to
// learn from or to hold out, states or targets that are not finite, classes of which one is empty.
Result<TrainedRouter> TrainRouter(const RouterExamples& examples, const RouterOptions& options);

}  // namespace ingot::calibration
