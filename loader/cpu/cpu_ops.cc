#include "loader/cpu/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/parallel.h"
#include "loader/cpu/op_work.h"
#include "loader/cpu/routes.h"
#include "loader/weights/live_planes.h"

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

CpuOps::CpuOps(const model::Architecture& architecture, const BoundWeights& weights, KvPool& pool,
               const CpuSequences& sequences, Compute compute)
    : weights_(&weights),
      kv_(&pool),
      sequences_(&sequences),
      compute_(compute),
      kernels_(&kVectorKernels.Best()) {
  for (const model::RopeSpec& rope : architecture.ropes) ropes_.emplace_back(rope);
}

void CpuOps::Begin(const model::Batch& batch) {
  rows_.assign(batch.rows.begin(), batch.rows.end());
  runs_.clear();
  run_of_row_.clear();
  places_.clear();
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    if (r == 0 || rows_[r].sequence != rows_[r - 1].sequence)
      runs_.push_back({(*sequences_)[rows_[r].sequence], r, 0});
    ++runs_.back().count;
    run_of_row_.push_back(static_cast<std::uint32_t>(runs_.size() - 1));
    places_.push_back(
        {static_cast<std::uint64_t>(rows_[r].position), runs_.back().sequence->expected_length});
  }
  for (const Run& run : runs_)
    run.sequence->pages.Open(
        static_cast<std::uint64_t>(rows_[run.first].position),
        static_cast<std::uint64_t>(rows_[run.first + run.count - 1].position) + 1);
  for (RopeTable& rope : ropes_) rope.Begin(places_);
  row_planes_ = nullptr;
  const auto all = [](const model::Row& row) { return row.planes == model::kAllPlanes; };
  if (std::ranges::all_of(rows_, all)) return;
  std::vector<std::uint32_t> planes;
  for (const model::Row& row : rows_) planes.push_back(row.planes);
  row_planes_ = std::make_shared<const std::vector<std::uint32_t>>(std::move(planes));
}

Tensor CpuOps::Like(const Tensor& x, std::size_t cols) {
  Tensor like = pool_.Make(x.rows(), cols);
  like.set_planes(x.planes());
  return like;
}

template <typename OfRow>
RowPlanes CpuOps::PlanesOf(const Tensor& x, std::size_t count, OfRow of_row) {
  if (x.planes() == nullptr) return nullptr;
  std::vector<std::uint32_t> planes;
  for (std::size_t i = 0; i < count; ++i) planes.push_back((*x.planes())[of_row(i)]);
  return std::make_shared<const std::vector<std::uint32_t>>(std::move(planes));
}

const std::vector<float*>& CpuOps::States(std::size_t layer, std::size_t slot, std::size_t size) {
  states_.clear();
  for (const Run& run : runs_) states_.push_back(run.sequence->state.Slot(layer, slot, size));
  return states_;
}

bool CpuOps::Ready(const ResidentMatrix& matrix) {
  if (matrix.here()) return true;
  if (status_.ok()) Fail(matrix.Ready().At(source));
  return matrix.here();
}

Tensor CpuOps::Embed(const std::string& table, std::span<const std::int32_t> ids) {
  const ResidentMatrix& matrix = weights_->Table(table);
  Tensor out = pool_.Make(ids.size(), matrix.cols);
  if (!Ready(matrix)) return ZerosLike(out);
  if (row_planes_ == nullptr) {
    GatherRows(matrix, ids, out.data());
    return out;
  }
  GatherRows(matrix, ids, out.data(), *row_planes_);
  out.set_planes(row_planes_);
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
  Tensor y = Like(x, x.cols());
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
  return LinearAs(compute_, refs, x);
}

std::vector<Tensor> CpuOps::ExactLinear(std::initializer_list<const model::LinearRef*> refs,
                                        const Tensor& x) {
  return LinearAs(Compute::kExact, refs, x);
}

std::vector<Tensor> CpuOps::LinearAs(Compute compute,
                                     std::initializer_list<const model::LinearRef*> refs,
                                     const Tensor& x) {
  std::vector<Tensor> out;
  std::vector<LinearJob> jobs;
  out.reserve(refs.size());
  jobs.reserve(refs.size());
  for (const model::LinearRef* ref : refs) {
    const BoundWeights::Linear& bound = weights_->Of(*ref);
    out.push_back(Like(x, ref->rows));
    LinearJob& job = jobs.emplace_back();
    job.matrix = bound.matrix;
    job.row_begin = ref->row_begin;
    job.rows = ref->rows;
    job.bias = bound.bias;
    job.y = out.back().data();
    job.y_stride = ref->rows;
  }
  if (x.planes() != nullptr)
    LinearByClass(jobs, x, compute);
  else
    Multiply(jobs, x, compute);
  return out;
}

