#include "loader/step_cost.h"

#include <algorithm>

#include "loader/weights/live_planes.h"
#include "model/architecture/walk.h"

namespace ingot::loader {
namespace {

class Counter : public model::PartVisitor {
 public:
  Counter(const BoundWeights& weights, Compute compute, std::size_t plane_count, StepCost& cost)
      : weights_(weights), compute_(compute), plane_count_(plane_count), cost_(cost) {}

  void Linear(const model::LinearRef& ref, std::uint64_t /*rows*/, std::uint64_t /*cols*/,
              model::LinearUse use) override {
    const ResidentMatrix& matrix = *weights_.Of(ref).matrix;
    if (matrix.rows == 0) return;
    const double share = (use.expert ? expert_share : 1.0) * static_cast<double>(ref.rows) /
                         static_cast<double>(matrix.rows);
    const double weights = static_cast<double>(matrix.rows * matrix.cols) * share;
    const PlaneRange planes = LivePlanes(matrix, plane_count_);
    cost_.weight_bytes += static_cast<double>(BytesOf(matrix, planes)) * share;
    bool int8 = false, decoded = false;
    for (std::size_t p = planes.first; p < planes.last; ++p) {
      const PreparedPlane& plane = Prepared(matrix, p);
      if (plane.is_transform()) continue;
      const bool own = compute_ == Compute::kFast && !planes.by_row && plane.own_product;
      if (own && plane.needs.records) {
        cost_.int8_products += weights;
        int8 = true;
      } else if (!own) {
        decoded = true;
      }
    }
    // Planes without a product of their own are decoded together and multiplied once.
    if (decoded || !int8) cost_.float_products += weights;
  }

  double expert_share = 1;

 private:
  const BoundWeights& weights_;
  Compute compute_;
  std::size_t plane_count_;
  StepCost& cost_;
};

}  // namespace

std::size_t PlaneCount(const WeightSet& weights) {
  std::size_t most = 1;
  weights.ForEach([&](const ResidentMatrix& matrix) {
    std::size_t planes = 0;
    for (std::size_t p = 0; p < matrix.planes.size(); ++p)
      planes += Prepared(matrix, p).is_transform() ? 0 : 1;
    most = std::max(most, planes);
  });
  return most;
}

StepCost CostOfStep(const Model& model, std::size_t plane_count,
                    std::span<const std::size_t> left_out) {
  StepCost cost;
  const model::Architecture& architecture = model.architecture();
  Counter counter(model.bound(), model.compute(), plane_count, cost);
  for (std::size_t i = 0; i < architecture.layers.size(); ++i) {
    if (std::ranges::binary_search(left_out, i)) continue;
    const model::MlpSpec& mlp = architecture.layers[i].mlp;
    counter.expert_share = mlp.experts.empty() ? 1.0
                                               : static_cast<double>(mlp.experts_per_token) /
                                                     static_cast<double>(mlp.experts.size());
    model::VisitLayerParts(architecture, i, counter);
  }
  model::VisitHeadParts(architecture, counter);
  return cost;
}

double CacheBytesRead(const model::Architecture& architecture, double bytes_a_token,
                      std::uint64_t context) {
  double all = 0, read = 0;
  for (const model::LayerSpec& layer : architecture.layers) {
    if (layer.mixer != model::MixerKind::kAttention) continue;
    const auto width = static_cast<double>(layer.attention.kv_heads * layer.attention.head_dim);
    const std::uint64_t seen = layer.attention.window > 0
                                   ? std::min<std::uint64_t>(context, layer.attention.window)
                                   : context;
    all += width;
    read += width * static_cast<double>(seen);
  }
  return all > 0 ? bytes_a_token * read / all : 0;
}

StepFloor FloorOfStep(const StepCost& cost, const MachineLimits& limits, double rows,
                      double cache_bytes) {
  const double float_rate = std::max(limits.float_products, limits.bf16_products);
  return {(cost.weight_bytes + cache_bytes) / limits.read_bytes,
          rows * (cost.int8_products / limits.int8_products + cost.float_products / float_rate)};
}

}  // namespace ingot::loader
