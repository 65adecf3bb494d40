// Input transforms of a tensor (docs/codecs.md, "hadamard" and "column_scale"): planes that turn
// the space of the inputs instead of adding weights. With an invertible A over the inputs a tensor
// holds W' so that
//   W x = W' (A x),   W = W' A        hadamard: A = Q^T orthonormal; column_scale: A = diag(s)
// A decoder restores rows of W, a loader applies A to the activations once for all the matrices
// that share it, an encoder turns W and its statistics before it rounds.
//
// hadamard: A = (C (x) H) D over each block of m * 2^k columns, m odd: D random signs from a
// counter-based hash, H the Walsh-Hadamard transform of the power of two, C the orthonormal DCT-II
// of the odd factor, as a plain matrix. (Rotations against outliers: QuIP#, Tseng et al. 2024;
// QuaRot, Ashkboos et al. 2024.) column_scale: AWQ, Lin et al. 2023.
//
// Thread rule: transforms are immutable. Every instruction set does the same float32 operations in
// the same order for each element, so results are the same bits everywhere.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "codecs/plane.h"

namespace ingot::codecs {

// The largest odd factor of a block that `hadamard` takes: its DCT is a matrix of this size.
inline constexpr std::uint64_t kMaxOddFactor = 2048;
// Transforms that one tensor may have.
inline constexpr std::size_t kMaxTransforms = 2;

class InputTransform {
 public:
  virtual ~InputTransform() = default;
  virtual std::uint64_t cols() const = 0;
  // Its tables: two matrices of the odd factor and a value a column.
  virtual std::uint64_t resident_bytes() const = 0;

  // out = A x, `cols` values: activations. out may be x, else they do not overlap.
  virtual void Apply(const float* x, float* out) const = 0;
  // A row of W' in place becomes the row of W: decoders. Normative bits.
  virtual void Restore(float* row) const = 0;
  // A row of W in place becomes the row of W' (the inverse of Restore up to rounding): encoders.
  virtual void EncodeRow(float* row) const = 0;
  // Whether both do the same to any input.
  virtual bool Same(const InputTransform& other) const = 0;
};

// The plane of a Hadamard rotation, without streams. `block` columns are rotated together, 0 = all.
PlaneSpec HadamardSpec(std::uint64_t cols, std::uint64_t seed = 1, std::uint64_t block = 0);
// The plane of a column scale. Its one stream `scales` (cols f16) belongs to the whole tensor: the
// slab with the matrix's first row holds it, every other slab leaves it empty.
PlaneSpec ColumnScaleSpec();

// Puts a transform where recipes have it: after the last plane of level 0. Returns its index.
// REQUIRES: planes is not empty.
std::size_t InsertTransform(std::vector<PlaneSpec>& planes, PlaneSpec transform);

// The same spec gives the same object as long as somebody holds it. InvalidArgument
// where the attributes do not fit `cols` (an odd factor above kMaxOddFactor; a block that does not
// divide).
Result<std::shared_ptr<const InputTransform>> MakeHadamard(const PlaneSpec& spec,
                                                           std::uint64_t cols);
// From the stream's f16 values, which must be positive and finite: else Corruption.
Result<std::shared_ptr<const InputTransform>> MakeColumnScale(std::uint64_t cols, ByteSpan scales);
// The stream of these scales, rounded to f16 (clamped to its normal numbers), for MakeColumnScale.
std::vector<std::uint8_t> ColumnScaleStream(std::span<const float> scales);
// Of a plane of either kind. REQUIRES: the plane passed its kind's validate().
Result<std::shared_ptr<const InputTransform>> MakeTransform(const PlaneView& plane);

// Rows of W in place become rows of W' = W A^-1, in parallel.
void EncodeRows(const InputTransform& transform, float* rows, std::uint64_t count);
// E[x x^T] (cols x cols, row-major, symmetric) in place becomes that of A x: A H A^T, exactly
// symmetric. In parallel.
void TransformHessian(const InputTransform& transform, float* hessian);

}  // namespace ingot::codecs
