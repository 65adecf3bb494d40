// The registry of plane kinds on the loader's side: a kind is one file of this folder, which
// defines its row, and a line in each list below. Codecs decode any kind; a row says what a loader
// and its kernels do better.
//
// Thread rule: constants.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "base/status.h"
#include "loader/planes/prepared_plane.h"
#include "stored/tensor_planes.h"

namespace ingot::loader {

struct ResidentKind {
  std::string_view name;  // of codecs::PlaneKind

  // Puts planes that kernels read in the place of one that is stored to be small, the weights
  // staying the same to the bit; changes nothing where there is no such form. Null: read as it is.
  // REQUIRES: the tensor is validated.
  void (*turn)(stored::TensorPlanes& tensor, std::size_t plane) = nullptr;

  // The plane's own form. REQUIRES: validated.
  Result<std::unique_ptr<PreparedPlane>> (*prepare)(const codecs::PlaneView& view) = nullptr;

  // What all rows of the plane's product share of one token (V x of a low-rank plane U V), made
  // once: InputNeeds::shared floats from the packed inputs. Null where they share nothing.
  void (*inputs)(const PreparedPlane& plane, const float* packed, float* shared) = nullptr;

  // y += P x of a run of rows. Null where the plane is decoded into a panel.
  void (*matvec)(const PreparedPlane& plane, const PlaneProduct& product) = nullptr;

  // Adds a row of the plane to the sum, or replaces it, exactly as the codec does.
  void (*decode_row)(const PreparedPlane& plane, const RowSum& sum) = nullptr;

  // The plane's value depends on the sum before it (a remainder): rows are decoded whole.
  bool reads_sum = false;
};

extern const ResidentKind kResidentRaw;
extern const ResidentKind kResidentInt;
extern const ResidentKind kResidentFp8;
extern const ResidentKind kResidentSparse;
extern const ResidentKind kResidentVq;
extern const ResidentKind kResidentLowRank;
extern const ResidentKind kResidentTrellis;
extern const ResidentKind kResidentRawSplit;
extern const ResidentKind kResidentRemainder16;
extern const ResidentKind kResidentRemainder32;
extern const ResidentKind kResidentEntropy;
extern const ResidentKind kResidentDependent;
extern const ResidentKind kResidentHadamard;
extern const ResidentKind kResidentColumnScale;

std::span<const ResidentKind* const> ResidentKinds();

// What serves kinds without a row: those whose rows share a product, and any other.
extern const ResidentKind kResidentShared;
extern const ResidentKind kResidentAsStored;

// The kind's row, or what serves it without one.
const ResidentKind& RowOf(const codecs::PlaneKind& kind);

// For rows of kinds that need nothing of their own.
Result<std::unique_ptr<PreparedPlane>> PrepareAsStored(const codecs::PlaneView& view);
void DecodeByCodec(const PreparedPlane& plane, const RowSum& sum);
// For rows of transforms.
Result<std::unique_ptr<PreparedPlane>> PrepareTransform(const codecs::PlaneView& view);

}  // namespace ingot::loader
