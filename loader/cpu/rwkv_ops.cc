// RWKV over the CPU op set: token shift and mixing row by row, recurrences head by head (version 4:
// channel by channel) over the tokens of a block. A head belongs to one thread, so that results do
// not depend on how many there are.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/parallel.h"
#include "loader/cpu/cpu_ops.h"
#include "loader/cpu/op_work.h"
#include "loader/kernels/rwkv_kernels.h"

namespace ingot::loader {
namespace {

using model::RwkvVersion;

constexpr float kSlowestDecay7 = 0.60653065971f;  // e^(-1/2)
constexpr float kNormFloor = 1e-12f;              // of version 7's keys, as torch's normalize

float Sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

// Columns [begin, end) of version 4's recurrence, in the form that keeps its exponents from
// overflowing: a and b are held divided by e^p. b is 0 only before the first token.
void Scan4(const Tensor& key, const Tensor& value, std::size_t first_row, std::size_t rows,
           const float* decay, const float* bonus, std::size_t begin, std::size_t end, float* state,
           Tensor& out) {
  const std::size_t inner = key.cols();
  float *a = state, *b = state + inner, *p = state + 2 * inner;
  for (std::size_t t = first_row; t < first_row + rows; ++t) {
    const float *k = key.row(t), *v = value.row(t);
    float* y = out.row(t);
    for (std::size_t c = begin; c < end; ++c) {
      const bool empty = b[c] == 0;
      const float current = bonus[c] + k[c];
      float top = empty ? current : std::max(p[c], current);
      float past = empty ? 0.0f : std::exp(p[c] - top);
      float now = std::exp(current - top);
      y[c] = (past * a[c] + now * v[c]) / (past * b[c] + now);
      const float decayed = decay[c] + p[c];
      top = empty ? k[c] : std::max(decayed, k[c]);
      past = empty ? 0.0f : std::exp(decayed - top);
      now = std::exp(k[c] - top);
      a[c] = past * a[c] + now * v[c];
      b[c] = past * b[c] + now;
      p[c] = top;
    }
  }
}

// Factors from what a token's low-rank vector says.
void TokenDecays(RwkvVersion version, const RwkvHeadTask& task, float* decay) {
  for (std::size_t t = 0; t < task.tokens; ++t) {
    float* w = decay + t * task.stride;
    for (std::size_t i = 0; i < task.dim; ++i)
      w[i] =
          std::exp(version == RwkvVersion::k7 ? -kSlowestDecay7 * Sigmoid(w[i]) : -std::exp(w[i]));
  }
}

// Version 7's keys of one token's head: kk and kk * rate out, k *= 1 + (rate - 1) key_rate.
void PrepareKeys(std::size_t dim, const float* key_scale, const float* key_rate, const float* rate,
                 float* key, float* removal, float* replacement) {
  float squares = 0;
  for (std::size_t i = 0; i < dim; ++i) {
    removal[i] = key[i] * key_scale[i];
    squares += removal[i] * removal[i];
  }
  const float norm = std::max(std::sqrt(squares), kNormFloor);
  for (std::size_t i = 0; i < dim; ++i) {
    removal[i] /= norm;
    replacement[i] = removal[i] * rate[i];
    key[i] *= 1 + (rate[i] - 1) * key_rate[i];
  }
}

// y += (sum of r k bonus) v.
void AddBonus(std::size_t dim, const float* r, const float* k, const float* bonus, const float* v,
              float* y) {
  float sum = 0;
  for (std::size_t i = 0; i < dim; ++i) sum += r[i] * k[i] * bonus[i];
  for (std::size_t i = 0; i < dim; ++i) y[i] += sum * v[i];
}

}  // namespace

Tensor CpuOps::TokenShift(std::size_t layer, std::size_t slot, const Tensor& x) {
  const std::size_t cols = x.cols();
  const std::vector<float*>& last = States(layer, slot, cols);
  Tensor delta = Like(x, cols);
  ParallelFor(x.rows(), RowGrain(cols), [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) {
      const std::uint32_t run = run_of_row_[t];
      const float* before = t == runs_[run].first ? last[run] : x.row(t - 1);
      for (std::size_t i = 0; i < cols; ++i) delta.row(t)[i] = before[i] - x.row(t)[i];
    }
  });
  for (std::size_t i = 0; i < runs_.size(); ++i)
    std::memcpy(last[i], x.row(runs_[i].first + runs_[i].count - 1), cols * sizeof(float));
  return delta;
}

Tensor CpuOps::TokenMix(const std::string& vector, bool of_current, const Tensor& x,
                        const Tensor& delta) {
  const float* share = weights_->Values(vector);
  Tensor out = Like(x, x.cols());
  ParallelFor(x.rows(), RowGrain(x.cols()), [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t)
      for (std::size_t i = 0; i < x.cols(); ++i)
        out.row(t)[i] = x.row(t)[i] + delta.row(t)[i] * (of_current ? 1 - share[i] : share[i]);
  });
  return out;
}

Tensor CpuOps::TokenMix(const std::string& vector, const Tensor& x, const Tensor& delta,
                        const Tensor& low) {
  const float* share = weights_->Values(vector);
  Tensor out = Like(x, x.cols());
  ParallelFor(x.rows(), RowGrain(x.cols()), [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t)
      for (std::size_t i = 0; i < x.cols(); ++i)
        out.row(t)[i] = x.row(t)[i] + delta.row(t)[i] * (share[i] + low.row(t)[i]);
  });
  return out;
}

