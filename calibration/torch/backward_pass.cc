#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "base/random.h"
#include "calibration/torch/passes.h"

namespace ingot::calibration {
namespace {

// Rows of logits at once: a vocabulary's worth of floats each, a few times over.
constexpr std::int64_t kHeadRows = 64;

std::string GradientBorder(std::size_t stage) { return fmt::format("gradient-{:04}", stage); }

// What one window adds.
struct WindowGradients {
  std::map<std::string, at::Tensor> squares;            // matrix -> float64 a row
  std::map<std::string, std::vector<float>> per_token;  // "attention" -> a value a token
};

// Squares of the outputs' gradients, summed over tokens, into the rows of the stored matrix.
void AddSquares(const StageRecord& record, std::span<const at::Tensor> gradients,
                WindowGradients& window) {
  for (std::size_t i = 0; i < record.uses.size(); ++i) {
    const model::LinearRef& ref = *record.uses[i].ref;
    at::Tensor& rows = window.squares[ref.weight];
    const auto end = static_cast<std::int64_t>(ref.row_begin + ref.rows);
    if (!rows.defined()) rows = at::zeros({end}, at::kDouble);
    if (rows.size(0) < end) rows = at::cat({rows, at::zeros({end - rows.size(0)}, at::kDouble)});
    if (!gradients[i].defined()) continue;
    rows.narrow(0, static_cast<std::int64_t>(ref.row_begin), static_cast<std::int64_t>(ref.rows))
        .add_(gradients[i].square().sum(0, false, at::kDouble));
  }
}

// d(sum of y * dy) / d(inputs of the record and x): gradients of uses in order, then of x.
std::vector<at::Tensor> Gradients(const at::Tensor& y, const at::Tensor& dy, const at::Tensor& x,
                                  const StageRecord& record) {
  std::vector<at::Tensor> wanted;
  for (const StageRecord::Use& use : record.uses) wanted.push_back(use.output);
  if (x.defined()) wanted.push_back(x);
  return torch::autograd::grad({y}, wanted, {dy}, /*retain_graph=*/false, /*create_graph=*/false,
                               /*allow_unused=*/true);
}

std::vector<float> ToVector(const at::Tensor& values) {
  const at::Tensor flat = values.to(at::kFloat).contiguous();
  return {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()};
}

class BackwardStage {
 public:
  BackwardStage(const RunState& run, std::size_t stage)
      : run_(run), stage_(stage), head_(StageCount(*run.architecture) - 1) {}

  Status Run() {
    INGOT_ASSIGN(weights_, StageWeights::Load(*run_.checkpoint, *run_.architecture, stage_));
    INGOT_TRY(OpenBorders());
    const std::size_t windows = run_.kept.size();
    std::map<std::string, at::Tensor> squares;
    std::map<std::string, std::vector<float>> per_token;
    for (std::size_t begin = 0; begin < windows; begin += run_.fit.running) {
      const std::size_t count = std::min(run_.fit.running, windows - begin);
      std::vector<WindowGradients> results(count);
      INGOT_TRY(ForWindows(count, run_.fit.running, [&](std::size_t i) {
        return stage_ == head_ ? RunHead(begin + i, results[i]) : RunBlock(begin + i, results[i]);
      }));
      // In the order of windows, whatever ran first.
      for (WindowGradients& result : results) {
        for (auto& [name, rows] : result.squares) {
          at::Tensor& sum = squares[name];
          sum = sum.defined() ? sum + rows : rows;
        }
        for (auto& [name, values] : result.per_token)
          per_token[name].insert(per_token[name].end(), values.begin(), values.end());
      }
      INGOT_TRY(run_.Progress({"windows backward", (head_ - stage_) * windows + begin + count,
                               (head_ + 1) * windows, StageName(*run_.architecture, stage_)}));
    }
    weights_.reset();
    return WritePart(squares, per_token);
  }

 private:
  Result<ActivationFile> Kept(const std::string& name) const {
    return run_.work->Activations(name, run_.kept.size(), run_.border_values());
  }

  Status OpenBorders() {
    const auto open = [&](const std::string& name, std::optional<ActivationFile>& file) -> Status {
      INGOT_ASSIGN(ActivationFile opened, Kept(name));
      file.emplace(std::move(opened));
      return OkStatus();
    };
    if (stage_ > 0) {
      INGOT_TRY(open(KeptBorder(stage_), in_));
      INGOT_TRY(open(GradientBorder(stage_), gradient_out_));
    }
    if (stage_ == head_) return OkStatus();
    INGOT_TRY(open(GradientBorder(stage_ + 1), gradient_in_));
    return open(KeptBorder(head_), last_);
  }

