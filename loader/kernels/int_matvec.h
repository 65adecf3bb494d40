// y += P x for an int plane P and activations quantized to 8 bits: the product under kFast.
//
// Activations are quantized once per call into records of 64 inputs, in the order in which the bit
// fields of docs/codecs.md (section 2) deliver codes: byte j of a 64-byte block holds codes j, j +
// 64,
// ..., so part p of the block meets record p as it is, without a shuffle.
//
//   record       q[64] i8 | scale[16] f32 | negative_sum[16] i32      lane i: inputs 4i ... 4i + 3
//   of a token   ceil(cols / 64) records in input order
//                2 + 4 + 8 records: the last, short block of fields of 4, 2 and 1 bits
//
// A scale serves 8 lanes (32 inputs), as in llama.cpp's Q8_0. A code c stands for c - offset, so a
// lane starts at offset * negative_sum. Every field of a plane is one pass: 3 bits are a pass at 2
// bits and one at 1 bit with four times the scale.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"
#include "codecs/planes/int_levels.h"
#include "loader/kernels/plane_operand.h"

namespace ingot::loader {

inline constexpr std::size_t kRecordInputs = 64;
inline constexpr std::size_t kScaleInputs = 32;
inline constexpr std::size_t kTailRecords = 14;
inline constexpr std::size_t kMatvecRows = 4;  // computed together

struct alignas(64) InputRecord {
  std::int8_t q[64];
  float scale[16];
  std::int32_t negative_sum[16];
};

constexpr std::size_t WholeRecords(std::size_t cols) {
  return (cols + kRecordInputs - 1) / kRecordInputs;
}
constexpr std::size_t RecordsOfToken(std::size_t cols) { return WholeRecords(cols) + kTailRecords; }
// The first tail record of fields with `parts` = 2, 4 or 8 codes a byte.
constexpr std::size_t TailRecord(std::size_t cols, std::size_t parts) {
  return WholeRecords(cols) + parts - 2;
}

// Where the scales of a field's short last block lie: lane i of part p uses group first[p] +
// lane[p][i].
struct FieldTail {
  bool uniform[8];
  std::uint32_t first[8];
  std::int32_t lane[8][16];
};

// One bit field of an int plane, and how its codes find their scales.
enum class GroupMode : std::uint8_t {
  kBlock,   // one scale a 64-byte block
  kRecord,  // one a part of the block (64 codes)
  kLane,    // 64 / group of them a part
};
struct IntField {
  int width = 0;  // bits: 8, 4, 2, 1
  int shift = 0;
  std::size_t offset_bytes = 0;  // in a row
  std::size_t full_blocks = 0;
  std::size_t tail_codes = 0;  // 0: none
  std::size_t tail_bytes = 0;
  GroupMode mode = GroupMode::kBlock;
  FieldTail tail{};
};
struct IntFields {
  int count = 0;
  IntField field[3];
};

// Fills `fields` for a plane; false where no lane layout fits its groups, and the float path has to
// serve: a lane's four codes must share a scale, and codes of several fields one rounding of an
// input.
bool PlanIntFields(const PlaneOperand& plane, IntFields& fields);

struct IntMatvec {
  const PlaneOperand* plane = nullptr;
  const IntFields* fields = nullptr;
  std::uint64_t row_begin = 0;
  std::size_t rows = 0;
  const InputRecord* x = nullptr;  // tokens x record_stride
  std::size_t record_stride = 0;
  std::size_t tokens = 0;
  float* scratch = nullptr;  // MatvecScratch(plane) floats, 64-byte aligned
  float* y = nullptr;        // y[t * y_stride + r] +=
  std::size_t y_stride = 0;
};

// Scales and zero points of kMatvecRows rows as floats, with room for whole vectors.
constexpr std::size_t ScaleStride(std::uint64_t groups) { return (groups + 31) / 16 * 16; }
constexpr std::size_t MatvecScratch(const PlaneOperand& plane) {
  return 2 * kMatvecRows * ScaleStride(plane.groups);
}

// What codes stand for: themselves less an offset, or less their group's zero point, or a table's
// levels.
enum class Codes { kOffset, kZero, kTable };

// What the kernels' whole numbers of a field count for, in scales.
constexpr float FieldFactor(const PlaneOperand& plane, const IntField& field) {
  return plane.table != nullptr ? 1.0f / codecs::kNormalUnits
                                : static_cast<float>(1 << field.shift);
}

struct IntMatvecKernel {
  // x: cols floats; parts: bit p set where tail records of p = 2, 4, 8 codes a byte are needed.
  void (*quantize)(const float* x, std::size_t cols, unsigned parts, InputRecord* records);
  void (*run)(const IntMatvec& matvec);
};

// n <= 64 inputs into one record; the rest is zero.
void QuantizeRecordScalar(const float* x, std::size_t n, InputRecord* record);
void QuantizeRecordAvx2(const float* x, std::size_t n, InputRecord* record);
void QuantizeRecordAvx512(const float* x, std::size_t n, InputRecord* record);

// n inputs from `begin` on as one record, copied from the whole records where lanes line up.
// REQUIRES: begin and the place of n's end in a part are multiples of four, or the end of the row.
inline void CopyLanes(const InputRecord* records, std::size_t begin, std::size_t n,
                      InputRecord* out) {
  *out = InputRecord{};
  for (std::size_t i = 0; 4 * i < n; ++i) {
    const InputRecord& from = records[(begin + 4 * i) / kRecordInputs];
    const std::size_t lane = (begin + 4 * i) % kRecordInputs / 4;
    __builtin_memcpy(out->q + 4 * i, from.q + 4 * lane, 4);
    out->scale[i] = from.scale[lane];
    out->negative_sum[i] = from.negative_sum[lane];
  }
}

// The order of records, for any record quantizer. The short last block repeats inputs that whole
// records have too: where its parts start at multiples of four they are the same numbers, so that
// several fields of one code see one rounding of an input.
template <void (*Record)(const float*, std::size_t, InputRecord*)>
void QuantizeInputs(const float* x, std::size_t cols, unsigned parts, InputRecord* records) {
  for (std::size_t begin = 0; begin < cols; begin += kRecordInputs)
    Record(x + begin, cols - begin < kRecordInputs ? cols - begin : kRecordInputs,
           records + begin / kRecordInputs);
  for (std::size_t p = 2; p <= 8; p *= 2) {
    const std::size_t left = cols % (p * kRecordInputs);
    if ((parts & p) == 0 || left == 0) continue;
    const std::size_t stride = (left + p - 1) / p;
    const std::size_t base = cols - left;
    for (std::size_t k = 0; k < p; ++k) {
      const std::size_t begin = k * stride < left ? k * stride : left;
      const std::size_t n = left - begin < stride ? left - begin : stride;
      InputRecord* record = records + TailRecord(cols, p) + k;
      if (stride % 4 == 0)
        CopyLanes(records, base + begin, n, record);
      else
        Record(x + base + begin, n, record);
    }
  }
}

void IntMatvecScalar(const IntMatvec& matvec);
void IntMatvecAvx2(const IntMatvec& matvec);
void IntMatvecAvx512(const IntMatvec& matvec);

}  // namespace ingot::loader
