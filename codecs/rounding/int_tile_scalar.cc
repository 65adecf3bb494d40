#include "codecs/rounding/int_tile_kernels.h"

#define INGOT_LANES 1
#include "codecs/rounding/lanes.h"
// After lanes.h, whose vectors it uses.
#include "codecs/rounding/int_tile_body.h"

namespace ingot::codecs {

const IntTileKernels kIntTileScalar = kTable;

const IntTileKernels& IntTileFor(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return kIntTileAvx512;
  if (isa == Isa::kAvx2) return kIntTileAvx2;
#endif
  (void)isa;
  return kIntTileScalar;
}

}  // namespace ingot::codecs
