// The loops behind codebook_kernels.h over base/simd's F, kVectors vectors of lanes at a time.
// Included once by each codebook_*.cc, after base/simd's header and kVectors; everything here is in
// that file's unnamed namespace.
#include "codecs/rounding/compensate_kernels.h"

namespace ingot::codecs {
namespace {

static_assert(kTileRows % (kVectors * F::kLanes) == 0);

template <std::size_t kDimension>
void NearestOf(const float* targets, const float* words, const float* halves, std::size_t count,
               float* nearest) {
  for (std::size_t lane = 0; lane < kTileRows; lane += kVectors * F::kLanes) {
    F target[kDimension][kVectors], best[kVectors], word[kVectors];
    for (std::size_t k = 0; k < kDimension; ++k)
      for (std::size_t v = 0; v < kVectors; ++v)
        target[k][v] = F::Load(targets + k * kTileRows + lane + v * F::kLanes);
    for (std::size_t v = 0; v < kVectors; ++v) {
      best[v] = F::Set(-3.0e38f);
      word[v] = F::Set(0.0f);
    }
    for (std::size_t c = 0; c < count; ++c) {
      F score[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) score[v] = F::Set(-halves[c]);
      for (std::size_t k = 0; k < kDimension; ++k) {
        const F value = F::Set(words[k * count + c]);
        for (std::size_t v = 0; v < kVectors; ++v)
          score[v] = F::MulAdd(target[k][v], value, score[v]);
      }
      const F number = F::Set(static_cast<float>(c));
      for (std::size_t v = 0; v < kVectors; ++v) {
        word[v] = F::IfGreater(score[v], best[v], number, word[v]);
        best[v] = F::Max(score[v], best[v]);
      }
    }
    for (std::size_t v = 0; v < kVectors; ++v) word[v].Store(nearest + lane + v * F::kLanes);
  }
}

void Nearest(const float* targets, std::size_t dimension, const float* words, const float* halves,
             std::size_t count, float* nearest) {
  const auto run = dimension == 1   ? NearestOf<1>
                   : dimension == 2 ? NearestOf<2>
                   : dimension == 3 ? NearestOf<3>
                                    : NearestOf<4>;
  run(targets, words, halves, count, nearest);
}

constexpr CodebookKernels kTable = {Nearest};

}  // namespace
}  // namespace ingot::codecs
