#include "codecs/rounding/int_tile_kernels.h"

#define INGOT_LANES 1
#include "codecs/rounding/lanes.h"
// After lanes.h, whose vectors it uses.
#include "codecs/rounding/int_tile_body.h"

namespace ingot::codecs {

const IntTileKernels kIntTileScalar = kTable;
constinit const Ladder<IntTileKernels> kIntTile = {kIntTileScalar, kIntTileAvx2, kIntTileAvx512};

}  // namespace ingot::codecs
