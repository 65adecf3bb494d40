#include "stored/plane_record.h"

#include <fmt/format.h>

#include <utility>

#include "base/bytes.h"
#include "codecs/plane_codec.h"

namespace ingot::stored {
namespace {

using artifact::CodingHint;
using artifact::Json;

constexpr std::uint64_t kMaxWeights = std::uint64_t{1} << 62;

Result<codecs::Attribute> AttributeOf(const Json& value) {
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX)
    return Corruption("is above 2^63");
  if (value.is_number_integer()) return codecs::Attribute(value.get<std::int64_t>());
  if (value.is_number_float()) return codecs::Attribute(value.get<double>());
  if (value.is_string()) return codecs::Attribute(value.get<std::string>());
  return Corruption("is neither a number nor text");
}

Json AttributesJson(const codecs::Attributes& attributes) {
  Json json = Json::object();
  for (const auto& entry : attributes)
    std::visit([&](const auto& value) { json[entry.first] = value; }, entry.second);
  return json;
}

CodingHint HintOf(codecs::StreamHint hint) {
  switch (hint) {
    case codecs::StreamHint::kRaw:
      return CodingHint::kRaw;
    case codecs::StreamHint::kGeneral:
      return CodingHint::kGeneral;
    case codecs::StreamHint::kEntropy:
      return CodingHint::kEntropy;
  }
  return CodingHint::kRaw;
}

Result<std::vector<codecs::StreamSpec>> StreamsOf(const codecs::PlaneSpec& spec,
                                                  std::uint64_t cols) {
  INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::FindPlaneKind(spec.kind));
  return kind->streams(spec, cols);
}

Status CheckStream(const artifact::StreamRecord& stream, const codecs::StreamSpec& spec,
                   std::uint64_t rows) {
  if (stream.name != spec.name)
    return Corruption(fmt::format("stream '{}', '{}' expected", stream.name, spec.name));
  if (spec.extent == codecs::StreamExtent::kData) return OkStatus();
  INGOT_ASSIGN(const std::uint64_t bytes, codecs::StreamBytes(spec, rows));
  if (stream.bytes == bytes) return OkStatus();
  return Corruption(
      fmt::format("stream '{}' has {} bytes, {} expected", stream.name, stream.bytes, bytes));
}

}  // namespace

Status BlameFile(Status status) {
  if (status.code() != StatusCode::kInvalidArgument) return status;
  return Corruption(status.message());
}

Result<MatrixShape> ShapeOf(const artifact::TensorRecord& record) {
  MatrixShape shape;
  if (record.shape.size() > 1) shape.rows = record.shape[0];
  for (std::size_t i = record.shape.size() > 1 ? 1 : 0; i < record.shape.size(); ++i) {
    const auto product = CheckedMul(shape.cols, record.shape[i]);
    if (!product) return Corruption("more than 2^64 weights");
    shape.cols = *product;
  }
  const auto weights = CheckedMul(shape.rows, shape.cols);
  if (weights && *weights > 0 && *weights <= kMaxWeights) return shape;
  return Corruption(fmt::format("shape {} x {} is empty or too large", shape.rows, shape.cols));
}

bool IsTransposed(const artifact::TensorRecord& record) {
  if (record.shape.size() != 2) return false;
  const auto transposed = record.extra.find("transposed");
  return transposed != record.extra.end() && *transposed == true;
}

Result<codecs::PlaneSpec> SpecOf(const artifact::PlaneRecord& record) {
  codecs::PlaneSpec spec{record.kind, {}, record.level};
  if (!record.attributes.is_object()) return Corruption("attributes are not an object");
  for (const auto& [name, value] : record.attributes.items()) {
    auto attribute = AttributeOf(value);
    if (!attribute.ok())
      return Corruption(fmt::format("attribute '{}' {}", name, attribute.status().message()));
    spec.attributes.emplace(name, *std::move(attribute));
  }
  return spec;
}

Status CheckStreams(const artifact::PlaneRecord& record, const codecs::PlaneSpec& spec,
                    const MatrixShape& shape) {
  const auto found = StreamsOf(spec, shape.cols);
  if (!found.ok()) return BlameFile(found.status());
  const std::vector<codecs::StreamSpec>& streams = *found;
  if (record.streams.size() != streams.size())
    return Corruption(
        fmt::format("{} streams, {} expected", record.streams.size(), streams.size()));
  for (std::size_t i = 0; i < streams.size(); ++i)
    INGOT_TRY(CheckStream(record.streams[i], streams[i], shape.rows));
  return OkStatus();
}

std::string PlanePlace(std::size_t index, std::string_view kind) {
  return fmt::format("plane {} ({})", index, kind);
}

Status AddPlane(const codecs::PlaneSpec& spec, std::uint64_t cols, artifact::TensorPlan& plan) {
  INGOT_ASSIGN(const auto streams, StreamsOf(spec, cols));
  artifact::PlaneRecord record{spec.kind, AttributesJson(spec.attributes), spec.level, {}};
  for (const codecs::StreamSpec& stream : streams) record.streams.push_back({stream.name, 0, 0, 0});
  INGOT_ASSIGN(std::vector<CodingHint> hints, HintsOf(spec, cols));
  plan.record.planes.push_back(std::move(record));
  plan.hints.push_back(std::move(hints));
  return OkStatus();
}

Result<std::vector<CodingHint>> HintsOf(const codecs::PlaneSpec& spec, std::uint64_t cols) {
  INGOT_ASSIGN(const auto streams, StreamsOf(spec, cols));
  std::vector<CodingHint> hints;
  for (const codecs::StreamSpec& stream : streams) hints.push_back(HintOf(stream.hint));
  return hints;
}

}  // namespace ingot::stored
