#include "base/simd/lanes_scalar.h"
#include "codecs/rounding/int_fit.h"
#include "codecs/rounding/sixteen.h"
#include "codecs/rounding/words_scalar.h"
// After those, whose vectors it uses.
#include "codecs/rounding/int_fit_body.h"

namespace ingot::codecs {

const IntFitKernels kIntFitScalar = {AbsMaxBits, FitRow, RoundRow, SumSquares};
constinit const Ladder<IntFitKernels> kIntFit = {kIntFitScalar, kIntFitAvx2, kIntFitAvx512};

}  // namespace ingot::codecs
