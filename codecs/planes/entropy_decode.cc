#include <algorithm>
#include <bit>
#include <cstring>

#include "codecs/attributes.h"
#include "codecs/planes/entropy_plane.h"

namespace ingot::codecs {
namespace {

constexpr std::size_t kCodes = 0, kRows = 1, kColumns = 2, kEscapes = 3;
// Factor patterns below are zero or subnormal, from kFactorInfinity on not finite.
constexpr std::uint16_t kFactorLeast = 0x40, kFactorInfinity = 0x7c0;

// Pieces small enough that a byte-wide count of zeros is exact when summed in 32 bits.
std::uint64_t CountZeros(ByteSpan bytes) {
  std::uint64_t total = 0;
  while (!bytes.empty()) {
    const std::size_t n = std::min<std::size_t>(bytes.size(), 1 << 16);
    std::uint32_t zeros = 0;
    for (std::size_t i = 0; i < n; ++i) zeros += bytes[i] == 0 ? 1 : 0;
    total += zeros;
    bytes = bytes.subspan(n);
  }
  return total;
}

Status CheckRecords(const PlaneView& plane, std::size_t index, const char* stream) {
  const ByteSpan records = plane.streams[index];
  for (std::size_t i = 0; 2 * i < records.size(); ++i) {
    const std::uint16_t factor = LoadLe<std::uint16_t>(records.data() + 2 * i) & 0x7ffu;
    if (factor < kFactorLeast || factor >= kFactorInfinity)
      return Corruption(plane.spec->kind + " plane: record " + std::to_string(i) + " of '" + stream +
                        "' has a factor that is not a normal number");
  }
  return OkStatus();
}

Status CheckEscapes(const PlaneView& plane, std::int32_t most) {
  const std::string place = plane.spec->kind + " plane: ";
  const ByteSpan escapes = plane.streams[kEscapes];
  const std::uint64_t zeros = CountZeros(plane.streams[kCodes]);
  if (escapes.size() % 4 != 0 || escapes.size() / 4 != zeros)
    return Corruption(place + std::to_string(zeros) + " escapes in 'codes', " +
                      std::to_string(escapes.size()) + " bytes of 'escapes'");
  for (std::uint64_t i = 0; i < zeros; ++i) {
    const auto code = LoadLe<std::int32_t>(escapes.data() + 4 * i);
    if (code >= -kEntropyCodeMax && code <= kEntropyCodeMax)
      return Corruption(place + "escape " + std::to_string(i) + " is " + std::to_string(code) +
                        ", which needs none");
    if (code < -most || code > most)
      return Corruption(place + "escape " + std::to_string(i) + " is " + std::to_string(code) +
                        ", beyond 2^" +
                        std::to_string(std::bit_width(static_cast<std::uint32_t>(most)) - 1));
  }
  return OkStatus();
}

}  // namespace

std::uint16_t EntropyRecord(float factor, int line_class) {
  constexpr float kLeast = 0x1p-14f, kMost = 65024.0f;
  const auto u = std::bit_cast<std::uint32_t>(std::clamp(factor, kLeast, kMost));
  const std::uint32_t bits = ((u + 0x10000u) >> 17) - (112u << 6);
  return static_cast<std::uint16_t>(static_cast<std::uint32_t>(line_class) << kEntropyFactorBits |
                                    bits);
}

PlaneSpec EntropySpec(std::uint64_t band) {
  return {kEntropyKind, {{"band", static_cast<std::int64_t>(band)}}, 0};
}

Result<EntropyLayout> EntropyLayout::Parse(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_TRY(CheckCols(cols));
  if (cols > std::uint64_t{1} << 31)
    return InvalidArgument("entropy plane: rows of " + std::to_string(cols) +
                           " weights, at most 2^31");
  AttributeReader reader(spec);
  INGOT_ASSIGN(const std::int64_t band, reader.Integer("band", 1, INT64_MAX));
  INGOT_TRY(reader.Finish());
  return EntropyLayout{static_cast<std::uint64_t>(band)};
}

Result<std::vector<StreamSpec>> EntropyStreams(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_ASSIGN(const EntropyLayout layout, EntropyLayout::Parse(spec, cols));
  return EntropyStreamSpecs(layout, cols);
}

std::vector<StreamSpec> EntropyStreamSpecs(const EntropyLayout& layout, std::uint64_t cols) {
  return {{"codes", cols, StreamHint::kEntropy},
          {"rows", 2, StreamHint::kGeneral},
          {"columns", 2 * cols, StreamHint::kGeneral, StreamExtent::kTile, layout.band},
          {"escapes", 0, StreamHint::kGeneral, StreamExtent::kData}};
}

Status EntropyValidate(const PlaneView& plane) {
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, EntropyStreams(*plane.spec, plane.cols));
  INGOT_TRY(CheckStreamSizes(plane, streams));
  return CheckEntropyContent(plane, kEntropyEscapeMax);
}

