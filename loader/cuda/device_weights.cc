#include "loader/cuda/device_weights.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "codecs/planes/fp8_plane.h"
#include "codecs/planes/int_plane.h"
#include "codecs/planes/raw_plane.h"
#include "codecs/planes/sparse_plane.h"
#include "loader/cpu/linear.h"
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

// A raw plane in the place of others adds nothing to them: it must stand first.
bool AsStored(const ResidentMatrix& matrix) {
  if (matrix.planes.empty() || matrix.planes.size() > static_cast<std::size_t>(kMostPlanes))
    return false;
  for (std::size_t p = 0; p < matrix.planes.size(); ++p) {
    if (!Reads(matrix.planes[p])) return false;
    if (p > 0 && loader::Prepared(matrix, p).replaces()) return false;
  }
  return true;
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

  Result<std::unique_ptr<DeviceMatrix>> Run(const ResidentMatrix& matrix) {
    out_ = std::make_unique<DeviceMatrix>();
    if (matrix.rows > INT32_MAX || matrix.cols > INT32_MAX)
      return Unsupported("rows or columns beyond 2^31");
    out_->rows = static_cast<int>(matrix.rows);
    out_->cols = static_cast<int>(matrix.cols);
    if (!AsStored(matrix)) {
      INGOT_TRY(Decoded(matrix));
      return std::move(out_);
    }
    for (std::size_t p = 0; p < matrix.planes.size(); ++p) INGOT_TRY(Plane(matrix, p));
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

std::uint64_t DeviceWeights::BytesOf(const loader::WeightSet& weights) {
  std::uint64_t bytes = 0;
  weights.ForEach([&](const ResidentMatrix& matrix) {
    bytes += AsStored(matrix) ? StreamBytes(matrix) : 4 * matrix.rows * matrix.cols;
  });
  return bytes;
}

Result<std::unique_ptr<DeviceWeights>> DeviceWeights::Make(const loader::WeightSet& weights,
                                                           DevicePool& pool) {
  std::unique_ptr<DeviceWeights> made(new DeviceWeights(pool));
  Status status;
  weights.ForEach([&](const ResidentMatrix& matrix) {
    if (!status.ok()) return;
    Result<std::unique_ptr<DeviceMatrix>> uploaded = Uploader(pool).Run(matrix);
    if (uploaded.ok())
      made->matrices_.emplace(&matrix, std::move(*uploaded));
    else
      status = Status(uploaded.status()).At(matrix.name);
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
