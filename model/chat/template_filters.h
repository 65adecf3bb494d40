// Between the files that hold Jinja's filters.
//
// Thread rule: constants.
#pragma once

#include <span>
#include <string_view>

#include "model/chat/template_context.h"

namespace ingot::model::chat {

using Filter = Result<Value> (*)(Context&, const Value&, const CallArguments&);

struct FilterRow {
  std::string_view name;
  Filter filter;
};

// Those of texts.
std::span<const FilterRow> TextFilters();

// A text that is not escaped again.
inline bool IsSafe(const Value& value) { return value.AsText() != nullptr && value.AsText()->safe; }

}  // namespace ingot::model::chat
