#include "calibration/torch/train_router.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/random.h"
#include "calibration/torch/torch_boundary.h"

namespace ingot::calibration {
namespace {

std::int64_t Signed(std::size_t n) { return static_cast<std::int64_t>(n); }

// Adam (Kingma, Ba, 2015).
class Adam {
 public:
  explicit Adam(double rate) : rate_(rate) {}

  void Step(std::vector<at::Tensor>& parameters, const std::vector<at::Tensor>& gradients) {
    c10::NoGradGuard no_gradients;
    ++steps_;
    mean_.resize(parameters.size());
    square_.resize(parameters.size());
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const at::Tensor& g = gradients[i];
      if (!mean_[i].defined()) {
        mean_[i] = at::zeros_like(g);
        square_[i] = at::zeros_like(g);
      }
      mean_[i].mul_(kMean).add_(g, 1 - kMean);
      square_[i].mul_(kSquare).addcmul_(g, g, 1 - kSquare);
      const at::Tensor size = (square_[i] / (1 - std::pow(kSquare, steps_))).sqrt_().add_(1e-8);
      parameters[i].sub_(mean_[i] / size, rate_ / (1 - std::pow(kMean, steps_)));
    }
  }

 private:
  static constexpr double kMean = 0.9, kSquare = 0.999;
  double rate_;
  int steps_ = 0;
  std::vector<at::Tensor> mean_, square_;
};

class Training {
 public:
  Training(const RouterExamples& examples, const RouterOptions& options)
      : options_(options), random_(options.seed) {
    const std::size_t count = examples.targets.size();
    const auto view = [](std::span<const float> values, std::vector<std::int64_t> shape) {
      return at::from_blob(const_cast<float*>(values.data()), shape, at::kFloat);
    };
    const at::Tensor x = view(examples.states, {Signed(count), Signed(examples.width)});
    const at::Tensor y = view(examples.targets, {Signed(count)});
    learned_ = count - examples.held_out;
    x_ = x.slice(0, 0, Signed(learned_));
    y_ = y.slice(0, 0, Signed(learned_));
    x_held_ = x.slice(0, Signed(learned_));
    y_held_ = y.slice(0, Signed(learned_));
    const double ones = y_.sum().item<double>();
    // Of each class, so that both weigh alike.
    if (options.classify) {
      one_weight_ = static_cast<double>(learned_) / (2 * ones);
      zero_weight_ = static_cast<double>(learned_) / (2 * (static_cast<double>(learned_) - ones));
    }
    Begin(examples.width);
  }

  TrainedRouter Run() {
    TrainedRouter best;
    best.loss = HUGE_VAL;
    std::size_t worse = 0;
    Adam adam(options_.rate);
    for (std::size_t epoch = 0; epoch < options_.epochs && worse < options_.patience; ++epoch) {
      Epoch(adam);
      const double loss = HeldOutLoss();
      worse = loss < best.loss ? 0 : worse + 1;
      if (worse == 0) Keep(loss, best);
    }
    best.constant_loss = ConstantLoss();
    return best;
  }

 private:
  // Uniform by the number of inputs, as LibTorch's linear layers begin; by the seed alone.
  at::Tensor Uniform(std::size_t rows, std::size_t cols) {
    at::Tensor values = at::empty({Signed(rows), Signed(cols)}, at::kFloat);
    const double bound = 1 / std::sqrt(static_cast<double>(cols));
    float* data = values.data_ptr<float>();
    for (std::size_t i = 0; i < rows * cols; ++i)
      data[i] = static_cast<float>((2 * random_.Uniform() - 1) * bound);
    return values.requires_grad_(true);
  }
  void Begin(std::size_t width) {
    parameters_ = {Uniform(options_.hidden, width), Uniform(1, options_.hidden)};
  }
  at::Tensor Say(const at::Tensor& x) const {
    return at::linear(at::silu(at::linear(x, parameters_[0])), parameters_[1]).squeeze(1);
  }
  at::Tensor Loss(const at::Tensor& said, const at::Tensor& y) const {
    if (!options_.classify) return (said - y).square().mean();
    const at::Tensor weights = y * (one_weight_ - zero_weight_) + zero_weight_;
    return at::binary_cross_entropy_with_logits(said, y, weights);
  }
  void Epoch(Adam& adam) {
    std::vector<std::int64_t> order(learned_);
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_.Below(i)]);
    for (std::size_t begin = 0; begin < learned_; begin += options_.batch) {
      const std::size_t count = std::min(options_.batch, learned_ - begin);
      const at::Tensor rows = at::from_blob(order.data() + begin, {Signed(count)}, at::kLong);
      const at::Tensor loss = Loss(Say(x_.index_select(0, rows)), y_.index_select(0, rows));
      adam.Step(parameters_, torch::autograd::grad({loss}, parameters_));
    }
  }
  double HeldOutLoss() const {
    c10::NoGradGuard no_gradients;
    return Loss(Say(x_held_), y_held_).item<double>();
  }
  double ConstantLoss() const {
    c10::NoGradGuard no_gradients;
    // Balanced classes: the best constant is a logit of 0; else the mean of what is learned from.
    const at::Tensor said =
        options_.classify ? at::zeros_like(y_held_) : at::full_like(y_held_, y_.mean().item());
    return Loss(said, y_held_).item<double>();
  }
  void Keep(double loss, TrainedRouter& router) const {
    c10::NoGradGuard no_gradients;
    const auto values = [](const at::Tensor& tensor) {
      const at::Tensor whole = tensor.contiguous();
      const float* data = whole.data_ptr<float>();
      return std::vector<float>(data, data + whole.numel());
    };
    router.loss = loss;
    router.up = values(parameters_[0]);
    router.down = values(parameters_[1]);
    router.held_out = values(Say(x_held_));
  }

  const RouterOptions& options_;
  Random random_;
  std::size_t learned_ = 0;
  at::Tensor x_, y_, x_held_, y_held_;
  double one_weight_ = 1, zero_weight_ = 1;
  std::vector<at::Tensor> parameters_;
};

Status Check(const RouterExamples& examples, const RouterOptions& options) {
  const std::size_t count = examples.targets.size();
  INGOT_CHECK(examples.states.size() == count * examples.width);
  if (examples.held_out == 0 || examples.held_out >= count)
    return InvalidArgument(
        fmt::format("{} examples, {} held out: some must be learned from and "
                    "some held out",
                    count, examples.held_out));
  const auto finite = [](float value) { return std::isfinite(value); };
  if (!std::ranges::all_of(examples.states, finite) ||
      !std::ranges::all_of(examples.targets, finite))
    return InvalidArgument("hidden states or targets are not finite");
  if (!options.classify) return OkStatus();
  const auto learned = examples.targets.first(count - examples.held_out);
  const auto ones = std::ranges::count(learned, 1.0f);
  if (ones == 0 || static_cast<std::size_t>(ones) == learned.size())
    return InvalidArgument(
        fmt::format("{} of {} examples are of the class that is to be told: a "
                    "router would say always the same",
                    ones, learned.size()));
  return OkStatus();
}

}  // namespace

Result<TrainedRouter> TrainRouter(const RouterExamples& examples, const RouterOptions& options) {
  INGOT_TRY(Check(examples, options));
  return InsideTorch([&]() -> Result<TrainedRouter> {
    at::set_num_threads(1);  // sums do not depend on how many there are
    return Training(examples, options).Run();
  });
}

}  // namespace ingot::calibration
