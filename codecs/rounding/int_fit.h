// The inner loops of the int encoder, a table an instruction set. All tables do the same float32
// operations in the same order (16 lanes, one fixed reduction tree), so all give the same bytes.
//
// Thread rule: pure functions over caller's buffers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"

namespace ingot::codecs {

// A group's grid, least squares: value ~ scale * (code - code_mean) + x_mean. For symmetric grids
// the means are 0 and codes are counted from the grid's zero.
struct GroupFit {
  float scale = 0;
  float code_mean = 0;
  float x_mean = 0;
};

// What one row's weights are rounded to. `x` may be `residual`.
struct RoundJob {
  const float* x = nullptr;
  std::size_t cols = 0;
  std::size_t group = 0;
  int bits = 0;
  bool asymmetric = false;
  const float* scales = nullptr;  // of each group, as a decoder sees it
  const float* zeros = nullptr;   // asymmetric: zero points on the code axis
  std::uint8_t* codes = nullptr;  // cols codes out
  float* residual = nullptr;      // x - value out, or nullptr
  float squared_error = 0;        // out: sum of (x - value)^2
};

struct IntFitKernels {
  // The bits of the largest |x|; at or above 0x7f800000 some x is NaN or infinite.
  std::uint32_t (*abs_max_bits)(const float* x, std::size_t n);
  // Finds each group's grid: the candidate clip range with the least squared error, refitted.
  void (*fit_row)(const float* x, std::size_t cols, std::size_t group, int bits, bool asymmetric,
                  GroupFit* fits);
  // Nearest codes on given grids.
  void (*round_row)(RoundJob* job);
  // The sum of x^2.
  float (*sum_squares)(const float* x, std::size_t n);
};

extern const IntFitKernels kIntFitScalar, kIntFitAvx2, kIntFitAvx512;
extern const Ladder<IntFitKernels> kIntFit;

}  // namespace ingot::codecs
