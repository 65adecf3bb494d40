// Spending bytes where they buy the most: each tensor offers candidates (bytes, loss), and one
// price per byte for the whole model picks among them. A Lagrangian sweep over the lower convex
// hulls (Shoham and Gersho, 1988), then what is left of the budget goes to the best steps that
// still fit.
//
// Thread rule: pure functions; the same input gives the same choice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/status.h"

namespace ingot::calibration {

struct Candidate {
  double bytes = 0;
  double loss = 0;  // nats a token, >= 0
};

// A tensor's candidates, in any order; at least one.
using Candidates = std::vector<Candidate>;

struct Allocation {
  std::vector<std::size_t> choice;  // index into each tensor's candidates
  double bytes = 0;
  double loss = 0;
  double price = 0;  // loss that the last byte spent still saved; 0 where all is bought
};

// The least loss within `budget_bytes`. InvalidArgument where even the smallest candidates exceed
// it; says how many bytes are possible.
Result<Allocation> AllocateBytes(const std::vector<Candidates>& tensors, double budget_bytes);

// The fewest bytes with a summed loss of at most `max_loss`. InvalidArgument where the best
// candidates lose more; says what is possible.
Result<Allocation> AllocateLoss(const std::vector<Candidates>& tensors, double max_loss);

// Every tensor on its hull at one price: the largest step is taken whose loss saved per byte is at
// least `price`.
Allocation AllocateAtPrice(const std::vector<Candidates>& tensors, double price);

}  // namespace ingot::calibration
