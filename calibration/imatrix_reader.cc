#include "calibration/imatrix_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>

#include "model/source/gguf/gguf.h"

namespace ingot::calibration {
namespace {

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";
constexpr std::uint64_t kDatEntryBytes = 3 * sizeof(std::int32_t) + 1 + sizeof(float);  // the least

Status CheckValues(const std::string& name, const ImatrixTensor& tensor) {
  const auto is_bad = [](float v) { return !std::isfinite(v) || v < 0; };
  if (std::any_of(tensor.sums.begin(), tensor.sums.end(), is_bad) ||
      std::any_of(tensor.counts.begin(), tensor.counts.end(), is_bad))
    return Corruption("'" + name + "' has values that are negative or not finite");
  return OkStatus();
}

Result<std::vector<float>> FloatsOf(ByteSpan file, const model::GgufTensor& tensor) {
  if (std::string_view(tensor.type->name) != "F32")
    return Corruption(fmt::format("'{}' is not F32", tensor.name));
  if (tensor.bytes % sizeof(float) != 0)
    return Corruption(fmt::format("'{}' is not whole float32 values", tensor.name));
  std::vector<float> values(tensor.bytes / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), file.data() + tensor.offset, tensor.bytes);
  return values;
}

Result<Imatrix> ParseGgufImatrix(ByteSpan file) {
  INGOT_ASSIGN(const model::Gguf gguf, model::ParseGguf(file));
  const model::GgufValue* type = gguf.Find("general.type");
  if (type == nullptr || type->text != "imatrix")
    return Corruption("its general.type is not 'imatrix'");
  std::map<std::string_view, const model::GgufTensor*> by_name;
  for (const model::GgufTensor& tensor : gguf.tensors) by_name[tensor.name] = &tensor;
  Imatrix result;
  std::uint64_t bytes = 0;  // tensors that share theirs could make much of a small file
  for (const auto& [name, tensor] : by_name) {
    if (!name.ends_with(kSums)) continue;
    const std::string stem(name.substr(0, name.size() - kSums.size()));
    const auto counted = by_name.find(stem + std::string(kCounts));
    if (counted == by_name.end()) return Corruption("'" + stem + "' has no counts");
    bytes += tensor->bytes + counted->second->bytes;
    if (bytes > file.size())
      return Corruption(
          fmt::format("at '{}' its tensors have more than the file's {} bytes", stem, file.size()));
    ImatrixTensor entry;
    INGOT_ASSIGN(entry.sums, FloatsOf(file, *tensor));
    INGOT_ASSIGN(entry.counts, FloatsOf(file, *counted->second));
    if (entry.counts.empty() || entry.sums.empty() || entry.sums.size() % entry.counts.size() != 0)
      return Corruption(fmt::format("'{}' has {} sums for {} counts", stem, entry.sums.size(),
                                    entry.counts.size()));
    INGOT_TRY(CheckValues(stem, entry));
    result.emplace(stem, std::move(entry));
  }
  return result;
}

// Takes what a .dat is made of from its front; every length is held against what is left.
class DatReader {
 public:
  explicit DatReader(ByteSpan file) : file_(file) {}
  std::uint64_t left() const { return file_.size() - offset_; }

  // A count, length or number of values between `least` and `most`.
  Result<std::uint64_t> Number(std::string_view what, std::uint64_t least, std::uint64_t most) {
    if (left() < sizeof(std::int32_t))
      return Corruption(fmt::format("it ends at {}, before {}", file_.size(), what));
    const auto value = LoadLe<std::int32_t>(file_.data() + offset_);
    if (value < 0 || static_cast<std::uint64_t>(value) < least ||
        static_cast<std::uint64_t>(value) > most)
      return Corruption(
          fmt::format("at {}: {} is {}, not {} to {}", offset_, what, value, least, most));
    offset_ += sizeof value;
    return static_cast<std::uint64_t>(value);
  }

  // REQUIRES: bytes <= left().
  ByteSpan Bytes(std::uint64_t bytes) {
    const ByteSpan part = file_.subspan(offset_, bytes);
    offset_ += bytes;
    return part;
  }

 private:
  ByteSpan file_;
  std::uint64_t offset_ = 0;
};

Status ParseDatEntry(DatReader& reader, Imatrix& result) {
  INGOT_ASSIGN(const std::uint64_t name_bytes, reader.Number("a name's length", 1, reader.left()));
  if (name_bytes > reader.left())
    return Corruption(fmt::format("a name of {} bytes, {} are left", name_bytes, reader.left()));
  const std::string name(AsText(reader.Bytes(name_bytes)));
  if (!std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~'; }))
    return Corruption(fmt::format("a name of {} bytes is not ASCII", name_bytes));
  INGOT_ASSIGN(const std::uint64_t calls, reader.Number("'" + name + "' calls", 0, INT32_MAX));
  INGOT_ASSIGN(const std::uint64_t count, reader.Number("'" + name + "' values", 1, INT32_MAX));
  if (count > reader.left() / sizeof(float))
    return Corruption(
        fmt::format("'{}' has {} values, {} bytes are left", name, count, reader.left()));
  ImatrixTensor entry;
  entry.shared_count = true;
  entry.counts = {static_cast<float>(calls)};
  entry.sums.resize(count);
  std::memcpy(entry.sums.data(), reader.Bytes(count * sizeof(float)).data(), count * sizeof(float));
  INGOT_TRY(CheckValues(name, entry));
  if (!result.emplace(name, std::move(entry)).second)
    return Corruption("'" + name + "' is there twice");
  return OkStatus();
}

Result<Imatrix> ParseDat(ByteSpan file) {
  DatReader reader(file);
  INGOT_ASSIGN(const std::uint64_t entries,
               reader.Number("the number of entries", 1, file.size() / kDatEntryBytes));
  Imatrix result;
  for (std::uint64_t i = 0; i < entries; ++i)
    INGOT_TRY(ParseDatEntry(reader, result).At(fmt::format("entry {} of {}", i, entries)));
  if (reader.left() == 0) return result;
  INGOT_TRY(reader.Number("the last call", 0, INT32_MAX).status());
  INGOT_ASSIGN(const std::uint64_t text, reader.Number("the text's name", 0, reader.left()));
  if (text != reader.left())
    return Corruption(fmt::format("a text's name of {} bytes, {} are left", text, reader.left()));
  return result;
}

}  // namespace

std::uint64_t ImatrixTensor::MatricesOf(std::uint64_t columns) const {
  if (columns == 0 || sums.size() % columns != 0) return 0;
  const std::uint64_t matrices = sums.size() / columns;
  return shared_count || matrices == counts.size() ? matrices : 0;
}

Result<Imatrix> ParseImatrix(ByteSpan file) {
  if (AsText(file).starts_with("GGUF")) return ParseGgufImatrix(file);
  return ParseDat(file);
}

}  // namespace ingot::calibration
