// A tensor as its planes, in memory: what every reader of an artifact's weights works on. Before a
// stream is read its plane's kind, attributes and streams are checked; after, its content. So
// decoders may be called on what is handed out.
//
// Thread rule: values; reading is parallel inside.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "artifact/reader.h"
#include "base/status.h"
#include "codecs/plane.h"
#include "stored/selection.h"

namespace ingot::stored {

// Views point into `backing`, or into what else the owner keeps alive (a reader's mapping).
struct TensorPlanes {
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::vector<codecs::PlaneSpec> specs;
  std::vector<codecs::PlaneView> planes;  // planes[i].spec == &specs[i]
  std::vector<artifact::StreamBytes> backing;
  std::vector<std::vector<std::uint64_t>> indices;  // what views' row_index point at

  TensorPlanes() = default;
  TensorPlanes(TensorPlanes&&) = default;
  TensorPlanes& operator=(TensorPlanes&&) = default;

  // Appends a plane, over bytes that others keep or with its own.
  void Add(codecs::PlaneSpec spec, std::vector<ByteSpan> streams);
  void Add(codecs::PlaneSpec spec, std::vector<ByteBuffer> streams);
  // Puts another plane in the place of one, whose bytes go.
  void Replace(std::size_t plane, codecs::PlaneSpec spec, std::vector<ByteBuffer> streams);

 private:
  std::vector<ByteSpan> Keep(std::vector<ByteBuffer> streams);
};

// Finds the rows of planes that need it (codecs::PlaneKind::row_index), anew where planes were
// replaced. REQUIRES: Validate passed.
void IndexRows(TensorPlanes& tensor);

// Checks every plane's attributes, sizes and indices by its kind. Errors name the plane.
Status Validate(const TensorPlanes& tensor);

// The tensor's shape and the planes below a level, checked against what the manifest says of their
// streams; nothing is read, and the streams are empty. Errors as of ReadTensor.
Result<TensorPlanes> PlanTensor(const artifact::TensorRecord& record, int levels);

inline constexpr int kAllLevels = std::numeric_limits<int>::max();

// The planes of one tensor below `levels`, verified, validated. The reader must outlive them.
// Errors name plane and stream, not the tensor: Corruption, Unsupported for a kind that this build
// does not decode, InvalidArgument for attributes that the kind does not take, Limit.
Result<TensorPlanes> ReadTensor(const artifact::ArtifactReader& reader,
                                const artifact::TensorRecord& record, int levels = kAllLevels);

// What of the manifest is selected, in its order.
struct SelectedTensor {
  const artifact::TensorRecord* record = nullptr;
  TensorPlanes planes;
};
// All of it at once, the largest streams first. Errors name the tensor, the first in file order.
Result<std::vector<SelectedTensor>> ReadTensors(const artifact::ArtifactReader& reader,
                                                const Selection& selection);

}  // namespace ingot::stored
