#include <algorithm>
#include <utility>

#include "artifact/source.h"

namespace ingot::artifact {
namespace {

class OpenFile final : public Source {
 public:
  OpenFile(File file, std::uint64_t bytes) : file_(std::move(file)), bytes_(bytes) {}

  bool sequential() const override { return false; }
  std::optional<std::uint64_t> Size() const override { return bytes_; }
  bool Has(std::uint64_t offset, std::uint64_t bytes) const override {
    return offset <= bytes_ && bytes <= bytes_ - offset;
  }
  Result<std::size_t> Fetch(std::uint64_t offset, MutableByteSpan out) override {
    const std::size_t n = std::min<std::uint64_t>(out.size(), bytes_ - std::min(offset, bytes_));
    INGOT_TRY(file_.ReadAt(offset, out.first(n)));
    return n;
  }
  Result<std::optional<Region>> Map() const override {
    INGOT_ASSIGN(Region region, Region::MapFile(file_.fd(), bytes_));
    return std::optional<Region>(std::move(region));
  }

 private:
  File file_;
  std::uint64_t bytes_;
};

}  // namespace

Result<std::unique_ptr<Source>> FileSource(File file) {
  INGOT_ASSIGN(const std::uint64_t bytes, file.Size());
  return std::unique_ptr<Source>(std::make_unique<OpenFile>(std::move(file), bytes));
}

Result<std::unique_ptr<Source>> FileSource(const std::string& path) {
  INGOT_ASSIGN(File file, File::OpenRead(path));
  return FileSource(std::move(file)).At(path);
}

}  // namespace ingot::artifact
