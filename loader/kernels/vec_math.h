// Functions over the primitives of vec_avx2.h or vec_avx512.h, which is included first.
#pragma once

namespace ingot::loader {
namespace {

// exp(x), within 2 ulp: x = n ln2 + r, degree 6 in r (Cody-Waite reduction). Zero below -87.3; NaN
// stays NaN.
static inline Vec Exp(Vec x) {
  const Vec clamped = Min(Splat(88.37f), Max(Splat(-87.33f), x));
  const Vec n = Round(clamped * Splat(1.44269504088896341f));
  Vec r = Fma(n, Splat(-0.693145751953125f), clamped);
  r = Fma(n, Splat(-1.42860682030941723212e-6f), r);
  Vec p = Splat(1.9875691500e-4f);
  p = Fma(p, r, Splat(1.3981999507e-3f));
  p = Fma(p, r, Splat(8.3334519073e-3f));
  p = Fma(p, r, Splat(4.1665795894e-2f));
  p = Fma(p, r, Splat(1.6666665459e-1f));
  p = Fma(p, r, Splat(5.0000001201e-1f));
  p = Fma(p * r, r, r) + Splat(1.0f);
  return Select(Less(x, Splat(-87.33f)), Splat(0.0f), p * Pow2(n));
}

}  // namespace
}  // namespace ingot::loader
