// F and D, the vectors of float and double that kernels' bodies are written over, of one lane: what
// every operation means. lanes_avx2.h and lanes_avx512.h have the same names with more lanes and
// the same meaning of a lane; reductions differ with the lanes only. A source file includes the
// header of the instruction set that it is compiled for, then its bodies; everything here has
// internal linkage and uses no std containers, so that no code with wider instructions leaks into
// the rest.
//
// Every operation is rounded once.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "base/float_formats.h"

namespace ingot {
namespace {

struct F {
  static constexpr std::size_t kLanes = 1;
  float x;

  static F Set(float f) { return {f}; }
  static F Load(const float* p) { return {*p}; }
  void Store(float* p) const { *p = x; }
  // The first n lanes where there are more, all else: lanes past them are loaded as 0.
  static F Load(const float* p, std::size_t n) { return {n > 0 ? *p : 0.0f}; }
  void Store(float* p, std::size_t n) const {
    if (n > 0) *p = x;
  }
  static F Keep(F v, std::size_t n) { return {n > 0 ? v.x : 0.0f}; }
  static F LoadHalf(const std::uint16_t* p) { return {FromFp16(*p)}; }
  // REQUIRES of StoreBytes: whole numbers in [0, 255].
  void StoreBytes(std::uint8_t* p) const { *p = static_cast<std::uint8_t>(x); }
  void StoreBytes(std::uint8_t* p, std::size_t n) const {
    if (n > 0) StoreBytes(p);
  }
  static F LoadBytes(const std::uint8_t* p) { return {static_cast<float>(*p)}; }
  // table[i]. REQUIRES: whole numbers in [0, 8).
  static F Lookup8(const float* table, F i) { return {table[static_cast<int>(i.x)]}; }
  // a * b + c, fused.
  static F MulAdd(F a, F b, F c) { return {std::fma(a.x, b.x, c.x)}; }
  // Where the comparison is false (a NaN, zeros of either sign): b.
  static F Min(F a, F b) { return {a.x < b.x ? a.x : b.x}; }
  static F Max(F a, F b) { return {a.x > b.x ? a.x : b.x}; }
  // a > b ? then : otherwise.
  static F IfGreater(F a, F b, F then, F otherwise) { return a.x > b.x ? then : otherwise; }
  // Bit i: a > b in lane i.
  static std::uint32_t GreaterMask(F a, F b) { return a.x > b.x ? 1u : 0u; }
  // Lane i is v's lane i ^ flip. REQUIRES: flip < kLanes.
  static F XorLanes(F v, std::uint32_t) { return v; }
  // To the nearest whole number, of two the even one.
  static F Round(F a) { return {std::nearbyint(a.x)}; }
  // 2^n. REQUIRES: whole numbers in [-126, 127].
  static F Pow2(F n) {
    return {std::bit_cast<float>(static_cast<std::uint32_t>(static_cast<int>(n.x) + 127) << 23)};
  }
  friend F operator+(F a, F b) { return {a.x + b.x}; }
  friend F operator-(F a, F b) { return {a.x - b.x}; }
  friend F operator*(F a, F b) { return {a.x * b.x}; }
  friend F operator/(F a, F b) { return {a.x / b.x}; }

  // Reductions by halving: the upper half of the lanes is combined with the lower, until one is
  // left.
  float Sum() const { return x; }
  float Least() const { return x; }
  float Greatest() const { return x; }
  // The Walsh-Hadamard transform of the lanes: for strides 1, 2, 4, ... below kLanes the pair (a,
  // b) that far apart becomes (a + b, a - b).
  F Walsh() const { return *this; }
};

struct D {
  static constexpr std::size_t kLanes = 1;
  double x;

  static D Set(double f) { return {f}; }
  static D Load(const double* p) { return {*p}; }
  void Store(double* p) const { *p = x; }
  // c - a * b, fused.
  static D NegMulAdd(D a, D b, D c) { return {std::fma(-a.x, b.x, c.x)}; }
  friend D operator/(D a, D b) { return {a.x / b.x}; }
};

// Sums of an F's lanes in double.
struct DoubleSum {
  double sum = 0;
  void Add(F v) { sum += static_cast<double>(v.x); }
  double Total() const { return sum; }
};

}  // namespace
}  // namespace ingot