  // The embedding and layers.
  Status RunBlock(std::size_t window, WindowGradients& result) {
    at::Tensor x;
    if (in_) {
      INGOT_ASSIGN(x, ReadBorder(run_, *in_, window));
      x.set_requires_grad(true);
    }
    INGOT_ASSIGN(const at::Tensor dy, ReadBorder(run_, *gradient_in_, window));
    StageRecord record;
    record.keep_outputs = record.want_attention = true;
    TorchOps ops(*run_.architecture, *weights_, &record);
    const auto rows = model::WholeSequences(1, run_.context());
    const at::Tensor y =
        RunStage(ops, *run_.architecture, stage_, x, {run_.text->windows[run_.kept[window]], rows});
    INGOT_TRY(ops.status());
    if (record.uses.empty() && !x.defined()) return OkStatus();  // an embedding is a table
    const std::vector<at::Tensor> gradients = Gradients(y, dy, x, record);
    const c10::NoGradGuard no_gradients;
    AddSquares(record, gradients, result);
    if (!x.defined()) return OkStatus();
    INGOT_TRY(WriteBorder(*gradient_out_, window, gradients.back()));
    INGOT_ASSIGN(const at::Tensor last, ReadBorder(run_, *last_, window));
    // What passes beside the hidden state has gradients of its own and is no part of these.
    const auto hidden = [&](const at::Tensor& t) {
      return t.narrow(1, 0, static_cast<std::int64_t>(run_.architecture->hidden_size));
    };
    const at::Tensor out = hidden(y.detach());
    if (record.attention.defined()) result.per_token["attention"] = ToVector(record.attention);
    result.per_token["hidden_norm"] = ToVector(out.norm(2, {1}));
    result.per_token["gradient"] = ToVector(hidden(gradients.back()).norm(2, {1}));
    result.per_token["cosine"] = ToVector(at::cosine_similarity(out, hidden(last), 1, 1e-12));
    return OkStatus();
  }

  // The head, a few rows at a time: L = -log p(a token drawn from the model's softmax), so that
  // dL/dlogits = softmax - onehot.
  Status RunHead(std::size_t window, WindowGradients& result) {
    INGOT_ASSIGN(const at::Tensor hidden, ReadBorder(run_, *in_, window));
    at::Tensor down = at::empty_like(hidden);
    for (std::int64_t row = 0; row < hidden.size(0); row += kHeadRows) {
      const std::int64_t rows = std::min(kHeadRows, hidden.size(0) - row);
      const at::Tensor x = hidden.narrow(0, row, rows).clone().set_requires_grad(true);
      StageRecord record;
      record.keep_outputs = true;
      TorchOps ops(*run_.architecture, *weights_, &record);
      const at::Tensor logits = RunStage(ops, *run_.architecture, stage_, x, {});
      at::Tensor dy;
      {
        const c10::NoGradGuard no_gradients;
        dy = at::softmax(logits.detach(), -1);
        INGOT_TRY(Sample(window, row, dy, result.per_token["entropy"]));
      }
      const std::vector<at::Tensor> gradients = Gradients(logits, dy, x, record);
      const c10::NoGradGuard no_gradients;
      AddSquares(record, gradients, result);
      down.narrow(0, row, rows).copy_(gradients.back());
    }
    return WriteBorder(*gradient_out_, window, down);
  }

  // Turns probabilities (rows x vocabulary) into softmax - onehot of a drawn token; appends their
  // entropies in nats.
  Status Sample(std::size_t window, std::int64_t first, at::Tensor& p,
                std::vector<float>& entropies) const {
    const std::int64_t vocab = p.size(1);
    for (std::int64_t r = 0; r < p.size(0); ++r) {
      float* row = p.data_ptr<float>() + r * vocab;
      float total = 0;
      double entropy = 0;
      for (std::int64_t i = 0; i < vocab; ++i) total += row[i];
      if (!std::isfinite(total))
        return InvalidArgument(fmt::format(
            "head: logits of window {}, position {} are not finite: weights are damaged",
            run_.kept[window], first + r));
      for (std::int64_t i = 0; i < vocab; ++i)
        if (row[i] > 0) entropy -= row[i] * std::log(static_cast<double>(row[i]));
      const std::uint64_t place =
          run_.kept[window] * run_.context() + static_cast<std::uint64_t>(first + r);
      row[DrawToken({row, static_cast<std::size_t>(vocab)}, run_.options->seed, place)] -= 1;
      entropies.push_back(static_cast<float>(entropy));
    }
    return OkStatus();
  }

  Status WritePart(const std::map<std::string, at::Tensor>& squares,
                   const std::map<std::string, std::vector<float>>& per_token) const {
    const double tokens = static_cast<double>(run_.kept.size() * run_.context());
    std::vector<StatisticsTensor> tensors;
    std::vector<std::vector<float>> means;
    means.reserve(squares.size());
    for (const auto& [name, rows] : squares) {
      means.push_back(ToVector(rows / tokens));
      tensors.push_back({"fisher/" + name, {means.back().size()}, means.back()});
    }
    for (const auto& [name, values] : per_token)
      tensors.push_back({"token/" + name, {values.size()}, values});
    return WriteStatistics(run_.work->Part(BackwardPart(stage_)), {}, tensors)
        .At(StageName(*run_.architecture, stage_));
  }

  const RunState& run_;
  std::size_t stage_, head_;
  std::unique_ptr<StageWeights> weights_;
  // Inputs of this stage and of the head; gradients of the output and of the input.
  std::optional<ActivationFile> in_, last_, gradient_in_, gradient_out_;
};

}  // namespace

std::size_t DrawToken(std::span<const float> p, std::uint64_t seed, std::uint64_t place) {
  double total = 0;
  for (const float each : p) total += each;
  Random random(seed * 0x9e3779b97f4a7c15u + place);
  double left = random.Uniform() * total;
  std::size_t drawn = 0;
  for (std::size_t i = 0; i < p.size() && left >= 0; ++i) {
    if (p[i] > 0) drawn = i;
    left -= p[i];
  }
  return drawn;
}

Status BackwardPass(const RunState& run) {
  if (run.kept.empty()) return OkStatus();
  for (std::size_t stage = StageCount(*run.architecture); stage-- > 0;) {
    if (!run.work->HasPart(BackwardPart(stage))) {
      BackwardStage work(run, stage);
      INGOT_TRY(work.Run());
    }
    run.work->RemoveActivations(GradientBorder(stage + 1));
  }
  return OkStatus();
}

}  // namespace ingot::calibration
