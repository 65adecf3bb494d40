#include "calibration/statistics.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/parallel.h"
#include "calibration/content_digest.h"
#include "model/source/safetensors.h"
#include "untrusted/json_guard.h"

namespace ingot::calibration {
namespace {

using model::Json;
using model::SafetensorsEntry;

constexpr std::uint64_t kProbeBytes = 4096;
constexpr std::size_t kHashBytes = 16 << 20;
constexpr std::size_t kScanGrain = 1 << 16;

// Rows that cover the first and the last kProbeBytes of a tensor.
Status HashProbes(const model::Checkpoint& checkpoint, const model::TensorInfo& tensor,
                  Hasher& hasher) {
  const std::uint64_t row_bytes = tensor.cols() * DTypeBytes(tensor.dtype);
  if (row_bytes == 0 || tensor.rows() == 0) return OkStatus();
  const std::uint64_t rows = std::min(tensor.rows(), CeilDiv(kProbeBytes, row_bytes));
  std::vector<std::uint8_t> bytes(rows * row_bytes);
  const std::uint64_t probe = std::min<std::uint64_t>(kProbeBytes, bytes.size());
  INGOT_TRY(checkpoint.ReadRows(tensor, 0, rows, bytes));
  hasher.Update({bytes.data(), probe});
  INGOT_TRY(checkpoint.ReadRows(tensor, tensor.rows() - rows, tensor.rows(), bytes));
  hasher.Update({bytes.data() + bytes.size() - probe, probe});
  return OkStatus();
}

// The pages of what was looked at leave the process: the file may be larger than its memory.
void Drop(ByteSpan values) {
  constexpr std::uintptr_t kPage = 4096;
  const auto begin = reinterpret_cast<std::uintptr_t>(values.data()) & ~(kPage - 1);
  const auto end = reinterpret_cast<std::uintptr_t>(values.data() + values.size());
  if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

Status CheckFinite(std::span<const float> values) {
  const std::size_t blocks = CeilDiv(values.size(), kScanGrain);
  std::vector<std::uint8_t> bad(blocks);
  ParallelFor(blocks, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t b = begin; b < end; ++b) {
      const auto part =
          values.subspan(b * kScanGrain, std::min(kScanGrain, values.size() - b * kScanGrain));
      float sum = 0;  // 0 * x is NaN where x is NaN or infinite
      for (const float v : part) sum += 0 * v;
      bad[b] = std::isnan(sum);
    }
  });
  const auto first = std::find(bad.begin(), bad.end(), 1);
  if (first == bad.end()) return OkStatus();
  std::size_t i = static_cast<std::size_t>(first - bad.begin()) * kScanGrain;
  while (std::isfinite(values[i])) ++i;
  return Corruption(fmt::format("value {} is {}: calibrate anew", i, values[i]));
}

// Corruption where the file is not what was written, as far as it says what that is.
Status CheckContent(ByteSpan file, const std::string& known) {
  if (known.empty()) return OkStatus();
  const auto header_bytes = LoadLe<std::uint64_t>(file.data());
  std::string header(AsText(file.subspan(sizeof header_bytes, header_bytes)));
  if (const std::size_t at = header.find(known); at != std::string::npos)
    header.replace(at, known.size(), kNoDigest);
  Hasher hasher;
  hasher.Update(AsBytes(header));
  ByteSpan rest = file.subspan(sizeof header_bytes + header_bytes);
  while (!rest.empty()) {
    const ByteSpan block = rest.first(std::min<std::size_t>(rest.size(), kHashBytes));
    hasher.Update(block);
    Drop(block);
    rest = rest.subspan(block.size());
  }
  if (HexOf(hasher.Finish()) == known) return OkStatus();
  return Corruption("is not what was written, some of its bytes were changed: calibrate anew");
}

}  // namespace

Result<std::string> ModelFingerprint(const model::Checkpoint& checkpoint) {
  Hasher hasher;
  for (const model::TensorInfo& tensor : checkpoint.tensors()) {
    const std::string line = fmt::format("{} {} {}\n", tensor.name, DTypeName(tensor.dtype),
                                         fmt::join(tensor.shape, "x"));
    hasher.Update(AsBytes(line));
    INGOT_TRY(HashProbes(checkpoint, tensor, hasher).At(tensor.name));
  }
  return "blake3:" + HexOf(hasher.Finish());
}

