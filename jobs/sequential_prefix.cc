#include "jobs/sequential_prefix.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "artifact/reader.h"
#include "base/bytes.h"
#include "base/file.h"
#include "files/atomic_file.h"
#include "files/owned_file.h"
#include "inspect/summary.h"
#include "pack/export_model.h"

namespace ingot::jobs {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kNameDigits = 16;
constexpr std::string_view kKeyFile = "key";
constexpr std::string_view kKeyMagic = "ingot prefix ";
constexpr std::string_view kModelFolder = "model";

std::string KeyPath(const std::string& directory) {
  return fmt::format("{}/{}", directory, kKeyFile);
}
std::string ModelPath(const std::string& directory) {
  return fmt::format("{}/{}", directory, kModelFolder);
}

// Makes or reopens the directory. InvalidArgument where something lies there that no run with this
// prefix put there.
Status OpenDirectory(const std::string& directory, const std::string& digest) {
  std::error_code error;
  if (fs::create_directory(directory, error))
    fs::permissions(directory, fs::perms::owner_all, error);
  if (error) return ErrnoStatus(error.value(), directory, "create");
  INGOT_TRY(files::CheckOwnDirectory(directory));
  const std::string key = std::string(kKeyMagic) + digest + "\n";
  const auto known = ReadFileToString(KeyPath(directory), 1 << 10);
  if (known.ok() && *known == key) return OkStatus();
  for (const auto& entry : fs::directory_iterator(directory, error))
    if (!files::IsTemporaryName(entry.path().filename().string()))
      return InvalidArgument(directory + ": was not made by calibration: move it away");
  if (error) return ErrnoStatus(error.value(), directory, "list");
  return files::WriteFileAtomic(KeyPath(directory), AsBytes(key));
}

}  // namespace

// Files that a run made, one by one: whatever else lies there stays, and so does its directory.
void SequentialPrefix::Remove() {
  weights.reset();
  std::error_code error;  // statistics are there; what stays is named by what it is
  for (const auto& entry : fs::directory_iterator(ModelPath(directory), error))
    if (entry.is_regular_file(error) && !entry.is_symlink(error)) fs::remove(entry.path(), error);
  fs::remove(ModelPath(directory), error);
  fs::remove(KeyPath(directory), error);
  fs::remove(directory, error);
}

Result<SequentialPrefix> OpenSequentialPrefix(const std::string& artifact,
                                              const std::string& output, const Monitor& monitor) {
  INGOT_TRY(inspect::CheckNotAModel(artifact));
  INGOT_ASSIGN(const auto reader, artifact::ArtifactReader::Open(artifact, {}));
  SequentialPrefix prefix;
  const std::string hex = HexOf(reader->root());
  prefix.digest = "blake3:" + hex;
  prefix.directory = fmt::format("{}.prefix-{}", output, hex.substr(0, kNameDigits));
  INGOT_TRY(OpenDirectory(prefix.directory, prefix.digest));
  const std::string model = ModelPath(prefix.directory);
  std::error_code error;
  if (!fs::exists(model, error)) {  // it appears whole
    pack::ExportOptions options;
    options.target = model;
    options.progress = [&](std::uint64_t done, std::uint64_t total) {
      return monitor.Tell({"decoding the prefix", done, total});
    };
    INGOT_TRY(pack::ExportModel(*reader, options).status().At(artifact));
  }
  INGOT_ASSIGN(prefix.weights, model::Checkpoint::Open(model));
  return prefix;
}

}  // namespace ingot::jobs
