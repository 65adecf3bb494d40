#include "calibration/cpu/stage_model.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "calibration/stages.h"
#include "model/architecture/check_architecture.h"
#include "model/architecture/walk.h"

namespace ingot::calibration {
namespace {

// The names of everything that a stage reads.
class NameList : public model::PartVisitor {
 public:
  void Table(const std::string& name, std::uint64_t, std::uint64_t) override { Add(name); }
  void Linear(const model::LinearRef& ref, std::uint64_t, std::uint64_t,
              model::LinearUse) override {
    Add(ref.weight);
    Add(ref.bias);
  }
  void Norm(const model::NormSpec& norm, std::uint64_t) override {
    Add(norm.weight);
    Add(norm.bias);
    for (const std::string& weight : norm.head_weights) Add(weight);
  }
  void Values(const std::string& name, std::initializer_list<std::uint64_t>) override { Add(name); }
  const std::set<std::string>& names() const { return names_; }

 private:
  void Add(const std::string& name) {
    if (!name.empty()) names_.insert(name);
  }
  std::set<std::string> names_;
};

}  // namespace

Result<std::unique_ptr<StageModel>> StageModel::Load(const model::Checkpoint& checkpoint,
                                                     const model::Architecture& architecture,
                                                     std::size_t stage) {
  using Stage = loader::BoundWeights::Stage;
  const bool head = stage > architecture.layers.size();
  const Stage kind = stage == 0 ? Stage::kEmbedding : head ? Stage::kHead : Stage::kLayers;
  std::unique_ptr<StageModel> model(new StageModel());
  model->architecture_ = architecture;
  model->architecture_.exits.clear();
  model->architecture_.layers.clear();
  if (kind == Stage::kLayers) {
    model->architecture_.layers.push_back(architecture.layers[stage - 1]);
  }
  const model::Architecture& own = model->architecture_;
  NameList list;
  if (kind == Stage::kEmbedding)
    model::VisitEmbeddingParts(own, list);
  else if (kind == Stage::kHead)
    model::VisitHeadParts(own, list);
  else
    model::VisitLayerParts(own, 0, list);
  std::vector<model::TensorUse> uses;
  for (model::TensorUse& use : model::TensorUses(own))
    if (list.names().contains(use.name)) uses.push_back(std::move(use));
  // Borrowed: the caller keeps it.
  const std::shared_ptr<const model::Checkpoint> borrowed(std::shared_ptr<void>(), &checkpoint);
  INGOT_ASSIGN(model->weights_, loader::WeightSet::FromCheckpoint(borrowed, uses)
                                    .At(StageName(architecture, stage)));
  INGOT_ASSIGN(model->bound_, loader::BoundWeights::MakeStage(own, *model->weights_, kind)
                                  .At(StageName(architecture, stage)));
  return model;
}

Status CheckAgainst(const model::Checkpoint& checkpoint, const model::Architecture& architecture) {
  std::set<std::string, std::less<>> transposed;
  for (const model::TensorUse& use : model::TensorUses(architecture))
    if (use.transposed) transposed.insert(use.name);
  return model::CheckArchitecture(
      architecture, [&](std::string_view name) -> std::optional<model::MatrixShape> {
        const model::TensorInfo* tensor = checkpoint.Find(name);
        if (tensor == nullptr) return std::nullopt;
        if (transposed.contains(name)) return model::MatrixShape{tensor->cols(), tensor->rows()};
        return model::MatrixShape{tensor->rows(), tensor->cols()};
      });
}

}  // namespace ingot::calibration
