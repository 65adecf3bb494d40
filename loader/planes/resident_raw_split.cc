// A `raw_split` plane is stored to be small; kernels read it as raw.
#include "codecs/planes/raw_split_plane.h"
#include "loader/planes/resident_kind.h"
#include "loader/planes/turn_raw.h"

namespace ingot::loader {
namespace {

void Turn(stored::TensorPlanes& tensor, std::size_t plane) {
  const auto format = codecs::SplitFormat::Parse(tensor.specs[plane]);
  INGOT_CHECK(format.ok());
  TurnRaw(tensor, plane, format->dtype);
}

}  // namespace

const ResidentKind kResidentRawSplit = {
    .name = "raw_split", .turn = Turn, .prepare = PrepareAsStored, .decode_row = DecodeByCodec};

}  // namespace ingot::loader
