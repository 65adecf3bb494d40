// What templates may call: Jinja's filters and tests, methods of Python's types, functions of
// transformers' environment.
//
// Thread rule: as the machine's.
#pragma once

#include <string_view>

#include "model/chat/template_context.h"

namespace ingot::model::chat {

// InvalidArgument: no such filter, wrong arguments.
Result<Value> ApplyFilter(Context& context, std::string_view name, const Value& value,
                          const CallArguments& arguments);
Result<bool> ApplyTest(Context& context, std::string_view name, const Value& value,
                       const CallArguments& arguments);

// Whether Python's type has it; those that change a value are there but refused, as in the sandbox.
bool HasMethod(const Value& object, std::string_view name);
bool ChangesItsObject(const Value& object, std::string_view name);
Result<Value> CallMethod(Context& context, const Value& object, std::string_view name,
                         const CallArguments& arguments);

bool IsFunction(std::string_view name);
Result<Value> CallFunction(Context& context, const Function& function,
                           const CallArguments& arguments);

// The whole number that an argument is; `otherwise` where it is not given or None.
Result<std::int64_t> IntArgument(const CallArguments& arguments, std::size_t place,
                                 std::string_view name, std::int64_t otherwise);
// The text that an argument is; `otherwise` where it is not given.
Result<std::string> TextArgument(const CallArguments& arguments, std::size_t place,
                                 std::string_view name, std::string_view otherwise);
bool FlagArgument(const CallArguments& arguments, std::size_t place, std::string_view name,
                  bool otherwise);

}  // namespace ingot::model::chat
