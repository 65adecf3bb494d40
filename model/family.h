// What the builders of model families share. A family is a row of the table in architecture.cc: its
// model_type and a function that reads a config.json into an Architecture.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "model/architecture.h"
#include "model/config_reader.h"

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
  const char* activation_key = "hidden_act";
  const char* activation = "silu";
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

// "silu", "gelu_pytorch_tanh", ... Unsupported for others.
Activation ReadActivation(FamilyContext& context, const char* key, const char* otherwise);

// A whole stored matrix.
LinearRef Linear(const std::string& module, std::uint64_t rows, std::uint64_t cols, bool bias);
// Rows of a stored matrix.
LinearRef LinearRows(const std::string& module, std::uint64_t row_begin, std::uint64_t rows,
                     std::uint64_t cols, bool bias);
NormSpec RmsNorm(const std::string& module, double eps, double weight_offset = 0);

// Gated MLP with gate_proj, up_proj, down_proj under `module`.
MlpSpec GatedMlp(const std::string& module, std::uint64_t hidden, std::uint64_t intermediate,
                 Activation activation, bool bias);

// q_proj, k_proj, v_proj, o_proj under `module`, scale 1 / sqrt(head_dim).
AttentionSpec SplitAttention(const std::string& module, const CommonSizes& sizes, bool qkv_bias,
                             bool o_bias);

// The key's value where it is given, else whether the checkpoint has `tensor`.
bool BiasFlag(FamilyContext& context, const char* key, const std::string& tensor);

// Which layers attend within the window. Reads layer_types ("full_attention", "sliding_attention")
// where it is there, else asks `is_sliding`.
std::vector<bool> SlidingLayers(FamilyContext& context, std::uint64_t layers,
                                const std::function<bool(std::uint64_t)>& is_sliding);

// Embedding, final norm and head (tied: the head names the embedding) and the sizes.
Architecture StartArchitecture(FamilyContext& context, const CommonSizes& sizes,
                               bool tied_by_default, double norm_offset = 0);

// Families, one file a group.
Architecture BuildLlamaLike(FamilyContext& context);  // llama, mistral, qwen2, qwen3, granite
Architecture BuildPhi3(FamilyContext& context);
Architecture BuildGemma(FamilyContext& context);    // gemma, gemma2, gemma3_text
Architecture BuildMixtral(FamilyContext& context);  // mixtral, qwen3_moe

}  // namespace ingot::model
