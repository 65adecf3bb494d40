#include "model/text/json_text.h"

#include "untrusted/json_guard.h"

namespace ingot::model {

Result<nlohmann::json> ParseJson(std::string_view text) {
  untrusted::JsonLimits limits;
  limits.dialect = untrusted::JsonDialect::kPython;
  return untrusted::ParseJson(text, limits);
}

}  // namespace ingot::model
