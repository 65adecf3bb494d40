#include "jobs/text_mix.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ingot::jobs {

std::size_t TextMix::OwnWindows(std::size_t windows) const {
  if (!own()) return 0;
  if (files.empty()) return windows;
  double all = own_weight;
  for (const calibration::TextSpec& file : files) all += file.weight;
  const auto share =
      static_cast<std::size_t>(std::llround(static_cast<double>(windows) * own_weight / all));
  return windows < 2 ? windows : std::clamp<std::size_t>(share, 1, windows - 1);
}

Result<TextMix> ParseTexts(const std::vector<std::string>& texts) {
  TextMix mix;
  for (const std::string& text : texts) {
    INGOT_ASSIGN(calibration::TextSpec spec, calibration::ParseTextSpec(text));
    if (spec.path != "self") {
      mix.files.push_back(std::move(spec));
      continue;
    }
    if (mix.own()) return InvalidArgument("'self' is given twice: one weight for it");
    mix.own_weight = spec.weight;
  }
  if (texts.empty()) mix.own_weight = 1;
  return mix;
}

}  // namespace ingot::jobs
