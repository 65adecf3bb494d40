#include "codecs/rounding/shared_factors.h"

#include <oneapi/tbb/collaborative_call_once.h>

#include <optional>

namespace ingot::codecs {

struct SharedFactors::Entry {
  tbb::collaborative_once_flag once;
  std::optional<Made> made;
};

SharedFactors::SharedFactors() = default;
SharedFactors::~SharedFactors() = default;

SharedFactors::Made SharedFactors::Get(const std::string& key, const std::function<Made()>& make) {
  Entry* entry = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    std::unique_ptr<Entry>& place = entries_[key];
    if (place == nullptr) place = std::make_unique<Entry>();
    entry = place.get();
  }
  tbb::collaborative_call_once(entry->once, [&] { entry->made.emplace(make()); });
  return *entry->made;
}

}  // namespace ingot::codecs
