#include "loader/exit_translator.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>

#include "base/parallel.h"
#include "loader/cpu/linear.h"
#include "loader/precision/token_importance.h"

namespace ingot::loader {
namespace {

std::vector<float> Values(const ResidentMatrix& matrix) {
  std::vector<std::int32_t> rows(matrix.rows);
  std::iota(rows.begin(), rows.end(), 0);
  std::vector<float> values(matrix.rows * matrix.cols);
  GatherRows(matrix, rows, values.data());
  return values;
}

}  // namespace

Result<std::optional<ExitTranslator>> ExitTranslator::Of(const Model& model,
                                                         const model::ExitSpec& exit) {
  const std::string& name = exit.up.weight;
  const ResidentMatrix* down = model.weights().Find(name + kTranslatorDown);
  const ResidentMatrix* up = model.weights().Find(name + kTranslatorUp);
  const ResidentMatrix* bias = model.weights().Find(name + kTranslatorBias);
  if (down == nullptr && up == nullptr && bias == nullptr) return std::optional<ExitTranslator>();
  const std::size_t width = model.architecture().hidden_size;
  if (down == nullptr || up == nullptr || bias == nullptr || down->cols != width ||
      up->rows != width || up->cols != down->rows || bias->rows * bias->cols != width)
    return Corruption(model.source() + ": the translator of the exit after layer " +
                      std::to_string(exit.layer + 1) + " does not fit a state of " +
                      std::to_string(width));
  for (const ResidentMatrix* matrix : {down, up, bias})
    INGOT_TRY(matrix->Ready().At(model.source()));
  ExitTranslator translator(Values(*down), Values(*up), Values(*bias));
  for (const auto* values : {&translator.down_, &translator.up_, &translator.bias_})
    if (!std::ranges::all_of(*values, [](float value) { return std::isfinite(value); }))
      return Corruption(model.source() + ": the translator of the exit after layer " +
                        std::to_string(exit.layer + 1) + " is not finite");
  return std::optional(std::move(translator));
}

void ExitTranslator::Apply(float* state) const {
  const std::size_t width = bias_.size(), rank = down_.size() / width;
  thread_local std::vector<float> normed, low;
  normed.resize(width);
  low.assign(rank, 0);
  NormState({state, width}, normed);
  for (std::size_t r = 0; r < rank; ++r)
    for (std::size_t i = 0; i < width; ++i) low[r] += down_[r * width + i] * normed[i];
  for (std::size_t i = 0; i < width; ++i) {
    float sum = normed[i] + bias_[i];
    for (std::size_t r = 0; r < rank; ++r) sum += up_[i * rank + r] * low[r];
    state[i] = sum;
  }
}

void ExitTranslator::Apply(Tensor& x) const {
  ParallelFor(x.rows(), 4, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) Apply(x.row(r));
  });
}

}  // namespace ingot::loader
