#include "loader/cuda/device_weights.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <string>
#include <utility>

#include "codecs/planes/fp8_plane.h"
#include "codecs/planes/int_plane.h"
#include "codecs/planes/raw_plane.h"
#include "codecs/planes/sparse_plane.h"
#include "codecs/planes/transform_plane.h"
#include "loader/cpu/linear.h"
#include "loader/cuda/kernels/layer_kernels.h"
#include "loader/planes/resident_fp8.h"
#include "loader/planes/resident_int.h"

namespace ingot::cuda {
namespace {

using loader::PlaneOperand;
using loader::ResidentMatrix;

bool IsKind(const codecs::PlaneView& view, const char* kind) { return view.spec->kind == kind; }

// Whether a kernel reads the plane as it is stored.
bool Reads(const codecs::PlaneView& view) {
  if (IsKind(view, codecs::kRawKind)) {
    const Result<DType> dtype = codecs::RawDType(*view.spec);
    return dtype.ok() && DTypeBytes(*dtype) > 1;
  }
  return IsKind(view, codecs::kIntKind) || IsKind(view, codecs::kFp8Kind) ||
         IsKind(view, codecs::kSparseKind);
}

bool Turns(const codecs::PlaneView& view) {
  if (!IsKind(view, codecs::kHadamardKind)) return IsKind(view, codecs::kColumnScaleKind);
  const Result<codecs::HadamardLayout> layout =
      codecs::HadamardLayout::Parse(*view.spec, view.cols);
  return layout.ok() && layout->block <= static_cast<std::uint64_t>(kMostHadamardBlock);
}

// A raw plane in the place of others adds nothing to them: it must stand first. A table's rows are
// wanted in the inputs' own space.
bool AsStored(const ResidentMatrix& matrix, bool is_table) {
  int added = 0;
  for (std::size_t p = 0; p < matrix.planes.size(); ++p) {
    const loader::PreparedPlane& prepared = loader::Prepared(matrix, p);
    if (prepared.is_transform() && !is_table && Turns(matrix.planes[p])) continue;
    if (!Reads(matrix.planes[p]) || (p > 0 && prepared.replaces())) return false;
    ++added;
  }
  return added > 0 && added <= kMostPlanes;
}

std::uint64_t StreamBytes(const ResidentMatrix& matrix) {
  std::uint64_t bytes = 0;
  for (const codecs::PlaneView& view : matrix.planes)
    for (const ByteSpan stream : view.streams) bytes += stream.size();
  return bytes;
}

class Uploader {
 public:
  explicit Uploader(DevicePool& pool) : pool_(pool) {}

  // Its planes, transforms apart.
  Result<std::unique_ptr<DeviceMatrix>> Run(const ResidentMatrix& matrix, bool as_stored) {
    out_ = std::make_unique<DeviceMatrix>();
    if (matrix.rows > INT32_MAX || matrix.cols > INT32_MAX)
      return Unsupported("rows or columns beyond 2^31");
    out_->rows = static_cast<int>(matrix.rows);
    out_->cols = static_cast<int>(matrix.cols);
    if (!as_stored) {
      INGOT_TRY(Decoded(matrix));
      return std::move(out_);
    }
    for (std::size_t p = 0; p < matrix.planes.size(); ++p)
      if (!loader::Prepared(matrix, p).is_transform()) INGOT_TRY(Plane(matrix, p));
    return std::move(out_);
  }

 private:
  template <class T>
  Status Keep(const T* from, std::uint64_t count, const T*& to) {
    if (from == nullptr) return OkStatus();
    INGOT_ASSIGN(DeviceBlock block, pool_.Upload(from, count * sizeof(T)));
    to = block.as<T>();
    out_->blocks.push_back(std::move(block));
    return OkStatus();
  }

