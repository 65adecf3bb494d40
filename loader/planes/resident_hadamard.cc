// A `hadamard` plane turns inputs (codecs/planes/transform.h).
#include "loader/planes/resident_kind.h"

namespace ingot::loader {

const ResidentKind kResidentHadamard = {
    .name = "hadamard", .prepare = PrepareTransform, .decode_row = DecodeByCodec};

}  // namespace ingot::loader
