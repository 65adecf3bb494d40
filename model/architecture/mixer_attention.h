// Attention as data: heads over keys and values of a sequence, with its norms, positions and
// limits.
//
// Thread rule: values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "model/architecture/layer_parts.h"
#include "model/architecture/part_visitor.h"

namespace ingot::model {

struct AttentionSpec {
  std::uint64_t heads = 0;
  std::uint64_t kv_heads = 0;
  std::uint64_t head_dim = 0;
  double scale = 0;          // multiplies q·k
  std::uint64_t window = 0;  // a token sees the last `window` positions, itself included; 0: all
  double softcap = 0;        // cap * tanh(score / cap); 0: none
  bool alibi = false;
  // Falcon adds ALiBi before it scales the scores, and rounds slopes and biases to bfloat16: the
  // bias of a key is alibi_scale * bf16(bf16(slope) * bf16(position)).
  double alibi_scale = 1;
  bool alibi_bf16 = false;
  bool causal = true;
  std::size_t rope = 0;         // index into Architecture::ropes; ropes[0] may have dims 0
  NormSpec q_norm, k_norm;      // per head (Qwen3, Gemma 3)
  bool norm_all_heads = false;  // they span all heads at once (OLMo 2, OLMoE)
  double clip_qkv = 0;          // q, k (after their norms) and v are held in [-clip, clip]; 0: none
  LinearRef q, k, v, o;
  // One product whose columns come apart as q, k and v; then q, k, v above are absent.
  LinearRef qkv;
  ColumnSlice q_columns, k_columns, v_columns;

  static constexpr std::string_view kName = "attention";
  Status Check(const MixerContext& context) const;
  void VisitParts(const MixerContext& context, PartVisitor& visitor) const;
  double kept_floats(double context) const { return static_cast<double>(heads) * context; }
};

}  // namespace ingot::model