  Status Plane(const ResidentMatrix& matrix, std::size_t p) {
    const codecs::PlaneView& view = matrix.planes[p];
    const loader::PreparedPlane& prepared = loader::Prepared(matrix, p);
    if (IsKind(view, codecs::kSparseKind)) return Sparse(view);
    if (IsKind(view, codecs::kRawKind)) return Raw(view);
    DevicePlane plane;
    const bool fp8 = IsKind(view, codecs::kFp8Kind);
    plane.form = fp8 ? PlaneForm::kFp8 : PlaneForm::kInt;
    const PlaneOperand& host = fp8 ? static_cast<const loader::PreparedFp8&>(prepared).operand
                                   : static_cast<const loader::PreparedInt&>(prepared).operand;
    plane.operand = host;
    plane.operand.table = nullptr;
    const std::uint64_t scale_bytes = host.row_scales == nullptr ? 2 : 1;
    INGOT_TRY(Keep(host.codes, host.rows * host.row_bytes, plane.operand.codes));
    INGOT_TRY(Keep(host.scales, host.rows * host.groups * scale_bytes, plane.operand.scales));
    INGOT_TRY(Keep(host.row_scales, 2 * host.rows, plane.operand.row_scales));
    INGOT_TRY(Keep(host.zeros, host.rows * host.groups, plane.operand.zeros));
    if (!fp8) INGOT_TRY(Keep(host.levels, std::uint64_t{1} << host.bits, plane.operand.levels));
    out_->planes.push_back(plane);
    return OkStatus();
  }

  Status Raw(const codecs::PlaneView& view) {
    INGOT_ASSIGN(const DType dtype, codecs::RawDType(*view.spec));
    DevicePlane plane;
    plane.form = dtype == DType::kF32   ? PlaneForm::kF32
                 : dtype == DType::kF16 ? PlaneForm::kF16
                                        : PlaneForm::kBf16;
    plane.operand.row_bytes = view.cols * (dtype == DType::kF32 ? 4 : 2);
    INGOT_TRY(Keep(view.streams[0].data(), view.streams[0].size(), plane.operand.codes));
    out_->planes.push_back(plane);
    return OkStatus();
  }

  Status Sparse(const codecs::PlaneView& view) {
    const std::uint64_t count_bytes = codecs::SparseCountBytes(view.cols);
    const std::uint64_t column_bytes = codecs::SparseColumnBytes(view.cols);
    std::vector<std::uint32_t> begins{0}, columns;
    for (std::uint64_t r = 0; r < view.rows; ++r)
      begins.push_back(begins.back() + codecs::SparseIndex(view.streams[0].data(), count_bytes, r));
    for (std::uint64_t i = 0; i < begins.back(); ++i)
      columns.push_back(codecs::SparseIndex(view.streams[1].data(), column_bytes, i));
    DevicePlane plane;
    plane.form = PlaneForm::kSparse;
    INGOT_TRY(Keep(begins.data(), begins.size(), plane.row_begins));
    INGOT_TRY(Keep(columns.data(), columns.size(), plane.columns));
    const std::uint8_t* values = nullptr;
    INGOT_TRY(Keep(view.streams[2].data(), view.streams[2].size(), values));
    plane.values = reinterpret_cast<const std::uint16_t*>(values);
    out_->planes.push_back(plane);
    return OkStatus();
  }

  Status Decoded(const ResidentMatrix& matrix) {
    std::vector<std::int32_t> ids(matrix.rows);
    std::iota(ids.begin(), ids.end(), 0);
    std::vector<float> values(matrix.rows * matrix.cols);
    loader::GatherRows(matrix, ids, values.data());
    DevicePlane plane;
    plane.form = PlaneForm::kF32;
    plane.operand.row_bytes = 4 * matrix.cols;
    const float* on_device = nullptr;
    INGOT_TRY(Keep(values.data(), values.size(), on_device));
    plane.operand.codes = reinterpret_cast<const std::uint8_t*>(on_device);
    out_->planes.push_back(plane);
    return OkStatus();
  }

