#include "codecs/rounding/codebook_kernels.h"

#if defined(__x86_64__)
#include "base/simd/lanes_avx2.h"

namespace {
constexpr std::size_t kVectors = 2;
}  // namespace
// After base/simd's header, whose vectors it uses.
#include "codecs/rounding/codebook_body.h"

namespace ingot::codecs {

const CodebookKernels kCodebookAvx2 = kTable;

}  // namespace ingot::codecs
#endif
