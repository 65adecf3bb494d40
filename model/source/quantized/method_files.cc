#include "model/source/quantized/method_files.h"

#include <fmt/format.h>

#include <utility>

namespace ingot::model {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMaxTable = 1u << 16;
constexpr std::uint64_t kMaxIntegers = 1u << 24;

}  // namespace

std::vector<std::string> ModulesWith(const PartTable& parts, std::string_view suffix) {
  std::vector<std::string> modules;
  for (const auto& [name, part] : parts.parts())
    if (name.size() > suffix.size() && name.ends_with(suffix))
      modules.push_back(name.substr(0, name.size() - suffix.size()));
  return modules;
}

Result<std::optional<std::int64_t>> ConfigInteger(const Json& config, std::string_view key,
                                                  std::int64_t least, std::int64_t most) {
  const auto it = config.find(key);
  if (it == config.end() || it->is_null()) return std::optional<std::int64_t>();
  if (!it->is_number_integer() || (it->is_number_unsigned() && it->get<std::uint64_t>() >> 62) ||
      it->get<std::int64_t>() < least || it->get<std::int64_t>() > most)
    return Corruption(fmt::format("quantization_config: '{}' is {}, no whole number from {} to {}",
                                  key, it->dump(), least, most));
  return std::optional<std::int64_t>(it->get<std::int64_t>());
}

std::string ConfigText(const Json& config, std::string_view key, std::string_view otherwise) {
  const auto it = config.find(key);
  return it != config.end() && it->is_string() ? it->get<std::string>() : std::string(otherwise);
}

Status RefuseKeys(const Json& config, std::string_view where,
                  std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    const auto it = config.find(key);
    if (it == config.end() || it->is_null() || it->empty()) continue;
    if (it->is_boolean() && !it->get<bool>()) continue;
    if (it->is_string() && (it->get<std::string>().empty() || it->get<std::string>() == "none"))
      continue;
    std::string value = it->dump(-1, ' ', false, Json::error_handler_t::replace);
    if (value.size() > 60) value = value.substr(0, 57) + "...";
    return Unsupported(fmt::format("{}: key '{}' ({}) is not supported", where, key, value));
  }
  return OkStatus();
}

QuantizedWeight MakeWeight(std::string name, std::uint64_t rows, std::uint64_t cols,
                           std::string stored_type, const StoredPart& codes,
                           std::unique_ptr<RowDecoder> decoder) {
  QuantizedWeight weight;
  weight.name = std::move(name);
  weight.shape = {rows, cols};
  weight.stored_type = std::move(stored_type);
  weight.stored_bytes = codes.bytes;
  weight.shard = codes.shard;
  weight.rows = std::move(decoder);
  return weight;
}

Result<std::vector<float>> ReadSmallTable(const StoredPart& part) {
  const std::uint64_t n = part.elements();
  if (n > kMaxTable)
    return LimitExceeded(
        fmt::format("tensor '{}': {} elements, at most {}", part.name, n, kMaxTable));
  INGOT_ASSIGN(const CodeMatrix matrix, CodeMatrix::Plain(part, 1, n));
  std::vector<float> values(n);
  INGOT_TRY(matrix.Read(0, 1, values.data()));
  return values;
}

Result<std::vector<std::int64_t>> ReadIntegers(const StoredPart& part) {
  const std::uint64_t n = part.elements();
  if (part.dtype != "I32" && part.dtype != "I64")
    return Unsupported(
        fmt::format("tensor '{}': indices of dtype {} (known: I32, I64)", part.name, part.dtype));
  if (n > kMaxIntegers)
    return LimitExceeded(
        fmt::format("tensor '{}': {} elements, at most {}", part.name, n, kMaxIntegers));
  ByteBuffer bytes(part.bytes);
  INGOT_TRY(part.Read(0, {bytes.data(), bytes.size()}));
  std::vector<std::int64_t> values(n);
  for (std::uint64_t i = 0; i < n; ++i)
    values[i] = part.dtype == "I32" ? LoadLe<std::int32_t>(bytes.data() + 4 * i)
                                    : LoadLe<std::int64_t>(bytes.data() + 8 * i);
  return values;
}

}  // namespace ingot::model
