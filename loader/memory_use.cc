#include "loader/memory_use.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "loader/cpu/scratch.h"

namespace ingot::loader {
namespace {

// "VmRSS:      123 kB" of a file of such lines.
std::optional<std::uint64_t> Kilobytes(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::uint64_t value = 0;
    if (line.compare(0, key.size(), key) == 0 &&
        std::sscanf(line.c_str() + key.size(), ": %" SCNu64 " kB", &value) == 1)
      return value * 1024;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> Number(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

struct Mapping {
  std::uintptr_t begin = 0, end = 0;
  std::uint64_t resident = 0;
  bool holds_weights = false;
};

// Of files.
std::vector<Mapping> FileMappings() {
  std::vector<Mapping> mappings;
  std::ifstream file("/proc/self/smaps");
  bool of_file = false;
  for (std::string line; std::getline(file, line);) {
    Mapping mapping;
    std::uint64_t inode = 0, value = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %" SCNu64, &mapping.begin,
                    &mapping.end, &inode) == 3) {
      of_file = inode != 0;
      if (of_file) mappings.push_back(mapping);
    } else if (of_file && std::sscanf(line.c_str(), "Rss: %" SCNu64 " kB", &value) == 1) {
      mappings.back().resident = value * 1024;
    }
  }
  return mappings;
}

std::uint64_t WeightBytes(const WeightSet& weights) {
  std::vector<Mapping> mappings = FileMappings();
  std::uint64_t bytes = 0;
  weights.ForEach([&](const ResidentMatrix& matrix) {
    for (const auto& prepared : matrix.prepared) bytes += prepared->own_bytes;
    for (const codecs::PlaneView& plane : matrix.planes)
      for (const ByteSpan stream : plane.streams) {
        const auto at = reinterpret_cast<std::uintptr_t>(stream.data());
        const auto in = std::ranges::find_if(
            mappings, [&](const Mapping& m) { return m.begin <= at && at < m.end; });
        if (in == mappings.end())
          bytes += stream.size();
        else
          in->holds_weights = true;
      }
  });
  for (const Mapping& mapping : mappings)
    if (mapping.holds_weights) bytes += mapping.resident;
  return bytes;
}

// What the control group at `folder`, or one that it is in, has left.
std::optional<std::uint64_t> LeftInGroups(std::string folder) {
  std::optional<std::uint64_t> left;
  const std::string root = "/sys/fs/cgroup";
  while (folder.size() >= root.size()) {
    const auto limit = Number(folder + "/memory.max"), used = Number(folder + "/memory.current");
    if (limit && used) {
      const std::uint64_t free = *limit > *used ? *limit - *used : 0;
      left = left ? std::min(*left, free) : free;
    }
    folder.erase(folder.rfind('/'));
  }
  return left;
}

}  // namespace

MemoryUse MeasureMemory(const Model& model, const Runner& runner) {
  MemoryUse use;
  use.resident = Kilobytes("/proc/self/status", "VmRSS");
  use.peak_resident = Kilobytes("/proc/self/status", "VmHWM");
  use.weights = WeightBytes(model.weights());
  use.cache = runner.cache_bytes();
  use.activations = runner.activation_bytes() + ScratchBytes();
  const std::uint64_t kinds = use.weights + use.cache + use.activations;
  if (use.resident && *use.resident >= kinds) use.other = *use.resident - kinds;
  return use;
}

std::optional<std::uint64_t> AvailableMemory() {
  std::optional<std::uint64_t> available = Kilobytes("/proc/meminfo", "MemAvailable");
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (line.compare(0, 3, "0::") != 0) continue;
    if (const auto left = LeftInGroups("/sys/fs/cgroup" + line.substr(3)); left)
      available = available ? std::min(*available, *left) : *left;
  }
  return available;
}

}  // namespace ingot::loader
