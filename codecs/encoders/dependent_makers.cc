#include "codecs/encoders/dependent_makers.h"

#include "codecs/encoders/entropy_encode.h"

namespace ingot::codecs {
namespace {

constexpr int kDefaultStateBits = 8, kLeastStateBits = 2, kMostStateBits = 12;
static_assert(1 << kDefaultStateBits == kTrellisStates);
static_assert(1 << kLeastStateBits == kLeastTrellisStates);
static_assert(1 << kMostStateBits == kMostTrellisStates);

}  // namespace

Result<EntropyMethod> DependentMethod(const RecipeOptions& o) {
  const std::int64_t bits = o.bits == 0 ? kDefaultStateBits : o.bits;
  if (bits < kLeastStateBits || bits > kMostStateBits)
    return InvalidArgument("codec " + o.codec + ": a trellis state of " + std::to_string(bits) +
                           " bits, " + std::to_string(kLeastStateBits) + " to " +
                           std::to_string(kMostStateBits) + " allowed");
  EntropyMethod method;
  method.trellis = FindTrellisCode(std::int64_t{1} << bits);
  return method;
}

Result<std::unique_ptr<TensorEncoder>> MakeDependent(const RecipeOptions& o, std::uint64_t cols,
                                                     DType dtype) {
  INGOT_ASSIGN(const EntropyMethod method, DependentMethod(o));
  return MakeEntropyEncoder(method, o.step, o.rate, cols, dtype);
}

}  // namespace ingot::codecs
