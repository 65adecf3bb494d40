// A `column_scale` plane scales inputs (codecs/planes/transform.h).
#include "loader/planes/resident_kind.h"

namespace ingot::loader {

const ResidentKind kResidentColumnScale = {
    .name = "column_scale", .prepare = PrepareTransform, .decode_row = DecodeByCodec};

}  // namespace ingot::loader
