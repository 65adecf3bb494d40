// A stored tensor as a matrix of numbers, a range of rows at a time: packed codes, scales and zero
// points alike, in any of the orders that quantizing libraries store them in.
//
// The stored tensor is `outer` x `inner`; rows of the matrix run along `outer`, or along `inner`
// where it is stored turned around. Codes of fewer than 8 bits lie least significant first in the
// little-endian bytes of a stored row (kInner), or down the 32-bit words of a stored column
// (kOuter), across word borders. Bits of an element:
//
//   kInner   element i of stored row o   at bit i * bits of that row
//   kOuter   element o of stored column i at bit o * bits of the column of words (w, i)
//
// Thread rule: const methods may be called from several threads.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/status.h"
#include "model/source/quantized/stored_part.h"

namespace ingot::model {

enum class Packing { kNone, kInner, kOuter };

// Order of the 8 nibbles of a word: the place of each, from the lowest bits on.
using NibbleOrder = std::array<std::uint8_t, 8>;
inline constexpr NibbleOrder kInOrder = {0, 1, 2, 3, 4, 5, 6, 7};
// AWQ's GEMM kernels: column 8c + i lies at place kAwqOrder[i] (they interleave pairs).
inline constexpr NibbleOrder kAwqOrder = {0, 4, 1, 5, 2, 6, 3, 7};
// Two codes a byte, the first in the high bits (bitsandbytes).
inline constexpr NibbleOrder kHighFirst = {1, 0, 3, 2, 5, 4, 7, 6};

class CodeMatrix {
 public:
  CodeMatrix() = default;

  // Numbers as they are: F32, F16, BF16, F8_E4M3, F8_E5M2, F8_E8M0, U8, I8 to I64. Unsupported:
  // another dtype. The tensor must have rows * cols elements; a turned one is stored cols x rows.
  static Result<CodeMatrix> Plain(const StoredPart& part, std::uint64_t rows, std::uint64_t cols,
                                  bool turned = false);
  // Packed codes; level_of[code] is what each stands for. REQUIRES: 1 <= bits <= 8. Corruption
  // where the tensor has not just the bytes that rows x cols of them take.
  static Result<CodeMatrix> Packed(const StoredPart& part, std::uint64_t rows, std::uint64_t cols,
                                   int bits, Packing packing, bool turned,
                                   std::vector<float> level_of,
                                   const NibbleOrder& order = kInOrder);

  std::uint64_t rows() const { return turned_ ? inner_ : outer_; }
  std::uint64_t cols() const { return turned_ ? outer_ : inner_; }
  std::uint64_t stored_bytes() const { return part_.bytes; }
  int bits() const { return bits_; }
  // What each code stands for; empty where the numbers are floats or wide integers.
  const std::vector<float>& levels() const { return level_of_; }
  bool is_half() const { return element_ == Element::kF16; }
  // Rows [begin, end), row after row. REQUIRES: begin <= end <= rows(); out has room.
  Status Read(std::uint64_t begin, std::uint64_t end, float* out) const;

 private:
  enum class Element { kF32, kF16, kBf16, kInteger, kCode };
  Status ReadInner(std::uint64_t o_begin, std::uint64_t o_end, std::uint64_t i_begin,
                   std::uint64_t i_end, float* out) const;
  Status ReadOuterPacked(std::uint64_t o_begin, std::uint64_t o_end, std::uint64_t i_begin,
                         std::uint64_t i_end, float* out) const;
  float* Target(float* out, std::uint64_t o, std::uint64_t i, std::uint64_t o_count,
                std::uint64_t i_count) const {
    return turned_ ? out + i * o_count + o : out + o * i_count + i;
  }

  StoredPart part_;
  std::uint64_t outer_ = 0, inner_ = 0;
  std::uint64_t stored_row_bytes_ = 0;
  Element element_ = Element::kF32;
  Packing packing_ = Packing::kNone;
  int bits_ = 32;
  bool turned_ = false;
  NibbleOrder order_ = kInOrder;
  std::vector<float> level_of_;
};

// Levels of codes: c - offset for every code of `bits`.
std::vector<float> IntegerLevels(int bits, int offset);
// E2M1, the 4-bit floats of MXFP4 and NVFP4: 0, .5, 1, 1.5, 2, 3, 4, 6 and their negatives.
std::vector<float> Fp4Levels();
// What each byte of an 8-bit dtype stands for; empty where the dtype is none.
std::vector<float> ByteLevels(std::string_view dtype);

}  // namespace ingot::model
