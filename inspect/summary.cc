#include "inspect/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/digest.h"
#include "base/dtype.h"
#include "base/file.h"
#include "stored/plane_record.h"

namespace ingot::inspect {
namespace {

constexpr std::size_t kMostClasses = 16;

double BitsPerWeight(std::uint64_t bytes, std::uint64_t weights) {
  return weights == 0 ? 0.0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

// The attribute, or nothing (0, "") where there is none of this type.
template <typename T>
T ValueOf(const codecs::Attributes& attributes, const char* name) {
  const auto it = attributes.find(name);
  const T* value = it == attributes.end() ? nullptr : std::get_if<T>(&it->second);
  return value == nullptr ? T() : *value;
}

std::uint64_t StoredBytes(const artifact::StreamRecord& stream,
                          std::span<const artifact::ChunkEntry> chunks) {
  std::uint64_t bytes = 0;
  for (const artifact::ChunkEntry& chunk : chunks.subspan(stream.first_chunk, stream.chunk_count))
    bytes += chunk.stored_bytes;
  return bytes;
}

// What tells contents apart: two tensors of one are the same bytes, coded alike.
std::string ContentOf(const artifact::TensorRecord& record,
                      std::span<const artifact::ChunkEntry> chunks) {
  Hasher hasher;
  for (const artifact::PlaneRecord& plane : record.planes)
    for (const artifact::StreamRecord& stream : plane.streams)
      for (const artifact::ChunkEntry& chunk :
           chunks.subspan(stream.first_chunk, stream.chunk_count))
        hasher.Update(chunk.digest);
  return HexOf(hasher.Finish());
}

TensorSummary SummarizeTensor(const artifact::TensorRecord& record,
                              std::span<const artifact::ChunkEntry> chunks) {
  TensorSummary tensor;
  tensor.name = record.name;
  tensor.shape = record.shape;
  tensor.dtype = record.dtype;
  tensor.codec = record.codec;
  tensor.role = record.role;
  tensor.layer = record.layer;
  if (record.extra.contains("relative_error") && record.extra["relative_error"].is_number())
    tensor.relative_error = record.extra["relative_error"].get<double>();
  if (record.extra.contains("predicted_loss") && record.extra["predicted_loss"].is_number())
    tensor.predicted_loss = record.extra["predicted_loss"].get<double>();
  if (const auto classes = record.extra.find("planes_by_class");
      classes != record.extra.end() && classes->is_array() && classes->size() <= kMostClasses)
    for (const Json& count : *classes)
      tensor.planes_by_class.push_back(count.is_number_integer() ? count.get<int>() : 0);
  tensor.size.tensors = 1;
  tensor.size.weights = 1;
  for (const std::uint64_t n : record.shape) tensor.size.weights *= n;  // checked by the manifest
  if (const auto dtype = ParseDType(record.dtype); dtype.ok())
    tensor.size.source_bytes = tensor.size.weights * DTypeBytes(*dtype);
  for (const artifact::PlaneRecord& plane_record : record.planes) {
    PlaneSummary plane{plane_record.kind, DescribePlane(plane_record), plane_record.level, 0, 0};
    for (const artifact::StreamRecord& stream : plane_record.streams) {
      plane.stored_bytes += StoredBytes(stream, chunks);
      plane.resident_bytes += stream.bytes;
    }
    tensor.size.stored_bytes += plane.stored_bytes;
    tensor.size.resident_bytes += plane.resident_bytes;
    tensor.planes.push_back(std::move(plane));
  }
  tensor.content = ContentOf(record, chunks);
  return tensor;
}

SignatureSummary SummarizeSignature(const artifact::Signature& signature,
                                    const Digest& root,
                                    const artifact::VerifyingKey* key) {
  SignatureSummary out;
  out.kind = artifact::SignatureKindName(signature.kind);
  out.key_id = signature.key_id;
  out.trusted = key != nullptr && artifact::VerifyRoot(*key, root, signature).ok();
  out.verifies = out.trusted || (signature.kind == artifact::SignatureKind::kEd25519 &&
                                 artifact::SelfConsistent(root, signature));
  return out;
}

Json TensorJson(const TensorSummary& tensor) {
  Json planes = Json::array();
  for (const PlaneSummary& plane : tensor.planes)
    planes.push_back({{"kind", plane.kind},
                      {"description", plane.description},
                      {"level", plane.level},
                      {"bytes", plane.stored_bytes},
                      {"resident_bytes", plane.resident_bytes}});
  Json json = {{"name", tensor.name},
               {"shape", tensor.shape},
               {"dtype", tensor.dtype},
               {"codec", tensor.codec},
               {"role", tensor.role},
               {"layer", tensor.layer},
               {"planes", planes},
               {"bytes", tensor.size.stored_bytes},
               {"resident_bytes", tensor.size.resident_bytes},
               {"bits_per_weight", tensor.size.stored_bits_per_weight()},
               {"bits_per_weight_resident", tensor.size.resident_bits_per_weight()}};
  if (tensor.relative_error >= 0) json["relative_error"] = tensor.relative_error;
  if (tensor.predicted_loss >= 0) json["predicted_loss"] = tensor.predicted_loss;
  if (!tensor.planes_by_class.empty()) json["planes_by_class"] = tensor.planes_by_class;
  return json;
}

}  // namespace

std::string DescribePlane(const artifact::PlaneRecord& plane) {
  const auto spec = stored::SpecOf(plane);
  if (!spec.ok()) return plane.kind + " (bad attributes)";
  const auto number = [&](const char* name) {
    return ValueOf<std::int64_t>(spec->attributes, name);
  };
  const auto text = [&](const char* name) { return ValueOf<std::string>(spec->attributes, name); };
  std::string out = plane.kind;
  if (number("bits") > 0) out += std::to_string(number("bits"));
  if (number("group") > 0) out += fmt::format(" g{}", number("group"));
  if (number("block") > 0) out += fmt::format(" b{}", number("block"));
  if (!text("levels").empty() && text("levels") != "symmetric") out += " " + text("levels");
  if (!text("scales").empty() && text("scales") != "f16") out += " " + text("scales");
  if (!text("dtype").empty()) out += " " + text("dtype");
  return out;
}

SizeSum& SizeSum::operator+=(const SizeSum& other) {
  tensors += other.tensors;
  weights += other.weights;
  stored_bytes += other.stored_bytes;
  resident_bytes += other.resident_bytes;
  source_bytes += other.source_bytes;
  return *this;
}

double SizeSum::stored_bits_per_weight() const { return BitsPerWeight(stored_bytes, weights); }
double SizeSum::resident_bits_per_weight() const { return BitsPerWeight(resident_bytes, weights); }

SizeSum Summary::role(const std::string& name) const {
  const auto it = by_role.find(name);
  return it == by_role.end() ? SizeSum{} : it->second;
}

Summary Summarize(const artifact::ArtifactReader& reader, const artifact::VerifyingKey* key) {
  const artifact::Manifest& manifest = reader.manifest();
  Summary summary;
  summary.config = manifest.config;
  summary.provenance = manifest.provenance;
  summary.format_major = reader.header().major;
  summary.format_minor = reader.header().minor;
  summary.file_bytes = reader.header().file_bytes;
  summary.prefix_bytes = reader.header().data_offset;
  summary.chunk_count = reader.chunks().size();
  summary.root_digest = HexOf(reader.root());
  summary.base_root = manifest.base_root;
  for (const artifact::ExitRecord& exit : manifest.exits) summary.exit_layers.push_back(exit.layer);
  summary.draft_layers = manifest.draft_layers;
  summary.complete_level = reader.complete_level();
  for (int level = 0; level < reader.level_count(); ++level)
    summary.level_ends.push_back(reader.level_end(level));
  for (const artifact::AssetRecord& asset : manifest.assets)
    summary.asset_bytes += StoredBytes(asset.stream, reader.chunks());
  for (const artifact::TensorRecord& record : manifest.tensors) {
    TensorSummary tensor = SummarizeTensor(record, reader.chunks());
    summary.by_role[tensor.role] += tensor.size;
    summary.total += tensor.size;
    for (const PlaneSummary& plane : tensor.planes) {
      const auto level = static_cast<std::size_t>(std::max(plane.level, 0));
      if (summary.level_bytes.size() <= level) summary.level_bytes.resize(level + 1);
      summary.level_bytes[level] += plane.stored_bytes;
    }
    summary.tensors.push_back(std::move(tensor));
  }
  for (const artifact::Signature& signature : reader.signatures())
    summary.signatures.push_back(SummarizeSignature(signature, reader.root(), key));
  return summary;
}

std::string MissingLevels(const artifact::ArtifactReader& reader) {
  const int present = reader.complete_level() + 1;
  if (present >= reader.level_count()) return {};
  return fmt::format(
      "is cut short: level {} of 0 to {} is the last that is complete, and what follows is of that "
      "quality; --levels {} asks for it",
      present - 1, reader.level_count() - 1, present);
}

void KeepLevels(Summary& summary, int levels) {
  summary.by_role.clear();
  summary.total = SizeSum();
  for (TensorSummary& tensor : summary.tensors) {
    std::erase_if(tensor.planes, [&](const PlaneSummary& plane) { return plane.level >= levels; });
    tensor.size.stored_bytes = tensor.size.resident_bytes = 0;
    for (const PlaneSummary& plane : tensor.planes) {
      tensor.size.stored_bytes += plane.stored_bytes;
      tensor.size.resident_bytes += plane.resident_bytes;
    }
    summary.by_role[tensor.role] += tensor.size;
    summary.total += tensor.size;
  }
  const auto kept = static_cast<std::size_t>(std::max(levels, 0));
  if (summary.level_ends.size() > kept) summary.level_ends.resize(kept);
  for (; summary.level_bytes.size() > kept; summary.level_bytes.pop_back())
    summary.file_bytes -= std::min(summary.file_bytes, summary.level_bytes.back());
}

Json SummaryJson(const Summary& summary) {
  Json roles = Json::object();
  for (const auto& [role, size] : summary.by_role)
    roles[role] = {
        {"tensors", size.tensors},           {"weights", size.weights},
        {"bytes", size.stored_bytes},        {"resident_bytes", size.resident_bytes},
        {"source_bytes", size.source_bytes}, {"bits_per_weight", size.stored_bits_per_weight()}};
  Json tensors = Json::array();
  for (const TensorSummary& tensor : summary.tensors) tensors.push_back(TensorJson(tensor));
  Json signatures = Json::array();
  for (const SignatureSummary& signature : summary.signatures)
    signatures.push_back({{"kind", signature.kind},
                          {"key_id", signature.key_id},
                          {"verifies", signature.verifies},
                          {"trusted", signature.trusted}});
  const SizeSum linear = summary.role("linear");
  Json json = {{"format", fmt::format("{}.{}", summary.format_major, summary.format_minor)},
               {"bytes", summary.file_bytes},
               {"bits_per_weight_linear", linear.stored_bits_per_weight()},
               {"bits_per_weight_linear_resident", linear.resident_bits_per_weight()},
               {"bits_per_weight_total", summary.total.stored_bits_per_weight()},
               {"bits_per_weight_total_resident", summary.total.resident_bits_per_weight()},
               {"bits_per_weight_file", BitsPerWeight(summary.file_bytes, summary.total.weights)},
               {"weights", summary.total.weights},
               {"resident_bytes", summary.total.resident_bytes},
               {"source_bytes", summary.total.source_bytes},
               {"prefix_bytes", summary.prefix_bytes},
               {"asset_bytes", summary.asset_bytes},
               {"chunks", summary.chunk_count},
               {"root_digest", summary.root_digest},
               {"signatures", signatures},
               {"complete_level", summary.complete_level},
               {"level_bytes", summary.level_bytes},
               {"level_ends", summary.level_ends},
               {"sizes", roles},
               {"config", summary.config},
               {"provenance", summary.provenance},
               {"tensors", tensors}};
  if (!summary.base_root.empty()) json["base_root_digest"] = summary.base_root;
  if (!summary.exit_layers.empty()) json["exit_layers"] = summary.exit_layers;
  if (!summary.draft_layers.empty()) json["draft_layers"] = summary.draft_layers;
  return json;
}

Status CheckNotAModel(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const std::string advice = "pack it first: ingot pack " + path + " -o FILE.ingot";
  if (fs::is_directory(path, ignored)) {
    if (fs::exists(fs::path(path) / "config.json", ignored))
      return InvalidArgument(
          fmt::format("{}: is a model directory, not an artifact; {}", path, advice));
    return InvalidArgument(fmt::format("{}: is a directory, not an artifact", path));
  }
  const auto file = File::OpenRead(path);
  std::uint8_t magic[4] = {};
  if (!file.ok() || !file->ReadAt(0, magic).ok()) return OkStatus();
  if (AsText(magic) == "GGUF")
    return InvalidArgument(fmt::format("{}: is a GGUF file, not an artifact; {}", path, advice));
  return OkStatus();
}

}  // namespace ingot::inspect
