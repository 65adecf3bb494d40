#include "model/source/gguf/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <unordered_set>
#include <utility>

namespace ingot::model {
namespace {

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kMaxAlignment = 1u << 20;
constexpr std::uint64_t kMaxKeyBytes = 65535;
constexpr std::uint32_t kMaxDimensions = 4;
constexpr int kMaxArrayDepth = 4;
// The least that a key or a tensor info takes, to bound counts before anything is allocated.
constexpr std::uint64_t kMinKeyBytes = 8 + 4 + 1;
constexpr std::uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;

// Bytes of a number, 0 for strings, arrays and unknown types.
std::uint64_t NumberBytes(GgufValueType type) {
  switch (type) {
    case GgufValueType::kU8:
    case GgufValueType::kI8:
    case GgufValueType::kBool:
      return 1;
    case GgufValueType::kU16:
    case GgufValueType::kI16:
      return 2;
    case GgufValueType::kU32:
    case GgufValueType::kI32:
    case GgufValueType::kF32:
      return 4;
    case GgufValueType::kU64:
    case GgufValueType::kI64:
    case GgufValueType::kF64:
      return 8;
    case GgufValueType::kString:
    case GgufValueType::kArray:
      return 0;
  }
  return 0;
}

// Walks the file; every step is checked against what is left.
class Cursor {
 public:
  explicit Cursor(ByteSpan file) : file_(file) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t left() const { return file_.size() - position_; }

  template <typename T>
  Result<T> Number() {
    INGOT_ASSIGN(const ByteSpan bytes, Take(sizeof(T)));
    return LoadLe<T>(bytes.data());
  }

  Result<ByteSpan> Take(std::uint64_t n) {
    if (n > left())
      return Corruption(
          fmt::format("{} bytes wanted at offset {}, but {} are left", n, position_, left()));
    const ByteSpan bytes = file_.subspan(position_, n);
    position_ += n;
    return bytes;
  }

  Result<std::string_view> String() {
    INGOT_ASSIGN(const auto length, Number<std::uint64_t>());
    INGOT_ASSIGN(const ByteSpan bytes, Take(length));
    return AsText(bytes);
  }

  Result<GgufValueType> ValueType() {
    INGOT_ASSIGN(const auto type, Number<std::uint32_t>());
    if (type > static_cast<std::uint32_t>(GgufValueType::kF64))
      return Corruption(fmt::format("unknown value type {} at offset {}", type, position_ - 4));
    return static_cast<GgufValueType>(type);
  }

  Result<GgufValue> Value(GgufValueType type) {
    GgufValue value;
    value.type = value.element = type;
    if (type == GgufValueType::kArray) return Array(0);
    if (type == GgufValueType::kString) {
      INGOT_ASSIGN(value.text, String());
    } else {
      INGOT_ASSIGN(value.bytes, Take(NumberBytes(type)));
    }
    return value;
  }

 private:
  Result<GgufValue> Array(int depth) {
    if (depth >= kMaxArrayDepth)
      return Corruption(fmt::format("arrays nested deeper than {}", kMaxArrayDepth));
    GgufValue value;
    value.type = GgufValueType::kArray;
    INGOT_ASSIGN(value.element, ValueType());
    INGOT_ASSIGN(value.count, Number<std::uint64_t>());
    const std::uint64_t number_bytes = NumberBytes(value.element);
    const std::uint64_t least = number_bytes != 0                         ? number_bytes
                                : value.element == GgufValueType::kString ? 8
                                                                          : 12;
    if (value.count > left() / least)
      return Corruption(fmt::format("array of {} values at offset {}, but only {} bytes are left",
                                    value.count, position_, left()));
    if (number_bytes != 0) {
      INGOT_ASSIGN(value.bytes, Take(value.count * number_bytes));
    } else if (value.element == GgufValueType::kString) {
      value.texts.reserve(value.count);
      for (std::uint64_t i = 0; i < value.count; ++i) {
        INGOT_ASSIGN(const std::string_view text, String());
        value.texts.push_back(text);
      }
    } else {
      for (std::uint64_t i = 0; i < value.count; ++i) INGOT_TRY(Array(depth + 1).status());
    }
    return value;
  }

