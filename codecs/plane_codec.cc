#include "codecs/plane_codec.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "codecs/planes/dependent_plane.h"
#include "codecs/planes/entropy_plane.h"
#include "codecs/planes/fp8_plane.h"
#include "codecs/planes/int_plane.h"
#include "codecs/planes/lowrank_plane.h"
#include "codecs/planes/raw_plane.h"
#include "codecs/planes/raw_split_plane.h"
#include "codecs/planes/remainder_plane.h"
#include "codecs/planes/sparse_plane.h"
#include "codecs/planes/transform.h"
#include "codecs/planes/transform_plane.h"
#include "codecs/planes/trellis_plane.h"
#include "codecs/planes/vq_plane.h"

namespace ingot::codecs {
namespace {

constexpr SharedProduct kLowRankProduct{LowRankRank, LowRankRight, LowRankLeft};

constexpr std::array kKinds = {
    PlaneKind{kIntKind, IntStreams, IntValidate, IntDecodeRows, PlaneRole::kAdds, IntCodeBits},
    PlaneKind{kFp8Kind, Fp8Streams, Fp8Validate, Fp8DecodeRows, PlaneRole::kAdds, Fp8CodeBits},
    PlaneKind{kSparseKind, SparseStreams, SparseValidate, SparseDecodeRows, PlaneRole::kAdds,
              nullptr, nullptr, nullptr, SparseRowIndex},
    PlaneKind{kVqKind, VqStreams, VqValidate, VqDecodeRows, PlaneRole::kAdds, VqCodeBits},
    PlaneKind{kLowRankKind, LowRankStreams, LowRankValidate, LowRankDecodeRows, PlaneRole::kAdds,
              nullptr, nullptr, &kLowRankProduct},
    PlaneKind{kTrellisKind, TrellisStreams, TrellisValidate, TrellisDecodeRows, PlaneRole::kAdds,
              TrellisCodeBits},
    PlaneKind{kRawKind, RawStreams, RawValidate, RawDecodeRows, PlaneRole::kReplaces, RawCodeBits},
    PlaneKind{kRawSplitKind, RawSplitStreams, RawSplitValidate, RawSplitDecodeRows,
              PlaneRole::kReplaces, RawSplitCodeBits},
    PlaneKind{kEntropyKind, EntropyStreams, EntropyValidate, EntropyDecodeRows},
    PlaneKind{kDependentKind, DependentStreams, DependentValidate, DependentDecodeRows},
    PlaneKind{kRemainder16Kind, RemainderStreams, RemainderValidate, RemainderDecodeRows,
              PlaneRole::kReplaces, RemainderCodeBits},
    PlaneKind{kRemainder32Kind, RemainderStreams, RemainderValidate, RemainderDecodeRows,
              PlaneRole::kReplaces, RemainderCodeBits},
    PlaneKind{kHadamardKind, HadamardStreams, HadamardValidate, TransformDecodeRows,
              PlaneRole::kTransformsInputs},
    PlaneKind{kColumnScaleKind, ColumnScaleStreams, ColumnScaleValidate, TransformDecodeRows,
              PlaneRole::kTransformsInputs},
};

constexpr std::uint64_t kMaxRowBlock = std::uint64_t{1} << 32;

PlaneRole RoleOf(const PlaneView& plane) {
  const Result<const PlaneKind*> kind = KindOf(plane);
  return kind.ok() ? (*kind)->role : PlaneRole::kAdds;
}

Result<std::uint64_t> CommonMultiple(std::uint64_t a, std::uint64_t b) {
  const auto product = b > 0 ? CheckedMul(a / std::gcd(a, b), b) : std::nullopt;
  if (product && *product <= kMaxRowBlock) return *product;
  return LimitExceeded("blocks of " + std::to_string(a) + " and " + std::to_string(b) +
                       " rows have no common multiple up to 2^32");
}

// The least common multiple of `block` and that of a plane of this kind.
Result<std::uint64_t> WithBlock(std::uint64_t block, const PlaneKind& kind, const PlaneSpec& spec) {
  if (kind.row_block == nullptr) return block;
  INGOT_ASSIGN(const std::uint64_t rows, kind.row_block(spec));
  return CommonMultiple(block, rows);
}

std::vector<std::size_t> OrderOf(std::span<const PlaneRole> roles) {
  std::vector<std::size_t> order, waiting;
  for (std::size_t i = 0; i < roles.size(); ++i) {
    if (IsTransform(roles[i])) {
      waiting.push_back(i);
      continue;
    }
    if (roles[i] == PlaneRole::kReplaces) {
      order.insert(order.end(), waiting.begin(), waiting.end());
      waiting.clear();
    }
    order.push_back(i);
  }
  order.insert(order.end(), waiting.begin(), waiting.end());
  return order;
}

// Planes with their kinds, ready to be applied.
struct Decoding {
  std::span<const PlaneView> planes;
  std::vector<const PlaneKind*> kinds;
  std::vector<std::size_t> order;
  std::uint64_t block = 1;

