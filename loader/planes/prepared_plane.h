// A plane made ready for the kernels once, when it is loaded, and what the op set hands to it. Each
// kind derives its own form; what all have in common stands here.
//
// Thread rule: immutable once made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/status.h"
#include "codecs/plane.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/transform.h"
#include "loader/kernels/int_matvec.h"

namespace ingot::loader {

struct ResidentKind;

// What a plane's own product reads of a token's inputs, which the tensor's transforms have turned.
struct InputNeeds {
  bool packed = false;     // as floats, padded for the vector kernels
  bool records = false;    // rounded to 8 bits
  unsigned spans = 0;      // sums of them, as IntMatvecKernel::quantize takes them
  std::size_t shared = 0;  // floats that ResidentKind::inputs makes of the packed ones

  InputNeeds& operator|=(const InputNeeds& other) {
    packed |= other.packed;
    records |= other.records;
    spans |= other.spans;
    return *this;
  }
};

struct PreparedPlane {
  virtual ~PreparedPlane() = default;

  const ResidentKind* row = nullptr;
  const codecs::PlaneKind* kind = nullptr;
  const codecs::PlaneView* view = nullptr;
  std::shared_ptr<const codecs::InputTransform> transform;  // of planes that are one, of inputs
  std::uint64_t row_block = 1;                              // rows that the codec decodes together
  // Of the plane's own product. `own_product`: it has one (ResidentKind::matvec), and kFast takes
  // it instead of decoding the plane into the panel.
  bool own_product = false;
  InputNeeds needs;
  std::size_t scratch_floats = 0;
  std::size_t own_bytes = 0;  // that it keeps beside the plane's streams

  bool is_transform() const { return codecs::IsTransform(kind->role); }
  // Whether the plane's value takes the place of the sum before it.
  bool replaces() const { return kind->role == codecs::PlaneRole::kReplaces; }
};

// A run of rows times a block of tokens. What a plane did not ask for is null.
struct PlaneProduct {
  std::uint64_t row_begin = 0;
  std::size_t rows = 0;
  std::size_t tokens = 0;
  const float* packed = nullptr;  // tokens x packed_stride
  std::size_t packed_stride = 0;
  const InputLine* records = nullptr;  // tokens x record_lines
  std::size_t record_lines = 0;
  const float* shared = nullptr;  // tokens x InputNeeds::shared
  float* scratch = nullptr;       // scratch_floats, 64-byte aligned
  float* y = nullptr;             // y[t * y_stride + r] +=
  std::size_t y_stride = 0;
};

// One row of the sum of planes under way.
struct RowSum {
  std::uint64_t row = 0;
  bool fresh = false;               // `out` holds nothing yet: overwrite it
  std::uint8_t* scratch = nullptr;  // DecodeScratch(cols) bytes
  float* out = nullptr;             // cols
};

// REQUIRES: the plane passed its kind's validate(); `view` and its spec outlive the result and stay
// where they are.
Result<std::shared_ptr<const PreparedPlane>> PreparePlane(const codecs::PlaneView& view);

}  // namespace ingot::loader
