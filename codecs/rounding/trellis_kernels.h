// The inner loops of the search for the cheapest codes of a column (trellis_search.h), a table an
// instruction set. Floats are added and compared in one order, none contracted, so all tables give
// the same codes.
//
// A path's state is kept at an index that changes with the step, so that no metric ever moves but
// to its partner: with A the linear map of a step that takes state s to A s (and A s ^ input where
// the code is odd), state s of step t lies at i = A^-t s. One step then is
//   metric[i] = min(metric[i] + cost(u, 0), metric[i ^ flip] + cost(u, 1)),  u = parity(i & mask),
// u the low bit of the states at i and i ^ flip, with a flip and a mask of the step's own.
//
// Thread rule: pure functions over caller's buffers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"

namespace ingot::codecs {

struct TrellisStep {
  std::uint16_t flip = 0, mask = 0;
};

// Words of 32 states' decisions of a step.
constexpr std::size_t DecisionWords(std::size_t states) { return states < 32 ? 1 : states / 32; }

struct TrellisKernels {
  // The best code of either parity for either set of levels. Of target y (in steps; sets 0 and 1
  // see z = y - 1/4 and z = -y - 1/4) and parity b the code k nearest to (z - a / 4) / (1 + a), a =
  // rates[n]: the minimum of error plus a (k + 1/4)². For q = 2 set + b, codes[q * stride + n] = k
  // + 128, or 0 where that is no byte of 1 to 255, and errors[q * stride + n] = (z - k)². `count`
  // may be rounded up to 16: buffers have the room.
  void (*branches)(const float* targets, const float* rates, std::size_t count, std::size_t stride,
                   std::uint8_t* codes, float* errors);
  // `count` steps of `states` metrics, costs[4 t + q] those of step t. metrics[0 ... states) before
  // and after, metrics[states ... 2 states) scratch; bit i of step t's DecisionWords(states) words:
  // the path at i came from i ^ flip.
  void (*steps)(const float* costs, const TrellisStep* steps, std::size_t count, std::size_t states,
                float* metrics, std::uint32_t* decisions);
};

extern const TrellisKernels kTrellisScalar, kTrellisAvx2, kTrellisAvx512;
extern const Ladder<TrellisKernels> kTrellis;

}  // namespace ingot::codecs
