// Codebooks of `vq` planes fitted to a matrix: k-means under the Hessian (GPTVQ, van Baalen et al.
// 2024, arXiv 2402.15319, has the feedback and a weighted k-means; here the metric of a vector is
// the whole block of the factored Hessian), grown by splitting words (Linde, Buzo, Gray 1980).
//
// A vector is `dimension` columns that follow each other in rounding order (compensate.h). With M
// and D there, errors of its first columns change the targets of its later ones: rounding the
// vector to q costs
//   sum_c D_c (u_c - q_c - sum_{k<c} M_kc q_k)²,  u_c = t_c + sum_{k<c} M_kc q_k,
// k and c columns of the vector, u_c what the target would be if q were 0 so far. Under a scale s
// the word v = q / s is judged by u / s.
//
// Thread rule: pure functions, parallel inside; results do not depend on threads or instruction
// set.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "codecs/planes/vq_plane.h"
#include "codecs/rounding/aligned_array.h"
#include "codecs/rounding/compensate.h"

namespace ingot::codecs {

// The metric at one vector of a row.
struct VectorMetric {
  float roots[kMaxVqDimension] = {};                      // sqrt(D_c), 0 for columns past the last
  float coupling[kMaxVqDimension][kMaxVqDimension] = {};  // [c][k] = M_kc, k < c
};

// Of every vector, in stored order. REQUIRES: vectors of the layout keep together in the
// compensation's order (ColumnOrder::kFours, or kNatural).
std::vector<VectorMetric> VectorMetrics(const VqLayout& layout, const Compensation& compensation);

// A codebook as one vector's metric sees it, for CodebookKernels::nearest.
class WordTable {
 public:
  explicit WordTable(const VqLayout& layout)
      : dimension_(layout.dimension),
        words_(layout.words() * layout.dimension),
        halves_(layout.words()) {}
  // `codebook`: count words of `dimension` values. REQUIRES: count <= layout.words().
  void Set(const float* codebook, std::size_t count, const VectorMetric& metric);
  // The nearest word, a number a lane, to targets (dimension x kTileRows) times the metric's roots.
  void Nearest(const float* targets, float* nearest) const;

 private:
  std::size_t dimension_, count_ = 0;
  AlignedArray<float> words_, halves_;
};

// Vectors to fit a codebook to: tiles of kTileRows rows in lanes.
struct CodebookSample {
  std::size_t tiles = 0;
  AlignedArray<float> targets;  // u / s: [tile][column][lane], columns rounded up to whole vectors
  AlignedArray<float> weights;  // of a lane's vectors: [tile][group][lane]
};

// layout.words() words of least weighted cost, each value rounded to f16; words that no vector
// needs are 0. REQUIRES: layout.group is a multiple of layout.dimension.
std::vector<float> FitCodebook(const VqLayout& layout, std::span<const VectorMetric> metrics,
                               const CodebookSample& sample);

}  // namespace ingot::codecs
