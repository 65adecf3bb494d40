// Sixteen floats in as many F as it takes: lanes_scalar.h's operations and one tree of reduction on
// every instruction set. The including file includes one of base/simd/'s headers first; everything
// here is in that file's unnamed namespace.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot::codecs {
namespace {

struct Sixteen {
  static constexpr std::size_t kParts = 16 / F::kLanes;
  F part[kParts];

  // Lane l of the result is f(part, its first lane)'s.
  template <typename Make>
  static Sixteen Each(Make make) {
    Sixteen v;
    for (std::size_t i = 0; i < kParts; ++i) v.part[i] = make(i, i * F::kLanes);
    return v;
  }
  static Sixteen Set(float f) {
    return Each([=](std::size_t, std::size_t) { return F::Set(f); });
  }
  // n >= 16: all lanes; else the first n, the others 0.
  static Sixteen Load(const float* p, std::size_t n) {
    if (n >= 16) return Each([=](std::size_t, std::size_t at) { return F::Load(p + at); });
    return Each(
        [=](std::size_t, std::size_t at) { return n > at ? F::Load(p + at, n - at) : F::Set(0); });
  }
  static Sixteen Keep(const Sixteen& v, std::size_t n) {
    if (n >= 16) return v;
    return Each(
        [&](std::size_t i, std::size_t at) { return F::Keep(v.part[i], n > at ? n - at : 0); });
  }
  void Store(float* p, std::size_t n) const {
    for (std::size_t i = 0, at = 0; i < kParts && at < n; ++i, at += F::kLanes)
      part[i].Store(p + at, n - at);
  }
  void StoreBytes(std::uint8_t* p, std::size_t n) const {
    for (std::size_t i = 0, at = 0; i < kParts && at < n; ++i, at += F::kLanes)
      part[i].StoreBytes(p + at, n - at);
  }
  static Sixteen Min(const Sixteen& a, const Sixteen& b) {
    return Each([&](std::size_t i, std::size_t) { return F::Min(a.part[i], b.part[i]); });
  }
  static Sixteen Max(const Sixteen& a, const Sixteen& b) {
    return Each([&](std::size_t i, std::size_t) { return F::Max(a.part[i], b.part[i]); });
  }
  static Sixteen MulAdd(const Sixteen& a, const Sixteen& b, const Sixteen& c) {
    return Each(
        [&](std::size_t i, std::size_t) { return F::MulAdd(a.part[i], b.part[i], c.part[i]); });
  }
  friend Sixteen operator+(const Sixteen& a, const Sixteen& b) {
    return Each([&](std::size_t i, std::size_t) { return a.part[i] + b.part[i]; });
  }
  friend Sixteen operator-(const Sixteen& a, const Sixteen& b) {
    return Each([&](std::size_t i, std::size_t) { return a.part[i] - b.part[i]; });
  }
  friend Sixteen operator*(const Sixteen& a, const Sixteen& b) {
    return Each([&](std::size_t i, std::size_t) { return a.part[i] * b.part[i]; });
  }

  // By halving, as F's.
  template <typename Combine>
  F Halved(Combine combine) const {
    Sixteen v = *this;
    for (std::size_t half = kParts / 2; half > 0; half /= 2)
      for (std::size_t i = 0; i < half; ++i) v.part[i] = combine(v.part[i], v.part[i + half]);
    return v.part[0];
  }
  float Sum() const {
    return Halved([](F a, F b) { return a + b; }).Sum();
  }
  float Least() const { return Halved(F::Min).Least(); }
  float Greatest() const { return Halved(F::Max).Greatest(); }
};

}  // namespace
}  // namespace ingot::codecs
