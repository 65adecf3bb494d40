#include "loader/cpu/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/parallel.h"
#include "loader/cpu/op_work.h"

namespace ingot::loader {

VectorActivation KernelActivation(model::Activation activation) {
  switch (activation) {
    case model::Activation::kSilu:
      return VectorActivation::kSilu;
    case model::Activation::kGelu:
      return VectorActivation::kGelu;
    case model::Activation::kGeluTanh:
      return VectorActivation::kGeluTanh;
    case model::Activation::kRelu:
      return VectorActivation::kRelu;
    case model::Activation::kSquaredRelu:
      return VectorActivation::kSquaredRelu;
    case model::Activation::kSigmoid:
      return VectorActivation::kSigmoid;
    case model::Activation::kTanh:
      return VectorActivation::kTanh;
    case model::Activation::kIdentity:
      return VectorActivation::kIdentity;
  }
  return VectorActivation::kSilu;
}

CpuOps::CpuOps(const model::Architecture& architecture, const BoundWeights& weights, KvCache& cache,
               RecurrentState& state, Compute compute)
    : weights_(&weights),
      cache_(&cache),
      state_(&state),
      compute_(compute),
      kernels_(&kVectorKernels.Best()) {
  for (const model::RopeSpec& rope : architecture.ropes) ropes_.emplace_back(rope);
}

void CpuOps::Begin(const model::Batch& batch) {
  if (batch.rows.empty()) return;
  first_position_ = static_cast<std::uint64_t>(batch.rows.front().position);
  for (RopeTable& rope : ropes_)
    rope.Prepare(first_position_ + batch.rows.size(), sequence_length_);
}

Tensor CpuOps::Embed(const std::string& table, std::span<const std::int32_t> ids) {
  const ResidentMatrix& matrix = weights_->Table(table);
  Tensor out = pool_.Make(ids.size(), matrix.cols);
  GatherRows(matrix, ids, out.data());
  return out;
}

void CpuOps::NormRows(const model::NormSpec& norm, const float* x, std::size_t rows,
                      std::size_t cols, float* y) const {
  const BoundWeights::Norm& bound = weights_->Of(norm);
  const auto offset = static_cast<float>(norm.weight_offset);
  const auto eps = static_cast<float>(norm.eps);
  ParallelFor(rows, RowGrain(cols), [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      if (norm.kind == model::NormKind::kRms)
        kernels_->rms_norm(x + r * cols, bound.Weight(r), offset, eps, cols, y + r * cols);
      else
        kernels_->layer_norm(x + r * cols, bound.Weight(r), bound.bias, offset, eps, cols,
                             y + r * cols);
    }
  });
}

Tensor CpuOps::Norm(const model::NormSpec& norm, const Tensor& x) {
  Tensor y = pool_.Make(x.rows(), x.cols());
  NormRows(norm, x.data(), x.rows(), x.cols(), y.data());
  return y;
}

Tensor CpuOps::HeadNorm(const model::NormSpec& norm, Tensor x, std::size_t heads) {
  NormRows(norm, x.data(), x.rows() * heads, x.cols() / heads, x.data());
  return x;
}

Tensor CpuOps::GroupNorm(const model::NormSpec& norm, Tensor x, std::size_t groups) {
  const BoundWeights::Norm& bound = weights_->Of(norm);
  const std::size_t width = x.cols() / groups;
  const auto offset = static_cast<float>(norm.weight_offset);
  const auto eps = static_cast<float>(norm.eps);
  ParallelFor(x.rows() * groups, RowGrain(width), [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      float* part = x.data() + r * width;
      const std::size_t at = r % groups * width;
      if (norm.kind == model::NormKind::kRms)
        kernels_->rms_norm(part, bound.weight + at, offset, eps, width, part);
      else
        kernels_->layer_norm(part, bound.weight + at, bound.bias ? bound.bias + at : nullptr,
                             offset, eps, width, part);
    }
  });
  return x;
}

std::vector<Tensor> CpuOps::Linear(std::initializer_list<const model::LinearRef*> refs,
                                   const Tensor& x) {
  std::vector<Tensor> out;
  std::vector<LinearJob> jobs;
  out.reserve(refs.size());
  jobs.reserve(refs.size());
  for (const model::LinearRef* ref : refs) {
    const BoundWeights::Linear& bound = weights_->Of(*ref);
    out.push_back(pool_.Make(x.rows(), ref->rows));
    LinearJob& job = jobs.emplace_back();
    job.matrix = bound.matrix;
    job.row_begin = ref->row_begin;
    job.rows = ref->rows;
    job.bias = bound.bias;
    job.y = out.back().data();
    job.y_stride = ref->rows;
  }
  RunLinear(jobs, x.data(), x.cols(), x.rows(), x.cols(), compute_);
  return out;
}

