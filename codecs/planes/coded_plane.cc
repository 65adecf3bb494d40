#include "codecs/planes/coded_plane.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/float_formats.h"
#include "codecs/planes/bit_fields.h"
#include "codecs/planes/int_plane.h"

namespace ingot::codecs {
namespace {

std::vector<std::uint8_t> PackedRows(const IntLayout& layout,
                                     const std::vector<std::uint8_t>& codes) {
  std::vector<std::uint8_t> packed(codes.size() / layout.cols * layout.code_row_bytes);
  std::vector<std::uint8_t> row(layout.cols);
  for (std::size_t r = 0; r * layout.cols < codes.size(); ++r) {
    std::copy_n(codes.data() + r * layout.cols, layout.cols, row.data());
    PackCodes(row.data(), layout.bits, layout.cols, packed.data() + r * layout.code_row_bytes);
  }
  return packed;
}

// Scales or minima.
std::vector<std::uint8_t> StoredNumbers(const IntLayout& layout,
                                        const std::vector<float>& numbers) {
  const std::uint64_t bytes = layout.scale_bytes();
  std::vector<std::uint8_t> stored(numbers.size() * bytes);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (layout.scales == ScaleFormat::kF16)
      StoreLe(stored.data() + bytes * i, ToFp16(numbers[i]));
    else
      StoreLe(stored.data() + bytes * i, numbers[i]);
  }
  return stored;
}

}  // namespace

PlaneSpec CodedSpec(const CodedForm& form) {
  const char* levels = form.origin == CodedForm::Origin::kMiddle ? "symmetric"
                       : form.origin == CodedForm::Origin::kZero ? "asymmetric"
                                                                 : "minimum";
  return IntSpec(form.bits, static_cast<std::int64_t>(form.group), levels,
                 form.half_scales ? "f16" : "f32", 0);
}

std::vector<std::vector<std::uint8_t>> CodedStreams(const CodedForm& form, const CodedRows& rows,
                                                    std::uint64_t cols) {
  const PlaneSpec spec = CodedSpec(form);
  const Result<IntLayout> layout = IntLayout::Parse(spec, cols);
  INGOT_CHECK(layout.ok() && rows.codes.size() % cols == 0);
  std::vector<std::vector<std::uint8_t>> streams = {PackedRows(*layout, rows.codes),
                                                    StoredNumbers(*layout, rows.scales)};
  if (layout->has_minima()) streams.push_back(StoredNumbers(*layout, rows.offsets));
  if (layout->has_zeros()) {
    std::vector<std::uint8_t>& zeros = streams.emplace_back();
    for (const float zero : rows.offsets)
      zeros.push_back(static_cast<std::uint8_t>(zero * static_cast<float>(1 << (8 - form.bits))));
  }
  return streams;
}

}  // namespace ingot::codecs
