// Layout of `entropy` planes (docs/codecs.md, "entropy"): integers of no fixed width, one step a
// row times one a column, ordered so that a container codes each class of like-spread codes by
// itself.
//
//   codes    rows x cols bytes   code + 128, or 0: the next of `escapes`; band by band, in a band
//   by
//                                class, in a class by row, in a row by column
//   rows     rows x u16          class << 11 | factor
//   columns  bands x cols x u16  the same, of each band of `band` rows
//   escapes  i32 each            codes beyond +-127, in the order of `codes`
//
// Weight (i, j) is code * row factor * column factor and of class (class of i) + (class of j). In a
// row the codes of one class are one run: the columns of one column class, ascending.
//
// Thread rule: values and pure functions; an EntropyBand borrows its plane and is immutable.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/float_formats.h"
#include "codecs/plane.h"

namespace ingot::codecs {

inline constexpr char kEntropyKind[] = "entropy";
PlaneSpec EntropySpec(std::uint64_t band);

inline constexpr int kEntropyFactorBits = 11;   // the middle bits of a binary16: exponent, mantissa
inline constexpr int kEntropyLineClasses = 32;  // of a row or a column
inline constexpr int kEntropyClasses = 2 * kEntropyLineClasses - 1;  // of a weight
inline constexpr std::int32_t kEntropyCodeMax = 127;                 // in a byte, else an escape
inline constexpr std::int32_t kEntropyEscapeMax = 1 << 23;

// A row's or column's record.
constexpr int EntropyClass(std::uint16_t record) { return record >> kEntropyFactorBits; }
inline float EntropyFactor(std::uint16_t record) {
  return FromFp16(static_cast<std::uint16_t>((record & 0x7ffu) << 4));
}
// The record whose factor is nearest to `factor`, of those from 2^-14 to 65024. REQUIRES: not NaN;
// 0 <= line_class < kEntropyLineClasses.
std::uint16_t EntropyRecord(float factor, int line_class);

// An entropy plane's attributes, checked.
struct EntropyLayout {
  std::uint64_t band = 0;  // rows of a band, the last one may be shorter
  static Result<EntropyLayout> Parse(const PlaneSpec& spec, std::uint64_t cols);
};

// Where each class's codes are for the next row. Runs of one row are disjoint, rows ascend.
using EntropyCursors = std::array<std::uint64_t, kEntropyClasses>;

// One band of a plane, ready to be read.
class EntropyBand {
 public:
  // REQUIRES: the plane validated; row < plane.rows.
  EntropyBand(const PlaneView& plane, const EntropyLayout& layout, std::uint64_t row);

  std::uint64_t row_begin() const { return row_begin_; }
  std::uint64_t row_end() const { return row_end_; }
  // Columns by class, ascending in each: what a row's codes lie in the order of.
  const std::vector<std::uint32_t>& order() const { return order_; }
  // Where in order() the columns of this class and those above begin. REQUIRES: 0 <= column_class
  // <= kEntropyLineClasses.
  std::uint32_t Begin(int column_class) const { return group_begin_[column_class]; }
  std::uint16_t column_record(std::uint64_t j) const {
    return LoadLe<std::uint16_t>(columns_ + 2 * j);
  }
  std::uint16_t row_record(std::uint64_t row) const {
    return LoadLe<std::uint16_t>(rows_ + 2 * (row - row_begin_));
  }

  // The cursors before `row`. REQUIRES: row_begin() <= row <= row_end().
  EntropyCursors Seek(std::uint64_t row) const;
  // The row's bytes (code + 128, 0: escape) in order(), and the cursors moved past it.
  void ReadBytes(std::uint64_t row, EntropyCursors& cursors, std::uint8_t* out) const;
  // The escape of a 0 that ReadBytes put at place `at` of the row; cursors are those before it.
  std::int32_t Escape(std::uint64_t row, const EntropyCursors& before, std::uint64_t at) const;
  bool has_escapes() const { return !escapes_.empty(); }

 private:
  std::uint64_t row_begin_ = 0, row_end_ = 0;
  const std::uint8_t* codes_ = nullptr;    // of the band
  const std::uint8_t* rows_ = nullptr;     // of the band
  const std::uint8_t* columns_ = nullptr;  // of the band
  std::vector<std::uint32_t> order_;
  std::array<std::uint32_t, kEntropyLineClasses + 1> group_begin_{};  // in order_
  EntropyCursors class_begin_{};
  // Places of the band's zeros in codes_, and their codes.
  std::vector<std::uint64_t> escape_places_;
  std::vector<std::int32_t> escapes_;
};

// The streams, the same of every kind that is laid out like this, and what their bytes must be: sizes
// apart, factors that are normal numbers and escapes that are needed, up to `escape_max`.
std::vector<StreamSpec> EntropyStreamSpecs(const EntropyLayout& layout, std::uint64_t cols);
Status CheckEntropyContent(const PlaneView& plane, std::int32_t escape_max);

// PlaneKind's functions.
Result<std::vector<StreamSpec>> EntropyStreams(const PlaneSpec& spec, std::uint64_t cols);
Status EntropyValidate(const PlaneView& plane);
void EntropyDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                       float* acc);

}  // namespace ingot::codecs
