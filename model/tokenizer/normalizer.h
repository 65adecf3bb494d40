// What every normalizer of a tokenizer.json is.
// Thread rule: const methods may be called from several threads, each with its own scratch.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "model/tokenizer/text_scratch.h"

namespace ingot::model {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // The normalized text: `text` itself or what was put into `storage`, which `text` must not be
  // part of. Limit where the text grows beyond what the scratch allows or a pattern needs too many
  // steps. REQUIRES: text is valid UTF-8; scratch.growth has begun.
  virtual Result<std::string_view> Apply(std::string_view text, std::string& storage,
                                         TextScratch& scratch) const = 0;
};

}  // namespace ingot::model
