#include "calibration/torch/tune_block.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "base/random.h"

namespace ingot::calibration {
namespace {

std::int64_t Signed(std::uint64_t n) { return static_cast<std::int64_t>(n); }

// Adam (Kingma, Ba, 2015) with a short memory, since steps are few.
class Adam {
 public:
  explicit Adam(std::size_t parameters) : mean_(parameters), square_(parameters) {}

  void Step(std::span<const float> gradient, double rate, std::vector<float>& values) {
    ++steps_;
    const double mean_bias = 1 - std::pow(kMean, steps_),
                 square_bias = 1 - std::pow(kSquare, steps_);
    for (std::size_t k = 0; k < values.size(); ++k) {
      const double g = gradient[k];
      mean_[k] = static_cast<float>(kMean * mean_[k] + (1 - kMean) * g);
      square_[k] = static_cast<float>(kSquare * square_[k] + (1 - kSquare) * g * g);
      const double size = std::sqrt(square_[k] / square_bias);
      if (size > 0) values[k] -= static_cast<float>(rate * (mean_[k] / mean_bias) / size);
    }
  }

 private:
  static constexpr double kMean = 0.9, kSquare = 0.99;
  int steps_ = 0;
  std::vector<float> mean_, square_;
};

// A permutation that depends on the seed alone.
void Shuffle(std::vector<std::size_t>& order, Random& random) {
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
}

}  // namespace

Result<at::Tensor> PackedReader::Matrix(const std::string& name, bool /*transposed*/) const {
  if (const auto it = own_.find(name); it != own_.end()) return it->second;
  INGOT_ASSIGN(PackedTensor packed, packed_.Read(name));
  INGOT_ASSIGN(const auto tensor,
               TuneTensor::Make(std::move(packed), TuneTensor::Use::kMatrix).At(name));
  at::Tensor values = at::empty({Signed(tensor->rows()), Signed(tensor->cols())}, at::kFloat);
  tensor->Decode(values.data_ptr<float>());
  return values;
}

Result<at::Tensor> PackedReader::Rows(const std::string& table,
                                      std::span<const std::int32_t> ids) const {
  INGOT_ASSIGN(const std::shared_ptr<const TuneTensor> tensor, Table(table));
  at::Tensor out = at::empty({Signed(ids.size()), Signed(tensor->cols())}, at::kFloat);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto row = static_cast<std::uint64_t>(ids[i]);
    if (ids[i] < 0 || row >= tensor->rows())
      return InvalidArgument(
          fmt::format("row {} of '{}', which has {}", ids[i], table, tensor->rows()));
    tensor->DecodeRows(row, row + 1, out.data_ptr<float>() + i * tensor->cols());
  }
  return out;
}

Result<std::shared_ptr<const TuneTensor>> PackedReader::Table(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const TuneTensor>& table = tables_[name];
  if (table != nullptr) return table;
  INGOT_ASSIGN(PackedTensor packed, packed_.Read(name));
  INGOT_ASSIGN(table, TuneTensor::Make(std::move(packed), TuneTensor::Use::kMatrix).At(name));
  return table;
}

Status TuneBlock::AddLeaf(const PackedModel& packed, const std::string& name, TuneTensor::Use use,
                          double offset, bool moves) {
  for (const Leaf& leaf : leaves_)
    if (leaf.name == name) return OkStatus();
  INGOT_ASSIGN(PackedTensor planes, packed.Read(name));
  Leaf leaf{name, nullptr, {}, parameters_};
  INGOT_ASSIGN(leaf.tensor, TuneTensor::Make(std::move(planes), use, offset).At(name));
  leaf.weight = at::empty({Signed(leaf.tensor->rows()), Signed(leaf.tensor->cols())}, at::kFloat);
  leaf.tensor->Decode(leaf.weight.data_ptr<float>());
  reader_->Use(name, leaf.weight);
  if (!moves || leaf.tensor->parameters() == 0) return OkStatus();
  leaf.weight.set_requires_grad(true);
  parameters_ += leaf.tensor->parameters();
  leaves_.push_back(std::move(leaf));
  return OkStatus();
}

