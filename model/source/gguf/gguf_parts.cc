#include "model/source/gguf/gguf_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "model/source/gguf/gguf_keys.h"

namespace ingot::model {
namespace {

constexpr std::uint64_t kMaxParts = 9999;

// "DIR/NAME-00002-of-00003.gguf".
struct PartName {
  std::string stem;  // "DIR/NAME"
  std::uint64_t number = 0, count = 0;

  std::string Path(std::uint64_t part) const {
    return fmt::format("{}-{:05}-of-{:05}.gguf", stem, part, count);
  }
};

std::optional<std::uint64_t> FiveDigits(std::string_view text) {
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = 10 * value + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

std::optional<PartName> ParsePartName(const std::string& path) {
  constexpr std::string_view kForm = "-00000-of-00000.gguf";
  if (path.size() <= kForm.size()) return std::nullopt;
  const std::string_view tail = std::string_view(path).substr(path.size() - kForm.size());
  const auto number = FiveDigits(tail.substr(1, 5)), count = FiveDigits(tail.substr(10, 5));
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf" || !number ||
      !count || *number == 0 || *number > *count || *count > kMaxParts)
    return std::nullopt;
  return PartName{path.substr(0, path.size() - kForm.size()), *number, *count};
}

Result<GgufPart> OpenPart(const std::string& path) {
  GgufPart part;
  part.name = path.substr(path.rfind('/') + 1);
  INGOT_ASSIGN(part.file, File::OpenRead(path));
  INGOT_ASSIGN(part.mapped, MappedFile::Open(path));
  return part;
}

Status CheckAllThere(const PartName& name) {
  std::vector<std::string> missing;
  std::error_code error;
  for (std::uint64_t i = 1; i <= name.count; ++i)
    if (const std::string path = name.Path(i); !std::filesystem::exists(path, error))
      missing.push_back(path.substr(path.rfind('/') + 1));
  if (missing.empty()) return OkStatus();
  return NotFound(fmt::format(
      "{}: {} of {} parts are missing: {}", name.Path(name.number), missing.size(), name.count,
      fmt::join(missing.begin(), missing.begin() + std::min<std::ptrdiff_t>(3, std::ssize(missing)),
                ", ")));
}

// Whether part `i` (from 1) says that it is that.
Status CheckPart(const Gguf& gguf, std::uint64_t i, std::uint64_t count) {
  GgufKeys keys(gguf, "");
  const auto number = keys.Count("split.no"), of = keys.Count("split.count");
  INGOT_TRY(keys.status());
  if (!number || !of || *number != i - 1 || *of != count)
    return Corruption(fmt::format("its name says part {} of {}, its metadata {}", i, count,
                                  number && of ? fmt::format("part {} of {}", *number + 1, *of)
                                               : std::string("nothing of parts")));
  return OkStatus();
}

Result<GgufParts> OpenSplit(const PartName& name) {
  INGOT_TRY(CheckAllThere(name));
  GgufParts all;
  std::set<std::string_view> tensors;
  for (std::uint64_t i = 1; i <= name.count; ++i) {
    const std::string path = name.Path(i);
    INGOT_ASSIGN(GgufPart part, OpenPart(path));
    INGOT_ASSIGN(Gguf gguf, ParseGguf(part.mapped.bytes()).At(path));
    INGOT_TRY(CheckPart(gguf, i, name.count).At(path));
    for (GgufTensor& tensor : gguf.tensors) {
      tensor.part = i - 1;
      if (!tensors.insert(tensor.name).second)
        return Corruption(
            fmt::format("{}: tensor '{}' is in another part, too", path, tensor.name));
    }
    if (i == 1) {
      all.gguf = std::move(gguf);
    } else {
      all.gguf.tensors.insert(all.gguf.tensors.end(), gguf.tensors.begin(), gguf.tensors.end());
    }
    all.parts.push_back(std::move(part));
  }
  GgufKeys keys(all.gguf, "");
  const auto expected = keys.Count("split.tensors.count");
  INGOT_TRY(keys.status());
  if (expected && *expected != all.gguf.tensors.size())
    return Corruption(fmt::format("{}: {} tensors in all parts, its metadata says {}", name.Path(1),
                                  all.gguf.tensors.size(), *expected));
  return all;
}

}  // namespace

Result<GgufParts> OpenGgufParts(const std::string& path) {
  if (const auto name = ParsePartName(path); name && name->count > 1) return OpenSplit(*name);
  GgufParts all;
  INGOT_ASSIGN(GgufPart part, OpenPart(path));
  INGOT_ASSIGN(all.gguf, ParseGguf(part.mapped.bytes()).At(path));
  GgufKeys keys(all.gguf, "");
  if (const auto parts = keys.Count("split.count"); parts && *parts > 1)
    return NotFound(fmt::format(
        "{}: is one of {} parts, but not called so; the others are looked for under names that end "
        "in -00001-of-{:05}.gguf",
        path, *parts, *parts));
  all.parts.push_back(std::move(part));
  return all;
}

}  // namespace ingot::model
