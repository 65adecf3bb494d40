#include "base/simd/lanes_scalar.h"
#include "codecs/rounding/int_tile_kernels.h"
// After base/simd's header, whose vectors it uses.
#include "codecs/rounding/int_tile_body.h"

namespace ingot::codecs {

const IntTileKernels kIntTileScalar = kTable;
constinit const Ladder<IntTileKernels> kIntTile = {kIntTileScalar, kIntTileAvx2, kIntTileAvx512};

}  // namespace ingot::codecs
