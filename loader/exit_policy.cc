#include "loader/exit_policy.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "artifact/weights_digest.h"
#include "model/forward/forward.h"

namespace ingot::loader {

Result<RouterLabel> RouterLabelOf(const Model& model) {
  const std::string where = model.source() + ": ";
  if (model.architecture().exits.empty())
    return InvalidArgument(where +
                           "has no exits; ingot calibrate --routers makes an artifact with");
  const artifact::Json& provenance = model.artifact()->manifest().provenance;
  const auto routers = provenance.find("routers");
  if (routers == provenance.end() || !routers->is_object() || !routers->contains("label"))
    return InvalidArgument(where + "does not say what its routers were trained to say");
  INGOT_TRY(artifact::CheckLearnedFrom(*model.artifact(), *routers, "routers").At(model.source()));
  const artifact::Json& label = routers->at("label");
  if (label == "log_kl") return RouterLabel::kLogKl;
  if (label == "cosine") return RouterLabel::kCosine;
  return InvalidArgument(where + "its routers' label is not known to this build: log_kl or cosine");
}

double ExitStats::kept_layers() const {
  double sum = 0;
  for (std::size_t i = 0; i < left.size(); ++i)
    sum += static_cast<double>(left[i]) * static_cast<double>(i + 1);
  return rows == 0 ? 0 : sum / static_cast<double>(rows);
}

std::vector<double> ExitStats::chances() const {
  std::vector<double> chances(left.size());
  std::uint64_t there = rows;
  for (std::size_t i = 0; i + 1 < left.size(); ++i) {
    if (there > 0) chances[i] = static_cast<double>(left[i]) / static_cast<double>(there);
    there -= left[i];
  }
  return chances;
}

bool ExitStats::none_left() const { return rows > 0 && left.back() == rows; }

bool ExitStats::all_left_at_once() const {
  return rows > 0 && std::find(left.begin(), left.end() - 1, rows) != left.end() - 1;
}

Result<ExitOptions> TunedExits(const Model& model) {
  const auto refuse = [&] {
    return InvalidArgument(
        model.source() +
        ": holds no tuned exits; ingot tune-exits --max-kl makes an artifact with");
  };
  if (model.artifact() == nullptr) return refuse();
  const artifact::Json& provenance = model.artifact()->manifest().provenance;
  const auto tuned = provenance.find("exits");
  if (tuned == provenance.end() || !tuned->is_object()) return refuse();
  const auto number = [&](const char* key) {
    const auto value = tuned->find(key);
    return value != tuned->end() && value->is_number() ? value->get<double>() : -1.0;
  };
  const double layers = number("min_layers"), interval = number("interval");
  if (number("threshold") < 0 || layers < 0 || layers > 1e6 || interval < 1 || interval > 1e6)
    return refuse();
  return ExitOptions{number("threshold"), static_cast<std::size_t>(layers),
                     static_cast<std::size_t>(interval)};
}

ExitPolicy::ExitPolicy(const Model& model) : architecture_(&model.architecture()) {
  stats_.left.resize(architecture_->layers.size());
  exits_.resize(architecture_->layers.size());
}

Result<ExitPolicy> ExitPolicy::Make(const Model& model, const ExitOptions& options) {
  ExitPolicy policy(model);
  policy.options_ = options;
  INGOT_ASSIGN(policy.label_, RouterLabelOf(model));
  const bool cosine = policy.label_ == RouterLabel::kCosine;
  // Written so that NaN fails, too.
  if (!(options.threshold >= 0) || (cosine && !(options.threshold <= 1)))
    return InvalidArgument("an exit threshold of " + std::to_string(options.threshold) +
                           (cosine ? ": these routers say probabilities, from 0 to 1"
                                   : ": these routers say divergences, 0 or more"));
  if (options.interval == 0) return InvalidArgument("exits after every 0 layers");
  INGOT_TRY(policy.TakeTranslators(model));
  bool any = false;
  for (const model::ExitSpec& exit : policy.architecture_->exits) {
    const std::size_t run = exit.layer + 1;
    if (run < options.min_layers || run % options.interval != 0) continue;
    policy.exits_[exit.layer] = &exit;
    any = true;
  }
  if (!any)
    return InvalidArgument("no exit is left after " + std::to_string(options.min_layers) +
                           " layers at interval " + std::to_string(options.interval) +
                           "; the last one is after layer " +
                           std::to_string(policy.architecture_->exits.back().layer + 1));
  return policy;
}

Status ExitPolicy::TakeTranslators(const Model& model) {
  translators_.resize(exits_.size());
  for (const model::ExitSpec& exit : architecture_->exits) {
    INGOT_ASSIGN(translators_[exit.layer], ExitTranslator::Of(model, exit));
  }
  return OkStatus();
}

bool ExitPolicy::translates() const {
  return std::ranges::any_of(translators_, [](const auto& one) { return one.has_value(); });
}

void ExitPolicy::Translate(std::size_t layer, Tensor& left) const {
  if (translators_[layer]) translators_[layer]->Apply(left);
}

ExitPolicy ExitPolicy::ByChance(const Model& model, std::vector<double> chances, std::uint64_t seed,
                                LeftRows kv) {
  ExitPolicy policy(model);
  policy.options_.kv = kv;
  INGOT_CHECK(policy.TakeTranslators(model).ok());
  INGOT_CHECK(chances.size() == policy.exits_.size());
  policy.chances_ = std::move(chances);
  policy.random_ = Random(seed);
  return policy;
}

bool ExitPolicy::Leaves(double said) const {
  if (label_ == RouterLabel::kLogKl)
    return options_.threshold > 0 && said <= std::log(options_.threshold);
  return options_.threshold < 1 && 1 / (1 + std::exp(-said)) >= options_.threshold;
}

model::GoingRows ExitPolicy::Decide(CpuOps& ops, std::size_t layer, const Tensor& x) {
  if (layer == 0) stats_.rows += x.rows();
  if (layer + 1 == exits_.size()) {
    stats_.left[layer] += x.rows();
    return std::nullopt;
  }
  const bool by_chance = !chances_.empty();
  if (by_chance ? chances_[layer] == 0 : exits_[layer] == nullptr) return std::nullopt;
  Tensor said;
  if (!by_chance) said = model::RunExitRouter(ops, *exits_[layer], x);
  std::vector<std::uint32_t> going;
  for (std::size_t i = 0; i < x.rows(); ++i)
    if (by_chance ? random_.Uniform() >= chances_[layer] : !Leaves(said.row(i)[0]))
      going.push_back(static_cast<std::uint32_t>(i));
  if (going.size() == x.rows()) return std::nullopt;
  stats_.left[layer] += x.rows() - going.size();
  return going;
}

ExitsOf::ExitsOf(Runner& runner, ExitPolicy& policy) : runner_(runner) {
  INGOT_CHECK(runner.ops().after_layer == nullptr);
  runner.ops().left_rows = policy.kv();
  if (policy.translates())
    runner.ops().at_exit = [&policy](std::size_t layer, Tensor& left) {
      policy.Translate(layer, left);
    };
  runner.ops().after_layer = [&runner, &policy](std::size_t layer, Tensor& x,
                                                std::span<const std::uint32_t> /*rows*/) {
    return policy.Decide(runner.ops(), layer, x);
  };
}

}  // namespace ingot::loader
