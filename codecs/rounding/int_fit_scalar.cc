#include <cmath>

#include "codecs/rounding/int_fit.h"

namespace ingot::codecs {
namespace {

// 16 float lanes as an array: the reference for the vector tables.
struct V {
  float lane[16];

  static V Set(float f) {
    V v;
    for (float& x : v.lane) x = f;
    return v;
  }
  // n >= 16: all lanes; else the first n, the others 0.
  static V Load(const float* p, std::size_t n) {
    V v;
    for (std::size_t i = 0; i < 16; ++i) v.lane[i] = i < n ? p[i] : 0.0f;
    return v;
  }
  static V Keep(V v, std::size_t n) {
    for (std::size_t i = n; i < 16; ++i) v.lane[i] = 0.0f;
    return v;
  }
  void Store(float* p, std::size_t n) const {
    for (std::size_t i = 0; i < 16 && i < n; ++i) p[i] = lane[i];
  }
  // REQUIRES: lanes are whole numbers in [0, 255].
  void StoreCodes(std::uint8_t* p, std::size_t n) const {
    for (std::size_t i = 0; i < 16 && i < n; ++i) p[i] = static_cast<std::uint8_t>(lane[i]);
  }
  static V Min(V a, V b) {
    for (int i = 0; i < 16; ++i) a.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
  }
  static V Max(V a, V b) {
    for (int i = 0; i < 16; ++i) a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
  }
  // x * y + z, rounded once.
  static V MulAdd(V x, V y, V z) {
    for (int i = 0; i < 16; ++i) z.lane[i] = std::fmaf(x.lane[i], y.lane[i], z.lane[i]);
    return z;
  }
  friend V operator+(V a, V b) {
    for (int i = 0; i < 16; ++i) a.lane[i] += b.lane[i];
    return a;
  }
  friend V operator-(V a, V b) {
    for (int i = 0; i < 16; ++i) a.lane[i] -= b.lane[i];
    return a;
  }
  friend V operator*(V a, V b) {
    for (int i = 0; i < 16; ++i) a.lane[i] *= b.lane[i];
    return a;
  }
  // ((l0 + l8) + (l4 + l12)) + ..., halving the distance each time.
  float Sum() const {
    V v = *this;
    for (int width = 8; width > 0; width /= 2)
      for (int i = 0; i < width; ++i) v.lane[i] += v.lane[i + width];
    return v.lane[0];
  }
  float Least() const {
    float least = lane[0];
    for (const float x : lane) least = x < least ? x : least;
    return least;
  }
  float Greatest() const {
    float greatest = lane[0];
    for (const float x : lane) greatest = x > greatest ? x : greatest;
    return greatest;
  }
};

}  // namespace
}  // namespace ingot::codecs

#include "codecs/rounding/int_fit_body.h"

namespace ingot::codecs {

const IntFitKernels kIntFitScalar = {AbsMaxBits, FitRow, RoundRow, SumSquares};
constinit const Ladder<IntFitKernels> kIntFit = {kIntFitScalar, kIntFitAvx2, kIntFitAvx512};

}  // namespace ingot::codecs
