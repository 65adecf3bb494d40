#include "calibration/stages.h"

#include <fmt/format.h>

#include <initializer_list>

#include "model/architecture/walk.h"

namespace ingot::calibration {
namespace {

class StageVisitor : public model::PartVisitor {
 public:
  std::function<void(const model::LinearRef&, model::LinearUse)> linear;
  std::function<void(const model::NormSpec&)> norm;
  std::function<void(const std::string&)> values;

  void Linear(const model::LinearRef& ref, std::uint64_t /*rows*/, std::uint64_t /*cols*/,
              model::LinearUse use) override {
    if (linear && ref.present()) linear(ref, use);
  }
  void Norm(const model::NormSpec& spec, std::uint64_t /*size*/) override {
    if (norm) norm(spec);
  }
  void Values(const std::string& name, std::initializer_list<std::uint64_t> /*shape*/) override {
    if (values && !name.empty()) values(name);
  }
};

void Walk(const model::Architecture& a, std::size_t stage, StageVisitor& visitor) {
  if (stage == 0) return model::VisitEmbeddingParts(a, visitor);
  if (stage > a.layers.size()) return model::VisitHeadParts(a, visitor);
  model::VisitLayerParts(a, stage - 1, visitor);
}

}  // namespace

std::string StageName(const model::Architecture& architecture, std::size_t stage) {
  if (stage == 0) return "embedding";
  if (stage > architecture.layers.size()) return "head";
  return fmt::format("layer {}", stage - 1);
}

void VisitStage(const model::Architecture& a, std::size_t stage,
                const std::function<void(const model::LinearRef&)>& linear,
                const std::function<void(const model::NormSpec&)>& norm) {
  StageVisitor norms, linears;
  norms.norm = norm;
  linears.linear = [&](const model::LinearRef& ref, model::LinearUse) { linear(ref); };
  Walk(a, stage, norms);
  Walk(a, stage, linears);
}

void VisitValues(const model::Architecture& a, std::size_t stage,
                 const std::function<void(const std::string&)>& visit) {
  StageVisitor visitor;
  visitor.values = visit;
  Walk(a, stage, visitor);
}

std::uint64_t BorderWidth(const model::Architecture& architecture) {
  std::uint64_t width = architecture.hidden_size;
  // Layers after the first that blend its values into theirs.
  for (const model::LayerSpec& layer : architecture.layers)
    if (layer.rwkv.value_low.present()) return width + layer.rwkv.inner();
  return width;
}

void VisitInputs(const model::Architecture& a, std::size_t stage,
                 const std::function<void(const model::LinearRef&, bool expert)>& visit) {
  StageVisitor visitor;
  visitor.linear = [&](const model::LinearRef& ref, model::LinearUse use) {
    if (use.first) visit(ref, use.expert);
  };
  Walk(a, stage, visitor);
}

}  // namespace ingot::calibration
