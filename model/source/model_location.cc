#include "model/source/model_location.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "model/text/json_text.h"
#include "model/text/lfs_pointer.h"

namespace ingot::model {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kArtifact = "\x89ING\r\n\x1a\n";  // artifact/format.h; a test compares
constexpr std::uint64_t kMaxSmallFile = 1 << 16;
constexpr std::size_t kMaxName = 96;  // on the Hub

bool Exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

bool IsFolder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool BeginsWith(const std::string& path, std::string_view magic) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return false;
  std::string head(magic.size(), '\0');
  const auto file = File::OpenRead(path);
  return file.ok() &&
         file->ReadAt(0, {reinterpret_cast<std::uint8_t*>(head.data()), head.size()}).ok() &&
         head == magic;
}

std::string Trimmed(std::string text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!text.empty() && is_space(text.back())) text.pop_back();
  return text;
}

bool IsCacheFolder(const fs::path& path) {
  return path.filename().string().starts_with("models--") && IsFolder(path / "snapshots");
}

// The snapshot of a model in a cache.
Result<std::string> Snapshot(const fs::path& folder) {
  const fs::path snapshots = folder / "snapshots";
  if (const auto main = ReadFileToString((folder / "refs/main").string(), kMaxSmallFile);
      main.ok()) {
    const std::string revision = Trimmed(*main);
    const bool plain = !revision.empty() && revision.find('/') == std::string::npos &&
                       revision != "." && revision != "..";
    if (plain && IsFolder(snapshots / revision)) return (snapshots / revision).string();
  }
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator it(snapshots, error), end; !error && it != end; it.increment(error))
    if (IsFolder(it->path())) found.push_back(it->path().string());
  std::sort(found.begin(), found.end());
  if (found.size() == 1) return found.front();
  if (found.empty())
    return NotFound(fmt::format("{}: a model of the Hub's cache without a snapshot; fetch it again",
                                folder.string()));
  return NotFound(
      fmt::format("{}: {} snapshots, and refs/main names none of them; give one by its path, as {}",
                  folder.string(), found.size(), found.front()));
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// As huggingface_hub looks for it.
fs::path HubCache() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const std::string cache = Environment(name); !cache.empty()) return cache;
  if (const std::string home = Environment("HF_HOME"); !home.empty()) return fs::path(home) / "hub";
  if (const std::string cache = Environment("XDG_CACHE_HOME"); !cache.empty())
    return fs::path(cache) / "huggingface/hub";
  const std::string home = Environment("HOME");
  return home.empty() ? fs::path() : fs::path(home) / ".cache/huggingface/hub";
}

// "org/name" or "name", as the Hub allows them.
bool IsHubName(std::string_view name) {
  const auto is_part = [](std::string_view part) {
    const auto fits = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_' || c == '.';
    };
    return !part.empty() && part.front() != '.' && part.front() != '-' &&
           std::ranges::all_of(part, fits);
  };
  const std::size_t slash = name.find('/');
  if (name.size() > kMaxName) return false;
  if (slash == std::string_view::npos) return is_part(name);
  return is_part(name.substr(0, slash)) && is_part(name.substr(slash + 1));
}

Result<std::string> FromCache(const std::string& name) {
  const fs::path cache = HubCache();
  std::string folder = "models--" + name;
  if (const std::size_t slash = folder.find('/'); slash != std::string::npos)
    folder.replace(slash, 1, "--");
  if (!cache.empty() && IsCacheFolder(cache / folder)) return Snapshot(cache / folder);
  return NotFound(fmt::format(
      "{}: no such file or directory, and no {} in the Hub's cache {}; nothing is downloaded here: "
      "fetch the model first and give its folder",
      name, folder, cache.empty() ? "(HF_HOME is not set)" : cache.string()));
}

// One file of a checkpoint that its folder describes: shards, or the only one.
bool IsOfFolder(const fs::path& file) {
  const std::string name = file.filename().string();
  const fs::path folder = file.parent_path();
  if (!Exists(folder / "config.json")) return false;
  if (name == "config.json" || name.ends_with(".index.json") || name == "model.safetensors")
    return true;
  return name.ends_with(".safetensors") && name.find("-of-") != std::string::npos &&
         Exists(folder / "model.safetensors.index.json");
}

}  // namespace

Result<std::string> LocateModel(const std::string& model) {
  const fs::path path(model);
  if (!Exists(path)) {
    if (IsHubName(model)) return FromCache(model);
    return NotFound(fmt::format("{}: no such file or directory", model));
  }
  fs::path plain = path;
  if (plain.filename().empty()) plain = plain.parent_path();  // "models--a--b/"
  if (IsCacheFolder(plain)) return Snapshot(plain);
  if (!IsFolder(path) && IsOfFolder(path)) {
    const std::string folder = path.parent_path().string();
    return folder.empty() ? std::string(".") : folder;
  }
  return model;
}

Status CheckIsNoPointer(const std::string& file) {
  if (!BeginsWith(file, kLfsPointer)) return OkStatus();
  const auto text = ReadFileToString(file, kMaxSmallFile);
  std::string size;
  if (text.ok())
    if (const std::size_t at = text->find("\nsize "); at != std::string::npos)
      size = text->substr(at + 6, std::min<std::size_t>(text->find('\n', at + 1) - at - 6, 20));
  return Corruption(
      fmt::format("{}: is a Git LFS pointer, not the file itself{}; fetch it with 'git lfs pull'",
                  file, size.empty() ? "" : fmt::format(" of {} bytes", Trimmed(size))));
}

Status CheckIsNoArtifact(const std::string& file) {
  if (!BeginsWith(file, kArtifact)) return OkStatus();
  return Unsupported(fmt::format(
      "{}: is an Ingot artifact already, a packed model; give the model that it was made from",
      file));
}

Status CheckIsNoAdapter(const std::string& folder) {
  const fs::path config = fs::path(folder) / "adapter_config.json";
  if (!Exists(config) || Exists(fs::path(folder) / "config.json")) return OkStatus();
  std::string base = "its base model";
  if (const auto text = ReadFileToString(config.string(), kMaxSmallFile); text.ok())
    if (const auto json = ParseJson(*text); json.ok() && json->is_object())
      if (const auto name = json->find("base_model_name_or_path");
          name != json->end() && name->is_string())
        base = "'" + name->get<std::string>() + "'";
  return Unsupported(fmt::format(
      "{}: is a LoRA adapter (adapter_config.json), not a model; merge it into {} first (PEFT's "
      "merge_and_unload, then save_pretrained) and give that folder",
      folder, base));
}

}  // namespace ingot::model