Result<std::shared_ptr<const Statistics>> Statistics::Open(const std::string& path) {
  const std::shared_ptr<Statistics> file(new Statistics());
  INGOT_ASSIGN(file->file_, model::MappedFile::Open(path));
  const ByteSpan bytes = file->file_.bytes();
  INGOT_ASSIGN(const std::vector<SafetensorsEntry> entries,
               model::ParseSafetensors(bytes).At(path));
  INGOT_TRY(file->ReadMetadata().At(path));
  INGOT_TRY(CheckContent(bytes, file->metadata_.value(kContentDigest, "")).At(path));
  for (const SafetensorsEntry& entry : entries) {
    INGOT_TRY(file->AddEntry(entry).At(fmt::format("{}: '{}'", path, entry.name)));
  }
  return std::shared_ptr<const Statistics>(file);
}

Status Statistics::CheckModel(const model::Checkpoint& checkpoint) const {
  INGOT_ASSIGN(const std::string fingerprint, ModelFingerprint(checkpoint));
  const std::string known = metadata_.value("model", "");
  if (known == fingerprint) return OkStatus();
  return InvalidArgument(
      fmt::format("the statistics were taken from another model (theirs {}, this one {}): "
                  "calibrate {} anew",
                  known.empty() ? "unnamed" : known, fingerprint, checkpoint.path()));
}

Result<codecs::TensorGuide> Statistics::Guide(std::string_view weight, std::uint64_t rows,
                                              std::uint64_t cols) const {
  const std::string input = InputOf(weight);
  codecs::TensorGuide guide;
  guide.rows = rows;
  guide.cols = cols;
  INGOT_ASSIGN(guide.hessian, Values("hessian/" + input, {cols, cols}));
  INGOT_ASSIGN(guide.diagonal, Values("diagonal/" + input, {cols}));
  INGOT_ASSIGN(guide.mean_abs, Values("mean_abs/" + input, {cols}));
  INGOT_ASSIGN(guide.row_fisher, Values("fisher/" + std::string(weight), {rows}));
  return guide;
}

std::string Statistics::InputOf(std::string_view weight) const {
  const auto it = inputs_.find(weight);
  return it == inputs_.end() ? std::string(weight) : it->second;
}

std::uint64_t Statistics::TokensOf(std::string_view weight) const {
  const auto it = entries_.find("tokens/" + InputOf(weight));
  if (it == entries_.end() || it->second.values.empty()) return 0;
  return static_cast<std::uint64_t>(std::max(0.0f, it->second.values[0]));
}

Status Statistics::ReadMetadata() {
  const ByteSpan bytes = file_.bytes();
  const auto header_bytes = LoadLe<std::uint64_t>(bytes.data());
  const ByteSpan header = bytes.subspan(sizeof(std::uint64_t), header_bytes);
  INGOT_ASSIGN(const Json json, untrusted::ParseJson(AsText(header), {}).At("header"));
  if (!json.is_object()) return Corruption("the header is not an object");
  metadata_ = json.value("__metadata__", Json::object());
  if (!metadata_.is_object()) return Corruption("the metadata are not an object");
  for (const auto& [key, value] : metadata_.items())
    if (!value.is_string()) return Corruption("metadata '" + key + "' is not text");
  if (metadata_.value("format", "") != kStatisticsFormat)
    return Corruption(fmt::format("no statistics file: its metadata does not say format '{}'",
                                  kStatisticsFormat));
  INGOT_ASSIGN(const Json inputs, untrusted::ParseJson(metadata_.value("inputs", "{}"), {}).At("inputs"));
  if (!inputs.is_object()) return Corruption("'inputs' is not an object");
  for (const auto& [weight, input] : inputs.items()) {
    if (!input.is_string()) return Corruption("'inputs' of " + weight + " is not a name");
    inputs_.emplace(weight, input.get<std::string>());
  }
  digest_ = "blake3:" + HexOf(DigestOf(header));
  return OkStatus();
}

Status Statistics::AddEntry(const model::SafetensorsEntry& entry) {
  if (entry.dtype != "F32") return Corruption("is " + entry.dtype + ", statistics are F32");
  if (entry.offset % sizeof(float) != 0) return Corruption("is not aligned to 4 bytes");
  const auto* data = reinterpret_cast<const float*>(file_.bytes().data() + entry.offset);
  const std::span<const float> values(data, entry.bytes / sizeof(float));
  INGOT_TRY(CheckFinite(values));
  Drop(BytesOf(values));
  entries_[entry.name] = {entry.shape, values};
  return OkStatus();
}

Result<std::span<const float>> Statistics::Values(const std::string& name,
                                                  const std::vector<std::uint64_t>& shape) const {
  const auto it = entries_.find(name);
  if (it == entries_.end()) return std::span<const float>();
  if (it->second.shape != shape)
    return InvalidArgument(fmt::format("statistics '{}' are {}, the weights need {}", name,
                                       fmt::join(it->second.shape, " x "),
                                       fmt::join(shape, " x ")));
  return it->second.values;
}

}  // namespace ingot::calibration
