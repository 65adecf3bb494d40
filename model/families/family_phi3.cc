// Phi-3 and Phi-4-mini: LLaMA with q, k, v in one stored matrix and gate, up in another.
#include <cmath>

#include "model/architecture/rope_config.h"
#include "model/families/family.h"

namespace ingot::model {
namespace {

LayerSpec BuildLayer(const CommonSizes& sizes, std::uint64_t window, const std::string& module) {
  LayerSpec layer;
  const std::uint64_t q_rows = sizes.heads * sizes.head_dim;
  const std::uint64_t kv_rows = sizes.kv_heads * sizes.head_dim;
  const std::string qkv = module + ".self_attn.qkv_proj";
  AttentionSpec& attention = layer.attention;
  attention = SplitAttention(module + ".self_attn", sizes, false, false);
  attention.q = LinearRows(qkv, 0, q_rows, sizes.hidden, false);
  attention.k = LinearRows(qkv, q_rows, kv_rows, sizes.hidden, false);
  attention.v = LinearRows(qkv, q_rows + kv_rows, kv_rows, sizes.hidden, false);
  attention.window = window;
  MlpSpec& mlp = layer.mlp;
  mlp = GatedMlp(module + ".mlp", sizes.hidden, sizes.intermediate, sizes.activation, false);
  const std::string gate_up = module + ".mlp.gate_up_proj";
  mlp.gate = LinearRows(gate_up, 0, sizes.intermediate, sizes.hidden, false);
  mlp.up = LinearRows(gate_up, sizes.intermediate, sizes.intermediate, sizes.hidden, false);
  layer.pre_mixer_norm = RmsNorm(module + ".input_layernorm", sizes.eps);
  layer.pre_mlp_norm = RmsNorm(module + ".post_attention_layernorm", sizes.eps);
  return layer;
}

}  // namespace

Architecture BuildPhi3(FamilyContext& context) {
  ConfigReader& c = context.config;
  const CommonSizes sizes = ReadSizes(context, {.max_positions = 4096, .eps = 1e-5});
  Architecture a = StartArchitecture(context, sizes, false);
  RopeRequest rope;
  rope.head_dim = sizes.head_dim;
  rope.max_positions = sizes.max_positions;
  rope.partial = true;
  rope.default_original_positions = 4096;
  rope.yarn_is_longrope = true;
  a.ropes.push_back(ReadRope(c, rope));
  const std::uint64_t window =
      c.Has("sliding_window") ? c.Count("sliding_window", 1, kMaxContext) : 0;
  const std::string prefix = TensorPrefix(context);
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i)
    a.layers.push_back(BuildLayer(sizes, window, prefix + "layers." + std::to_string(i)));
  return a;
}

}  // namespace ingot::model
