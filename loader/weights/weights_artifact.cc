// Weights from an artifact. Streams are verified in parallel, the largest first; those that were
// stored raw stay where the file is mapped. Two plane kinds are stored in a form that saves bytes
// and read in another that kernels use in place: raw_split and the remainders become raw planes.
#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "codecs/plane_codec.h"
#include "loader/planes/prepared_plane.h"
#include "loader/weights/entropy_load.h"
#include "loader/weights/matrix_table.h"
#include "loader/weights/resident.h"

namespace ingot::loader {
namespace {

// Weights turned raw per task.
constexpr std::uint64_t kTurnWeights = 256 << 10;
// Of these so many at a time, in cache.
constexpr std::uint64_t kTurnBlockWeights = 16 << 10;
// Tables of all transforms of a model: thousands of times what any real one has.
constexpr std::uint64_t kMaxTransformBytes = std::uint64_t{1} << 30;

Result<codecs::Attributes> AttributesOf(const artifact::Json& json) {
  codecs::Attributes attributes;
  if (!json.is_object()) return Corruption("attributes are not an object");
  for (const auto& [name, value] : json.items()) {
    if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX)
      return Corruption("attribute '" + name + "' is above 2^63");
    if (value.is_number_integer()) {
      attributes.emplace(name, value.get<std::int64_t>());
    } else if (value.is_number_float()) {
      attributes.emplace(name, value.get<double>());
    } else if (value.is_string()) {
      attributes.emplace(name, value.get<std::string>());
    } else {
      return Corruption("attribute '" + name + "' is neither a number nor text");
    }
  }
  return attributes;
}

// The matrix view of a shape: a vector is one row.
Status SetShape(const std::vector<std::uint64_t>& shape, ResidentMatrix& matrix) {
  matrix.rows = shape.size() < 2 ? 1 : shape[0];
  matrix.cols = 1;
  for (std::size_t i = shape.size() < 2 ? 0 : 1; i < shape.size(); ++i) {
    const auto product = CheckedMul(matrix.cols, shape[i]);
    if (!product) return Corruption("more than 2^64 weights");
    matrix.cols = *product;
  }
  const auto elements = CheckedMul(matrix.rows, matrix.cols);
  if (!elements || *elements > (std::uint64_t{1} << 62) || *elements == 0)
    return Corruption("shape " + std::to_string(matrix.rows) + " x " + std::to_string(matrix.cols) +
                      " is empty or too large");
  return OkStatus();
}

std::string PlanePlace(std::size_t index, std::string_view kind) {
  return "plane " + std::to_string(index) + " (" + std::string(kind) + ")";
}

// Checks names and sizes against what the kind demands, before a byte is read.
Status CheckStreams(const artifact::PlaneRecord& record, const codecs::PlaneSpec& spec,
                    const ResidentMatrix& matrix) {
  INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::FindPlaneKind(spec.kind));
  INGOT_ASSIGN(const auto streams, kind->streams(spec, matrix.cols));
  if (record.streams.size() != streams.size())
    return Corruption(std::to_string(record.streams.size()) + " streams, " +
                      std::to_string(streams.size()) + " expected");
  for (std::size_t i = 0; i < streams.size(); ++i) {
    const artifact::StreamRecord& stream = record.streams[i];
    if (stream.name != streams[i].name)
      return Corruption("stream '" + stream.name + "', '" + streams[i].name + "' expected");
    if (streams[i].row_bytes == 0) continue;
    const auto bytes = CheckedMul(streams[i].row_bytes, matrix.rows);
    if (!bytes || stream.bytes != *bytes)
      return Corruption("stream '" + stream.name + "' has " + std::to_string(stream.bytes) +
                        " bytes, " + std::to_string(bytes.value_or(0)) + " expected");
  }
  return OkStatus();
}

// One stream to be read: where it goes is fixed before threads start.
struct StreamTask {
  const artifact::TensorRecord* tensor;
  std::size_t plane;
  const artifact::StreamRecord* stream;
  ResidentMatrix* matrix;
  std::size_t slot;  // in matrix->backing
};

// A matrix with its specs, and empty slots for its streams.
Status PlanMatrix(const artifact::TensorRecord& tensor, int levels, ResidentMatrix& matrix,
                  std::vector<StreamTask>& tasks) {
  matrix.name = tensor.name;
  std::size_t slot = 0;
  INGOT_TRY(SetShape(tensor.shape, matrix));
  for (std::size_t p = 0; p < tensor.planes.size(); ++p) {
    const artifact::PlaneRecord& record = tensor.planes[p];
    if (record.level >= levels) continue;
    const std::string place = PlanePlace(p, record.kind);
    INGOT_ASSIGN(auto attributes, AttributesOf(record.attributes).At(place));
    codecs::PlaneSpec spec{record.kind, std::move(attributes), record.level};
    INGOT_TRY(CheckStreams(record, spec, matrix).At(place));
    for (const artifact::StreamRecord& stream : record.streams)
      tasks.push_back({&tensor, p, &stream, &matrix, slot++});
    AddPlane(matrix, std::move(spec), std::vector<ByteSpan>(record.streams.size()));
  }
  if (matrix.planes.empty()) return Corruption("no plane at the levels that are loaded");
  matrix.backing.resize(slot);
  return OkStatus();
}

