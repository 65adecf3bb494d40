// The remainder planes restore the source from the sum before them; kernels read the result as raw.
#include "codecs/planes/remainder_plane.h"
#include "loader/planes/resident_kind.h"
#include "loader/planes/turn_raw.h"

namespace ingot::loader {
namespace {

void Turn(stored::TensorPlanes& tensor, std::size_t plane) {
  const auto dtype = codecs::RemainderDType(tensor.specs[plane]);
  INGOT_CHECK(dtype.ok());
  TurnRaw(tensor, plane, *dtype);
}

}  // namespace

const ResidentKind kResidentRemainder16 = {.name = "remainder16",
                                           .turn = Turn,
                                           .prepare = PrepareAsStored,
                                           .decode_row = DecodeByCodec,
                                           .reads_sum = true};
const ResidentKind kResidentRemainder32 = {.name = "remainder32",
                                           .turn = Turn,
                                           .prepare = PrepareAsStored,
                                           .decode_row = DecodeByCodec,
                                           .reads_sum = true};

}  // namespace ingot::loader
