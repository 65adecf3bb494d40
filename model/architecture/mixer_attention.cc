#include "model/architecture/mixer_attention.h"

#include <string>

namespace ingot::model {
namespace {

constexpr std::uint64_t kMaxHeadDim = 4096;

// The last block ends inside the `columns` that are cut.
Status CheckSlice(const ColumnSlice& slice, std::uint64_t wanted, std::uint64_t columns) {
  const bool fits = slice.count > 0 && slice.width > 0 && slice.width <= columns &&
                    slice.begin <= columns - slice.width &&
                    (slice.count == 1 ||
                     (slice.stride > 0 &&
                      slice.count - 1 <= (columns - slice.width - slice.begin) / slice.stride));
  if (fits && slice.columns() == wanted) return OkStatus();
  return Misfit(std::to_string(slice.count) + " blocks of " + std::to_string(slice.width) + " of " +
                std::to_string(columns) + " fused columns are used as " + std::to_string(wanted));
}

bool Misses(const NormSpec& norm, std::uint64_t heads) {
  return !norm.head_weights.empty() && norm.head_weights.size() != heads;
}

}  // namespace

Status AttentionSpec::Check(const MixerContext& context) const {
  if (heads == 0 || kv_heads == 0 || heads % kv_heads != 0 || head_dim == 0 ||
      head_dim > kMaxHeadDim || heads > UINT32_MAX)
    return Misfit(std::to_string(heads) + " heads over " + std::to_string(kv_heads) +
                  " kv heads of " + std::to_string(head_dim) + " dimensions");
  if (rope < context.ropes.size() && context.ropes[rope].dims > head_dim)
    return Misfit("rotary embedding of " + std::to_string(context.ropes[rope].dims) +
                  " dimensions in heads of " + std::to_string(head_dim));
  if (Misses(q_norm, heads) || Misses(k_norm, kv_heads))
    return Misfit("norms of heads have another number of weights than heads");
  if (!qkv.present()) return OkStatus();
  INGOT_TRY(CheckSlice(q_columns, heads * head_dim, qkv.rows));
  INGOT_TRY(CheckSlice(k_columns, kv_heads * head_dim, qkv.rows));
  return CheckSlice(v_columns, kv_heads * head_dim, qkv.rows);
}

void AttentionSpec::VisitParts(const MixerContext& context, PartVisitor& visitor) const {
  const std::uint64_t q_rows = heads * head_dim, kv_rows = kv_heads * head_dim;
  if (qkv.present()) {
    visitor.Linear(qkv, qkv.rows, context.hidden, kNewInput);
  } else {
    visitor.Linear(q, q_rows, context.hidden, kNewInput);
    visitor.Linear(k, kv_rows, context.hidden, kSameInput);
    visitor.Linear(v, kv_rows, context.hidden, kSameInput);
  }
  visitor.OptionalNorm(q_norm, norm_all_heads ? q_rows : head_dim);
  visitor.OptionalNorm(k_norm, norm_all_heads ? kv_rows : head_dim);
  visitor.Linear(o, context.hidden, q_rows, kNewInput);
}

}  // namespace ingot::model
