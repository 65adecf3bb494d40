#include "base/simd/lanes_scalar.h"
#include "codecs/rounding/codebook_kernels.h"

namespace {
constexpr std::size_t kVectors = 1;
}  // namespace
// After base/simd's header, whose vectors it uses.
#include "codecs/rounding/codebook_body.h"

namespace ingot::codecs {

const CodebookKernels kCodebookScalar = kTable;
constinit const Ladder<CodebookKernels> kCodebook = {kCodebookScalar, kCodebookAvx2,
                                                     kCodebookAvx512};

}  // namespace ingot::codecs