// Reads every stream, several threads at once; the first failure in file order is reported.
Status ReadStreams(const artifact::ArtifactReader& reader, std::vector<StreamTask>& tasks) {
  std::vector<std::size_t> order(tasks.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return tasks[a].stream->bytes > tasks[b].stream->bytes;
  });
  std::vector<Status> failures(tasks.size());
  ParallelFor(order.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      StreamTask& task = tasks[order[i]];
      auto bytes = reader.ReadStream(*task.stream);
      if (bytes.ok()) {
        task.matrix->backing[task.slot] = *std::move(bytes);
      } else {
        failures[order[i]] = std::move(bytes).status();
      }
    }
  });
  for (std::size_t i = 0; i < tasks.size(); ++i)
    if (!failures[i].ok())
      return std::move(failures[i])
          .At("tensor '" + tasks[i].tensor->name +
              "': " + PlanePlace(tasks[i].plane, tasks[i].tensor->planes[tasks[i].plane].kind) +
              ": stream '" + tasks[i].stream->name + "'");
  return OkStatus();
}

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
    AddPlane(matrix, std::move(plane.spec), std::move(streams));
  }
  return true;
}

Status CompleteMatrix(ResidentMatrix& matrix) {
  std::vector<std::size_t> slots;  // of each plane's first stream
  std::size_t slot = 0;
  for (codecs::PlaneView& plane : matrix.planes) {
    slots.push_back(slot);
    for (ByteSpan& stream : plane.streams) stream = matrix.backing[slot++].bytes();
  }
  INGOT_TRY(FinishMatrix(matrix));
  bool turned = TurnEntropy(matrix);
  for (std::size_t p = 0; p < matrix.planes.size(); ++p) {
    const std::string name = TurnedDType(matrix.specs[p]);
    if (name.empty()) continue;
    INGOT_ASSIGN(const DType dtype, ParseDType(name));
    TurnRaw(matrix, p, dtype, slots[p]);
    turned = true;
  }
  return turned ? FinishMatrix(matrix) : OkStatus();
}

// Bounds what the transforms of a model need, each counted once: a few bytes of a file may ask for
// a rotation of megabytes.
class TransformTables {
 public:
  Status Add(const ResidentMatrix& matrix) {
    for (std::size_t p = 0; p < matrix.planes.size(); ++p) {
      const codecs::InputTransform* transform = Prepared(matrix, p).transform.get();
      if (transform == nullptr || !seen_.insert(transform).second) continue;
      bytes_ += transform->resident_bytes();
    }
    if (bytes_ <= kMaxTransformBytes) return OkStatus();
    return LimitExceeded("the transforms up to here need " + std::to_string(bytes_) +
                         " bytes of tables, at most " + std::to_string(kMaxTransformBytes));
  }

 private:
  std::set<const codecs::InputTransform*> seen_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<WeightSet>> WeightSet::FromArtifact(
    std::shared_ptr<const artifact::ArtifactReader> reader, int levels) {
  if (reader->complete_level() < 0) return Corruption("not even level 0 is complete");
  const int present = reader->complete_level() + 1;
  if (levels > present)
    return InvalidArgument(std::to_string(levels) + " levels asked for, the file has " +
                           std::to_string(present));
  const int loaded = levels < 0 ? present : levels;
  std::vector<std::unique_ptr<ResidentMatrix>> matrices;
  std::vector<StreamTask> tasks;
  for (const artifact::TensorRecord& tensor : reader->manifest().tensors) {
    matrices.push_back(std::make_unique<ResidentMatrix>());
    INGOT_TRY(
        PlanMatrix(tensor, loaded, *matrices.back(), tasks).At("tensor '" + tensor.name + "'"));
  }
  INGOT_TRY(ReadStreams(*reader, tasks));
  auto table = std::make_unique<MatrixTable>(reader);
  TransformTables transforms;
  for (auto& matrix : matrices) {
    INGOT_TRY(CompleteMatrix(*matrix).At("tensor '" + matrix->name + "'"));
    INGOT_TRY(transforms.Add(*matrix).At("tensor '" + matrix->name + "'"));
    table->Add(std::move(matrix));
  }
  return std::unique_ptr<WeightSet>(std::move(table));
}

}  // namespace ingot::loader