  explicit Decoding(std::span<const PlaneView> list) : planes(list) {
    std::vector<PlaneRole> roles;
    for (const PlaneView& plane : planes) {
      const Result<const PlaneKind*> kind = KindOf(plane);
      INGOT_CHECK(kind.ok());
      const Result<std::uint64_t> with = WithBlock(block, **kind, *plane.spec);
      INGOT_CHECK(with.ok());
      block = *with;
      kinds.push_back(*kind);
      roles.push_back((*kind)->role);
    }
    order = OrderOf(roles);
  }
  // REQUIRES: whole blocks.
  void Apply(std::uint64_t row_begin, std::uint64_t row_end, float* out) const {
    std::fill_n(out, (row_end - row_begin) * planes[0].cols, 0.0f);
    for (const std::size_t i : order) kinds[i]->decode_rows(planes[i], row_begin, row_end, out);
  }
};

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

Result<const PlaneKind*> KindOf(const PlaneView& plane) {
  if (plane.kind != nullptr) return plane.kind;
  return FindPlaneKind(plane.spec->kind);
}

Result<std::uint64_t> RowBlock(std::span<const PlaneView> planes) {
  std::uint64_t block = 1;
  for (const PlaneView& plane : planes) {
    INGOT_ASSIGN(const PlaneKind* kind, KindOf(plane));
    INGOT_ASSIGN(block, WithBlock(block, *kind, *plane.spec));
  }
  return block;
}

Result<std::uint64_t> SlabBlock(const PlaneKind& kind, const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, kind.streams(spec, cols));
  INGOT_ASSIGN(std::uint64_t block, WithBlock(1, kind, spec));
  for (const StreamSpec& stream : streams) {
    if (stream.extent != StreamExtent::kTile) continue;
    INGOT_ASSIGN(block, CommonMultiple(block, stream.tile_rows));
  }
  return block;
}

Result<std::uint64_t> PlaneFixedBytes(const PlaneSpec& spec, std::uint64_t rows,
                                      std::uint64_t cols) {
  INGOT_ASSIGN(const PlaneKind* kind, FindPlaneKind(spec.kind));
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, kind->streams(spec, cols));
  std::uint64_t total = 0;
  for (const StreamSpec& stream : streams) {
    const Result<std::uint64_t> bytes = StreamBytes(stream, rows);
    const auto sum = bytes.ok() ? CheckedAdd(total, *bytes) : std::nullopt;
    if (!sum)
      return LimitExceeded(spec.kind + " plane of " + std::to_string(rows) + " x " +
                           std::to_string(cols) + " weights is larger than 2^64 bytes");
    total = *sum;
  }
  return total;
}

std::vector<std::size_t> DecodeOrder(std::span<const PlaneView> planes) {
  std::vector<PlaneRole> roles;
  for (const PlaneView& plane : planes) roles.push_back(RoleOf(plane));
  return OrderOf(roles);
}

Status CheckPlaneList(std::span<const PlaneView> planes) {
  if (planes.empty()) return InvalidArgument("a tensor without planes");
  const auto transforms = std::count_if(planes.begin(), planes.end(), [](const PlaneView& plane) {
    return IsTransform(RoleOf(plane));
  });
  if (IsTransform(RoleOf(planes[0])))
    return InvalidArgument("plane 0 is a transform (" + planes[0].spec->kind +
                           "), which has nothing to act on");
  if (static_cast<std::size_t>(transforms) > kMaxTransforms)
    return InvalidArgument(std::to_string(transforms) + " transforms, at most " +
                           std::to_string(kMaxTransforms) + " are possible");
  return RowBlock(planes).status();
}

void ApplyPlanes(std::span<const PlaneView> planes, std::uint64_t row_begin, std::uint64_t row_end,
                 float* out) {
  const Decoding decoding(planes);
  const std::uint64_t rows = planes[0].rows, cols = planes[0].cols, block = decoding.block;
  const std::uint64_t begin = row_begin / block * block;
  const std::uint64_t end = std::min(rows, CeilDiv(row_end, block) * block);
  if (begin == row_begin && end == row_end) return decoding.Apply(row_begin, row_end, out);
  std::vector<float> blocks((end - begin) * cols);
  decoding.Apply(begin, end, blocks.data());
  std::copy_n(blocks.data() + (row_begin - begin) * cols, (row_end - row_begin) * cols, out);
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
    INGOT_ASSIGN(const PlaneKind* kind, KindOf(planes[i]).At(place));
    INGOT_TRY(kind->validate(planes[i]).At(place));
  }
  if (row_begin < row_end) ApplyPlanes(planes, row_begin, row_end, out.data());
  return OkStatus();
}

}  // namespace ingot::codecs