void CpuOps::KeepFirstValue(const Tensor& value) {
  first_value_rows_ = rows_;
  first_value_ = Like(value, value.cols());
  std::memcpy(first_value_.data(), value.data(), value.size() * sizeof(float));
}

Tensor CpuOps::BlendFirstValue(Tensor value, const Tensor& gate) {
  // Rows may have left since, none has come.
  std::vector<std::size_t> from;
  for (std::size_t kept = 0; kept < first_value_rows_.size() && from.size() < rows_.size();
       ++kept) {
    const model::Row &row = rows_[from.size()], &then = first_value_rows_[kept];
    if (row.sequence == then.sequence && row.position == then.position) from.push_back(kept);
  }
  INGOT_CHECK(from.size() == rows_.size());
  ParallelFor(value.rows(), RowGrain(value.cols() * 16), [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      const float *first = first_value_.row(from[r]), *g = gate.row(r);
      float* v = value.row(r);
      for (std::size_t i = 0; i < value.cols(); ++i) v[i] += (first[i] - v[i]) * Sigmoid(g[i]);
    }
  });
  return value;
}

Tensor CpuOps::RwkvScan(const model::RwkvSpec& spec, std::size_t layer,
                        model::RwkvStreams<Tensor> streams) {
  const std::size_t tokens = streams.key.rows(), inner = spec.inner();
  const std::size_t mean_tokens = CeilDiv(tokens, runs_.size());
  Tensor out = Like(streams.key, inner);
  if (spec.version == RwkvVersion::k4) {
    const std::vector<float*>& states = States(layer, model::kRwkvState, 3 * inner);
    const float* decay = weights_->Values(spec.decay);
    const float* bonus = weights_->Values(spec.bonus);
    for (std::size_t i = 0; i < runs_.size(); ++i)
      ParallelFor(inner, RowGrain(runs_[i].count * 64), [&](std::size_t begin, std::size_t end) {
        Scan4(streams.key, streams.value, runs_[i].first, runs_[i].count, decay, bonus, begin, end,
              states[i], out);
      });
    return Gate(model::Activation::kSigmoid, std::move(streams.receptance), out);
  }
  const std::size_t dim = spec.head_dim;
  const std::vector<float*>& states = States(layer, model::kRwkvState, inner * dim);
  Tensor removal, replacement;
  if (spec.version == RwkvVersion::k7) {
    removal = pool_.Make(tokens, inner);
    replacement = pool_.Make(tokens, inner);
  }
  const std::size_t tasks = runs_.size() * spec.heads;
  Tensor scratch = pool_.Make(tasks, dim);
  ParallelFor(tasks, RowGrain(mean_tokens * dim * (dim + 32)),
              [&](std::size_t begin, std::size_t end) {
                for (std::size_t i = begin; i < end; ++i) {
                  const Run& run = runs_[i / spec.heads];
                  const std::size_t head = i % spec.heads;
                  RwkvHeadTask task;
                  task.tokens = run.count;
                  task.dim = dim;
                  task.stride = inner;
                  task.state = states[i / spec.heads] + head * dim * dim;
                  task.scratch = scratch.row(i);
                  ScanHead(spec, head, run, streams, removal, replacement, task, out);
                }
              });
  return out;
}

void CpuOps::ScanHead(const model::RwkvSpec& spec, std::size_t head, const Run& run,
                      model::RwkvStreams<Tensor>& streams, Tensor& removal, Tensor& replacement,
                      RwkvHeadTask& task, Tensor& out) const {
  const std::size_t dim = task.dim;
  const std::size_t column = head * dim;
  const std::size_t first = run.first * task.stride + column;
  float* key = streams.key.data() + first;
  task.receptance = streams.receptance.data() + first;
  task.key = key;
  task.value = streams.value.data() + first;
  task.out = out.data() + first;
  if (streams.decay.rows() > 0) {
    TokenDecays(spec.version, task, streams.decay.data() + first);
    task.decay = streams.decay.data() + first;
    task.decay_stride = task.stride;
  } else {
    task.decay = weights_->Values(spec.decay) + column;
  }
  const float* bonus = weights_->Values(spec.bonus) + column;
  if (spec.version == RwkvVersion::k7) {
    for (std::size_t t = 0; t < task.tokens; ++t) {
      const std::size_t at = t * task.stride;
      PrepareKeys(dim, weights_->Values(spec.key_scale) + column,
                  weights_->Values(spec.key_rate) + column, streams.rate.data() + first + at,
                  key + at, removal.data() + first + at, replacement.data() + first + at);
    }
    task.removal = removal.data() + first;
    task.replacement = replacement.data() + first;
    kRwkvKernels.Best().delta_scan(task);
  } else {
    task.bonus = bonus;
    kRwkvKernels.Best().scan(task);
  }
  const BoundWeights::Norm& norm = weights_->Of(spec.norm);
  for (std::size_t t = 0; t < task.tokens; ++t) {
    const std::size_t at = t * task.stride;
    kernels_->layer_norm(task.out + at, norm.weight + column,
                         norm.bias == nullptr ? nullptr : norm.bias + column, 0,
                         static_cast<float>(spec.norm.eps), dim, task.out + at);
    if (spec.version == RwkvVersion::k7)
      AddBonus(dim, task.receptance + at, task.key + at, bonus, task.value + at, task.out + at);
  }
}

}  // namespace ingot::loader
