// What a model computes, as data: one forward (model/forward/forward.h) walks this over any op set.
// A family is a builder from config.json to an Architecture; nothing else in the program knows its
// name.
//
// Weights are named, never held. A LinearRef may be a row range of a stored tensor, which is how
// fused projections (Phi-3's qkv, gate_up) look like separate ones.
//
// Thread rule: values.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/architecture/layer_parts.h"
#include "model/architecture/mixer_mamba.h"
#include "model/architecture/mixer_retention.h"
#include "model/architecture/mixer_rwkv.h"
#include "model/source/checkpoint.h"

namespace ingot::model {

// Rotary embedding as tables can be made from it: inv_freq[i] already scaled by the family's rule
// (linear, llama3, yarn, longrope), cos and sin multiplied by attention_factor.
struct RopeSpec {
  std::uint64_t dims = 0;             // rotated dimensions of a head, 0: no rotary embedding
  bool interleaved = false;           // pairs (2i, 2i+1) instead of (i, i + dims/2)
  std::vector<double> inv_freq;       // dims / 2
  std::vector<double> long_inv_freq;  // longrope's, used where the sequence exceeds `switch_length`
  std::uint64_t switch_length = 0;
  // Dynamic NTK with this factor f, 0: none. Where the sequence length L exceeds switch_length T,
  // inv_freq[i] is multiplied by (f L / T - (f - 1))^(-2i / (dims - 2)).
  double dynamic_factor = 0;
  double attention_factor = 1;
  bool operator==(const RopeSpec&) const = default;
};

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
};

// kNone: a layer is its mixer alone; kRwkvChannelMix: its LayerSpec::channel_mix
enum class MlpKind { kGated, kPlain, kMoe, kNone, kRwkvChannelMix };
struct MlpSpec {
  MlpKind kind = MlpKind::kGated;
  Activation activation = Activation::kSilu;
  LinearRef gate, up, down;  // kPlain has no gate
  NormSpec inner_norm;       // kPlain: before `down` (RetNet)
  // kMoe: the router's rows are the experts; each expert is a gated MLP.
  LinearRef router;
  std::uint64_t experts_per_token = 0;
  bool normalize_expert_weights = true;
  std::vector<MlpSpec> experts;
  // At most one expert that every token visits (Qwen2-MoE), times sigmoid(shared_gate x) where that
  // is present (one row).
  std::vector<MlpSpec> shared_expert;
  LinearRef shared_gate;
};

enum class MixerKind { kAttention, kMamba, kMamba2, kRetention, kRwkv };
// Carries a state of fixed size along a sequence instead of keys and values.
constexpr bool IsRecurrent(MixerKind kind) { return kind != MixerKind::kAttention; }

// sequential: x += post1(mixer(pre1(x))); x += post2(mlp(pre2(x)))
// parallel:   x += mixer(pre1(x)) + mlp(pre2(x))   (pre2 absent: pre1's output serves both)
// post-norm:  x = post1(x + mixer(x)); x = post2(x + mlp(x))   (BERT, OPT-350m)
enum class ResidualKind { kSequential, kParallel, kPostNorm };

struct LayerSpec {
  ResidualKind residual = ResidualKind::kSequential;
  MixerKind mixer = MixerKind::kAttention;
  NormSpec pre_mixer_norm, post_mixer_norm, pre_mlp_norm, post_mlp_norm;
  AttentionSpec attention;
  MambaSpec mamba;
  Mamba2Spec mamba2;
  RetentionSpec retention;
  RwkvSpec rwkv;
  MlpSpec mlp;
  RwkvChannelMixSpec channel_mix;
  double residual_scale = 1;  // Granite multiplies both branches
};

struct Architecture {
  std::string family;  // "llama", "qwen2", ...
  std::uint64_t vocab_size = 0;
  std::uint64_t hidden_size = 0;
  std::uint64_t max_positions = 0;   // trained length
  std::string embedding;             // vocab_size x hidden_size
  std::uint64_t embedding_size = 0;  // width of the embedding where it is not hidden_size, else 0
  LinearRef embedding_projection;    // embedding_size -> hidden_size (OPT-350m)
  double embedding_scale = 1;
  std::string segment_embedding;   // BERT's token types; row 0 is added; empty: none
  std::uint64_t segments = 0;      // its rows
  std::string position_embedding;  // learned positions; empty: none
  std::uint64_t position_offset = 0;
  NormSpec embedding_norm;
  std::vector<RopeSpec> ropes;
  std::vector<LayerSpec> layers;
  NormSpec final_norm;
  LinearRef head_projection;  // hidden_size -> embedding_size before the head (OPT-350m)
  // A masked-LM head: head(head_norm(activation(head_dense(x)))).
  LinearRef head_dense;
  Activation head_activation = Activation::kGelu;
  NormSpec head_norm;
  bool masked = false;  // an encoder: every token sees all, logits predict the token itself
  LinearRef head;       // tied models name the embedding
  double logit_scale = 1;
  double logit_softcap = 0;
};

// Builds the description from a config.json (old or new transformers keys), asking `has_tensor`
// about what configs leave open (tied heads, biases). Unsupported names an unknown model_type and
// what is known; InvalidArgument a config whose numbers do not fit together.
Result<Architecture> BuildArchitecture(const Json& config,
                                       const std::function<bool(std::string_view)>& has_tensor);

// Every tensor the description uses, with its expected shape, in execution order: embedding, then
// layer by layer, then norm and head. The container's streaming order and the packer's plan follow
// it.
enum class TensorRole { kEmbedding, kLinear, kHead, kVector };
struct TensorUse {
  std::string name;
  std::vector<std::uint64_t> shape;
  TensorRole role = TensorRole::kVector;
  int layer = -1;  // -1: before or after the layers
  bool transposed = false;
};
std::vector<TensorUse> TensorUses(const Architecture& architecture);

// Compares the uses with what a file has. NotFound names a missing tensor, InvalidArgument a shape
// that disagrees or (unless allow_unused) a tensor nothing uses. Known buffers that carry no
// weights (rotary inv_freq, masks) never count.
Status CheckTensors(const Architecture& architecture, std::span<const TensorInfo> tensors,
                    bool allow_unused);

}  // namespace ingot::model
