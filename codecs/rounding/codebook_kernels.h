// The search for the nearest word of a codebook, a table an instruction set. Every score is one
// chain of fused multiply-adds in a fixed order, and of equal scores the first wins: all tables
// give the same words.
//
// Thread rule: pure functions over caller's buffers.
#pragma once

#include <cstddef>

#include "base/cpu.h"

namespace ingot::codecs {

struct CodebookKernels {
  // For each of kTileRows lanes (compensate_kernels.h) the word c of the greatest
  //   score = sum_k targets[k][lane] words[k][c] - halves[c],
  // its number in nearest[lane], as a float. `targets` is dimension x kTileRows; `words` is
  // dimension x count; halves[c] is half of word c's squared length. So it is the word of the least
  // squared distance. REQUIRES: 1 <= dimension <= 4; 1 <= count <= 2^24; finite values.
  void (*nearest)(const float* targets, std::size_t dimension, const float* words,
                  const float* halves, std::size_t count, float* nearest);
};

extern const CodebookKernels kCodebookScalar, kCodebookAvx2, kCodebookAvx512;
extern const Ladder<CodebookKernels> kCodebook;

}  // namespace ingot::codecs