  ByteSpan file_;
  std::uint64_t position_ = 0;
};

Status ParseMetadata(Cursor& cursor, std::uint64_t count, Gguf& gguf) {
  if (count > cursor.left() / kMinKeyBytes)
    return Corruption(fmt::format("{} metadata keys claimed in {} bytes", count, cursor.left()));
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string place = fmt::format("metadata key {}", i);
    INGOT_ASSIGN(const std::string_view key, cursor.String().At(place));
    if (key.size() > kMaxKeyBytes)
      return Corruption(fmt::format("{}: name of {} bytes", place, key.size()));
    INGOT_ASSIGN(const GgufValueType type, cursor.ValueType().At(place));
    INGOT_ASSIGN(GgufValue value, cursor.Value(type).At(fmt::format("key '{}'", key)));
    if (!gguf.metadata.emplace(key, std::move(value)).second)
      return Corruption(fmt::format("duplicate key '{}'", key));
  }
  return OkStatus();
}

// Bytes of a tensor; shape is outermost first.
Result<std::uint64_t> TensorBytes(const GgufType& type, const std::vector<std::uint64_t>& shape) {
  if (shape.back() % type.block_weights != 0)
    return Corruption(fmt::format("rows of {} weights do not fill blocks of {} ({})", shape.back(),
                                  type.block_weights, type.name));
  std::uint64_t weights = 1;
  for (const std::uint64_t n : shape) {
    const auto product = CheckedMul(weights, n);
    if (!product || *product >> 61)
      return Corruption(fmt::format("shape [{}] has too many weights", fmt::join(shape, ", ")));
    weights = *product;
  }
  const auto bytes = CheckedMul(weights / type.block_weights, type.block_bytes);
  if (!bytes) return Corruption(fmt::format("{} weights of {} overflow", weights, type.name));
  return *bytes;
}

// Leaves the offset relative to the data.
Result<GgufTensor> ParseTensorInfo(Cursor& cursor) {
  GgufTensor tensor;
  INGOT_ASSIGN(tensor.name, cursor.String());
  const std::string place = fmt::format("tensor '{}'", tensor.name.substr(0, 200));
  INGOT_ASSIGN(const auto dimensions, cursor.Number<std::uint32_t>().At(place));
  if (dimensions == 0 || dimensions > kMaxDimensions)
    return Corruption(
        fmt::format("{}: {} dimensions, 1 to {} expected", place, dimensions, kMaxDimensions));
  tensor.shape.resize(dimensions);
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    INGOT_ASSIGN(tensor.shape[dimensions - 1 - i], cursor.Number<std::uint64_t>().At(place));
  }
  INGOT_ASSIGN(const auto type, cursor.Number<std::uint32_t>().At(place));
  tensor.type = FindGgufType(type);
  if (tensor.type == nullptr)
    return Unsupported(fmt::format("{}: unknown tensor type {}", place, type));
  if (!tensor.type->readable())
    return Unsupported(fmt::format(
        "{}: tensor type {} is not supported (known: F32, F16, BF16, F64, "
        "I8 to I64, Q4_0 to Q8_0, Q2_K to Q6_K, IQ1 to IQ4, TQ1_0, TQ2_0, MXFP4, NVFP4)",
        place, tensor.type->name));
  INGOT_ASSIGN(tensor.bytes, TensorBytes(*tensor.type, tensor.shape).At(place));
  INGOT_ASSIGN(tensor.offset, cursor.Number<std::uint64_t>().At(place));
  return tensor;
}

Result<std::uint64_t> Alignment(const Gguf& gguf) {
  const GgufValue* value = gguf.Find("general.alignment");
  if (value == nullptr) return kDefaultAlignment;
  const auto n = value->is_numeric() && !value->is_array() ? value->Unsigned() : std::nullopt;
  if (!n || *n == 0 || *n > kMaxAlignment || (*n & (*n - 1)) != 0)
    return Corruption("general.alignment is not a power of two up to 2^20");
  return *n;
}

// Makes offsets absolute; tensors must lie in the file and not overlap.
Status PlaceTensors(std::uint64_t data_begin, std::uint64_t alignment, std::uint64_t file_bytes,
                    Gguf& gguf) {
  std::vector<const GgufTensor*> order;
  for (GgufTensor& tensor : gguf.tensors) {
    const std::uint64_t data_bytes = file_bytes > data_begin ? file_bytes - data_begin : 0;
    // A file may end before the alignment of its data: then not even an empty tensor has a place.
    if (data_begin > file_bytes || tensor.offset > data_bytes ||
        tensor.bytes > data_bytes - tensor.offset)
      return Corruption(
          fmt::format("tensor '{}': {} bytes at data offset {}, but the file has only {}: "
                      "truncated?",
                      tensor.name, tensor.bytes, tensor.offset, data_bytes));
    if (tensor.offset % alignment != 0)
      return Corruption(fmt::format("tensor '{}': offset {} is not a multiple of {}", tensor.name,
                                    tensor.offset, alignment));
    tensor.offset += data_begin;
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes);
  });
  for (std::size_t i = 1; i < order.size(); ++i)
    if (order[i]->offset - order[i - 1]->offset < order[i - 1]->bytes)
      return Corruption(
          fmt::format("tensors '{}' and '{}' overlap", order[i - 1]->name, order[i]->name));
  return OkStatus();
}

