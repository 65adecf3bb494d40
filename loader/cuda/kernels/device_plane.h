// A plane in the device's memory.
//
// Thread rule: values; the bytes are immutable.
#pragma once

#include <cstdint>

#include "loader/kernels/plane_operand.h"

namespace ingot::cuda {

// What the numbers of a plane are: codes of an `int` or `fp8` plane, floats as they are, or a
// sparse plane's entries.
enum class PlaneForm : int { kInt, kFp8, kBf16, kF16, kF32, kSparse };

struct DevicePlane {
  PlaneForm form = PlaneForm::kInt;
  // kInt, kFp8: as the processor's kernels take them, rows row_bytes apart; floats: `codes` and
  // row_bytes alone.
  loader::PlaneOperand operand;
  // kSparse: entries of row r from row_begins[r] to row_begins[r + 1].
  const std::uint32_t* row_begins = nullptr;  // rows + 1
  const std::uint32_t* columns = nullptr;
  const std::uint16_t* values = nullptr;  // f16
};

}  // namespace ingot::cuda
