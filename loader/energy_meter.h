// Joules that a device has used, by its own counter. A processor's comes through powercap (RAPL); a
// GPU's fills the same interface.
//
// Thread rule: a meter belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ingot::loader {

class EnergyMeter {
 public:
  virtual ~EnergyMeter() = default;
  // "package-0 and package-1, RAPL": whose energy it is.
  virtual const std::string& what() const = 0;
  // Since the meter was made; nullopt where the counter cannot be read any more. To be asked at
  // least once a minute: counters wrap around.
  virtual std::optional<double> Joules() = 0;
};

// Every package of the processor, with all that runs on it. nullptr where the system has no counter
// or does not let us read it: then energy is not measured, never guessed. `root` holds the zones.
std::unique_ptr<EnergyMeter> MakePackageMeter(const std::string& root = "/sys/class/powercap");

}  // namespace ingot::loader
