#include "inspect/source_size.h"

#include <fmt/format.h>

#include "inspect/text_format.h"

namespace ingot::inspect {

SourceFiles SourceFilesOf(const Json& provenance) {
  SourceFiles source;
  const Json::json_pointer where("/source/files");
  const Json files = provenance.contains(where) ? provenance.at(where) : Json();
  if (!files.is_array()) return source;
  for (const Json& file : files) {
    if (!file.is_object()) continue;
    const Json bytes = file.value("bytes", Json()), name = file.value("name", Json());
    if (bytes.is_number_unsigned()) source.bytes += bytes.get<std::uint64_t>();
    if (source.name.empty() && name.is_string()) source.name = name.get<std::string>();
  }
  if (files.size() > 1) source.name += fmt::format(" and {} more", files.size() - 1);
  return source;
}

std::string AgainstSource(std::uint64_t file_bytes, const SourceFiles& source) {
  if (file_bytes == 0 || source.bytes == 0) return {};
  const double ratio = static_cast<double>(source.bytes) / static_cast<double>(file_bytes);
  return fmt::format(", {:.2f}x {} {} ({})", ratio >= 1 ? ratio : 1 / ratio,
                     ratio >= 1 ? "smaller than" : "the size of", source.name,
                     HumanBytes(source.bytes));
}

}  // namespace ingot::inspect
