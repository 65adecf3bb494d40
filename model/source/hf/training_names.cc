#include "model/source/hf/training_names.h"

#include <algorithm>
#include <array>

namespace ingot::model {
namespace {

constexpr std::array kBefore = std::to_array<std::string_view>({"module.", "base_model.model."});
constexpr std::array kWithin = std::to_array<std::string_view>(
    {"_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "base_layer."});

std::string WithoutParts(std::string_view name) {
  std::string out(name);
  for (const std::string_view part : kWithin)
    for (std::size_t at = out.find(part); at != std::string::npos; at = out.find(part, at)) {
      const bool begins = at == 0 || out[at - 1] == '.';
      if (begins)
        out.erase(at, part.size());
      else
        ++at;
    }
  return out;
}

}  // namespace

std::string SharedTrainingPrefix(std::span<const std::string> names) {
  std::string shared;
  if (names.empty()) return shared;
  for (bool grown = true; grown;) {
    grown = false;
    for (const std::string_view part : kBefore) {
      const std::string longer = shared + std::string(part);
      if (!std::ranges::all_of(names, [&](const std::string& name) {
            return WithoutParts(name).starts_with(longer);
          }))
        continue;
      shared = longer;
      grown = true;
    }
  }
  return shared;
}

std::string WithoutTrainingPrefix(std::string_view name, std::string_view prefix) {
  std::string out = WithoutParts(name);
  if (out.starts_with(prefix)) out.erase(0, prefix.size());
  return out;
}

bool IsLoraTensor(std::string_view name) {
  return name.find(".lora_A.") != std::string_view::npos ||
         name.find(".lora_B.") != std::string_view::npos ||
         name.find(".lora_embedding_") != std::string_view::npos;
}

}  // namespace ingot::model
