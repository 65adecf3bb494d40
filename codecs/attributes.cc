#include "codecs/attributes.h"

namespace ingot::codecs {
namespace {

constexpr std::uint64_t kMaxCols = std::uint64_t{1} << 40;

}  // namespace

Status BadAttribute(const PlaneSpec& spec, std::string_view name, std::string_view what) {
  return InvalidArgument(spec.kind + " plane: attribute '" + std::string(name) + "' " +
                         std::string(what));
}

Result<const Attribute*> AttributeReader::Find(const std::string& name) {
  const auto it = spec_.attributes.find(name);
  if (it == spec_.attributes.end()) return BadAttribute(spec_, name, "is missing");
  ++read_;
  return &it->second;
}

Result<std::int64_t> AttributeReader::Integer(const std::string& name, std::int64_t low,
                                              std::int64_t high) {
  INGOT_ASSIGN(const Attribute* attribute, Find(name));
  const auto* value = std::get_if<std::int64_t>(attribute);
  if (value == nullptr) return BadAttribute(spec_, name, "is not an integer");
  if (*value < low || *value > high)
    return BadAttribute(spec_, name,
                        "is " + std::to_string(*value) + ", not in [" + std::to_string(low) + ", " +
                            std::to_string(high) + "]");
  return *value;
}

Result<std::string> AttributeReader::Text(const std::string& name) {
  INGOT_ASSIGN(const Attribute* attribute, Find(name));
  const auto* value = std::get_if<std::string>(attribute);
  if (value == nullptr) return BadAttribute(spec_, name, "is not text");
  return *value;
}

Result<DType> AttributeReader::DTypeValue(const std::string& name) {
  INGOT_ASSIGN(const std::string text, Text(name));
  Result<DType> dtype = ParseDType(text);
  if (!dtype.ok()) return BadAttribute(spec_, name, "is unknown: " + dtype.status().message());
  return dtype;
}

Status AttributeReader::Expect(const std::string& name, std::string_view value) {
  const Result<std::string> text = Text(name);
  if (!text.ok()) return text.status();
  if (*text == value) return OkStatus();
  return BadAttribute(spec_, name, "is '" + *text + "' (known: " + std::string(value) + ")");
}

Status AttributeReader::Finish() const {
  if (read_ == spec_.attributes.size()) return OkStatus();
  return InvalidArgument(spec_.kind + " plane: " + std::to_string(spec_.attributes.size()) +
                         " attributes, of which " + std::to_string(read_) + " are known");
}

Status CheckCols(std::uint64_t cols) {
  if (cols >= 1 && cols <= kMaxCols) return OkStatus();
  return InvalidArgument("a row of " + std::to_string(cols) + " weights (1 to 2^40 are possible)");
}

Result<std::uint64_t> StreamBytes(const StreamSpec& stream, std::uint64_t rows) {
  std::uint64_t records = 0;
  if (stream.extent == StreamExtent::kRow) records = rows;
  if (stream.extent == StreamExtent::kTile) records = CeilDiv(rows, stream.tile_rows);
  if (stream.extent == StreamExtent::kTensor) records = 1;
  const auto bytes = CheckedMul(records, stream.bytes);
  if (bytes) return *bytes;
  return LimitExceeded("stream '" + stream.name + "' of " + std::to_string(rows) +
                       " rows is larger than 2^64 bytes");
}

Status CheckStreamSizes(const PlaneView& plane, const std::vector<StreamSpec>& specs) {
  const std::string& kind = plane.spec->kind;
  if (plane.streams.size() != specs.size())
    return Corruption(kind + " plane has " + std::to_string(plane.streams.size()) + " streams, " +
                      std::to_string(specs.size()) + " expected");
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const StreamSpec& spec = specs[i];
    if (spec.extent == StreamExtent::kData) continue;
    const Result<std::uint64_t> expected = StreamBytes(spec, plane.rows);
    if (expected.ok() && plane.streams[i].size() == *expected) continue;
    const bool by_row = spec.extent == StreamExtent::kRow || !expected.ok();
    return Corruption(kind + " plane: stream '" + spec.name + "' has " +
                      std::to_string(plane.streams[i].size()) + " bytes, " +
                      (by_row
                           ? std::to_string(plane.rows) + " rows of " + std::to_string(spec.bytes)
                           : std::to_string(*expected)) +
                      " expected");
  }
  return OkStatus();
}

}  // namespace ingot::codecs
