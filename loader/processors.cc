#include "loader/processors.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>

namespace ingot::loader {
namespace {

std::string Line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string OwnGroup() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("0::", 0) == 0) return line.substr(3);
  return {};
}

// The least quota of the group and those that it is in: "max 100000" or "150000 100000".
std::size_t Quota(const std::string& root, std::string group) {
  std::size_t least = 0;
  for (;;) {
    std::ifstream file(root + group + "/cpu.max");
    double quota = 0, period = 0;
    if (file >> quota >> period && quota > 0 && period > 0) {
      const auto cores = static_cast<std::size_t>((quota + period - 1) / period);
      least = least == 0 ? std::max<std::size_t>(cores, 1) : std::min(least, cores);
    }
    const std::size_t slash = group.rfind('/');
    if (slash == std::string::npos) return least;
    group.erase(slash);
  }
}

}  // namespace

Processors FindProcessors(const std::string& sys, const std::string& cgroup) {
  Processors found;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return found;
  found.logical = static_cast<std::size_t>(std::max(1, CPU_COUNT(&allowed)));
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    const std::string siblings = Line(sys + "/devices/system/cpu/cpu" + std::to_string(cpu) +
                                      "/topology/thread_siblings_list");
    cores.insert(siblings.empty() ? "cpu" + std::to_string(cpu) : siblings);
  }
  found.physical = std::max<std::size_t>(cores.size(), 1);
  found.quota = Quota(sys + "/fs/cgroup", cgroup.empty() ? OwnGroup() : cgroup);
  return found;
}

}  // namespace ingot::loader