Status CheckEntropyContent(const PlaneView& plane, std::int32_t escape_max) {
  INGOT_TRY(CheckRecords(plane, kRows, "rows"));
  INGOT_TRY(CheckRecords(plane, kColumns, "columns"));
  return CheckEscapes(plane, escape_max);
}

EntropyBand::EntropyBand(const PlaneView& plane, const EntropyLayout& layout, std::uint64_t row) {
  const std::uint64_t index = row / layout.band, cols = plane.cols;
  row_begin_ = index * layout.band;
  row_end_ = row_begin_ + std::min(layout.band, plane.rows - row_begin_);
  codes_ = plane.streams[kCodes].data() + row_begin_ * cols;
  rows_ = plane.streams[kRows].data() + 2 * row_begin_;
  columns_ = plane.streams[kColumns].data() + 2 * index * cols;

  for (std::uint64_t j = 0; j < cols; ++j) ++group_begin_[EntropyClass(column_record(j)) + 1];
  for (int g = 0; g < kEntropyLineClasses; ++g) group_begin_[g + 1] += group_begin_[g];
  order_.resize(cols);
  auto next = group_begin_;
  for (std::uint64_t j = 0; j < cols; ++j)
    order_[next[EntropyClass(column_record(j))]++] = static_cast<std::uint32_t>(j);

  // A class begins where the ones below it end: Seek counts from 0, so its result for the last row
  // is how many codes each class has.
  const EntropyCursors counts = Seek(row_end_);
  std::uint64_t begin = 0;
  for (int k = 0; k < kEntropyClasses; ++k) {
    class_begin_[k] = begin;
    begin += counts[k];
  }
  if (plane.streams[kEscapes].empty()) return;
  const std::uint64_t before = CountZeros({plane.streams[kCodes].data(), row_begin_ * cols});
  const std::uint8_t* const end = codes_ + (row_end_ - row_begin_) * cols;
  for (const std::uint8_t* p = codes_; p < end; ++p) {
    p = static_cast<const std::uint8_t*>(std::memchr(p, 0, static_cast<std::size_t>(end - p)));
    if (p == nullptr) break;
    escape_places_.push_back(static_cast<std::uint64_t>(p - codes_));
  }
  for (std::uint64_t i = 0; i < escape_places_.size(); ++i)
    escapes_.push_back(LoadLe<std::int32_t>(plane.streams[kEscapes].data() + 4 * (before + i)));
}

EntropyCursors EntropyBand::Seek(std::uint64_t row) const {
  std::array<std::uint64_t, kEntropyLineClasses> rows{};
  for (std::uint64_t r = row_begin_; r < row; ++r) ++rows[EntropyClass(row_record(r))];
  EntropyCursors cursors = class_begin_;
  for (int a = 0; a < kEntropyLineClasses; ++a)
    for (int b = 0; rows[a] > 0 && b < kEntropyLineClasses; ++b)
      cursors[a + b] += rows[a] * (group_begin_[b + 1] - group_begin_[b]);
  return cursors;
}

void EntropyBand::ReadBytes(std::uint64_t row, EntropyCursors& cursors, std::uint8_t* out) const {
  const int a = EntropyClass(row_record(row));
  for (int b = 0; b < kEntropyLineClasses; ++b) {
    const std::uint32_t n = group_begin_[b + 1] - group_begin_[b];
    if (n == 0) continue;
    std::memcpy(out + group_begin_[b], codes_ + cursors[a + b], n);
    cursors[a + b] += n;
  }
}

std::int32_t EntropyBand::Escape(std::uint64_t row, const EntropyCursors& before,
                                 std::uint64_t at) const {
  const int b = static_cast<int>(std::upper_bound(group_begin_.begin(), group_begin_.end(), at) -
                                 group_begin_.begin() - 1);
  const std::uint64_t place = before[EntropyClass(row_record(row)) + b] + (at - group_begin_[b]);
  const auto it = std::lower_bound(escape_places_.begin(), escape_places_.end(), place);
  return escapes_[static_cast<std::size_t>(it - escape_places_.begin())];
}

void EntropyDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                       float* acc) {
  const Result<EntropyLayout> layout = EntropyLayout::Parse(*plane.spec, plane.cols);
  INGOT_CHECK(layout.ok());
  std::vector<std::uint8_t> bytes(plane.cols);
  for (std::uint64_t r = row_begin; r < row_end;) {
    const EntropyBand band(plane, *layout, r);
    EntropyCursors cursors = band.Seek(r);
    for (; r < std::min(row_end, band.row_end()); ++r, acc += plane.cols) {
      const EntropyCursors before = cursors;
      band.ReadBytes(r, cursors, bytes.data());
      const float factor = EntropyFactor(band.row_record(r));
      for (std::uint64_t p = 0; p < plane.cols; ++p) {
        const std::int32_t code = bytes[p] != 0 ? bytes[p] - 128 : band.Escape(r, before, p);
        const std::uint32_t j = band.order()[p];
        const float level = static_cast<float>(code) * factor;
        acc[j] += level * EntropyFactor(band.column_record(j));
      }
    }
  }
}

}  // namespace ingot::codecs
