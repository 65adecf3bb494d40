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
#include "model/architecture/mixer_attention.h"
#include "model/architecture/mixer_mamba.h"
#include "model/architecture/mixer_retention.h"
#include "model/architecture/mixer_rwkv.h"
#include "model/architecture/rope_spec.h"
#include "model/source/checkpoint.h"

namespace ingot::model {

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

// Calls f with the spec of the mixer that the layer has: the one place that tells kinds apart.
template <class F>
decltype(auto) VisitMixer(const LayerSpec& layer, F&& f) {
  switch (layer.mixer) {
    case MixerKind::kMamba:
      return f(layer.mamba);
    case MixerKind::kMamba2:
      return f(layer.mamba2);
    case MixerKind::kRetention:
      return f(layer.retention);
    case MixerKind::kRwkv:
      return f(layer.rwkv);
    case MixerKind::kAttention:
      break;
  }
  return f(layer.attention);
}

// Where a row may leave, and the router that says whether it should: from what the layer gave, one
// number a row, down(silu(up(norm x))). What a row that left goes on with is the forward's business
// (model/forward/forward.h). Exits come from an artifact's manifest, never from config.json.
struct ExitSpec {
  std::size_t layer = 0;
  NormSpec norm;
  LinearRef up, down;
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
  std::vector<ExitSpec> exits;  // by ascending layer
  // That a draft of the same model leaves out, ascending; never the first, of which later ones may
  // take values.
  std::vector<std::size_t> draft_layers;
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
