#include "model/source/hf/model_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace ingot::model {
namespace {

namespace fs = std::filesystem;

// REQUIRES: both are canonical.
bool IsInside(const fs::path& file, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), file.begin(), file.end()).first ==
         folder.end();
}

// .../models--NAME/snapshots/REVISION[/...] -> .../models--NAME/blobs; empty elsewhere.
fs::path CacheBlobs(const fs::path& folder) {
  for (fs::path at = folder; at.has_relative_path(); at = at.parent_path())
    if (at.parent_path().filename() == "snapshots") return at.parent_path().parent_path() / "blobs";
  return {};
}

}  // namespace

Status CheckInFolder(const std::string& folder, const std::string& name) {
  std::error_code error;
  const fs::path file = fs::canonical(fs::path(folder) / name, error);
  if (error) return OkStatus();  // opening it will say what is wrong
  const fs::path root = fs::canonical(folder.empty() ? "." : folder, error);
  const fs::path blobs = CacheBlobs(root);
  if (IsInside(file, root) || (!blobs.empty() && IsInside(file, blobs))) return OkStatus();
  return Unsupported(fmt::format(
      "{}/{}: is a link out of the model's folder, to {}; put the file itself there if it belongs "
      "to the model",
      folder, name, file.string()));
}

}  // namespace ingot::model
