#include "loader/planes/resident_kind.h"

#include <algorithm>
#include <array>
#include <utility>

namespace ingot::loader {
namespace {

constexpr std::array kRows = {
    &kResidentRaw,         &kResidentInt,     &kResidentFp8,       &kResidentSparse,
    &kResidentVq,          &kResidentLowRank, &kResidentRawSplit,  &kResidentRemainder16,
    &kResidentRemainder32, &kResidentEntropy, &kResidentDependent, &kResidentHadamard,
    &kResidentColumnScale, &kResidentTrellis,
};

}  // namespace

std::span<const ResidentKind* const> ResidentKinds() { return kRows; }

const ResidentKind kResidentAsStored = {
    .name = {}, .prepare = PrepareAsStored, .decode_row = DecodeByCodec};

const ResidentKind& RowOf(const codecs::PlaneKind& kind) {
  for (const ResidentKind* row : kRows)
    if (row->name == kind.name) return *row;
  return kind.shared != nullptr ? kResidentShared : kResidentAsStored;
}

Result<std::shared_ptr<const PreparedPlane>> PreparePlane(const codecs::PlaneView& view) {
  INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::KindOf(view));
  const ResidentKind& row = RowOf(*kind);
  INGOT_ASSIGN(std::unique_ptr<PreparedPlane> plane, row.prepare(view));
  if (kind->row_block != nullptr) {
    INGOT_ASSIGN(plane->row_block, kind->row_block(*view.spec));
  }
  plane->row = &row;
  plane->kind = kind;
  plane->view = &view;
  return std::shared_ptr<const PreparedPlane>(std::move(plane));
}

Result<std::unique_ptr<PreparedPlane>> PrepareAsStored(const codecs::PlaneView&) {
  return std::make_unique<PreparedPlane>();
}

Result<std::unique_ptr<PreparedPlane>> PrepareTransform(const codecs::PlaneView& view) {
  auto plane = std::make_unique<PreparedPlane>();
  INGOT_ASSIGN(plane->transform, codecs::MakeTransform(view));
  return plane;
}

void DecodeByCodec(const PreparedPlane& plane, const RowSum& sum) {
  if (sum.fresh) std::fill_n(sum.out, plane.view->cols, 0.0f);
  plane.kind->decode_rows(*plane.view, sum.row, sum.row + 1, sum.out);
}

}  // namespace ingot::loader