  DevicePool& pool_;
  std::unique_ptr<DeviceMatrix> out_;
};

}  // namespace

std::vector<DevicePlane> DeviceMatrix::From(std::uint64_t first) const {
  std::vector<DevicePlane> from = planes;
  for (DevicePlane& plane : from) {
    PlaneOperand& operand = plane.operand;
    if (plane.form == PlaneForm::kSparse) {
      plane.row_begins += first;
      continue;
    }
    operand.codes += first * operand.row_bytes;
    if (operand.scales != nullptr)
      operand.scales += first * operand.groups * (operand.row_scales == nullptr ? 2 : 1);
    if (operand.row_scales != nullptr) operand.row_scales += 2 * first;
    if (operand.zeros != nullptr) operand.zeros += first * operand.groups;
  }
  return from;
}

std::uint64_t DeviceWeights::BytesOf(const loader::WeightSet& weights, const Tables& tables) {
  std::uint64_t bytes = 0;
  weights.ForEach([&](const ResidentMatrix& matrix) {
    bytes += AsStored(matrix, tables.contains(&matrix)) ? StreamBytes(matrix)
                                                        : 4 * matrix.rows * matrix.cols;
  });
  return bytes;
}

Result<const DeviceTransform*> DeviceWeights::Transform(const codecs::PlaneView& view,
                                                        const codecs::InputTransform& transform) {
  if (const auto it = transforms_.find(&transform); it != transforms_.end()) return &it->second;
  DeviceTransform made;
  std::vector<float> values(view.cols);
  if (IsKind(view, codecs::kColumnScaleKind)) {
    codecs::ConvertToFloat(DType::kF16, view.streams[0], values);
    INGOT_ASSIGN(made.scales, pool_->Upload(values));
    return &transforms_.emplace(&transform, std::move(made)).first->second;
  }
  INGOT_ASSIGN(const codecs::HadamardLayout layout,
               codecs::HadamardLayout::Parse(*view.spec, view.cols));
  for (std::uint64_t j = 0; j < view.cols; ++j) values[j] = codecs::HadamardSign(layout.seed, j);
  INGOT_ASSIGN(made.signs, pool_->Upload(values));
  // docs/codecs.md, 9: the DCT-II of the odd factor over sqrt(block).
  const double m = static_cast<double>(layout.odd), block = static_cast<double>(layout.block);
  std::vector<float> matrix;
  for (std::uint64_t i = 0; i < layout.odd; ++i)
    for (std::uint64_t j = 0; j < layout.odd; ++j)
      matrix.push_back(
          static_cast<float>((i == 0 ? 1.0 : std::numbers::sqrt2) *
                             std::cos(std::numbers::pi * (2.0 * static_cast<double>(j) + 1) *
                                      static_cast<double>(i) / (2 * m)) /
                             std::sqrt(block)));
  INGOT_ASSIGN(made.matrix, pool_->Upload(matrix));
  made.odd = static_cast<int>(layout.odd);
  made.chunk = static_cast<int>(layout.chunk);
  return &transforms_.emplace(&transform, std::move(made)).first->second;
}

Result<std::unique_ptr<DeviceWeights>> DeviceWeights::Make(const loader::WeightSet& weights,
                                                           const Tables& tables, DevicePool& pool) {
  std::unique_ptr<DeviceWeights> made(new DeviceWeights(pool));
  const auto take = [&](const ResidentMatrix& matrix) -> Status {
    const bool as_stored = AsStored(matrix, tables.contains(&matrix));
    INGOT_ASSIGN(std::unique_ptr<DeviceMatrix> uploaded, Uploader(pool).Run(matrix, as_stored));
    // Stored last, applied to inputs first.
    for (std::size_t p = matrix.planes.size(); as_stored && p-- > 0;) {
      const loader::PreparedPlane& plane = loader::Prepared(matrix, p);
      if (!plane.is_transform()) continue;
      INGOT_ASSIGN(const DeviceTransform* transform,
                   made->Transform(matrix.planes[p], *plane.transform));
      uploaded->transforms.push_back(transform);
    }
    made->matrices_.emplace(&matrix, std::move(uploaded));
    return OkStatus();
  };
  Status status;
  weights.ForEach([&](const ResidentMatrix& matrix) {
    if (status.ok()) status = take(matrix).At(matrix.name);
  });
  INGOT_TRY(std::move(status));
  return made;
}

Result<const float*> DeviceWeights::Vector(const float* values, std::size_t count) {
  if (values == nullptr) return static_cast<const float*>(nullptr);
  const auto key = std::make_pair(values, count);
  if (const auto it = vectors_.find(key); it != vectors_.end()) return it->second.as<const float>();
  INGOT_ASSIGN(DeviceBlock block, pool_->Upload(values, count * sizeof(float)));
  return vectors_.emplace(key, std::move(block)).first->second.as<const float>();
}

}  // namespace ingot::cuda
