// Unicode's normalization forms as normalizers.
// Thread rule: functions without state.
#pragma once

#include <memory>

#include "model/tokenizer/normalizer.h"

namespace ingot::model {

// NFC, NFD, NFKC or NFKD.
std::unique_ptr<Normalizer> MakeUnicodeForm(bool compose, bool compatibility);

}  // namespace ingot::model
