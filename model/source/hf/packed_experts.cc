#include "model/source/hf/packed_experts.h"

#include <fmt/format.h>

namespace ingot::model {
namespace {

constexpr std::uint64_t kMaxPackedExperts = 1024;
constexpr std::string_view kGateUp = ".experts.gate_up_proj";
constexpr std::string_view kDown = ".experts.down_proj";
constexpr std::string_view kModule = ".mlp";
constexpr std::string_view kMixtralModule = ".block_sparse_moe";

// "....mlp" as the family names it.
std::string ModuleName(std::string_view module, bool mixtral) {
  if (!mixtral || !module.ends_with(kModule)) return std::string(module);
  module.remove_suffix(kModule.size());
  return std::string(module) + std::string(kMixtralModule);
}

}  // namespace

std::vector<SafetensorsEntry> SplitPackedExperts(const SafetensorsEntry& tensor, bool mixtral) {
  const std::string_view name = tensor.name;
  const bool gate_up = name.ends_with(kGateUp);
  if ((!gate_up && !name.ends_with(kDown)) || tensor.shape.size() != 3) return {};
  const std::uint64_t experts = tensor.shape[0], rows = tensor.shape[1], cols = tensor.shape[2];
  if (experts == 0 || experts > kMaxPackedExperts || rows == 0 || cols == 0 ||
      (gate_up && rows % 2 != 0))
    return {};
  const std::string module =
      ModuleName(name.substr(0, name.size() - (gate_up ? kGateUp : kDown).size()), mixtral);
  std::vector<std::string_view> parts = {mixtral ? "w2" : "down_proj"};
  if (gate_up) parts = {mixtral ? "w1" : "gate_proj", mixtral ? "w3" : "up_proj"};
  const std::uint64_t bytes = tensor.bytes / (experts * parts.size());
  std::vector<SafetensorsEntry> matrices;
  matrices.reserve(experts * parts.size());
  for (std::uint64_t e = 0; e < experts; ++e)
    for (const std::string_view part : parts)
      matrices.push_back({fmt::format("{}.experts.{}.{}.weight", module, e, part),
                          tensor.dtype,
                          {rows / parts.size(), cols},
                          tensor.offset + matrices.size() * bytes,
                          bytes});
  return matrices;
}

std::string NameBesidePackedExperts(std::string_view name, bool mixtral) {
  constexpr std::string_view kRouter = ".gate.weight";
  if (!mixtral || !name.ends_with(kRouter)) return std::string(name);
  return ModuleName(name.substr(0, name.size() - kRouter.size()), mixtral) + std::string(kRouter);
}

}  // namespace ingot::model