Result<std::unique_ptr<TuneBlock>> TuneBlock::Load(const RunState& run, const PackedModel& packed,
                                                   std::size_t layer,
                                                   const std::map<std::string, int>& uses) {
  std::unique_ptr<TuneBlock> block(new TuneBlock(run, layer));
  block->reader_ = std::make_shared<PackedReader>(packed);
  Status status;
  const auto add = [&](const std::string& name, TuneTensor::Use use, bool moves, double offset) {
    if (!status.ok() || name.empty()) return;
    const auto used = uses.find(name);
    const bool alone = used != uses.end() && used->second == 1;
    status = block->AddLeaf(packed, name, use, offset, moves && alone);
  };
  VisitStage(
      *run.architecture, layer + 1,
      [&](const model::LinearRef& ref) {
        add(ref.weight, TuneTensor::Use::kMatrix, true, 0);
        add(ref.bias, TuneTensor::Use::kNorm, false, 0);
      },
      [&](const model::NormSpec& norm) {
        add(norm.weight, TuneTensor::Use::kNorm, true, norm.weight_offset);
        for (const std::string& name : norm.head_weights)
          add(name, TuneTensor::Use::kNorm, true, norm.weight_offset);
        add(norm.bias, TuneTensor::Use::kNorm, false, 0);
      });
  VisitValues(*run.architecture, layer + 1,
              [&](const std::string& name) { add(name, TuneTensor::Use::kMatrix, false, 0); });
  INGOT_TRY(std::move(status));
  return block;
}

void TuneBlock::Set(const std::vector<float>& deltas) {
  for (Leaf& leaf : leaves_) {
    leaf.tensor->Set({deltas.data() + leaf.begin, leaf.tensor->parameters()});
    leaf.tensor->Decode(leaf.weight.data_ptr<float>());
  }
}

Result<at::Tensor> TuneBlock::Output(const ActivationFile& in, std::size_t window) const {
  INGOT_ASSIGN(const at::Tensor x, ReadBorder(run_, in, window));
  INGOT_ASSIGN(const auto weights, StageWeights::Load(reader_, *run_.architecture, layer_ + 1));
  TorchOps ops(*run_.architecture, *weights);
  const auto rows = model::WholeSequences(1, run_.context());
  const at::Tensor y =
      RunStage(ops, *run_.architecture, layer_ + 1, x, {run_.text->windows[window], rows});
  INGOT_TRY(ops.status());
  return y;
}

// Every token counts alike, however large its activations are: what follows normalizes them away.
Result<at::Tensor> TuneBlock::Loss(const BlockData& data, std::size_t window) const {
  INGOT_ASSIGN(const at::Tensor wanted, ReadBorder(run_, *data.target, window));
  INGOT_ASSIGN(const at::Tensor y, Output(*data.in, window));
  // What a border carries beside the hidden state is no layer's output.
  const std::int64_t hidden = Signed(run_.architecture->hidden_size);
  const at::Tensor target = wanted.narrow(1, 0, hidden);
  const at::Tensor error = (y.narrow(1, 0, hidden) - target).square(), size = target.square();
  return (error.sum(-1) / (size.sum(-1) + 1e-20)).mean();
}

Result<double> TuneBlock::HeldOut(const BlockData& data) const {
  std::vector<double> losses(data.held_out.size());
  INGOT_TRY(ForWindows(losses.size(), run_.fit.running, [&](std::size_t i) -> Status {
    const c10::NoGradGuard no_gradients;
    INGOT_ASSIGN(const at::Tensor loss, Loss(data, data.held_out[i]));
    losses[i] = loss.item<double>();
    return OkStatus();
  }));
  return std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(losses.size());
}

