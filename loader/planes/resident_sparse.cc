// A `sparse` plane: row offsets by a prefix sum, so that any row is found at once.
#include <utility>
#include <vector>

#include "codecs/planes/sparse_plane.h"
#include "loader/kernels/sparse_matvec.h"
#include "loader/planes/resident_kind.h"

namespace ingot::loader {
namespace {

struct PreparedSparse : PreparedPlane {
  SparseOperand operand;
  std::vector<std::uint64_t> row_offsets;
};

Result<std::unique_ptr<PreparedPlane>> Prepare(const codecs::PlaneView& view) {
  auto plane = std::make_unique<PreparedSparse>();
  const std::uint64_t count_bytes = codecs::SparseCountBytes(view.cols);
  const std::uint8_t* counts = view.streams[0].data();
  plane->row_offsets.resize(view.rows + 1);
  std::uint64_t entries = 0;
  for (std::uint64_t r = 0; r < view.rows; ++r) {
    plane->row_offsets[r] = entries;
    entries += count_bytes == 2 ? LoadLe<std::uint16_t>(counts + 2 * r)
                                : LoadLe<std::uint32_t>(counts + 4 * r);
  }
  plane->row_offsets[view.rows] = entries;
  plane->operand = {plane->row_offsets.data(), view.streams[1].data(), view.streams[2].data(),
                    static_cast<int>(codecs::SparseColumnBytes(view.cols))};
  plane->own_product = true;
  plane->needs.packed = true;
  return std::unique_ptr<PreparedPlane>(std::move(plane));
}

void Matvec(const PreparedPlane& plane, const PlaneProduct& product) {
  SparseMatvec(static_cast<const PreparedSparse&>(plane).operand, product.row_begin, product.rows,
               product.packed, product.packed_stride, product.tokens, product.y, product.y_stride);
}

}  // namespace

const ResidentKind kResidentSparse = {
    .name = "sparse", .prepare = Prepare, .matvec = Matvec, .decode_row = DecodeByCodec};

}  // namespace ingot::loader
