// A plane in the container's words (a manifest's record: opaque text, JSON and stream sizes) and in
// the codecs' (a PlaneSpec and what its kind demands of it). Every reader and writer of tensors
// translates here, so that all of them check the same.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "artifact/manifest.h"
#include "artifact/writer.h"
#include "base/status.h"
#include "codecs/plane.h"

namespace ingot::stored {

// The matrix view of a tensor; a vector is 1 x n.
struct MatrixShape {
  std::uint64_t rows = 1;
  std::uint64_t cols = 1;
};
// Corruption where it is empty or has more than 2^62 weights.
Result<MatrixShape> ShapeOf(const artifact::TensorRecord& record);

// Whether the source holds the matrix the other way round.
bool IsTransposed(const artifact::TensorRecord& record);

// Corruption where an attribute is neither a number nor text, or an integer above 2^63.
Result<codecs::PlaneSpec> SpecOf(const artifact::PlaneRecord& record);

// Checks a plane's streams, in number, name and size, against what its kind demands, before a byte
// is read. Unsupported for an unknown kind, InvalidArgument for bad attributes, else Corruption.
Status CheckStreams(const artifact::PlaneRecord& record, const codecs::PlaneSpec& spec,
                    const MatrixShape& shape);

// "plane 3 (sparse)".
std::string PlanePlace(std::size_t index, std::string_view kind);

// The other way: appends a plane of rows of `cols` weights to a tensor that is to be written.
Status AddPlane(const codecs::PlaneSpec& spec, std::uint64_t cols, artifact::TensorPlan& plan);

// How a plane's streams are to be stored, from its kind.
Result<std::vector<artifact::CodingHint>> HintsOf(const codecs::PlaneSpec& spec,
                                                  std::uint64_t cols);

// A kind's InvalidArgument about what a file says is Corruption: the caller asked for nothing
// wrong.
Status BlameFile(Status status);

}  // namespace ingot::stored
