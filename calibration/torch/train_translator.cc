#include "calibration/torch/train_translator.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "calibration/torch/torch_boundary.h"

namespace ingot::calibration {
namespace {

constexpr double kRidges[] = {1e-4, 1e-3, 1e-2, 1e-1, 1};
// A value that counts for nothing is still brought somewhere.
constexpr double kLeastWeight = 1e-3;

std::vector<float> Values(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.to(at::kFloat).contiguous();
  const float* data = whole.data_ptr<float>();
  return {data, data + whole.numel()};
}

Status Check(const TranslatorExamples& examples, std::size_t rank) {
  INGOT_CHECK(examples.width > 0 && examples.states.size() == examples.last.size());
  const std::size_t count = examples.states.size() / examples.width;
  if (examples.held_out == 0 || examples.held_out >= count)
    return InvalidArgument(
        fmt::format("{} examples, {} held out: some must be learned from and some held out", count,
                    examples.held_out));
  if (rank == 0) return InvalidArgument("a translator of rank 0");
  for (const auto values : {examples.states, examples.last, examples.weights})
    if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); }))
      return InvalidArgument("hidden states are not finite");
  return OkStatus();
}

class Fit {
 public:
  Fit(const TranslatorExamples& examples, std::size_t rank) {
    const auto width = static_cast<std::int64_t>(examples.width);
    const auto view = [&](std::span<const float> values) {
      return at::from_blob(const_cast<float*>(values.data()),
                           {static_cast<std::int64_t>(values.size()) / width, width}, at::kFloat)
          .to(at::kDouble);
    };
    const at::Tensor x = view(examples.states), y = view(examples.last);
    weights_ = view(examples.weights).squeeze(0).abs();
    weights_ = weights_.clamp_min(kLeastWeight * weights_.max().item<double>());
    rank_ = std::min(static_cast<std::int64_t>(rank), width);
    const auto held = static_cast<std::int64_t>(examples.held_out);
    const std::int64_t learned = x.size(0) - held;
    x_held_ = x.slice(0, learned);
    missing_held_ = y.slice(0, learned) - x_held_;
    const at::Tensor x_learned = x.slice(0, 0, learned);
    const at::Tensor missing = y.slice(0, 0, learned) - x_learned;
    x_mean_ = x_learned.mean(0);
    missing_mean_ = missing.mean(0);
    centred_ = x_learned - x_mean_;
    square_ = at::mm(centred_.t(), centred_) / learned;
    cross_ = at::mm(centred_.t(), missing - missing_mean_) / learned;
  }

  TrainedTranslator Best() {
    TrainedTranslator best;
    best.rank = static_cast<std::size_t>(rank_);
    best.identity_error = Error(missing_held_);
    best.error = HUGE_VAL;
    for (const double ridge : kRidges) Try(ridge, best);
    return best;
  }

 private:
  double Error(const at::Tensor& missing) const {
    return (missing * weights_).square().mean().item<double>();
  }

  void Try(double ridge, TrainedTranslator& best) const {
    const std::int64_t width = square_.size(0);
    const double size = square_.diagonal().mean().item<double>();
    const at::Tensor whole = at::linalg_solve(
        square_ + at::eye(width, at::kDouble) * (ridge * size), cross_);  // missing = x . whole
    const at::Tensor said = at::mm(centred_, whole) * weights_;
    // The directions in which most is said, weighted.
    const at::Tensor directions =
        std::get<1>(at::linalg_eigh(at::mm(said.t(), said))).slice(1, width - rank_);
    const at::Tensor down = at::mm(whole * weights_, directions);  // width x rank
    const at::Tensor up = directions.t() / weights_;               // rank x width
    const at::Tensor bias =
        missing_mean_ - at::mm(at::mm(x_mean_.unsqueeze(0), down), up).squeeze(0);
    const double error = Error(missing_held_ - at::mm(at::mm(x_held_, down), up) - bias);
    if (!(error < best.error)) return;
    best.error = error;
    best.down = Values(down.t());
    best.up = Values(up.t());
    best.bias = Values(bias);
  }

  std::int64_t rank_ = 0;
  at::Tensor weights_, x_held_, missing_held_, x_mean_, missing_mean_, centred_, square_, cross_;
};

}  // namespace

Result<TrainedTranslator> TrainTranslator(const TranslatorExamples& examples, std::size_t rank) {
  INGOT_TRY(Check(examples, rank));
  return InsideTorch([&]() -> Result<TrainedTranslator> {
    c10::NoGradGuard no_gradients;
    at::set_num_threads(1);  // sums do not depend on how many there are
    return Fit(examples, rank).Best();
  });
}

}  // namespace ingot::calibration
