// Python's operators. Thread rule: as the machine's.
#pragma once

#include <string_view>

#include "model/chat/template_context.h"

namespace ingot::model::chat {

// + - * / // % **. InvalidArgument for operands that do not go together.
Result<Value> Arithmetic(Context& context, std::string_view op, const Value& a, const Value& b);
// Negation and +.
Result<Value> Signed(std::string_view op, const Value& a);
// == != < <= > >= in, "not in".
Result<bool> Compare(std::string_view op, const Value& a, const Value& b);
// a < b of numbers, texts and sequences.
Result<bool> Less(const Value& a, const Value& b);
// value[begin:end:step]; null: left out.
Result<Value> Slice(Context& context, const Value& value, const Value* begin, const Value* end,
                    const Value* step);
// InvalidArgument with its reason where a value is undefined.
Status Defined(const Value& value);

}  // namespace ingot::model::chat
