#include "loader/cpu/bound_weights.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

#include "loader/cpu/derived_values.h"
#include "loader/cpu/linear.h"
#include "model/architecture/check_architecture.h"
#include "model/architecture/walk.h"

namespace ingot::loader {

// Fills a store from an architecture that was checked against the same weights.
class Resolver : public model::PartVisitor {
 public:
  Resolver(const WeightSet& weights, BoundWeights& out) : weights_(weights), out_(out) {}

  void Table(const std::string& name, std::uint64_t /*rows*/, std::uint64_t /*cols*/) override {
    out_.tables_[&name] = weights_.Find(name);
  }

  void Linear(const model::LinearRef& ref, std::uint64_t /*rows*/, std::uint64_t /*cols*/,
              model::LinearUse /*use*/) override {
    if (ref.is_addend() && status_.ok())
      status_ = Unsupported("tensor '" + ref.weight +
                            "': the processor's op set multiplies whole rows, no range of columns");
    BoundWeights::Linear& bound = out_.linears_[&ref];
    bound.matrix = weights_.Find(ref.weight);
    if (!ref.bias.empty()) bound.bias = Vector(ref.bias).data() + ref.row_begin;
  }

  void Norm(const model::NormSpec& norm, std::uint64_t size) override {
    BoundWeights::Norm& bound = out_.norms_[&norm];
    bound.size = size;
    bound.parts = std::max<std::size_t>(norm.head_weights.size(), 1);
    if (bound.parts > 1)
      bound.weight = HeadVectors(norm, size);
    else
      bound.weight = VectorOr(norm.head_weights.empty() ? norm.weight : norm.head_weights[0], size,
                              1.0f - static_cast<float>(norm.weight_offset));
    if (!norm.bias.empty()) bound.bias = Vector(norm.bias).data();
  }

  void Values(const std::string& name, std::initializer_list<std::uint64_t> /*shape*/) override {
    out_.values_.Bind(name, Vector(name).data());
  }

  const Status& status() const { return status_; }

 private:
  // A vector as float32, decoded once however often it is used.
  const AlignedBuffer<float>& Vector(const std::string& name) {
    if (const auto it = out_.vectors_.find(name); it != out_.vectors_.end()) return it->second;
    const ResidentMatrix* matrix = weights_.Find(name);
    std::vector<std::int32_t> rows(matrix->rows);
    std::iota(rows.begin(), rows.end(), 0);
    AlignedBuffer<float> values(matrix->rows * matrix->cols);
    if (status_.ok()) status_ = matrix->Ready();
    if (matrix->here()) GatherRows(*matrix, rows, values.data());
    return out_.vectors_.emplace(name, std::move(values)).first->second;
  }

  // `fill` repeated where there is no such vector.
  const float* VectorOr(const std::string& name, std::uint64_t size, float fill) {
    if (!name.empty()) return Vector(name).data();
    AlignedBuffer<float> values(size);
    std::fill(values.begin(), values.end(), fill);
    const std::string key = "\n" + std::to_string(size) + ":" + std::to_string(fill);
    return out_.vectors_.emplace(key, std::move(values)).first->second.data();
  }

  // A norm's weights for each head, one after another.
  const float* HeadVectors(const model::NormSpec& norm, std::uint64_t size) {
    AlignedBuffer<float> values(norm.head_weights.size() * size);
    for (std::size_t i = 0; i < norm.head_weights.size(); ++i) {
      const float* weight = VectorOr(norm.head_weights[i], size, 1.0f);
      std::copy(weight, weight + size, values.data() + i * size);
    }
    return out_.head_vectors_.emplace_back(std::move(values)).data();
  }

  const WeightSet& weights_;
  BoundWeights& out_;
  Status status_;
};

Result<std::unique_ptr<BoundWeights>> BoundWeights::Make(const model::Architecture& architecture,
                                                         const WeightSet& weights) {
  const auto shape_of = [&](std::string_view name) -> std::optional<model::MatrixShape> {
    const ResidentMatrix* matrix = weights.Find(name);
    if (matrix == nullptr) return std::nullopt;
    return model::MatrixShape{matrix->rows, matrix->cols};
  };
  INGOT_TRY(model::CheckArchitecture(architecture, shape_of));
  auto bound = std::make_unique<BoundWeights>();
  Resolver resolver(weights, *bound);
  model::VisitParts(architecture, resolver);
  INGOT_TRY(resolver.status());
  bound->Derive(architecture);
  return bound;
}

Result<std::unique_ptr<BoundWeights>> BoundWeights::MakeStage(
    const model::Architecture& architecture, const WeightSet& weights, Stage stage) {
  auto bound = std::make_unique<BoundWeights>();
  Resolver resolver(weights, *bound);
  switch (stage) {
    case Stage::kEmbedding:
      model::VisitEmbeddingParts(architecture, resolver);
      break;
    case Stage::kLayers:
      for (std::size_t i = 0; i < architecture.layers.size(); ++i)
        model::VisitLayerParts(architecture, i, resolver);
      break;
    case Stage::kHead:
      model::VisitHeadParts(architecture, resolver);
      break;
  }
  INGOT_TRY(resolver.status());
  if (stage == Stage::kLayers) bound->DeriveMixers(architecture);
  return bound;
}

void BoundWeights::DeriveMixers(const model::Architecture& architecture) {
  for (const model::LayerSpec& layer : architecture.layers)
    model::VisitMixer(layer, [&](const auto& mixer) { DeriveValues(mixer, values_); });
}

void BoundWeights::Derive(const model::Architecture& architecture) {
  DeriveMixers(architecture);
  if (!architecture.position_embedding.empty())
    position_limit_ =
        Table(architecture.position_embedding).rows - architecture.position_offset;
}

}  // namespace ingot::loader