Tensor CpuOps::Rope(std::size_t rope, std::size_t head_dim, Tensor x) {
  const std::size_t heads = x.cols() / head_dim;
  ParallelFor(x.rows(), RowGrain(x.cols()), [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r)
      ropes_[rope].Rotate(x.row(r), heads, head_dim, first_position_ + r);
  });
  return x;
}

// Rows of one kv head are (token, head of the group) pairs, tokens outermost; [row_begin, row_end)
// of them form one tile.
void CpuOps::AttendHeads(const model::AttentionSpec& spec, const Tensor& q, std::size_t kv_head,
                         std::size_t row_begin, std::size_t row_end, Tensor& out) const {
  const std::size_t group = spec.heads / spec.kv_heads;
  const std::size_t dim = spec.head_dim;
  const std::size_t stride = AlignUp(dim, 16);
  const std::uint64_t total = first_position_ + q.rows();
  thread_local AlignedBuffer<float> scratch;
  if (scratch.size() < kTileRows * (dim + stride))
    scratch = AlignedBuffer<float>(kTileRows * (dim + stride));
  float* queries = scratch.data();
  float slopes[kTileRows];
  const float* biases[kTileRows];
  std::uint64_t begin[kTileRows], end[kTileRows];
  AttentionTile tile;
  tile.rows = row_end - row_begin;
  tile.head_dim = dim;
  tile.value_stride = stride;
  tile.queries = queries;
  tile.begin = begin;
  tile.end = end;
  tile.keys = key_pages_[kv_head].data();
  tile.values = value_pages_[kv_head].data();
  tile.softcap = static_cast<float>(spec.softcap);
  tile.alibi = spec.alibi && !spec.alibi_bf16 ? slopes : nullptr;
  tile.bias = spec.alibi && spec.alibi_bf16 ? biases : nullptr;
  tile.out = queries + kTileRows * dim;
  const auto scale = static_cast<float>(spec.scale);
  for (std::size_t r = 0; r < tile.rows; ++r) {
    const std::size_t token = (row_begin + r) / group;
    const std::size_t head = kv_head * group + (row_begin + r) % group;
    const float* source = q.row(token) + head * dim;
    for (std::size_t d = 0; d < dim; ++d) queries[r * dim + d] = source[d] * scale;
    const std::uint64_t position = first_position_ + token;
    end[r] = spec.causal ? position + 1 : total;
    begin[r] = spec.window > 0 && position + 1 > spec.window ? position + 1 - spec.window : 0;
    if (tile.alibi != nullptr)
      slopes[r] = AlibiSlope(head, spec.heads) * static_cast<float>(spec.alibi_scale);
    if (tile.bias != nullptr) biases[r] = rounded_alibi_.Of(head);
  }
  if (cache_->dtype() == DType::kF32)
    kernels_->attend_f32(tile);
  else
    kernels_->attend_f16(tile);
  for (std::size_t r = 0; r < tile.rows; ++r) {
    const std::size_t head = kv_head * group + (row_begin + r) % group;
    std::memcpy(out.row((row_begin + r) / group) + head * dim, tile.out + r * stride,
                dim * sizeof(float));
  }
}

Tensor CpuOps::Attention(const model::AttentionSpec& spec, std::size_t layer, Tensor q,
                         const Tensor& k, const Tensor& v) {
  const std::size_t tokens = q.rows();
  const std::uint64_t total = first_position_ + tokens;
  ParallelFor(tokens, std::max(kPageTokens, RowGrain(k.cols() * 4)),
              [&](std::size_t begin, std::size_t end) {
                for (std::size_t t = begin; t < end; ++t)
                  cache_->Write(layer, first_position_ + t, k.row(t), v.row(t));
              });
  if (spec.alibi && spec.alibi_bf16) rounded_alibi_.Prepare(spec.heads, spec.alibi_scale, total);
  key_pages_.resize(spec.kv_heads);
  value_pages_.resize(spec.kv_heads);
  for (std::size_t h = 0; h < spec.kv_heads; ++h)
    cache_->Pages(layer, h, total, key_pages_[h], value_pages_[h]);
  const std::size_t rows = tokens * (spec.heads / spec.kv_heads);
  const std::size_t tiles = CeilDiv(rows, kTileRows);
  const std::uint64_t seen = spec.window > 0 ? std::min(total, spec.window + tokens) : total;
  const std::size_t work = std::min(rows, kTileRows) * seen * spec.head_dim * 2;
  Tensor out = pool_.Make(tokens, spec.heads * spec.head_dim);
  ParallelFor(spec.kv_heads * tiles, RowGrain(work / 8), [&](std::size_t begin, std::size_t end) {
    for (std::size_t task = begin; task < end; ++task) {
      const std::size_t first = task % tiles * kTileRows;
      AttendHeads(spec, q, task / tiles, first, std::min(first + kTileRows, rows), out);
    }
  });
  return out;
}

