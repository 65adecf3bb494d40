// The scalar rows, plain loops with libm: what the vector rows are tested against.
#include "loader/kernels/scan_kernels.h"

#include <cmath>

namespace ingot::loader {
namespace {

float Softplus(float x) { return std::fmax(x, 0.0f) + std::log1p(std::exp(-std::fabs(x))); }

void Selective(const SelectiveBlock& scan) {
  for (std::size_t t = 0; t < scan.tokens; ++t) {
    for (std::size_t i = 0; i < kScanLanes; ++i) {
      const float x = scan.x[t * kScanLanes + i];
      const float step = Softplus(scan.step[t * kScanLanes + i]);
      float y = 0;
      for (std::size_t n = 0; n < scan.states; ++n) {
        float& h = scan.h[n * kScanLanes + i];
        h = std::exp(step * scan.a[n * scan.a_stride + i]) * h +
            step * x * scan.b[t * scan.b_stride + n];
        y += scan.c[t * scan.c_stride + n] * h;
      }
      scan.y[t * kScanLanes + i] = y + scan.skip[i] * x;
    }
  }
}

void Linear(const LinearBlock& scan) {
  for (std::size_t t = 0; t < scan.tokens; ++t) {
    const float decay = scan.decay[t * scan.decay_stride];
    for (std::size_t i = 0; i < kScanLanes; ++i) {
      float y = 0;
      for (std::size_t n = 0; n < scan.states; ++n) {
        float& h = scan.h[n * kScanLanes + i];
        h = decay * h + scan.b[t * scan.b_stride + n] * scan.x[t * kScanLanes + i];
        y += scan.c[t * scan.c_stride + n] * h;
      }
      scan.y[t * kScanLanes + i] = y;
    }
  }
}

}  // namespace

const ScanKernels kScanScalar = {Selective, Linear};
constinit const Ladder<ScanKernels> kScanKernels = {kScanScalar, kScanAvx2, kScanAvx512};

}  // namespace ingot::loader
