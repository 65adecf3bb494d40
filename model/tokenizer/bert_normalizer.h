// BERT's text normalization: control characters out, white space plain, ideographs apart, accents
// and case away. Thread rule: const methods may be called from several threads.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "base/status.h"
#include "model/tokenizer/normalizer.h"

namespace ingot::model {

// From a BertNormalizer object.
Result<std::unique_ptr<Normalizer>> ParseBertNormalizer(const nlohmann::json& spec);

}  // namespace ingot::model
