// Checkpoint::Open: which source a path is.
#include <fmt/format.h>

#include <filesystem>

#include "model/source/checkpoint.h"
#include "model/source/checkpoint_sources.h"
#include "model/source/hf/model_folder.h"
#include "model/source/model_location.h"
#include "model/source/rwkv/rwkv_checkpoint.h"
#include "model/source/torch/torch_file.h"

namespace ingot::model {
namespace {

// The one .pth file of a directory without config.json, as the original RWKV is published; empty
// where there is none.
Result<std::string> LonePth(const std::string& directory) {
  std::error_code error;
  if (std::filesystem::exists(directory + "/config.json", error)) return std::string();
  std::string found;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().extension() != ".pth") continue;
    if (!found.empty())
      return NotFound(fmt::format(
          "{}: no config.json, and several .pth files; give one by its path", directory));
    found = it->path().string();
  }
  return found;
}

}  // namespace

Result<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& model) {
  INGOT_ASSIGN(const std::string path, LocateModel(model));
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    INGOT_TRY(CheckIsNoAdapter(path));
    INGOT_ASSIGN(const std::string lone, LonePth(path));
    if (!lone.empty())
      INGOT_TRY(CheckInFolder(path, std::filesystem::path(lone).filename().string()));
    INGOT_ASSIGN(auto checkpoint,
                 lone.empty() ? OpenHfCheckpoint(path) : OpenTorchCheckpoint(lone));
    return AdaptRwkv(std::move(checkpoint));
  }
  INGOT_TRY(CheckIsNoPointer(path));
  INGOT_TRY(CheckIsNoArtifact(path));
  if (IsRwkvCppFile(path)) {
    INGOT_ASSIGN(auto checkpoint, OpenRwkvCppCheckpoint(path));
    return AdaptRwkv(std::move(checkpoint));
  }
  if (HasTorchExtension(path) || path.ends_with(".safetensors")) {
    INGOT_ASSIGN(auto checkpoint, OpenTorchCheckpoint(path));
    return AdaptRwkv(std::move(checkpoint));
  }
  return OpenGgufCheckpoint(path);
}

}  // namespace ingot::model
