#include "pack/provenance.h"

#include <fmt/format.h>

#include "artifact/reader.h"
#include "pack/source_files.h"

namespace ingot::pack {
Result<Json> MakeProvenance(const model::Checkpoint& checkpoint, const PackPlan& plan,
                            const std::string& tool) {
  INGOT_ASSIGN(const std::vector<SourceFile> files, SourceFiles(checkpoint));
  Json file_list = Json::array();
  for (const SourceFile& file : files)
    file_list.push_back({{"name", file.name}, {"bytes", file.bytes}});
  std::uint64_t source_bytes = 0;
  for (const PlannedTensor& tensor : plan.tensors) source_bytes += tensor.source_bytes();
  Json rules = Json::array();
  for (const Rule& rule : plan.rules) rules.push_back(rule.text);
  Json provenance = {
      {"tool", tool},
      {"source",
       {{"format", checkpoint.format()}, {"files", file_list}, {"tensor_bytes", source_bytes}}},
      {"recipe",
       {{"linear", RecipeText(plan.preset.linear)},
        {"embedding", RecipeText(plan.preset.embedding)},
        {"head", RecipeText(plan.preset.head)},
        {"rules", rules}}}};
  if (!plan.allocation.is_null()) provenance["allocation"] = plan.allocation;
  if (plan.statistics != nullptr) {
    const Json& metadata = plan.statistics->metadata();
    Json calibration = {{"digest", plan.statistics->digest()}};
    for (const char* key : {"text", "seed", "tokens", "backward_tokens", "probe_tokens", "tool"})
      if (metadata.contains(key)) calibration[key] = metadata[key];
    provenance["calibration"] = std::move(calibration);
  }
  if (!plan.unused.empty()) provenance["source"]["unused_tensors"] = plan.unused;
  if (!plan.nonfinite.empty()) provenance["source"]["nonfinite_tensors"] = plan.nonfinite;
  return provenance;
}

Result<std::string> Fingerprint(const model::Checkpoint& checkpoint, const PackPlan& plan,
                                const Json& provenance) {
  INGOT_ASSIGN(const std::vector<SourceFile> files, SourceFiles(checkpoint));
  std::string text = provenance.dump() + "\n" + checkpoint.config().dump() + "\n";
  for (const SourceFile& file : files)
    text += fmt::format("{} {} {}\n", file.name, file.bytes, file.modified_ns);
  for (const PlannedTensor& tensor : plan.tensors)
    text += fmt::format("{} {} {}x{} {} {} {}\n", tensor.source.name,
                        DTypeName(tensor.source.dtype), tensor.rows, tensor.cols, tensor.slab_rows,
                        tensor.transposed, RecipeText(tensor.recipe));
  for (const auto& [name, content] : checkpoint.assets())
    text += fmt::format("{} {}\n", name, HexOf(DigestOf(AsBytes(content))));
  return HexOf(DigestOf(AsBytes(text)));
}

std::string SourceLine(const PlannedTensor& tensor, const std::vector<std::string>& slab_digests) {
  std::string line =
      fmt::format("{} {} {}x{} {}", tensor.source.name, DTypeName(tensor.source.dtype), tensor.rows,
                  tensor.cols, tensor.slab_rows);
  for (const std::string& digest : slab_digests) line += " " + digest;
  return line + "\n";
}

}  // namespace ingot::pack
