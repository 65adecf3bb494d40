#include "codecs/encoders/tensor_encoder.h"

#include <algorithm>
#include <numeric>

#include "codecs/plane_codec.h"

namespace ingot::codecs {

std::uint64_t TensorEncoder::slab_rows(std::uint64_t rows) const {
  std::uint64_t block = 1;
  for (const PlaneSpec& spec : planes()) {
    const Result<const PlaneKind*> kind = FindPlaneKind(spec.kind);
    INGOT_CHECK(kind.ok());
    const Result<std::uint64_t> of_plane = SlabBlock(**kind, spec, cols());
    INGOT_CHECK(of_plane.ok());
    block = std::lcm(block, *of_plane);
  }
  return std::min(rows, AlignedSlabRows(cols(), block));
}

std::uint64_t TensorEncoder::scratch_bytes(std::uint64_t) const { return std::uint64_t{4} << 20; }

Result<std::shared_ptr<const PreparedTensor>> TensorEncoder::Prepare(const TensorGuide&,
                                                                     RowSource&) const {
  return Unsupported("this codec does not use statistics");
}

Result<EncodedSlab> TensorEncoder::EncodeGuided(const WeightSlab& slab, std::uint64_t,
                                                const PreparedTensor&) const {
  return EncodeSlab(slab);
}

void AddTensorStreams(const PreparedTensor& prepared, EncodedSlab& slab) {
  for (const TensorStream& stream : prepared.streams())
    slab.planes[stream.plane][stream.stream] = stream.bytes;
}

std::uint64_t AlignedSlabRows(std::uint64_t cols, std::uint64_t block) {
  return std::max(block, SlabRows(cols) / block * block);
}

std::uint64_t SlabRows(std::uint64_t cols) {
  constexpr std::uint64_t kSlabWeights = std::uint64_t{4} << 20;
  return std::max<std::uint64_t>(1, kSlabWeights / std::max<std::uint64_t>(1, cols));
}

Result<EncodedSlab> EncodeWhole(const TensorEncoder& encoder, const WeightSlab& slab) {
  WholeSlab rows(slab);
  INGOT_ASSIGN(const auto prepared,
               encoder.Prepare({.rows = slab.rows, .cols = slab.cols}, rows));
  INGOT_ASSIGN(EncodedSlab out, encoder.EncodeGuided(slab, 0, *prepared));
  AddTensorStreams(*prepared, out);
  return out;
}

}  // namespace ingot::codecs
