#include "loader/exit_specs.h"

#include <algorithm>

namespace ingot::loader {
namespace {

model::NormSpec RouterNorm(const model::Architecture& architecture, const std::string& weight) {
  model::NormSpec norm;
  norm.kind =
      architecture.final_norm.present() ? architecture.final_norm.kind : model::NormKind::kRms;
  norm.eps = architecture.final_norm.eps;
  norm.weight = weight;
  return norm;
}

// Rows of a matrix of the manifest; 0 where there is none.
std::uint64_t RowsOf(const artifact::Manifest& manifest, const std::string& name) {
  const auto tensor = std::find_if(manifest.tensors.begin(), manifest.tensors.end(),
                                   [&](const auto& record) { return record.name == name; });
  return tensor == manifest.tensors.end() || tensor->shape.empty() ? 0 : tensor->shape[0];
}

}  // namespace

void AddExits(const artifact::Manifest& manifest, model::Architecture& architecture) {
  for (const artifact::ExitRecord& record : manifest.exits) {
    model::ExitSpec& exit = architecture.exits.emplace_back();
    exit.layer = static_cast<std::size_t>(record.layer);
    exit.norm = RouterNorm(architecture, record.norm);
    exit.up.weight = record.up;
    exit.up.rows = RowsOf(manifest, record.up);
    exit.up.cols = architecture.hidden_size;
    exit.down.weight = record.down;
    exit.down.rows = 1;
    exit.down.cols = exit.up.rows;
  }
}

}  // namespace ingot::loader
