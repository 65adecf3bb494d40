#include "loader/precision/precision_policy.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include "loader/step_cost.h"

namespace ingot::loader {
namespace {

using Mode = PrecisionOptions::Mode;
using model::PlanesOfClass;

Status CheckThresholds(std::span<const double> thresholds) {
  double before = 0;
  for (const double threshold : thresholds) {
    // Written so that NaN fails, too.
    if (!(threshold >= before) || !(threshold <= 1))
      return InvalidArgument("class thresholds go from 0 to 1 and do not fall: " +
                             std::to_string(threshold) + " after " + std::to_string(before));
    before = threshold;
  }
  return OkStatus();
}

// The largest share of class 0 that kept `max_kl` when calibration measured, between its points.
Result<double> ShareWithin(const Model& model, double max_kl) {
  const artifact::Json& provenance = model.artifact()->manifest().provenance;
  const auto classes = provenance.find("classes");
  const auto refuse = [&] {
    return InvalidArgument(model.source() +
                           ": does not say what mixes of classes cost; ingot calibrate "
                           "--classes without --tokens-only makes an artifact that does");
  };
  if (classes == provenance.end() || !classes->is_object() || !classes->contains("curve"))
    return refuse();
  std::optional<std::pair<double, double>> last;  // share, divergence
  double within = -1;
  for (const artifact::Json& point : classes->at("curve")) {
    if (!point.is_object() || !point.contains("share") || !point.contains("kl") ||
        !point["share"].is_number() || !point["kl"].is_number())
      return refuse();
    const double share = point["share"].get<double>(), kl = point["kl"].get<double>();
    if (kl <= max_kl)
      within = share;
    else if (last && last->second <= max_kl)
      within = last->first + (share - last->first) * (max_kl - last->second) / (kl - last->second);
    if (kl > max_kl && !last)
      return InvalidArgument(model.source() + ": no mix keeps a divergence of " +
                             std::to_string(max_kl) +
                             " nats: class 1 for all tokens already takes " + std::to_string(kl) +
                             "; --precision full");
    last = {share, kl};
  }
  if (within < 0) return refuse();
  return std::clamp(within, 0.0, 1.0);
}

// The half of the layers, the head among them, that need their planes most get class 1's.
std::vector<std::uint32_t> ByLayer(std::span<const float> needs) {
  std::vector<std::size_t> order(needs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order,
                           [&](std::size_t a, std::size_t b) { return needs[a] > needs[b]; });
  std::vector<std::uint32_t> planes(needs.size(), PlanesOfClass(0));
  for (std::size_t i = 0; i < needs.size() / 2; ++i) planes[order[i]] = PlanesOfClass(1);
  return planes;
}

RowPlanes Shared(std::vector<std::uint32_t> planes) {
  return std::make_shared<const std::vector<std::uint32_t>>(std::move(planes));
}

}  // namespace

Status CheckHasClasses(const Model& model) {
  const double all = CostOfStep(model).weight_bytes;
  if (CostOfStep(model, PlanesOfClass(0)).weight_bytes < all) return OkStatus();
  return InvalidArgument(
      model.source() +
      ": no token class reads fewer planes than another: there are none to leave "
      "out, or the file does not say so; pack with nested_v1 or int4_residual_v1");
}

Result<PrecisionPolicy> PrecisionPolicy::Make(const Model& model, const PrecisionOptions& options) {
  PrecisionPolicy policy;
  if (options.mode == Mode::kFull) return policy;
  INGOT_TRY(CheckHasClasses(model));
  if (options.mode == Mode::kInt8 || options.mode == Mode::kInt4) {
    policy.prompt_planes_ = PlanesOfClass(options.mode == Mode::kInt8 ? 1 : 0);
    return policy;
  }
  INGOT_ASSIGN(TokenImportance importance, TokenImportance::Of(model));
  if (options.mode == Mode::kMixed) {
    if (importance.layers().empty())
      return InvalidArgument(model.source() +
                             ": does not say which layers need their planes; ingot calibrate "
                             "--classes without --tokens-only makes an artifact that does");
    policy.by_layer_ = ByLayer(importance.layers());
    return policy;
  }
  policy.thresholds_ = options.thresholds;
  if (options.max_kl) {
    INGOT_ASSIGN(policy.thresholds_[0], ShareWithin(model, *options.max_kl));
    std::fill(policy.thresholds_.begin() + 1, policy.thresholds_.end(), 1.0);
  }
  INGOT_TRY(CheckThresholds(policy.thresholds_));
  policy.importance_ = std::move(importance);
  return policy;
}

PrecisionPolicy PrecisionPolicy::ByImportance(
    TokenImportance importance, const std::array<double, model::kTokenClasses - 1>& thresholds) {
  PrecisionPolicy policy;
  policy.importance_ = std::move(importance);
  policy.thresholds_ = thresholds;
  return policy;
}

PrecisionPolicy PrecisionPolicy::ByChance(const PrecisionPolicy& like, std::uint64_t seed) {
  PrecisionPolicy policy;
  policy.importance_ = like.importance_;
  policy.shares_ = like.stats_;
  policy.random_ = Random(seed);
  return policy;
}

// A threshold of 1 is reached by none: the most important token has importance 1, too.
std::uint32_t PrecisionPolicy::ClassOf(double importance) const {
  std::uint32_t c = 0;
  for (const double threshold : thresholds_) c += threshold < 1 && importance >= threshold ? 1 : 0;
  return c;
}

std::uint32_t PrecisionPolicy::Draw(const std::array<std::uint64_t, model::kTokenClasses>& counts) {
  const std::uint64_t all = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
  std::uint64_t at = random_.Below(std::max<std::uint64_t>(all, 1));
  for (std::uint32_t c = 0; c < counts.size(); ++c) {
    if (at < counts[c]) return c;
    at -= counts[c];
  }
  return model::kTokenClasses - 1;
}

std::vector<std::uint32_t> PrecisionPolicy::Start(std::span<const TokenContext> rows) {
  if (!importance_)
    return std::vector<std::uint32_t>(rows.size(),
                                      by_layer_.empty() ? prompt_planes_ : by_layer_.front());
  rows_.assign(rows.begin(), rows.end());
  judged_.clear();
  std::vector<std::uint32_t> planes;
  for (const TokenContext& row : rows) {
    Judged& judged = judged_.emplace_back();
    judged.before = importance_->Importance(importance_->Predict(row));
    judged.class_below = shares_ ? Draw(shares_->below) : ClassOf(judged.before);
    ++stats_.below[judged.class_below];
    planes.push_back(PlanesOfClass(judged.class_below));
  }
  return planes;
}

void PrecisionPolicy::AfterLayer(std::size_t layer, Tensor& x) {
  if (!by_layer_.empty()) {
    if (by_layer_[layer + 1] != by_layer_[layer])
      x.set_planes(Shared(std::vector<std::uint32_t>(x.rows(), by_layer_[layer + 1])));
    return;
  }
  if (!importance_ || layer != importance_->probe_layer() || rows_.size() != x.rows()) return;
  std::vector<std::uint32_t> planes;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    Judged& judged = judged_[i];
    judged.after =
        importance_->ProbedImportance(importance_->PredictFrom(rows_[i], {x.row(i), x.cols()}));
    judged.class_above = shares_ ? Draw(shares_->above) : ClassOf(judged.after);
    ++stats_.above[judged.class_above];
    planes.push_back(PlanesOfClass(judged.class_above));
  }
  x.set_planes(Shared(std::move(planes)));
}

PrecisionOf::PrecisionOf(Runner& runner, PrecisionPolicy& policy) : runner_(runner) {
  INGOT_CHECK(runner.ops().after_layer == nullptr);
  if (!policy.watches_layers()) return;
  runner.ops().after_layer = [&policy](std::size_t layer, Tensor& x,
                                       std::span<const std::uint32_t> /*rows*/) {
    policy.AfterLayer(layer, x);
    return model::GoingRows();
  };
}

}  // namespace ingot::loader
