// The loops of guided int rounding over a tile of rows, a lane a row (compensate.h), a table an
// instruction set. Each lane is its own chain of float32 operations, so all tables give the same
// bits.
//
// Thread rule: pure functions over caller's buffers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"
#include "codecs/planes/int_levels.h"
#include "codecs/rounding/compensate_kernels.h"

namespace ingot::codecs {

// The columns of one group: x holds kTileRows lanes a position.
struct GroupColumns {
  const float* x = nullptr;
  const std::uint32_t* positions = nullptr;
  const float* weights = nullptr;  // what an error costs, by position
  std::size_t count = 0;
};

// A grid a lane, by weighted least squares: value ~ scale * (code - code_mean) + x_mean. Only
// asymmetric grids have means other than 0; symmetric ones count codes from the grid's zero, normal
// ones have levels in place of codes.
struct GridFit {
  float scale[kTileRows];
  float code_mean[kTileRows];
  float x_mean[kTileRows];
};

// One column's rounding.
struct ColumnJob {
  const float* targets = nullptr;
  const float* scales = nullptr;    // as a decoder sees them
  const float* inverses = nullptr;  // 1 / scale, or 0
  const float* zeros = nullptr;     // on the code axis, from the grid's lowest code for asymmetric
  int bits = 0;
  IntLevels levels = IntLevels::kSymmetric;
  float* values = nullptr;
  std::uint8_t* codes = nullptr;
};

// `levels` below: symmetric, asymmetric or normal.
struct IntTileKernels {
  // The clip range with the least weighted error after the refit of its codes.
  void (*fit_group)(const GroupColumns& group, int bits, IntLevels levels, GridFit* fit);
  // The best grid for given codes (kTileRows a position).
  void (*refit_group)(const GroupColumns& group, const std::uint8_t* codes, int bits,
                      IntLevels levels, GridFit* fit);
  void (*round_column)(const ColumnJob& job);
};

extern const IntTileKernels kIntTileScalar, kIntTileAvx2, kIntTileAvx512;
extern const Ladder<IntTileKernels> kIntTile;

}  // namespace ingot::codecs
