// A `sparse` plane: as it is stored; its row index finds any row at once.
#include <utility>

#include "codecs/planes/sparse_plane.h"
#include "loader/kernels/sparse_matvec.h"
#include "loader/planes/resident_kind.h"

namespace ingot::loader {
namespace {

struct PreparedSparse : PreparedPlane {
  SparseOperand operand;
};

Result<std::unique_ptr<PreparedPlane>> Prepare(const codecs::PlaneView& view) {
  auto plane = std::make_unique<PreparedSparse>();
  plane->operand = {view.streams[0].data(),
                    view.streams[1].data(),
                    view.streams[2].data(),
                    view.row_index,
                    static_cast<int>(codecs::SparseCountBytes(view.cols)),
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