Status TuneBlock::Gradient(const BlockData& data, std::span<const std::size_t> windows,
                           std::vector<float>& gradient) const {
  std::vector<at::Tensor> weights, sums(leaves_.size());
  for (const Leaf& leaf : leaves_) weights.push_back(leaf.weight);
  for (std::size_t begin = 0; begin < windows.size(); begin += run_.fit.running) {
    const std::size_t count = std::min(run_.fit.running, windows.size() - begin);
    std::vector<std::vector<at::Tensor>> parts(count);
    INGOT_TRY(ForWindows(count, run_.fit.running, [&](std::size_t i) -> Status {
      INGOT_ASSIGN(const at::Tensor loss, Loss(data, windows[begin + i]));
      parts[i] = torch::autograd::grad({loss}, weights, {}, /*retain_graph=*/false,
                                       /*create_graph=*/false, /*allow_unused=*/true);
      return OkStatus();
    }));
    // In the order of windows, whatever ran first.
    for (auto& part : parts)
      for (std::size_t i = 0; i < sums.size(); ++i) {
        if (!part[i].defined()) continue;
        sums[i].defined() ? sums[i].add_(part[i]) : sums[i] = part[i].contiguous().clone();
        part[i].reset();
      }
  }
  std::fill(gradient.begin(), gradient.end(), 0.0f);
  for (std::size_t i = 0; i < leaves_.size(); ++i)
    if (sums[i].defined())
      leaves_[i].tensor->Gradient(sums[i].data_ptr<float>(), {gradient.data() + leaves_[i].begin,
                                                              leaves_[i].tensor->parameters()});
  return OkStatus();
}

Result<TunedBlock> TuneBlock::Run(const BlockData& data, const TuneOptions& options) {
  TunedBlock report{layer_, parameters_};
  INGOT_ASSIGN(report.before, HeldOut(data));
  if (!std::isfinite(report.before))
    return InvalidArgument(
        fmt::format("layer {}: its output is not finite: weights are damaged", layer_));
  report.after = report.before;
  std::vector<float> deltas(parameters_), gradient(parameters_), best(parameters_);
  Adam adam(parameters_);
  Random random(options.seed * 0x9e3779b97f4a7c15u + layer_);
  std::vector<std::size_t> order = data.train;
  const std::size_t batch = std::min(options.batch_windows, order.size());
  const std::size_t steps = order.size() / batch;
  double least = report.before;
  const std::size_t epochs = parameters_ > 0 && report.before > 0 ? options.epochs : 0;
  for (std::size_t epoch = 0; epoch < epochs; ++epoch) {
    Shuffle(order, random);
    for (std::size_t step = 0; step < steps; ++step) {
      INGOT_TRY(Gradient(data, std::span(order).subspan(step * batch, batch), gradient));
      const double done =
          static_cast<double>(epoch * steps + step) / static_cast<double>(options.epochs * steps);
      adam.Step(gradient, options.rate * 0.5 * (1 + std::cos(std::numbers::pi * done)), deltas);
      Set(deltas);
    }
    INGOT_ASSIGN(report.after, HeldOut(data));
    if (report.after < least) {
      least = report.after;
      best = deltas;
    }
  }
  report.kept = least < report.before;
  if (report.kept) report.after = least;
  if (parameters_ > 0) Set(best);
  return report;
}

Status TuneBlock::Forward(const ActivationFile& in, ActivationFile& out) const {
  return ForWindows(run_.text->windows.size(), run_.fit.running, [&](std::size_t window) -> Status {
    const c10::NoGradGuard no_gradients;
    INGOT_ASSIGN(const at::Tensor y, Output(in, window));
    return WriteBorder(out, window, y);
  });
}

void TuneBlock::TakeChanged(std::map<std::string, std::vector<NewStream>>& streams) const {
  for (const Leaf& leaf : leaves_) {
    std::vector<NewStream> changed = leaf.tensor->Changed();
    if (!changed.empty()) streams[leaf.name] = std::move(changed);
  }
}

}  // namespace ingot::calibration
