#include "loader/energy_meter.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <utility>

namespace ingot::loader {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> Line(const fs::path& path) {
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return std::nullopt;
  char text[256];
  const bool read = std::fgets(text, sizeof text, file) != nullptr;
  std::fclose(file);
  if (!read) return std::nullopt;
  std::string line(text);
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  return line;
}

std::optional<std::uint64_t> Number(const fs::path& path) {
  const auto line = Line(path);
  if (!line) return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(line->data(), line->data() + line->size(), number);
  if (error != std::errc{} || end != line->data() + line->size()) return std::nullopt;
  return number;
}

struct Zone {
  fs::path counter;  // microjoules
  std::uint64_t range = 0;
  std::uint64_t last = 0;
};

class PackageMeter : public EnergyMeter {
 public:
  PackageMeter(std::string what, std::vector<Zone> zones)
      : what_(std::move(what)), zones_(std::move(zones)) {}
  const std::string& what() const override { return what_; }
  std::optional<double> Joules() override {
    for (Zone& zone : zones_) {
      const auto now = Number(zone.counter);
      if (!now) return std::nullopt;
      microjoules_ += *now >= zone.last ? *now - zone.last : zone.range - zone.last + *now;
      zone.last = *now;
    }
    return static_cast<double>(microjoules_) * 1e-6;
  }

 private:
  std::string what_;
  std::vector<Zone> zones_;
  std::uint64_t microjoules_ = 0;
};

}  // namespace

std::unique_ptr<EnergyMeter> MakePackageMeter(const std::string& root) {
  std::error_code error;
  std::vector<std::pair<std::string, Zone>> found;
  for (const auto& entry : fs::directory_iterator(root, error)) {
    const auto name = Line(entry.path() / "name");
    if (!name || name->rfind("package", 0) != 0) continue;  // parts of packages count in these
    const auto now = Number(entry.path() / "energy_uj");
    const auto range = Number(entry.path() / "max_energy_range_uj");
    if (!now || !range || *now > *range) return nullptr;
    found.emplace_back(*name, Zone{entry.path() / "energy_uj", *range, *now});
  }
  if (error || found.empty()) return nullptr;
  std::ranges::sort(found, {}, &std::pair<std::string, Zone>::first);
  std::string what;
  std::vector<Zone> zones;
  for (auto& [name, zone] : found) {
    // The same package may be there under two interfaces.
    if (!what.empty() && what.ends_with(name)) continue;
    what += (what.empty() ? "" : " and ") + name;
    zones.push_back(std::move(zone));
  }
  return std::make_unique<PackageMeter>(what + ", RAPL", std::move(zones));
}

}  // namespace ingot::loader
