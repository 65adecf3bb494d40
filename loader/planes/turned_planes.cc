#include "loader/planes/turned_planes.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "base/float_formats.h"
#include "codecs/planes/bit_fields.h"
#include "codecs/planes/sparse_plane.h"
#include "codecs/planes/transform.h"

namespace ingot::loader {
namespace {

// A sparse plane of one half of the rests; nothing where all are zero.
std::optional<OwnedPlane> SparseOf(const std::vector<std::vector<Rest>>& rests,
                                   const codecs::PlaneView& source, std::uint16_t Rest::*half) {
  std::uint64_t entries = 0;
  for (const auto& row : rests)
    for (const Rest& rest : row) entries += (rest.*half & 0x7fff) != 0 ? 1 : 0;
  if (entries == 0) return std::nullopt;
  const std::uint64_t count_bytes = codecs::SparseCountBytes(source.cols);
  const std::uint64_t column_bytes = codecs::SparseColumnBytes(source.cols);
  OwnedPlane plane{{"sparse", {{"format", "f16"}}, source.spec->level}, {}};
  plane.streams.emplace_back(count_bytes * source.rows);
  plane.streams.emplace_back(column_bytes * entries);
  plane.streams.emplace_back(2 * entries);
  std::uint8_t* column = plane.streams[1].data();
  std::uint8_t* value = plane.streams[2].data();
  for (std::uint64_t r = 0; r < source.rows; ++r) {
    std::uint32_t count = 0;
    for (const Rest& rest : rests[r]) {
      if ((rest.*half & 0x7fff) == 0) continue;
      std::memcpy(column, &rest.column, column_bytes);  // little-endian
      StoreLe(value, rest.*half);
      column += column_bytes;
      value += 2;
      ++count;
    }
    std::memcpy(plane.streams[0].data() + count_bytes * r, &count, count_bytes);
  }
  return plane;
}

}  // namespace

bool SplitRest(double value, Rest& rest) {
  if (std::fabs(value) > 65504) return false;
  rest.high = ToFp16(static_cast<float>(value));
  const double left = value - static_cast<double>(FromFp16(rest.high));
  rest.low = ToFp16(static_cast<float>(left));
  return static_cast<double>(FromFp16(rest.low)) == left;
}

bool ColumnsAgree(const codecs::PlaneView& plane) {
  const ByteSpan records = plane.streams[2];
  for (std::uint64_t at = 2 * plane.cols; at < records.size(); at += 2) {
    const auto first = LoadLe<std::uint16_t>(records.data() + at % (2 * plane.cols));
    if (((LoadLe<std::uint16_t>(records.data() + at) ^ first) & 0x7ff) != 0) return false;
  }
  return true;
}

// That the arrays do not overlap, bytes do not tell a compiler.
void ScatterBytes(const std::uint8_t* __restrict bytes, const std::uint32_t* __restrict order,
                  std::uint64_t count, std::uint8_t* __restrict out) {
  std::uint64_t p = 0;
  for (; p + 8 <= count; p += 8) {
    const auto eight = LoadLe<std::uint64_t>(bytes + p);
    for (int k = 0; k < 8; ++k) out[order[p + k]] = static_cast<std::uint8_t>(eight >> (8 * k));
  }
  for (; p < count; ++p) out[order[p]] = bytes[p];
}

OwnedPlane RowScaled(const codecs::PlaneView& plane, int bits) {
  OwnedPlane base{{"int", {}, plane.spec->level}, {}};
  base.spec.attributes = {{"bits", std::int64_t{bits}},
                          {"group", static_cast<std::int64_t>(plane.cols)},
                          {"levels", "symmetric"},
                          {"scales", "f16"}};
  base.streams.emplace_back(plane.rows * codecs::CodeRowBytes(bits, plane.cols));
  base.streams.emplace_back(2 * plane.rows);
  return base;
}

void AddRests(const std::vector<std::vector<Rest>>& rests, const codecs::PlaneView& plane,
              std::vector<OwnedPlane>& planes) {
  for (std::uint16_t Rest::*half : {&Rest::high, &Rest::low})
    if (auto sparse = SparseOf(rests, plane, half)) planes.push_back(*std::move(sparse));
}

OwnedPlane ColumnScaleOf(const codecs::PlaneView& plane) {
  OwnedPlane scale{codecs::ColumnScaleSpec(), {}};
  scale.spec.level = plane.spec->level;
  scale.streams.emplace_back(2 * plane.cols);
  for (std::uint64_t j = 0; j < plane.cols; ++j) {
    const auto record = LoadLe<std::uint16_t>(plane.streams[2].data() + 2 * j);
    StoreLe(scale.streams[0].data() + 2 * j, static_cast<std::uint16_t>((record & 0x7ffu) << 4));
  }
  return scale;
}

void PutInPlace(std::optional<std::vector<OwnedPlane>> turned, stored::TensorPlanes& tensor,
                std::size_t plane) {
  if (!turned.has_value()) return;
  tensor.Replace(plane, std::move((*turned)[0].spec), std::move((*turned)[0].streams));
  for (std::size_t i = 1; i < turned->size(); ++i)
    tensor.Add(std::move((*turned)[i].spec), std::move((*turned)[i].streams));
}

}  // namespace ingot::loader
