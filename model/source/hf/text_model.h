// The text model inside a model of several kinds of input (LLaVA, Mistral Small 3, Gemma 3,
// Qwen2-VL, ...): its config, and which tensors are its own. What is beside it is left out.
//
// Thread rule: pure functions.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "model/source/checkpoint.h"

namespace ingot::model {

// The text model's config.json where `config` is of such a model; nothing where it is of a plain
// one. What the outer config says for all of it (end of text, tied head, dtype) is taken along, and
// what a text_config leaves to its class's defaults is filled in. InvalidArgument where its
// text_config says no model_type.
Result<std::optional<Json>> TextConfig(const Json& config);

// Where a whole model keeps its text model's tensors.
class TextNames {
 public:
  explicit TextNames(std::span<const std::string> names);
  // The tensor's name in the text model alone; nothing where it is not the text model's.
  std::optional<std::string> NameOf(std::string_view name) const;

 private:
  bool has_prefix_ = false;  // some tensors say that they are of a text model
};

}  // namespace ingot::model
