#include "codecs/rounding/int_fit.h"

#if defined(__x86_64__)
#include "base/simd/lanes_avx2.h"
#include "codecs/rounding/sixteen.h"
#include "codecs/rounding/words_avx2.h"
// After those, whose vectors it uses.
#include "codecs/rounding/int_fit_body.h"

namespace ingot::codecs {

const IntFitKernels kIntFitAvx2 = {AbsMaxBits, FitRow, RoundRow, SumSquares};

}  // namespace ingot::codecs
#endif
