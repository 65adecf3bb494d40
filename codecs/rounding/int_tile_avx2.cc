#include "codecs/rounding/int_tile_kernels.h"

#if defined(__x86_64__)
#include "base/simd/lanes_avx2.h"
// After base/simd's header, whose vectors it uses.
#include "codecs/rounding/int_tile_body.h"

namespace ingot::codecs {

const IntTileKernels kIntTileAvx2 = kTable;

}  // namespace ingot::codecs
#endif
