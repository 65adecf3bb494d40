// The parts that layers of every kind are described with: matrices, norms, activations, named and
// never held.
//
// Thread rule: values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ingot::model {

// y = W x + b with W = rows [row_begin, row_begin + rows) and columns [col_begin, col_begin + cols)
// of the stored matrix `weight`. A range of columns makes an addend of a product: the sum over all
// ranges is the product (model/forward/forward.h says where it stands), and the range that begins
// at column 0 is the one that has the bias.
struct LinearRef {
  std::string weight;  // empty: absent
  std::string bias;    // empty: none; the same row range applies
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::uint64_t row_begin = 0;
  std::uint64_t col_begin = 0;
  std::uint64_t stored_cols = 0;  // the matrix's; 0: as many as `cols`, the ref has all of them
  bool transposed = false;  // stored as cols x rows (GPT-2's Conv1D); the packer transposes it
  bool present() const { return !weight.empty(); }
  bool is_addend() const { return stored_cols != 0 && stored_cols != cols; }
  std::uint64_t matrix_cols() const { return stored_cols != 0 ? stored_cols : cols; }
};

// Columns of an activation: `count` blocks of `width` columns, the first at `begin`, each `stride`
// after the one before. How the outputs of a fused, interleaved projection come apart (BLOOM and
// GPT-NeoX: q, k, v of a head side by side; Falcon: a group's queries, its key, its value).
struct ColumnSlice {
  std::uint64_t begin = 0;
  std::uint64_t width = 0;
  std::uint64_t stride = 0;
  std::uint64_t count = 0;
  std::uint64_t columns() const { return width * count; }
};

enum class NormKind { kNone, kRms, kLayer };
struct NormSpec {
  NormKind kind = NormKind::kNone;
  std::string weight;
  std::string bias;
  double eps = 1e-5;
  double weight_offset = 0;  // Gemma multiplies by 1 + weight
  // A norm over heads with a weight for each of them (StableLM 2); `weight` is then empty.
  std::vector<std::string> head_weights;
  bool present() const { return kind != NormKind::kNone; }
};

// kSquaredRelu is max(x, 0)^2 (RWKV); with kIdentity a gate is a plain product.
enum class Activation { kSilu, kGelu, kGeluTanh, kRelu, kSquaredRelu, kSigmoid, kTanh, kIdentity };

}  // namespace ingot::model
