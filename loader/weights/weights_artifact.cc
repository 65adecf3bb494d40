// Weights from an artifact; streams that were stored raw stay where the file is mapped. Two plane
// kinds are stored in a form that saves bytes and read in another that kernels use in place:
// raw_split and the remainders become raw planes.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "codecs/plane_codec.h"
#include "loader/planes/prepared_plane.h"
#include "loader/weights/entropy_load.h"
#include "loader/weights/resident.h"
#include "stored/tensor_planes.h"
#include "stored/transform_tables.h"

namespace ingot::loader {
namespace {

// Weights turned raw per task.
constexpr std::uint64_t kTurnWeights = 256 << 10;
// Of these so many at a time, in cache.
constexpr std::uint64_t kTurnBlockWeights = 16 << 10;

// The raw format that a plane's values have when it is decoded, or nothing where kernels take the
// plane as it is.
std::string TurnedDType(const codecs::PlaneSpec& spec) {
  if (spec.kind != "raw_split" && spec.kind != "remainder16" && spec.kind != "remainder32")
    return {};
  return std::get<std::string>(spec.attributes.at("dtype"));
}

void StoreValues(DType dtype, const std::vector<float>& values, std::uint8_t* out) {
  switch (dtype) {
    case DType::kBf16:
      for (std::size_t i = 0; i < values.size(); ++i) StoreLe(out + 2 * i, ToBf16(values[i]));
      break;
    case DType::kF16:
      for (std::size_t i = 0; i < values.size(); ++i) StoreLe(out + 2 * i, ToFp16(values[i]));
      break;
    default:
      std::memcpy(out, values.data(), values.size() * sizeof(float));
  }
}

// Replaces the matrix's plane by the raw plane of its decoded values and drops the bytes of the old
// one, in the slots from `slot` on. REQUIRES: planes validated.
void TurnRaw(ResidentMatrix& matrix, std::size_t plane, DType dtype, std::size_t slot) {
  const std::uint64_t row_bytes = matrix.cols * DTypeBytes(dtype);
  ByteBuffer values(matrix.rows * row_bytes);
  const std::uint64_t grain = std::max<std::uint64_t>(1, kTurnWeights / matrix.cols);
  ParallelFor(matrix.rows, grain, [&](std::size_t begin, std::size_t end) {
    const std::size_t block = std::max<std::size_t>(1, kTurnBlockWeights / matrix.cols);
    std::vector<float> weights(std::min(block, end - begin) * matrix.cols);
    for (std::size_t r = begin; r < end; r += block) {
      const std::size_t last = std::min(end, r + block);
      weights.resize((last - r) * matrix.cols);
      codecs::ApplyPlanes(std::span(matrix.planes).first(plane + 1), r, last, weights.data());
      StoreValues(dtype, weights, values.data() + r * row_bytes);
    }
  });
  matrix.specs[plane] = {
      "raw", {{"dtype", std::string(DTypeName(dtype))}}, matrix.specs[plane].level};
  for (std::size_t i = 0; i < matrix.planes[plane].streams.size(); ++i)
    matrix.backing[slot + i] = artifact::StreamBytes();
  matrix.backing.emplace_back(std::move(values));
  matrix.planes[plane].streams = {matrix.backing.back().bytes()};
}

// A tensor that is one `entropy` plane becomes planes that kernels read, where they can.
// REQUIRES: validated.
bool TurnEntropy(ResidentMatrix& matrix) {
  if (matrix.specs.size() != 1 || matrix.specs[0].kind != "entropy") return false;
  auto turned = ResidentEntropy(matrix.planes[0]);
  if (!turned.has_value()) return false;
  matrix.specs.clear();
  matrix.planes.clear();
  matrix.backing.clear();
  for (OwnedPlane& plane : *turned) {
    std::vector<ByteSpan> streams;
    for (ByteBuffer& stream : plane.streams) {
      matrix.backing.emplace_back(std::move(stream));
      streams.push_back(matrix.backing.back().bytes());
    }
    matrix.Add(std::move(plane.spec), std::move(streams));
  }
  return true;
}

// Brings planes into the form that kernels read.
Status Turn(ResidentMatrix& matrix) {
  std::vector<std::size_t> slots;  // of each plane's first stream
  std::size_t slot = 0;
  for (const codecs::PlaneView& plane : matrix.planes) {
    slots.push_back(slot);
    slot += plane.streams.size();
  }
  if (TurnEntropy(matrix)) return OkStatus();
  for (std::size_t p = 0; p < matrix.planes.size(); ++p) {
    const std::string name = TurnedDType(matrix.specs[p]);
    if (name.empty()) continue;
    INGOT_ASSIGN(const DType dtype, ParseDType(name));
    TurnRaw(matrix, p, dtype, slots[p]);
  }
  return OkStatus();
}

Status AddTransforms(const ResidentMatrix& matrix, stored::TransformTables& tables) {
  for (std::size_t p = 0; p < matrix.planes.size(); ++p)
    if (const auto& transform = Prepared(matrix, p).transform; transform != nullptr)
      INGOT_TRY(tables.Add(transform));
  return OkStatus();
}

}  // namespace

Result<std::unique_ptr<WeightSet>> WeightSet::FromArtifact(
    std::shared_ptr<const artifact::ArtifactReader> reader, const stored::Selection& selection) {
  INGOT_ASSIGN(auto tensors, stored::ReadTensors(*reader, selection));
  auto weights = std::make_unique<WeightSet>(reader);
  stored::TransformTables transforms;
  for (stored::SelectedTensor& tensor : tensors) {
    auto matrix = std::make_unique<ResidentMatrix>(tensor.record->name, std::move(tensor.planes));
    const std::string place = "tensor '" + matrix->name + "'";
    INGOT_TRY(Turn(*matrix).At(place));
    INGOT_TRY(PrepareMatrix(*matrix).At(place));
    INGOT_TRY(AddTransforms(*matrix, transforms).At(place));
    weights->Add(std::move(matrix));
  }
  return weights;
}

}  // namespace ingot::loader
