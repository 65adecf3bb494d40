#include "calibration/work_directory.h"

#include <fmt/format.h>
#include <filesystem>
#include <utility>

#include "base/bytes.h"
#include "files/atomic_file.h"
#include "files/owned_file.h"

namespace ingot::calibration {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kKeyFile = "key";
constexpr std::string_view kKeyMagic = "ingot calibration ";
constexpr std::size_t kBootIdChars = 36;

// Tells boots of the machine apart; empty where the system has no such file.
std::string BootId() {
  const auto file = File::OpenRead("/proc/sys/kernel/random/boot_id");
  std::string id(kBootIdChars, '\0');  // the file says that it is empty
  const MutableByteSpan bytes{reinterpret_cast<std::uint8_t*>(id.data()), id.size()};
  return file.ok() && file->ReadAt(0, bytes).ok() ? id : std::string();
}

bool IsOurs(const fs::path& path) {
  return path.filename() == kKeyFile || path.extension() == ".part" || path.extension() == ".f32" ||
         files::IsTemporaryName(path.filename().string());
}

// Whether nothing but the temporary of a key lies there.
bool IsFresh(const std::string& path) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error))
    if (!files::IsTemporaryName(entry.path().filename().string())) return false;
  return !error;
}

Status FromError(const std::error_code& error, const std::string& path, std::string_view action) {
  return error ? ErrnoStatus(error.value(), path, action) : OkStatus();
}

// Removes a run's files and nothing else; the key last, so that what a kill leaves is known as
// ours.
Status Clear(const std::string& path) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error))
    if (!IsOurs(entry.path()) || !entry.is_regular_file())
      return InvalidArgument(fmt::format("{}: '{}' was not made by calibration: move it away", path,
                                         entry.path().filename().string()));
  INGOT_TRY(FromError(error, path, "list"));
  for (const auto& entry : fs::directory_iterator(path, error)) {
    if (entry.path().filename() == kKeyFile) continue;
    fs::remove(entry.path(), error);
    INGOT_TRY(FromError(error, entry.path().string(), "remove"));
  }
  INGOT_TRY(FromError(error, path, "list"));
  fs::remove(path + "/" + std::string(kKeyFile), error);
  return FromError(error, path, "remove the key in it");
}

}  // namespace

Result<ActivationFile> ActivationFile::Open(const std::string& path, std::size_t windows,
                                            std::size_t values) {
  INGOT_ASSIGN(File file, File::OpenReadWrite(path));
  return ActivationFile(std::move(file), windows, values);
}

Status ActivationFile::Read(std::size_t window, std::span<float> out) const {
  INGOT_CHECK(window < windows_ && out.size() == values_);
  return file_.ReadAt(window * values_ * sizeof(float),
                      {reinterpret_cast<std::uint8_t*>(out.data()), out.size_bytes()});
}

Status ActivationFile::Write(std::size_t window, std::span<const float> values) {
  INGOT_CHECK(window < windows_ && values.size() == values_);
  return file_.WriteAt(window * values_ * sizeof(float), BytesOf(values));
}

Result<std::unique_ptr<WorkDirectory>> WorkDirectory::Open(const std::string& path,
                                                           const std::string& fingerprint) {
  std::error_code error;
  const bool made = fs::create_directories(path, error);
  INGOT_TRY(FromError(error, path, "create"));
  if (made) fs::permissions(path, fs::perms(0700), error);
  // What lies in a directory of somebody else's, or one that others may write, is not resumed from.
  INGOT_TRY(files::CheckOwnDirectory(path));
  std::unique_ptr<WorkDirectory> work(new WorkDirectory(path));
  const std::string key_path = path + "/" + std::string(kKeyFile);
  const std::string key = std::string(kKeyMagic) + fingerprint + " " + BootId();
  const auto known = ReadFileToString(key_path, 1 << 20);
  if (known.ok() && *known == key) {
    work->resumed_ = true;
    return work;
  }
  const bool ours = known.ok() && known->starts_with(kKeyMagic);
  if (!ours && !IsFresh(path))
    return InvalidArgument(fmt::format("{}: was not made by calibration: move it away", path));
  INGOT_TRY(Clear(path));
  INGOT_TRY(files::WriteFileAtomic(key_path, AsBytes(key)));
  return work;
}

std::string WorkDirectory::Part(std::string_view name) const {
  return fmt::format("{}/{}.part", path_, name);
}

bool WorkDirectory::HasPart(std::string_view name) const {
  std::error_code error;
  return fs::is_regular_file(Part(name), error);
}

Result<ActivationFile> WorkDirectory::Activations(std::string_view name, std::size_t windows,
                                                  std::size_t values) const {
  return ActivationFile::Open(fmt::format("{}/{}.f32", path_, name), windows, values);
}

void WorkDirectory::RemoveActivations(std::string_view name) const {
  std::error_code error;  // what cannot be removed now goes with the directory
  fs::remove(fmt::format("{}/{}.f32", path_, name), error);
}

Status WorkDirectory::Remove() {
  INGOT_TRY(Clear(path_));
  std::error_code error;
  fs::remove(path_, error);
  tracked_ = files::Tracked();
  return FromError(error, path_, "remove");
}

}  // namespace ingot::calibration
