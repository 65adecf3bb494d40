// What a tensor is made of: W = P0 + P1 + ... + Pk. This header is the vocabulary that encoders,
// decoders, the packer and the loader share; it knows no file format.
//
// A matrix is rows (outputs) x cols (inputs), row-major. A stream of a plane is a row-major array
// too (its extent says of what): a slab of rows encodes to slabs of streams, and slabs concatenate.
// That is what lets the packer work in bounded memory and a loader map a stream and use it in
// place. What belongs to a tensor as a whole is there once.
//
// Thread rule: values; decoding const views is safe from any number of threads.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/dtype.h"
#include "base/status.h"

namespace ingot::codecs {

// A plane's parameters as plain values, so that the container can carry them without knowing them.
using Attribute = std::variant<std::int64_t, double, std::string>;
using Attributes = std::map<std::string, Attribute>;

// One plane of a tensor, before any bytes: its kind ("int", "fp8", "sparse", "raw", "remainder16"),
// its parameters, and the refinement level it belongs to. Level 0 planes are the base model; a
// download may stop at any level border.
struct PlaneSpec {
  std::string kind;
  Attributes attributes;
  int level = 0;

  bool operator==(const PlaneSpec&) const = default;
};

// How the container should store a stream.
enum class StreamHint {
  kRaw,      // already dense, or mapped and used in place: store as it is
  kGeneral,  // a general compressor may gain
  kEntropy,  // one skewed symbol per byte: rANS
};

// What a stream is an array of.
enum class StreamExtent {
  kRow,     // records of one row
  kTile,    // records of `tile_rows` rows, as long for a last one that has fewer
  kTensor,  // one record for the whole tensor: a codebook, channel scales, a shared factor
  kData,    // records whose length only the data tell
};

// A named byte array of a plane.
struct StreamSpec {
  std::string name;
  std::uint64_t bytes = 0;  // of one record; kData: 0
  StreamHint hint = StreamHint::kRaw;
  StreamExtent extent = StreamExtent::kRow;
  std::uint64_t tile_rows = 1;  // kTile, at least 1
};

// Bytes of the stream over a tensor of `rows` rows, 0 for kData; Limit where they pass 2^64.
Result<std::uint64_t> StreamBytes(const StreamSpec& stream, std::uint64_t rows);

struct PlaneKind;  // codecs/plane_codec.h

// A plane with its bytes, borrowed. streams are in the order of its kind's.
struct PlaneView {
  const PlaneSpec* spec = nullptr;
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::vector<ByteSpan> streams;
  const PlaneKind* kind = nullptr;  // null: the registry's row of spec->kind
  std::span<const std::uint64_t> row_index = {};  // what the kind's row_index made; may be empty
};

// A slab of source weights in their own format, row-major and contiguous.
struct WeightSlab {
  DType dtype = DType::kF32;
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  ByteSpan bytes;  // rows * cols * DTypeBytes(dtype)
};

// out[i] = the value of source element i. REQUIRES: out.size() elements in bytes. Vectorised.
void ConvertToFloat(DType dtype, ByteSpan bytes, std::span<float> out);

}  // namespace ingot::codecs
