// What the builders of model families share. A family is a row of the table in family_registry.cc:
// its model_type and a function that reads a config.json into an Architecture.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "model/architecture/architecture.h"
#include "model/architecture/config_reader.h"

namespace ingot::model {

using HasTensor = std::function<bool(std::string_view)>;

// A builder's inputs. Errors stick in `config`; BuildArchitecture returns them.
struct FamilyContext {
  ConfigReader& config;
  const HasTensor& has_tensor;
  std::string model_type;
};

// Sizes that every transformer has, read and checked: heads divide into kv_heads groups, head_dim
// comes from hidden_size where it is not given.
struct CommonSizes {
  std::uint64_t vocab = 0, hidden = 0, intermediate = 0, layers = 0;
  std::uint64_t heads = 0, kv_heads = 0, head_dim = 0, max_positions = 0;
  double eps = 0;
  Activation activation = Activation::kSilu;
};
struct SizeDefaults {
  std::uint64_t max_positions = 2048;
  std::uint64_t kv_heads = 0;  // 0: as many as heads
  std::uint64_t head_dim = 0;  // 0: hidden_size / heads
  double eps = 1e-6;
  const char* activation_key = "hidden_act";  // nullptr: it is fixed
  const char* activation = "silu";
  // What a family calls these keys; a file that has the usual name instead is read, too.
  const char* hidden_key = "hidden_size";
  bool hidden_key_first = false;  // it wins over the usual name
  const char* layers_key = "num_hidden_layers";
  const char* heads_key = "num_attention_heads";
  const char* kv_heads_key = "num_key_value_heads";    // nullptr: a key and a value for every head
  const char* intermediate_key = "intermediate_size";  // nullptr: it is four times hidden_size
  const char* head_dim_key = "head_dim";               // nullptr: always hidden_size / heads
  const char* positions_key = "max_position_embeddings";
  const char* eps_key = "rms_norm_eps";      // nullptr: eps is fixed
  bool intermediate_is_four_hidden = false;  // where the key is absent or null
};

// Counts from files are held below these, so that products of three of them fit 64 bits.
inline constexpr std::uint64_t kMaxLayers = 1024;
inline constexpr std::uint64_t kMaxWidth = std::uint64_t{1} << 20;
inline constexpr std::uint64_t kMaxVocab = std::uint64_t{1} << 24;
inline constexpr std::uint64_t kMaxContext = std::uint64_t{1} << 32;
inline constexpr std::uint64_t kMaxExperts = 1024;
inline constexpr std::uint64_t kMaxExpertsTotal = 65536;

CommonSizes ReadSizes(FamilyContext& context, const SizeDefaults& defaults);

// "model." where the tensors have that prefix, else "".
std::string TensorPrefix(const FamilyContext& context);

// The first of `prefixes` under which the checkpoint has `tensor`, else prefixes[0], so that what
// is missing is reported under its usual name.
std::string FindPrefix(const FamilyContext& context, std::span<const char* const> prefixes,
                       const std::string& tensor);

// "silu", "gelu_pytorch_tanh", ... Unsupported for others. A null key: `otherwise`.
Activation ReadActivation(FamilyContext& context, const char* key, const char* otherwise);

// A whole stored matrix.
LinearRef Linear(const std::string& module, std::uint64_t rows, std::uint64_t cols, bool bias);
// Rows of a stored matrix.
LinearRef LinearRows(const std::string& module, std::uint64_t row_begin, std::uint64_t rows,
                     std::uint64_t cols, bool bias);
NormSpec RmsNorm(const std::string& module, double eps, double weight_offset = 0);
NormSpec LayerNorm(const std::string& module, double eps, bool bias = true);
// Without weight and bias (OLMo).
NormSpec BareLayerNorm(double eps);

// Gated MLP with gate_proj, up_proj, down_proj under `module`.
MlpSpec GatedMlp(const std::string& module, std::uint64_t hidden, std::uint64_t intermediate,
                 Activation activation, bool bias);

// down(activation(up x)).
MlpSpec PlainMlp(const std::string& up, const std::string& down, std::uint64_t hidden,
                 std::uint64_t intermediate, Activation activation, bool bias);

// Heads, head_dim and the usual scale; no matrices yet.
AttentionSpec AttentionSizes(const CommonSizes& sizes);

// One stored matrix whose rows come in kv_heads groups: the queries of a group's heads, its key,
// its value (BLOOM, GPT-NeoX: groups of one head).
void FuseGroups(const std::string& module, const CommonSizes& sizes, bool bias,
                AttentionSpec& attention);
// One stored matrix with all queries, then all keys, then all values.
void FuseBlocks(const std::string& module, const CommonSizes& sizes, bool bias, bool transposed,
                AttentionSpec& attention);

// q_proj, k_proj, v_proj, o_proj under `module`, scale 1 / sqrt(head_dim).
AttentionSpec SplitAttention(const std::string& module, const CommonSizes& sizes, bool qkv_bias,
                             bool o_bias);

// The key's value where it is given, else whether the checkpoint has `tensor`. A null key is of a
// family that never has the bias.
bool BiasFlag(FamilyContext& context, const char* key, const std::string& tensor);

// Which layers attend within the window. Reads layer_types ("full_attention", "sliding_attention")
// where it is there, else asks `is_sliding`.
std::vector<bool> SlidingLayers(FamilyContext& context, std::uint64_t layers,
                                const std::function<bool(std::uint64_t)>& is_sliding);

// Fails where layer_types names layers with a window though 'use_sliding_window' is false: then the
// window has no width.
void CheckNoSlidingLayers(FamilyContext& context);

// The head of a model whose embedding is a.embedding: `head` where the file has it or the config
// says that it is not tied, else the embedding.
LinearRef HeadOrTied(FamilyContext& context, const Architecture& a, const std::string& head,
                     bool tied_by_default);

// Embedding, final norm and head (tied: the head names the embedding) and the sizes.
Architecture StartArchitecture(FamilyContext& context, const CommonSizes& sizes,
                               bool tied_by_default, double norm_offset = 0);

// Families, one file a group.
Architecture BuildLlamaLike(FamilyContext& context);  // llama, mistral, qwen2, qwen3, granite
Architecture BuildPhi3(FamilyContext& context);
Architecture BuildGemma(FamilyContext& context);    // gemma, gemma2, gemma3_text
Architecture BuildMixtral(FamilyContext& context);  // mixtral, qwen2_moe, qwen3_moe, olmoe
Architecture BuildGpt2(FamilyContext& context);
Architecture BuildGptJ(FamilyContext& context);
Architecture BuildGptNeo(FamilyContext& context);
Architecture BuildGptNeoX(FamilyContext& context);
Architecture BuildPhi(FamilyContext& context);
Architecture BuildOpt(FamilyContext& context);
Architecture BuildBloom(FamilyContext& context);
Architecture BuildFalcon(FamilyContext& context);
Architecture BuildStableLm(FamilyContext& context);
Architecture BuildStarcoder2(FamilyContext& context);
Architecture BuildOlmo(FamilyContext& context);  // olmo, olmo2
Architecture BuildBert(FamilyContext& context);  // bert, roberta
Architecture BuildDistilBert(FamilyContext& context);
Architecture BuildRwkv(FamilyContext& context);   // rwkv, rwkv5, rwkv6, rwkv7
Architecture BuildMamba(FamilyContext& context);  // mamba, falcon_mamba
Architecture BuildMamba2(FamilyContext& context);
Architecture BuildJamba(FamilyContext& context);
Architecture BuildBamba(FamilyContext& context);
Architecture BuildRetNet(FamilyContext& context);

}  // namespace ingot::model
