#include "codecs/rounding/int_fit.h"

#if defined(__x86_64__)
#include "base/simd/lanes_avx512.h"
#include "codecs/rounding/sixteen.h"
#include "codecs/rounding/words_avx512.h"
// After those, whose vectors it uses.
#include "codecs/rounding/int_fit_body.h"

namespace ingot::codecs {

const IntFitKernels kIntFitAvx512 = {AbsMaxBits, FitRow, RoundRow, SumSquares};

}  // namespace ingot::codecs
#endif
