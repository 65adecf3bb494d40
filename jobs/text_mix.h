// Which texts a calibration reads: the model's own, files, or both by weight.
//
// Thread rule: values.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/status.h"
#include "calibration/text_source.h"

namespace ingot::jobs {

struct TextMix {
  double own_weight = 0;  // of the text that the model writes itself; 0: none
  std::vector<calibration::TextSpec> files;

  bool own() const { return own_weight > 0; }
  // Of `windows` in all, those that the model writes: at least one, and one is left for the files.
  std::size_t OwnWindows(std::size_t windows) const;
};

// "self", "self:WEIGHT", "FILE" and "FILE:WEIGHT"; none at all: the model's own. InvalidArgument
// for two of "self", and for weights as ParseTextSpec.
Result<TextMix> ParseTexts(const std::vector<std::string>& texts);

}  // namespace ingot::jobs