// Runs jobs over x and counts what they read.
void CpuOps::Multiply(const std::vector<LinearJob>& jobs, const Tensor& x, Compute compute) {
  for (const LinearJob& job : jobs) {
    if (Ready(*job.matrix)) continue;
    for (const LinearJob& none : jobs) std::fill_n(none.y, x.rows() * none.y_stride, 0.0f);
    return;
  }
  for (const LinearJob& job : jobs) {
    const ResidentMatrix& matrix = *job.matrix;
    if (matrix.rows == 0) continue;
    const double share = static_cast<double>(job.rows) / static_cast<double>(matrix.rows);
    const double bytes =
        share * static_cast<double>(BytesOf(matrix, LivePlanes(matrix, job.plane_count)));
    const auto tokens = static_cast<double>(std::min(job.tokens, x.rows()));
    reads_.bytes += bytes;
    reads_.row_bytes += bytes * tokens;
    reads_.row_weights += static_cast<double>(job.rows * matrix.cols) * tokens;
  }
  RunLinear(jobs, x.data(), x.cols(), x.rows(), x.cols(), compute);
}

// Rows sorted by their plane count, a job per matrix and run of equal ones.
void CpuOps::LinearByClass(std::vector<LinearJob>& jobs, const Tensor& x, Compute compute) {
  const std::vector<std::uint32_t>& planes = *x.planes();
  std::vector<std::uint32_t> order(x.rows());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, {}, [&](std::uint32_t row) { return planes[row]; });
  Tensor sorted = pool_.Make(x.rows(), x.cols());
  for (std::size_t i = 0; i < order.size(); ++i)
    std::memcpy(sorted.row(i), x.row(order[i]), x.cols() * sizeof(float));
  std::vector<Tensor> results;
  std::vector<LinearJob> by_class;
  for (const LinearJob& job : jobs) {
    results.push_back(pool_.Make(x.rows(), job.rows));
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
      while (end < order.size() && planes[order[end]] == planes[order[begin]]) ++end;
      LinearJob& one = by_class.emplace_back(job);
      one.y = results.back().data();
      one.token_begin = begin;
      one.tokens = end - begin;
      one.plane_count = planes[order[begin]];
    }
  }
  Multiply(by_class, sorted, compute);
  for (std::size_t j = 0; j < jobs.size(); ++j)
    for (std::size_t i = 0; i < order.size(); ++i)
      std::memcpy(jobs[j].y + order[i] * jobs[j].y_stride, results[j].row(i),
                  jobs[j].rows * sizeof(float));
}

Tensor CpuOps::Rope(std::size_t rope, std::size_t head_dim, Tensor x) {
  const std::size_t heads = x.cols() / head_dim;
  ParallelFor(x.rows(), RowGrain(x.cols()), [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) ropes_[rope].Rotate(x.row(r), heads, head_dim, r);
  });
  return x;
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
  out.set_planes(PlanesOf(x, rows.size(), [&](std::size_t i) { return rows[i]; }));
  return out;
}

CpuOps::Routes CpuOps::Route(const Tensor& logits, std::size_t per_token, bool normalize) {
  return RouteRows(logits.data(), logits.rows(), logits.cols(), per_token, normalize);
}

Tensor CpuOps::TakeRows(const Tensor& x, const Routes& routes, std::size_t expert) {
  const auto& rows = routes.by_expert[expert];
  Tensor out = pool_.Make(rows.size(), x.cols());
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::memcpy(out.row(i), x.row(rows[i].row), x.cols() * sizeof(float));
  out.set_planes(PlanesOf(x, rows.size(), [&](std::size_t i) { return rows[i].row; }));
  return out;
}

Tensor CpuOps::AddRows(Tensor sum, const Tensor& y, const Routes& routes, std::size_t expert) {
  const auto& rows = routes.by_expert[expert];
  for (std::size_t i = 0; i < rows.size(); ++i)
    kernels_->add_scaled(sum.row(rows[i].row), y.row(i), rows[i].weight, y.cols());
  return sum;
}

Tensor CpuOps::ZerosLike(const Tensor& x) {
  Tensor out = Like(x, x.cols());
  std::fill_n(out.data(), out.size(), 0.0f);
  return out;
}

Tensor CpuOps::Columns(const Tensor& x, const model::ColumnSlice& slice) {
  Tensor out = Like(x, slice.columns());
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
