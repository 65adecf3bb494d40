// What the forward asks of an op set. CPU kernels, CUDA kernels and LibTorch with autograd are op
// sets.
//
// Contract of an op set. A Tensor is an opaque matrix, rows x features, row-major. Ops are
// functional: each returns a tensor and leaves its const arguments as they were; an argument taken
// by value is the op's to reuse. The op set owns weights and what its sequences remember. Begin
// tells it the rows of what follows: an op that depends on a row's sequence or position (rotation,
// attention, recurrences) reads them, and Attention(spec, layer, ...) appends each row's k and v to
// its sequence. Ops do not report errors: whoever owns the op set checks weights and makes room
// before a forward; what fails later (a CUDA error) is remembered in status(), which the owner asks
// after each forward.
//
// Thread rule: an op set belongs to the thread whose forward it runs.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model/architecture/architecture.h"
#include "model/forward/batch.h"
#include "model/forward/optional_ops.h"

namespace ingot::model {

template <class Ops>
concept OpSet = requires(Ops& ops, typename Ops::Tensor t, const typename Ops::Tensor& x,
                         const typename Ops::Routes& routes, const NormSpec& norm,
                         const AttentionSpec& attention, const LinearRef* linear, std::size_t n,
                         const ColumnSlice& slice, double number, std::span<const std::int32_t> ids,
                         std::span<const std::uint32_t> rows, const std::string& table,
                         const Batch& batch) {
  // The rows of the tensors that follow, until the next Begin: a whole batch, or at a layer border
  // those of its rows that go on.
  { ops.Begin(batch) } -> std::same_as<void>;
  // The first failure so far that no op could report.
  { ops.status() } -> std::same_as<const Status&>;
  // Rows `ids` of a table.
  { ops.Embed(table, ids) } -> std::same_as<typename Ops::Tensor>;
  // REQUIRES: norm.present().
  { ops.Norm(norm, x) } -> std::same_as<typename Ops::Tensor>;
  // The norm of each of `heads` equal parts of every row, with one shared weight or, where the norm
  // has head_weights, a weight for each part.
  { ops.HeadNorm(norm, std::move(t), n) } -> std::same_as<typename Ops::Tensor>;
  // Several matrices over the same activations: one parallel region.
  {
    ops.Linear(std::initializer_list<const LinearRef*>{linear}, x)
    } -> std::same_as<std::vector<typename Ops::Tensor>>;
  // Rotates the first dims of each head by the rows' positions: rope index, head_dim.
  { ops.Rope(n, n, std::move(t)) } -> std::same_as<typename Ops::Tensor>;
  {
    ops.Attention(attention, n, std::move(t), std::move(t), std::move(t))
    } -> std::same_as<typename Ops::Tensor>;
  // activation(gate) * up, and activation(x).
  { ops.Gate(Activation::kSilu, std::move(t), x) } -> std::same_as<typename Ops::Tensor>;
  { ops.Activate(Activation::kSilu, std::move(t)) } -> std::same_as<typename Ops::Tensor>;
  // t + number * x; number * t; number * tanh(t / number).
  { ops.Add(std::move(t), x, number) } -> std::same_as<typename Ops::Tensor>;
  { ops.Scale(std::move(t), number) } -> std::same_as<typename Ops::Tensor>;
  { ops.Softcap(std::move(t), number) } -> std::same_as<typename Ops::Tensor>;
  // t held in [-number, number].
  { ops.Clamp(std::move(t), number) } -> std::same_as<typename Ops::Tensor>;
  { ops.Select(x, rows) } -> std::same_as<typename Ops::Tensor>;
  // Mixture of experts (Mixtral): softmax of the router's logits, the k largest per row, rescaled
  // to sum to one where asked; then per expert its rows, and their weighted sum back into place.
  { ops.Route(x, n, true) } -> std::same_as<typename Ops::Routes>;
  { ops.HasRows(routes, n) } -> std::same_as<bool>;
  { ops.TakeRows(x, routes, n) } -> std::same_as<typename Ops::Tensor>;
  { ops.AddRows(std::move(t), x, routes, n) } -> std::same_as<typename Ops::Tensor>;
  { ops.ZerosLike(x) } -> std::same_as<typename Ops::Tensor>;
  // The columns of a slice, side by side.
  { ops.Columns(x, slice) } -> std::same_as<typename Ops::Tensor>;
  // Every row of t times sigmoid of x's only column.
  { ops.GateRows(std::move(t), x) } -> std::same_as<typename Ops::Tensor>;
};

namespace forward_detail {

template <OpSet Ops>
typename Ops::Tensor OneLinear(Ops& ops, const LinearRef& ref, const typename Ops::Tensor& x) {
  return std::move(ops.Linear({&ref}, x).front());
}

// y, which has `last` as its last matrix, where it is needed whole: here stands the reduction over
// ranges of columns.
template <class Ops>
typename Ops::Tensor Whole(Ops& ops, const LinearRef& last, typename Ops::Tensor y) {
  if constexpr (SumsAddends<Ops>) {
    if (last.is_addend()) return ops.SumAddends(std::move(y));
  }
  return y;
}

template <class Ops>
typename Ops::Tensor WholeLinear(Ops& ops, const LinearRef& ref, const typename Ops::Tensor& x) {
  return Whole(ops, ref, std::move(ops.Linear({&ref}, x).front()));
}

template <OpSet Ops>
typename Ops::Tensor NormOr(Ops& ops, const NormSpec& norm, typename Ops::Tensor x) {
  return norm.present() ? ops.Norm(norm, x) : std::move(x);
}

// x + scale * norm(branch).
template <OpSet Ops>
typename Ops::Tensor AddBranch(Ops& ops, typename Ops::Tensor x, const NormSpec& norm,
                               typename Ops::Tensor branch, double scale) {
  return ops.Add(std::move(x), NormOr(ops, norm, std::move(branch)), scale);
}

}  // namespace forward_detail
}  // namespace ingot::model
