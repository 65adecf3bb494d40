// Linear least squares with a ridge, over features that are brought to one size first.
//
// Thread rule: a function without state; parallel inside.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace ingot::jobs {

// Weights w of `width` features, the first of which is one, such that examples . w is near targets:
// the sum of squares and `ridge` times the examples' number times the squared weights of features
// of variance one (that of the first apart) is least. A feature that never changes weighs nothing.
// REQUIRES: examples.size() == targets.size() * width, targets not empty, ridge > 0.
std::vector<double> FitRidge(std::span<const float> examples, std::span<const float> targets,
                             std::size_t width, double ridge);

}  // namespace ingot::jobs
