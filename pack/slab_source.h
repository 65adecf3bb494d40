// Slabs of rows as the encoders want them: read from the checkpoint, transposed where the source
// holds a matrix the other way round, digested and searched for values that no codec can keep.
//
// Thread rule: the functions share nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/dtype.h"
#include "base/status.h"
#include "model/source/checkpoint.h"
#include "pack/plan.h"

namespace ingot::pack {

// The slab's bytes in the mapped source file, its pages faulted in; empty where the source does not
// hold them as the encoder wants them.
ByteSpan MapSlab(const model::Checkpoint& checkpoint, const PlannedTensor& tensor,
                 std::uint32_t slab);
// Lets the pages of a mapped slab leave the process, so that what is resident stays bounded.
void DropMapped(ByteSpan slab);

// Reads slab `slab` of a tensor into the front of `buffer`; returns the part that was filled. A
// transposed tensor is read in blocks of rows, so that memory stays at the slab's size and 1 MiB.
// REQUIRES: buffer holds slab_rows * cols elements.
Result<ByteSpan> ReadSlab(const model::Checkpoint& checkpoint, const PlannedTensor& tensor,
                          std::uint32_t slab, MutableByteSpan buffer);

// The same of rows [begin, end) of the tensor. REQUIRES: buffer holds them.
Result<ByteSpan> ReadTensorRows(const model::Checkpoint& checkpoint, const PlannedTensor& tensor,
                                std::uint64_t begin, std::uint64_t end, MutableByteSpan buffer);

// Index of the first element that is NaN or infinite; nullopt where all are finite.
std::optional<std::uint64_t> FindNonfinite(DType dtype, ByteSpan bytes);

// "row 12, column 7 is NaN". REQUIRES: bytes[index] is not finite.
std::string DescribeNonfinite(const PlannedTensor& tensor, std::uint32_t slab, ByteSpan bytes,
                              std::uint64_t index);

// BLAKE3-256 of the slab, and the same search in one pass over the bytes, cache-sized pieces at a
// time.
struct SlabCheck {
  Digest digest{};
  std::optional<std::uint64_t> nonfinite;
};
SlabCheck CheckSlab(DType dtype, ByteSpan bytes);

// Tensors that hold a NaN or an infinity: reads every used tensor once. What --allow-nonfinite
// keeps raw.
Result<std::set<std::string>> FindNonfiniteTensors(const model::Checkpoint& checkpoint,
                                                   const PackPlan& plan);

}  // namespace ingot::pack
