#include "codecs/rounding/codebook_kernels.h"

#if defined(__x86_64__)
#include "base/simd/lanes_avx512.h"

namespace {
constexpr std::size_t kVectors = 4;
}  // namespace
// After base/simd's header, whose vectors it uses.
#include "codecs/rounding/codebook_body.h"

namespace ingot::codecs {

const CodebookKernels kCodebookAvx512 = kTable;

}  // namespace ingot::codecs
#endif
