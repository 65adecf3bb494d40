// What planes of entropy-coded integers have in common when a loader turns them into planes that
// kernels read: `int` planes hold what fits, `sparse` ones the rest, a `column_scale` the factors
// of the columns. The streams are those of codecs/planes/entropy_plane.h.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "codecs/plane.h"
#include "stored/tensor_planes.h"

namespace ingot::loader {

// A plane with its bytes.
struct OwnedPlane {
  codecs::PlaneSpec spec;
  std::vector<ByteBuffer> streams;
};

// What an int plane lacks of a weight, as one or two f16 numbers that add up.
struct Rest {
  std::uint32_t column;
  std::uint16_t high, low;
};
// False where `value` is no sum of two f16 numbers.
bool SplitRest(double value, Rest& rest);

// Every band's column factors are those of the first.
bool ColumnsAgree(const codecs::PlaneView& plane);

// out[order[p]] = bytes[p]. REQUIRES: the arrays do not overlap.
void ScatterBytes(const std::uint8_t* bytes, const std::uint32_t* order, std::uint64_t count,
                  std::uint8_t* out);

// A plane of one scale a row, symmetric levels: `bits` are 4 or 8, its streams still zero.
OwnedPlane RowScaled(const codecs::PlaneView& plane, int bits);
// Sparse planes of each row's rests, ascending by column; nothing where all are zero.
void AddRests(const std::vector<std::vector<Rest>>& rests, const codecs::PlaneView& plane,
              std::vector<OwnedPlane>& planes);
OwnedPlane ColumnScaleOf(const codecs::PlaneView& plane);

// Puts planes in the place of one, where there are any.
void PutInPlace(std::optional<std::vector<OwnedPlane>> turned, stored::TensorPlanes& tensor,
                std::size_t plane);

}  // namespace ingot::loader