Status CheckVersion(std::uint32_t version) {
  if (version == 2 || version == 3) return OkStatus();
  if (__builtin_bswap32(version) <= 3) return Unsupported("big-endian GGUF");
  return Unsupported(fmt::format("GGUF version {} (known: 2, 3)", version));
}

}  // namespace

bool GgufValue::is_numeric() const { return NumberBytes(element) != 0; }

std::optional<std::uint64_t> GgufValue::Unsigned(std::uint64_t i) const {
  const std::uint8_t* p = bytes.data() + i * NumberBytes(element);
  std::int64_t n = 0;
  switch (element) {
    case GgufValueType::kU8:
    case GgufValueType::kBool:
      return *p;
    case GgufValueType::kU16:
      return LoadLe<std::uint16_t>(p);
    case GgufValueType::kU32:
      return LoadLe<std::uint32_t>(p);
    case GgufValueType::kU64:
      return LoadLe<std::uint64_t>(p);
    case GgufValueType::kI8:
      n = LoadLe<std::int8_t>(p);
      break;
    case GgufValueType::kI16:
      n = LoadLe<std::int16_t>(p);
      break;
    case GgufValueType::kI32:
      n = LoadLe<std::int32_t>(p);
      break;
    case GgufValueType::kI64:
      n = LoadLe<std::int64_t>(p);
      break;
    default:
      return std::nullopt;
  }
  if (n < 0) return std::nullopt;
  return static_cast<std::uint64_t>(n);
}

double GgufValue::Number(std::uint64_t i) const {
  const std::uint8_t* p = bytes.data() + i * NumberBytes(element);
  switch (element) {
    case GgufValueType::kF32: {
      const auto value = LoadLe<float>(p);
      if (!std::isfinite(value)) return value;
      return std::strtod(fmt::format("{}", value).c_str(), nullptr);
    }
    case GgufValueType::kF64:
      return LoadLe<double>(p);
    case GgufValueType::kI8:
      return LoadLe<std::int8_t>(p);
    case GgufValueType::kI16:
      return LoadLe<std::int16_t>(p);
    case GgufValueType::kI32:
      return LoadLe<std::int32_t>(p);
    case GgufValueType::kI64:
      return static_cast<double>(LoadLe<std::int64_t>(p));
    default:
      return static_cast<double>(Unsigned(i).value_or(0));
  }
}

const GgufValue* Gguf::Find(std::string_view key) const {
  const auto it = metadata.find(key);
  return it == metadata.end() ? nullptr : &it->second;
}

Result<Gguf> ParseGguf(ByteSpan file) {
  Cursor cursor(file);
  INGOT_ASSIGN(const auto magic, cursor.Number<std::uint32_t>());
  if (magic != kMagic) return Corruption("not a GGUF file: it does not start with 'GGUF'");
  Gguf gguf;
  INGOT_ASSIGN(gguf.version, cursor.Number<std::uint32_t>());
  INGOT_TRY(CheckVersion(gguf.version));
  INGOT_ASSIGN(const auto tensor_count, cursor.Number<std::uint64_t>());
  INGOT_ASSIGN(const auto key_count, cursor.Number<std::uint64_t>());
  INGOT_TRY(ParseMetadata(cursor, key_count, gguf));
  if (tensor_count > cursor.left() / kMinTensorBytes)
    return Corruption(fmt::format("{} tensors claimed in {} bytes", tensor_count, cursor.left()));
  gguf.tensors.reserve(tensor_count);
  std::unordered_set<std::string_view> names;
  for (std::uint64_t i = 0; i < tensor_count; ++i) {
    INGOT_ASSIGN(GgufTensor tensor, ParseTensorInfo(cursor));
    if (!names.insert(tensor.name).second)
      return Corruption(fmt::format("duplicate tensor '{}'", tensor.name));
    gguf.tensors.push_back(std::move(tensor));
  }
  INGOT_ASSIGN(const std::uint64_t alignment, Alignment(gguf));
  INGOT_TRY(PlaceTensors(AlignUp(cursor.position(), alignment), alignment, file.size(), gguf));
  return gguf;
}

}  // namespace ingot::model
