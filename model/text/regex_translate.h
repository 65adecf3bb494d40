// Oniguruma's pattern syntax (as its Ruby-like default has it) rewritten for PCRE2.
// Thread rule: a function without state.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace ingot::model {

// A PCRE2 pattern for the options UTF, UCP, MULTILINE that matches what `pattern` matches under
// Oniguruma. Unsupported names a construct without a counterpart; Corruption an unclosed bracket.
Result<std::string> TranslateRegex(std::string_view pattern);

}  // namespace ingot::model
