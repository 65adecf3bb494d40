// Functions over base/simd's F, whose header is included first.
#pragma once

namespace ingot::loader {
namespace {

// exp(x), within 2 ulp: x = n ln2 + r, degree 6 in r (Cody-Waite reduction). Zero below -87.3; NaN
// stays NaN.
static inline F Exp(F x) {
  const F clamped = F::Min(F::Set(88.37f), F::Max(F::Set(-87.33f), x));
  const F n = F::Round(clamped * F::Set(1.44269504088896341f));
  F r = F::MulAdd(n, F::Set(-0.693145751953125f), clamped);
  r = F::MulAdd(n, F::Set(-1.42860682030941723212e-6f), r);
  F p = F::Set(1.9875691500e-4f);
  p = F::MulAdd(p, r, F::Set(1.3981999507e-3f));
  p = F::MulAdd(p, r, F::Set(8.3334519073e-3f));
  p = F::MulAdd(p, r, F::Set(4.1665795894e-2f));
  p = F::MulAdd(p, r, F::Set(1.6666665459e-1f));
  p = F::MulAdd(p, r, F::Set(5.0000001201e-1f));
  p = F::MulAdd(p * r, r, r) + F::Set(1.0f);
  return F::IfGreater(F::Set(-87.33f), x, F::Set(0.0f), p * F::Pow2(n));
}

}  // namespace
}  // namespace ingot::loader
