#include "codecs/rounding/entropy_method.h"

#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "base/parallel.h"
#include "codecs/rounding/dependent_round.h"

namespace ingot::codecs {
namespace {

constexpr int kEstimateStates = 16;

// Bits from the bound of normal weights, by the logarithm of states (docs/codecs.md).
constexpr double kGaps[] = {.0893, .0741, .0632, .0533, .0456, .0388,
                            .0332, .0295, .0253, .0226, .0204};

double GapOf(int states) {
  int index = 0;
  while (index + 1 < static_cast<int>(std::size(kGaps)) && kLeastTrellisStates << index < states)
    ++index;
  return kGaps[index];
}

}  // namespace

PlaneSpec EntropyMethod::Spec(std::uint64_t band) const {
  return trellis == nullptr ? EntropySpec(band) : DependentSpec(band, trellis->states);
}

EntropyMethod EntropyMethod::ForEstimates() const {
  if (trellis == nullptr || trellis->states <= kEstimateStates) return *this;
  EntropyMethod method = *this;
  method.trellis = FindTrellisCode(kEstimateStates);
  method.loss_scale = std::exp2(2 * (GapOf(trellis->states) - GapOf(kEstimateStates)));
  return method;
}

std::uint64_t EntropyMethod::RunBytes(std::uint64_t rows, std::uint64_t cols) const {
  if (trellis == nullptr) return 0;
  const std::uint64_t runs = std::min<std::uint64_t>(Threads(), CeilDiv(rows, restart));
  return runs * DependentRunBytes(std::min(rows, restart), cols, *trellis);
}

EntropyRounded RoundBy(const EntropyMethod& method, const EntropyRows& rows,
                       const EntropyGuide& guide, const EntropyRoundOptions& options) {
  if (method.trellis == nullptr) return RoundEntropy(rows, guide, options);
  EntropyRounded rounded = RoundDependent(
      rows, guide, {options.step, *method.trellis, method.restart, options.fit_rows});
  for (double& loss : rounded.losses) loss *= method.loss_scale;
  for (double& squares : rounded.squared_errors) squares *= method.loss_scale;
  return rounded;
}

}  // namespace ingot::codecs
