#include "codecs/rounding/int_tile_kernels.h"

#if defined(__x86_64__)
#define INGOT_LANES 16
#include "codecs/rounding/lanes.h"
// After lanes.h, whose vectors it uses.
#include "codecs/rounding/int_tile_body.h"

namespace ingot::codecs {

const IntTileKernels kIntTileAvx512 = kTable;

}  // namespace ingot::codecs
#endif
