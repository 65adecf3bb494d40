// The inner loops of compensated rounding, a table an instruction set. Each output is one chain of
// operations in a fixed order (fused multiply-adds where it says so), so all tables give the same
// bits. Rows lie in lanes: an array of tile columns is kTileRows floats a column, 64-byte aligned.
//
// Thread rule: pure functions over caller's buffers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"

namespace ingot::codecs {

inline constexpr std::size_t kTileRows = 64;
inline constexpr std::size_t kPanelColumns = 8;
// The tile of the Cholesky factorisation.
inline constexpr std::size_t kFactorRows = 8, kFactorColumns = 16;

struct CompensateKernels {
  // t[c][l] = fma(d[k][l], m[8 k + c], t[c][l]), k = 0 ... depth - 1 in order, for 8 columns c.
  // `next` is the m of the call after this one: it is fetched meanwhile.
  void (*feed_back)(const float* d, const float* m, std::size_t depth, float* t, const float* next);
  // The same of one k, for columns first ... 7.
  void (*feed_one)(const float* d, const float* m, std::size_t first, float* t);
  // out[k][l] = fma(x[c][l], m[8 k + c], out[k][l]), c = 0 ... 7 in order, for k < depth.
  void (*feed_forward)(const float* x, const float* m, std::size_t depth, float* out);
  // d = w - value; loss += weight (t - value)², squares += d² (in double) a lane.
  void (*settle)(const float* w, const float* t, const float* values, float weight, float* d,
                 double* losses, double* squares);
  // c[a][b] = fma(-left[16 k + a], right[16 k + b], c[a][b]), k in order, for a < 8, b < 16; rows
  // of c are `stride` apart.
  void (*factor_update)(const double* left, const double* right, std::size_t depth, double* c,
                        std::size_t stride);
  // Solves Rᵀ x = c in place for 16 columns, R the 8 x 8 upper triangle at `r` (rows `stride`
  // apart): rows in order, c[a] /= r[a][a], then c[b] = fma(-r[a][b], c[a], c[b]) for b > a.
  void (*factor_solve)(const double* r, double* c, std::size_t stride);
  // c[l / 16 * part + 16 a + l % 16] -= sums[64 a + l], for a < 8, l < 64.
  void (*factor_subtract)(const float* sums, double* c, std::size_t part);
};

extern const CompensateKernels kCompensateScalar, kCompensateAvx2, kCompensateAvx512;
extern const Ladder<CompensateKernels> kCompensate;

}  // namespace ingot::codecs
