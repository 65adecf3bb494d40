// A `vq` plane: indices as they are stored, the codebook as floats; rows are decoded into panels.
#include <utility>
#include <vector>

#include "codecs/planes/vq_plane.h"
#include "loader/planes/resident_kind.h"

namespace ingot::loader {
namespace {

struct PreparedVq : PreparedPlane {
  codecs::VqLayout layout;
  std::vector<float> codebook;
};

Result<std::unique_ptr<PreparedPlane>> Prepare(const codecs::PlaneView& view) {
  auto plane = std::make_unique<PreparedVq>();
  INGOT_ASSIGN(plane->layout, codecs::VqLayout::Parse(*view.spec, view.cols));
  plane->codebook = codecs::VqCodebook(plane->layout, view.streams[2]);
  return std::unique_ptr<PreparedPlane>(std::move(plane));
}

void DecodeRow(const PreparedPlane& plane, const RowSum& sum) {
  const auto& own = static_cast<const PreparedVq&>(plane);
  // Two bytes an index may be more than a row's scratch, and have to lie at even places.
  std::vector<std::uint16_t> wide(own.layout.bits <= 8 ? 0 : own.layout.vectors);
  std::uint8_t* scratch = wide.empty() ? sum.scratch : reinterpret_cast<std::uint8_t*>(wide.data());
  codecs::VqDecodeRow(own.layout, *plane.view, sum.row,
                      {own.codebook.data(), scratch, !sum.fresh, sum.out});
}

}  // namespace

const ResidentKind kResidentVq = {.name = "vq", .prepare = Prepare, .decode_row = DecodeRow};

}  // namespace ingot::loader
