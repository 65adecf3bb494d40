#include <cmath>

#include "codecs/compensate_kernels.h"

namespace ingot::codecs {
namespace {

// One lane: the reference for the vector tables.
template <typename T>
struct One {
  static constexpr std::size_t kLanes = 1;
  T x;

  static One Set(T f) { return {f}; }
  static One Load(const T* p) { return {*p}; }
  void Store(T* p) const { *p = x; }
  static One MulAdd(One a, One b, One c) { return {std::fma(a.x, b.x, c.x)}; }
  static One NegMulAdd(One a, One b, One c) { return {std::fma(-a.x, b.x, c.x)}; }
  friend One operator/(One a, One b) { return {a.x / b.x}; }
};
using F = One<float>;
using D = One<double>;
constexpr int kColumns = 4, kVectors = 2, kFactorTile = 4, kFactorVectors = 2;

}  // namespace
}  // namespace ingot::codecs

#include "codecs/compensate_body.h"

namespace ingot::codecs {

const CompensateKernels kCompensateScalar = kTable;

const CompensateKernels& CompensateFor(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return kCompensateAvx512;
  if (isa == Isa::kAvx2) return kCompensateAvx2;
#endif
  (void)isa;
  return kCompensateScalar;
}

}  // namespace ingot::codecs
