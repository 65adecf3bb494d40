#include "jobs/inspect_job.h"

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <utility>

#include "artifact/format.h"
#include "base/file.h"
#include "jobs/calibration_setup.h"
#include "model/source/model_location.h"
#include "pack/plan.h"
#include "pack/source_files.h"
#include "untrusted/text_input.h"

namespace ingot::jobs {

bool IsSource(const std::string& path) {
  if (const auto located = model::LocateModel(path); located.ok() && *located != path) return true;
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return true;
  const std::string extension = std::filesystem::path(path).extension();
  const bool weights = extension == ".gguf" || extension == ".pth" || extension == ".pt" ||
                       extension == ".bin" || extension == ".safetensors";
  std::uint8_t head[4] = {};
  const auto file = File::OpenRead(path);
  if (!file.ok() || !file->ReadAt(0, head).ok()) return false;
  const bool artifact = std::memcmp(head, artifact::kMagic.data(), sizeof head) == 0;
  return AsText(head) == "GGUF" || (weights && !artifact);
}

Result<std::unique_ptr<artifact::ArtifactReader>> OpenToInspect(const std::string& path,
                                                                const artifact::VerifyingKey* key) {
  artifact::OpenOptions open;
  open.key = key;
  open.allow_truncated = true;
  open.whole_levels = true;
  open.allow_delta = true;
  open.keep_piped = false;
  if (path != "-") return artifact::ArtifactReader::Open(path, open);
  auto reader = artifact::ArtifactReader::OpenPipe(STDIN_FILENO, open);
  if (!reader.ok()) return std::move(reader).status().At(untrusted::TextName(path));
  return reader;
}

Result<inspect::Summary> SummaryOfSource(const model::Checkpoint& checkpoint) {
  INGOT_ASSIGN(const model::Architecture architecture, ArchitectureOf(checkpoint));
  INGOT_ASSIGN(const std::vector<pack::SourceFile> files, pack::SourceFiles(checkpoint));
  inspect::Summary summary;
  summary.config = checkpoint.config();
  for (const pack::SourceFile& file : files) summary.file_bytes += file.bytes;
  const auto add = [&](const model::TensorInfo& info, const std::string& role, int layer,
                       const std::vector<std::uint64_t>& shape) {
    inspect::TensorSummary tensor;
    tensor.name = info.name;
    tensor.shape = shape;
    tensor.dtype = tensor.codec = info.stored_type;
    tensor.role = role;
    tensor.layer = layer;
    tensor.size = {.tensors = 1,
                   .weights = info.elements(),
                   .stored_bytes = info.stored_bytes,
                   .resident_bytes = 0,
                   .source_bytes = info.stored_bytes};
    summary.by_role[role] += tensor.size;
    summary.total += tensor.size;
    summary.tensors.push_back(std::move(tensor));
  };
  std::map<std::string, bool, std::less<>> used;
  for (const model::TensorUse& use : model::TensorUses(architecture))
    if (const model::TensorInfo* info = checkpoint.Find(use.name);
        info != nullptr && used.emplace(use.name, true).second) {
      // As an artifact holds it.
      std::vector<std::uint64_t> shape = info->shape;
      if (use.transposed && shape.size() == 2) std::swap(shape[0], shape[1]);
      add(*info, std::string(pack::RoleName(use.role)), use.layer, shape);
    }
  for (const model::TensorInfo& info : checkpoint.tensors())
    if (!used.contains(info.name)) add(info, "unused", -1, info.shape);
  return summary;
}

Result<inspect::Summary> SummaryOf(const std::string& path, const artifact::VerifyingKey* key) {
  if (IsSource(path)) {
    if (key != nullptr) return InvalidArgument(path + ": is a source model, which nobody signs");
    INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(path));
    return SummaryOfSource(*checkpoint);
  }
  INGOT_ASSIGN(const auto reader, OpenToInspect(path, key));
  return inspect::Summarize(*reader, key);
}

}  // namespace ingot::jobs
