#include "files/atomic_file.h"

#include <sys/stat.h>

#include <utility>

#include "files/output.h"

namespace ingot::files {

Result<AtomicFile> AtomicFile::Create(const std::string& path) {
  INGOT_ASSIGN(std::string target, ResolveTarget(path));
  File file;
  INGOT_ASSIGN(Temporary temporary, Temporary::MakeFile(target, file));
  const mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(file.fd(), 0666 & ~mask);
  return AtomicFile(std::move(target), std::move(temporary), std::move(file));
}

Status AtomicFile::Append(ByteSpan bytes) {
  INGOT_TRY(file_.WriteAt(position_, bytes).At(path_));
  position_ += bytes.size();
  return OkStatus();
}

Status AtomicFile::Commit() {
  INGOT_TRY(file_.Sync().At(path_));
  return temporary_.RenameTo(path_);
}

Status WriteFileAtomic(const std::string& path, ByteSpan bytes) {
  INGOT_ASSIGN(AtomicFile file, AtomicFile::Create(path));
  INGOT_TRY(file.Append(bytes));
  return file.Commit();
}

}  // namespace ingot::files
