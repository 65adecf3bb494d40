// Rows that leave the forward at a layer border (model/forward/rows_that_leave.h) over the CPU op
// set.
#include <algorithm>
#include <cstring>

#include "loader/cpu/cpu_ops.h"

namespace ingot::loader {

model::GoingRows CpuOps::AfterLayer(std::size_t layer, Tensor& x,
                                    std::span<const std::uint32_t> rows) {
  return after_layer ? after_layer(layer, x, rows) : std::nullopt;
}

void CpuOps::KeepKeys(const model::AttentionSpec& /*spec*/, std::size_t layer, const Tensor& k,
                      const Tensor& v) {
  WriteKeys(layer, k, v);
}

bool CpuOps::KeepZeros(const model::AttentionSpec& spec, std::size_t layer) {
  if (left_rows != LeftRows::kZero) return false;
  Tensor zeros = pool_.Make(rows_.size(), spec.kv_heads * spec.head_dim);
  std::fill_n(zeros.data(), zeros.size(), 0.0f);
  WriteKeys(layer, zeros, zeros);
  return true;
}

Tensor CpuOps::PutRows(Tensor to, const Tensor& x, std::span<const std::uint32_t> rows) {
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::memcpy(to.row(rows[i]), x.row(i), x.cols() * sizeof(float));
  return to;
}

}  // namespace ingot::loader