Tensor CpuOps::Gate(model::Activation activation, Tensor gate, const Tensor& up) {
  const VectorActivation kind = KernelActivation(activation);
  ParallelFor(gate.rows(), RowGrain(gate.cols() * 4), [&](std::size_t begin, std::size_t end) {
    kernels_->activate(kind, gate.row(begin), up.row(begin), (end - begin) * gate.cols());
  });
  return gate;
}

Tensor CpuOps::Activate(model::Activation activation, Tensor x) {
  const VectorActivation kind = KernelActivation(activation);
  ParallelFor(x.rows(), RowGrain(x.cols() * 4), [&](std::size_t begin, std::size_t end) {
    kernels_->activate(kind, x.row(begin), nullptr, (end - begin) * x.cols());
  });
  return x;
}

Tensor CpuOps::Add(Tensor x, const Tensor& y, double scale) {
  kernels_->add_scaled(x.data(), y.data(), static_cast<float>(scale), x.size());
  return x;
}

Tensor CpuOps::Scale(Tensor x, double factor) {
  const auto f = static_cast<float>(factor);
  for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] *= f;
  return x;
}

Tensor CpuOps::Softcap(Tensor x, double cap) {
  ParallelFor(x.rows(), RowGrain(x.cols() * 4), [&](std::size_t begin, std::size_t end) {
    kernels_->softcap(x.row(begin), static_cast<float>(cap), (end - begin) * x.cols());
  });
  return x;
}

Tensor CpuOps::Clamp(Tensor x, double limit) {
  const auto bound = static_cast<float>(limit);
  for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = std::clamp(x.data()[i], -bound, bound);
  return x;
}

Tensor CpuOps::Select(const Tensor& x, std::span<const std::uint32_t> rows) {
  Tensor out = pool_.Make(rows.size(), x.cols());
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::memcpy(out.row(i), x.row(rows[i]), x.cols() * sizeof(float));
  return out;
}

CpuOps::Routes CpuOps::Route(const Tensor& logits, std::size_t per_token, bool normalize) {
  const std::size_t experts = logits.cols();
  Routes routes;
  routes.by_expert.resize(experts);
  std::vector<float> weights(experts);
  std::vector<std::uint32_t> order(experts);
  for (std::size_t t = 0; t < logits.rows(); ++t) {
    const float* row = logits.row(t);
    const float max = *std::max_element(row, row + experts);
    float sum = 0;
    for (std::size_t e = 0; e < experts; ++e) sum += weights[e] = std::exp(row[e] - max);
    for (std::size_t e = 0; e < experts; ++e) order[e] = static_cast<std::uint32_t>(e);
    // NaN compares as lowest, so that the order stays strict.
    const auto key = [&](std::uint32_t e) { return std::isnan(row[e]) ? -HUGE_VALF : row[e]; };
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(per_token),
                      order.end(), [&](std::uint32_t a, std::uint32_t b) {
                        return key(a) != key(b) ? key(a) > key(b) : a < b;
                      });
    float kept = 0;
    for (std::size_t i = 0; i < per_token; ++i) kept += weights[order[i]];
    for (std::size_t i = 0; i < per_token; ++i)
      routes.by_expert[order[i]].push_back(
          {static_cast<std::uint32_t>(t), weights[order[i]] / (normalize ? kept : sum)});
  }
  return routes;
}

Tensor CpuOps::TakeRows(const Tensor& x, const Routes& routes, std::size_t expert) {
  const auto& rows = routes.by_expert[expert];
  Tensor out = pool_.Make(rows.size(), x.cols());
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::memcpy(out.row(i), x.row(rows[i].row), x.cols() * sizeof(float));
  return out;
}

Tensor CpuOps::AddRows(Tensor sum, const Tensor& y, const Routes& routes, std::size_t expert) {
  const auto& rows = routes.by_expert[expert];
  for (std::size_t i = 0; i < rows.size(); ++i)
    kernels_->add_scaled(sum.row(rows[i].row), y.row(i), rows[i].weight, y.cols());
  return sum;
}

Tensor CpuOps::ZerosLike(const Tensor& x) {
  Tensor out = pool_.Make(x.rows(), x.cols());
  std::fill_n(out.data(), out.size(), 0.0f);
  return out;
}

Tensor CpuOps::Columns(const Tensor& x, const model::ColumnSlice& slice) {
  Tensor out = pool_.Make(x.rows(), slice.columns());
  for (std::size_t r = 0; r < x.rows(); ++r)
    for (std::uint64_t i = 0; i < slice.count; ++i)
      std::memcpy(out.row(r) + i * slice.width, x.row(r) + slice.begin + i * slice.stride,
                  slice.width * sizeof(float));
  return out;
}

Tensor CpuOps::GateRows(Tensor x, const Tensor& gate) {
  for (std::size_t r = 0; r < x.rows(); ++r) {
    const float factor = 1 / (1 + std::exp(-gate.row(r)[0]));
    for (std::size_t i = 0; i < x.cols(); ++i) x.row(r)[i] *= factor;
  }
  return x;
}

}  // namespace ingot::loader
