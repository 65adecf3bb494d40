#include "jobs/sequential_prefix.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "artifact/reader.h"
#include "base/bytes.h"
#include "inspect/summary.h"
#include "pack/export_model.h"

namespace ingot::jobs {

namespace fs = std::filesystem;

constexpr std::size_t kNameDigits = 16;

void SequentialPrefix::Remove() {
  weights.reset();
  std::error_code error;  // statistics are there; what stays is named by what it is
  fs::remove_all(directory, error);
}

Result<SequentialPrefix> OpenSequentialPrefix(const std::string& artifact,
                                              const std::string& output, const Monitor& monitor) {
  INGOT_TRY(inspect::CheckNotAModel(artifact));
  INGOT_ASSIGN(const auto reader, artifact::ArtifactReader::Open(artifact, {}));
  SequentialPrefix prefix;
  const std::string hex = HexOf(reader->root());
  prefix.digest = "blake3:" + hex;
  prefix.directory = fmt::format("{}.prefix-{}", output, hex.substr(0, kNameDigits));
  std::error_code error;
  if (!fs::exists(prefix.directory, error)) {  // it appears whole
    pack::ExportOptions options;
    options.target = prefix.directory;
    options.progress = [&](std::uint64_t done, std::uint64_t total) {
      return monitor.Tell({"decoding the prefix", done, total});
    };
    INGOT_TRY(pack::ExportModel(*reader, options).status().At(artifact));
  }
  INGOT_ASSIGN(prefix.weights, model::Checkpoint::Open(prefix.directory));
  return prefix;
}

}  // namespace ingot::jobs
