// What every normalizer of a tokenizer.json is.
// Thread rule: const methods may be called from several threads, each with its own scratch.
#pragma once

#include <string>
#include <string_view>

#include "model/text/regex.h"

namespace ingot::model {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // The normalized text: `text` itself or what was put into `storage`, which `text` must not be
  // part of. REQUIRES: text is valid UTF-8.
  virtual std::string_view Apply(std::string_view text, std::string& storage,
                                 RegexScratch& scratch) const = 0;
};

}  // namespace ingot::model
