#include "base/float_formats.h"
#include "codecs/attributes.h"
#include "codecs/planes/sparse_plane.h"

namespace ingot::codecs {
namespace {

Status CheckRow(const PlaneView& plane, std::uint64_t r, std::uint64_t first, std::uint64_t count) {
  const std::uint64_t width = SparseColumnBytes(plane.cols);
  const std::uint8_t* columns = plane.streams[1].data();
  std::uint64_t next = 0;  // the lowest column that may come
  for (std::uint64_t i = first; i < first + count; ++i) {
    const std::uint64_t column = SparseIndex(columns, width, i);
    if (column < next || column >= plane.cols)
      return Corruption("sparse plane: row " + std::to_string(r) + " names column " +
                        std::to_string(column) + ", expected in [" + std::to_string(next) + ", " +
                        std::to_string(plane.cols) + ")");
    next = column + 1;
  }
  return OkStatus();
}

}  // namespace

PlaneSpec SparseSpec(int level) { return {kSparseKind, {{"format", "f16"}}, level}; }

Result<std::vector<StreamSpec>> SparseStreams(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_TRY(CheckCols(cols));
  if (cols > std::uint64_t{1} << 32)
    return InvalidArgument("sparse plane: rows of " + std::to_string(cols) +
                           " weights, at most 2^32");
  AttributeReader reader(spec);
  INGOT_TRY(reader.Expect("format", "f16"));
  INGOT_TRY(reader.Finish());
  return std::vector<StreamSpec>{{"counts", SparseCountBytes(cols), StreamHint::kGeneral},
                                 {"columns", 0, StreamHint::kGeneral, StreamExtent::kData},
                                 {"values", 0, StreamHint::kGeneral, StreamExtent::kData}};
}

Status SparseValidate(const PlaneView& plane) {
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, SparseStreams(*plane.spec, plane.cols));
  INGOT_TRY(CheckStreamSizes(plane, streams));
  const std::uint64_t width = SparseColumnBytes(plane.cols);
  const std::uint64_t entries = plane.streams[1].size() / width;
  if (plane.streams[1].size() % width != 0 || plane.streams[2].size() % 2 != 0 ||
      plane.streams[2].size() / 2 != entries)
    return Corruption("sparse plane: " + std::to_string(plane.streams[1].size()) +
                      " bytes of columns do not go with " +
                      std::to_string(plane.streams[2].size()) + " bytes of values");
  std::uint64_t used = 0;
  for (std::uint64_t r = 0; r < plane.rows; ++r) {
    const std::uint64_t count =
        SparseIndex(plane.streams[0].data(), SparseCountBytes(plane.cols), r);
    if (count > entries - used)
      return Corruption("sparse plane: row " + std::to_string(r) + " claims " +
                        std::to_string(count) + " entries, " + std::to_string(entries - used) +
                        " are left");
    INGOT_TRY(CheckRow(plane, r, used, count));
    used += count;
  }
  if (used != entries)
    return Corruption("sparse plane: " + std::to_string(entries) + " entries, rows claim " +
                      std::to_string(used));
  return OkStatus();
}

std::vector<std::uint64_t> SparseRowIndex(const PlaneView& plane) {
  const std::uint64_t width = SparseCountBytes(plane.cols);
  std::vector<std::uint64_t> index;
  index.reserve(plane.rows / kSparseIndexRows + 1);
  std::uint64_t entries = 0;
  for (std::uint64_t r = 0; r < plane.rows; ++r) {
    if (r % kSparseIndexRows == 0) index.push_back(entries);
    entries += SparseIndex(plane.streams[0].data(), width, r);
  }
  return index;
}

void SparseDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                      float* acc) {
  const std::uint8_t* counts = plane.streams[0].data();
  const std::uint64_t count_width = SparseCountBytes(plane.cols);
  const std::uint64_t column_width = SparseColumnBytes(plane.cols);
  std::uint64_t entry = SparseEntriesBefore(counts, count_width, plane.row_index, row_begin);
  for (std::uint64_t r = row_begin; r < row_end; ++r, acc += plane.cols)
    for (const std::uint64_t end = entry + SparseIndex(counts, count_width, r); entry < end; ++entry)
      acc[SparseIndex(plane.streams[1].data(), column_width, entry)] +=
          FromFp16(LoadLe<std::uint16_t>(plane.streams[2].data() + 2 * entry));
}

}  // namespace ingot::codecs
