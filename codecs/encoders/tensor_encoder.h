// What encodes a tensor: a recipe resolved for one width and source format.
// Encoding is deterministic: the bytes depend on the slab, never on threads or instruction set.
//
// Thread rule: encoders are immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "codecs/encoders/row_source.h"
#include "codecs/plane.h"
#include "codecs/rounding/guide.h"

namespace ingot::codecs {

// Places in a stream, ascending, where a container should begin another chunk: what follows is
// spread otherwise, and coded better by itself.
struct StreamCuts {
  std::size_t plane = 0;
  std::size_t stream = 0;
  std::vector<std::uint64_t> offsets;
};

// The streams that one slab of rows encoded to: planes[i][j] is stream j of plane i. Those of the
// tensor (StreamExtent::kTensor) are empty until AddTensorStreams.
struct EncodedSlab {
  std::vector<std::vector<std::vector<std::uint8_t>>> planes;
  std::vector<StreamCuts> cuts;
  double squared_error = 0;   // sum over weights of (source - decoded)^2, all planes applied
  double squared_weight = 0;  // sum of source^2
  double predicted_loss = 0;  // 1/2 sum_i fisher_i (dW H dWᵀ)_ii, nats a token; 0 without a guide
};

// A recipe resolved for one tensor. Immutable; EncodeSlab may be called from several threads.
class TensorEncoder {
 public:
  virtual ~TensorEncoder() = default;
  virtual const std::vector<PlaneSpec>& planes() const = 0;
  virtual std::uint64_t cols() const = 0;
  // REQUIRES: slab.cols and slab.dtype are those the encoder was made for. InvalidArgument where
  // the slab holds a NaN or infinity ("row 12, column 7 is NaN"; rows count from the slab's first)
  // and the codec cannot keep it.
  virtual Result<EncodedSlab> EncodeSlab(const WeightSlab& slab) const = 0;

  // Rows of a slab, the last one may be shorter. SlabRows(cols) in whole blocks of the planes
  // (SlabBlock), but for recipes that fit something over the whole matrix.
  virtual std::uint64_t slab_rows(std::uint64_t rows) const;
  // Bytes that encoding one slab of `slab_rows` rows needs beyond source and streams, and those of
  // one prepared guide.
  virtual std::uint64_t scratch_bytes(std::uint64_t slab_rows) const;
  virtual std::uint64_t guide_bytes() const { return 0; }

  // Stored bits of a weight that it is made to take, all streams of a matrix of some size together;
  // 0: what its streams' sizes say.
  virtual double rate() const { return 0; }

  // Recipes that round by a guide. Without one they must still encode (EncodeSlab: identity
  // Hessian).
  virtual bool takes_guide() const { return false; }
  // Recipes that fit something to the whole tensor, whatever is known of its inputs: Prepare always
  // comes first (`guide` may know nothing), and EncodeSlab takes whole matrices only.
  virtual bool fits_tensor() const { return false; }
  // Once a tensor. InvalidArgument where the statistics have another shape, hold a NaN or cannot be
  // factored even when damped; those of `rows`. REQUIRES: takes_guide() or fits_tensor().
  virtual Result<std::shared_ptr<const PreparedTensor>> Prepare(const TensorGuide& guide,
                                                                RowSource& rows) const;
  // EncodeSlab for rows [row_begin, row_begin + slab.rows) of the matrix. REQUIRES: `prepared` came
  // from this encoder's Prepare.
  virtual Result<EncodedSlab> EncodeGuided(const WeightSlab& slab, std::uint64_t row_begin,
                                           const PreparedTensor& prepared) const;
};

// Puts the tensor's own streams into the slab that stands first.
void AddTensorStreams(const PreparedTensor& prepared, EncodedSlab& slab);

// A whole matrix with nothing known of its inputs, by an encoder that fits something to the tensor.
Result<EncodedSlab> EncodeWhole(const TensorEncoder& encoder, const WeightSlab& slab);

// The rows of one slab: a fixed function of the width, so that files do not depend on memory or
// threads. About 4 Mi weights.
std::uint64_t SlabRows(std::uint64_t cols);
// The same in whole blocks of rows, at least one.
std::uint64_t AlignedSlabRows(std::uint64_t cols, std::uint64_t block);

}  // namespace ingot::codecs
