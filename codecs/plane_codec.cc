#include "codecs/plane_codec.h"

#include <algorithm>
#include <array>

#include "codecs/planes/entropy_plane.h"
#include "codecs/planes/fp8_plane.h"
#include "codecs/planes/int_plane.h"
#include "codecs/planes/raw_plane.h"
#include "codecs/planes/raw_split_plane.h"
#include "codecs/planes/remainder_plane.h"
#include "codecs/planes/sparse_plane.h"
#include "codecs/planes/transform.h"
#include "codecs/planes/transform_plane.h"

namespace ingot::codecs {
namespace {

constexpr std::array kKinds = {
    PlaneKind{"int", IntStreams, IntValidate, IntDecodeRows},
    PlaneKind{"fp8", Fp8Streams, Fp8Validate, Fp8DecodeRows},
    PlaneKind{"sparse", SparseStreams, SparseValidate, SparseDecodeRows},
    PlaneKind{"raw", RawStreams, RawValidate, RawDecodeRows, PlaneRole::kReplaces},
    PlaneKind{"raw_split", RawSplitStreams, RawSplitValidate, RawSplitDecodeRows,
              PlaneRole::kReplaces},
    PlaneKind{"entropy", EntropyStreams, EntropyValidate, EntropyDecodeRows},
    PlaneKind{"remainder16", RemainderStreams, RemainderValidate, RemainderDecodeRows,
              PlaneRole::kReplaces},
    PlaneKind{"remainder32", RemainderStreams, RemainderValidate, RemainderDecodeRows,
              PlaneRole::kReplaces},
    PlaneKind{"hadamard", HadamardStreams, HadamardValidate, TransformDecodeRows,
              PlaneRole::kTransforms},
    PlaneKind{"column_scale", ColumnScaleStreams, ColumnScaleValidate, TransformDecodeRows,
              PlaneRole::kTransforms},
};

PlaneRole RoleOf(const PlaneView& plane) {
  const Result<const PlaneKind*> kind = FindPlaneKind(plane.spec->kind);
  return kind.ok() ? (*kind)->role : PlaneRole::kAdds;
}

}  // namespace

std::span<const PlaneKind> PlaneKinds() { return kKinds; }

Result<const PlaneKind*> FindPlaneKind(std::string_view name) {
  for (const PlaneKind& kind : kKinds)
    if (kind.name == name) return &kind;
  std::string known;
  for (const PlaneKind& kind : kKinds)
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  return Unsupported("plane kind '" + std::string(name) + "' (known: " + known + ")");
}

Result<std::uint64_t> PlaneFixedBytes(const PlaneSpec& spec, std::uint64_t rows,
                                      std::uint64_t cols) {
  INGOT_ASSIGN(const PlaneKind* kind, FindPlaneKind(spec.kind));
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, kind->streams(spec, cols));
  std::uint64_t total = 0;
  for (const StreamSpec& stream : streams) {
    const auto bytes = CheckedMul(rows, stream.row_bytes);
    const auto sum = bytes ? CheckedAdd(total, *bytes) : std::nullopt;
    if (!sum)
      return LimitExceeded(spec.kind + " plane of " + std::to_string(rows) + " x " +
                           std::to_string(cols) + " weights is larger than 2^64 bytes");
    total = *sum;
  }
  return total;
}

std::vector<std::size_t> DecodeOrder(std::span<const PlaneView> planes) {
  std::vector<std::size_t> order, waiting;
  for (std::size_t i = 0; i < planes.size(); ++i) {
    const PlaneRole role = RoleOf(planes[i]);
    if (role == PlaneRole::kTransforms) {
      waiting.push_back(i);
      continue;
    }
    if (role == PlaneRole::kReplaces) {
      order.insert(order.end(), waiting.begin(), waiting.end());
      waiting.clear();
    }
    order.push_back(i);
  }
  order.insert(order.end(), waiting.begin(), waiting.end());
  return order;
}

Status CheckPlaneList(std::span<const PlaneView> planes) {
  if (planes.empty()) return InvalidArgument("a tensor without planes");
  const auto transforms = std::count_if(planes.begin(), planes.end(), [](const PlaneView& plane) {
    return RoleOf(plane) == PlaneRole::kTransforms;
  });
  if (RoleOf(planes[0]) == PlaneRole::kTransforms)
    return InvalidArgument("plane 0 is a transform (" + planes[0].spec->kind +
                           "), which has nothing to act on");
  if (static_cast<std::size_t>(transforms) <= kMaxTransforms) return OkStatus();
  return InvalidArgument(std::to_string(transforms) + " transforms, at most " +
                         std::to_string(kMaxTransforms) + " are possible");
}

void ApplyPlanes(std::span<const PlaneView> planes, std::uint64_t row_begin, std::uint64_t row_end,
                 float* out) {
  std::fill_n(out, (row_end - row_begin) * planes[0].cols, 0.0f);
  for (const std::size_t i : DecodeOrder(planes)) {
    const Result<const PlaneKind*> kind = FindPlaneKind(planes[i].spec->kind);
    INGOT_CHECK(kind.ok());
    (*kind)->decode_rows(planes[i], row_begin, row_end, out);
  }
}

Status DecodeTensorRows(std::span<const PlaneView> planes, std::uint64_t row_begin,
                        std::uint64_t row_end, std::span<float> out) {
  INGOT_TRY(CheckPlaneList(planes));
  const std::uint64_t rows = planes[0].rows, cols = planes[0].cols;
  if (row_begin > row_end || row_end > rows)
    return InvalidArgument("rows [" + std::to_string(row_begin) + ", " + std::to_string(row_end) +
                           ") of a tensor of " + std::to_string(rows) + " rows");
  const auto weights = CheckedMul(row_end - row_begin, cols);
  if (!weights || out.size() != *weights)
    return InvalidArgument("room for " + std::to_string(out.size()) + " weights, " +
                           std::to_string(row_end - row_begin) + " rows of " +
                           std::to_string(cols) + " asked for");
  for (std::size_t i = 0; i < planes.size(); ++i) {
    const std::string place = "plane " + std::to_string(i);
    if (planes[i].rows != rows || planes[i].cols != cols)
      return Corruption(place + " differs in shape from plane 0");
    INGOT_ASSIGN(const PlaneKind* kind, FindPlaneKind(planes[i].spec->kind).At(place));
    INGOT_TRY(kind->validate(planes[i]).At(place));
  }
  if (row_begin < row_end) ApplyPlanes(planes, row_begin, row_end, out.data());
  return OkStatus();
}

}  // namespace ingot::codecs
