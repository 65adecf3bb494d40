// 8-bit product of a trellis plane, AVX-512 VNNI (trellis_product_body.h): panels of 128 rows x 128
// inputs.
//
//   16 weights of a column:  a load that fills all lanes, shuffle, shift, mask, product, addition,
//                            sum of bytes
//   64 of 4 columns more:    2 rotations, shift, blend, store; load and vpdpbusd of every token
//
// Floor: 29 vector instructions for 64 weights, four a cycle: .113 cycles a weight. Bench:
// linear_bench --benchmark_filter=Decode/trellis
#include "loader/kernels/avx512/trellis_lanes_avx512.h"

namespace ingot::loader {
namespace {

using V = TrellisLanes;

}  // namespace
}  // namespace ingot::loader

#include "loader/kernels/trellis_product_body.h"

namespace ingot::loader {

void TrellisMatvecAvx512(const TrellisMatvec& matvec) { RunTrellisBits(matvec); }

}  // namespace ingot::loader
