// Which families there are, and BuildArchitecture, which asks them.
#include <fmt/format.h>

#include <algorithm>

#include "model/architecture/architecture.h"
#include "model/families/family.h"
#include "model/families/known_keys.h"

namespace ingot::model {
namespace {

struct FamilyRow {
  const char* model_type;
  Architecture (*build)(FamilyContext&);
  const char* harmless = "";  // keys of its own that say nothing, or nothing where not asked for
  KeysOf keys = KeysOf::kTransformers;
};

// Read where a window is in use.
constexpr const char* kWindow = "sliding_window max_window_layers layer_types use_mrope";
constexpr const char* kTimeStep =
    "residual_in_fp32 time_step_scale time_step_min time_step_max time_step_init_scheme "
    "time_step_floor rescale_prenorm_residual use_mambapy use_falcon_mambapy use_associative_scan "
    "expand ssm_cfg d_model d_inner d_state n_layer fused_add_norm rms_norm "
    "pad_vocab_size_multiple "
    "norm_before_gate rms_norm chunk_size time_step_rank time_step_limit norm_epsilon";
constexpr const char* kHybrid =
    "attention_bias use_mamba_kernels use_mambapy use_associative_scan mamba_d_head "
    "mamba_chunk_size "
    "layers_block_type layer_types mamba_inner_layernorms sliding_window "
    "calc_logits_for_entire_prompt "
    "max_position_embeddings attn_rotary_emb";
constexpr const char* kGpt2 = "n_ctx reorder_and_upcast_attn n_special predict_special_tokens";
constexpr const char* kFalcon =
    "rotary seq_length n_head n_head_kv multi_query num_kv_heads rope_theta rope_scaling "
    "rope_parameters apply_residual_connection_post_layernorm head_dim";
constexpr const char* kBloom =
    "slow_but_exact skip_bias_add skip_bias_add_qkv masked_softmax_fusion bias_dropout_fusion "
    "attention_softmax_in_fp32 seq_length unk_token_id offset_alibi hidden_dropout n_inner "
    "num_attention_heads";
constexpr const char* kRwkv =
    "time_mix_extra_dim time_decay_extra_dim rescale_every model_max_length num_attention_heads "
    "head_dim head_size attn_mode value_dim "
    "fuse_norm fuse_cross_entropy fuse_linear_cross_entropy hidden_ratio norm_first use_l2warp "
    "hidden_act num_heads max_position_embeddings context_length head_size_divisor norm_bias "
    "v_low_rank_dim";
constexpr const char* kRetNet =
    "num_key_value_heads use_ffn_rms_norm output_retentions forward_impl_type recurrent_chunk_size "
    "activation_dropout "
    "drop_path_rate max_position_embeddings decoder_embed_dim hidden_size num_attention_heads "
    "intermediate_size num_hidden_layers decoder_normalize_before subln initializer_factor "
    "unused_token_id multiway use_lm_decay z_loss_coeff chunkwise_recurrent recurrent_chunk_size "
    "is_decoder activation_dropout checkpoint_activations offload_to_host";

constexpr FamilyRow kFamilies[] = {
    {"llama", BuildLlamaLike, "is_llama_config rope_interleaved"},
    {"mistral", BuildLlamaLike},
    {"qwen2", BuildLlamaLike, kWindow},
    {"qwen3", BuildLlamaLike, kWindow},
    {"granite", BuildLlamaLike},
    {"phi3", BuildPhi3, "attention_bias"},
    {"gemma", BuildGemma, "hidden_activation"},
    {"gemma2", BuildGemma, "hidden_act cache_implementation sliding_window_size"},
    {"gemma3_text", BuildGemma,
     "hidden_act cache_implementation sliding_window_pattern _sliding_window_pattern "
     "attn_logit_softcapping"},
    {"mixtral", BuildMixtral, "router_jitter_noise"},
    {"qwen2_moe", BuildMixtral, kWindow},
    {"qwen3_moe", BuildMixtral, kWindow},
    {"olmoe", BuildMixtral},
    {"olmo", BuildOlmo, "eos_token_id"},
    {"olmo2", BuildOlmo},
    {"gpt2", BuildGpt2, kGpt2},
    {"gptj", BuildGptJ, "rotary scale_attn_weights gradient_checkpointing n_ctx"},
    {"gpt_neo", BuildGptNeo, "attention_types attention_layers"},
    {"gpt_neox", BuildGptNeoX, "is_decoder"},
    {"phi", BuildPhi},
    {"opt", BuildOpt, "activation_dropout"},
    {"bloom", BuildBloom, kBloom},
    {"falcon", BuildFalcon, kFalcon},
    {"RefinedWeb", BuildFalcon, kFalcon},
    {"RefinedWebModel", BuildFalcon, kFalcon},
    {"stablelm", BuildStableLm, "rotary_scaling_factor norm_eps rope_pct"},
    {"starcoder2", BuildStarcoder2},
    {"rwkv", BuildRwkv, kRwkv},
    {"rwkv5", BuildRwkv, kRwkv, KeysOf::kOwnCode},
    {"rwkv6", BuildRwkv, kRwkv, KeysOf::kOwnCode},
    {"rwkv7", BuildRwkv, kRwkv, KeysOf::kOwnCode},
    {"rwkv7_fla", BuildRwkv, kRwkv, KeysOf::kOwnCode},
    {"bert", BuildBert,
     "tie_word_embeddings add_cross_attention gradient_checkpointing directionality "
     "pooler_fc_size"},
    {"roberta", BuildBert, "tie_word_embeddings add_cross_attention"},
    {"distilbert", BuildDistilBert, "sinusoidal_pos_embds tie_weights_ tie_word_embeddings"},
    {"mamba", BuildMamba, kTimeStep},
    {"falcon_mamba", BuildMamba, kTimeStep},
    {"mamba2", BuildMamba2, kTimeStep},
    {"jamba", BuildJamba, kHybrid},
    {"bamba", BuildBamba, kHybrid},
    {"retnet", BuildRetNet, kRetNet, KeysOf::kOwnCode},
};

// Keys that transformers obeys in every family of a kind, and that nothing here can do.
void RefuseWhatIsNotDone(ConfigReader& config, const Architecture& a) {
  const bool attends = std::ranges::any_of(
      a.layers, [](const LayerSpec& layer) { return layer.mixer == MixerKind::kAttention; });
  // GPT-Neo's attention has a mask of its own.
  if (attends && !a.masked && a.family != "gpt_neo")
    config.Demand("is_causal", true,
                  "a decoder whose tokens see those after them is not supported");
  if (const Json* layers = config.Find("per_layer_config"); layers != nullptr && !layers->empty())
    config.Fail(Unsupported(config.where() +
                            ": 'per_layer_config' gives layers configs of their own, which is not "
                            "supported"));
}

std::string KnownFamilies() {
  std::string names;
  for (const FamilyRow& row : kFamilies) {
    if (!names.empty()) names += ", ";
    names += row.model_type;
  }
  return names;
}

// Builds, and puts what is to be said of keys into `note`.
Result<Architecture> BuildWithNote(const Json& config, const HasTensor& has_tensor,
                                   std::string& note) {
  if (!config.is_object()) return InvalidArgument("config.json: not an object");
  ConfigReader reader(config);
  const std::string model_type = reader.Text("model_type", "");
  INGOT_TRY(reader.status());
  if (model_type.empty())
    return InvalidArgument("config.json: 'model_type' is missing, so the architecture is unknown");
  for (const FamilyRow& row : kFamilies) {
    if (model_type != row.model_type) continue;
    FamilyContext context{reader, has_tensor, model_type};
    Architecture architecture = row.build(context);
    INGOT_TRY(reader.status());
    RefuseWhatIsNotDone(reader, architecture);
    INGOT_TRY(reader.status());
    note = SettleUnheardKeys(reader, row.keys, model_type, row.harmless);
    INGOT_TRY(reader.status());
    return architecture;
  }
  return Unsupported(fmt::format("config.json: architecture '{}' is not supported (known: {})",
                                 model_type, KnownFamilies()));
}

}  // namespace

Result<Architecture> BuildArchitecture(const Json& config, const HasTensor& has_tensor) {
  std::string note;
  return BuildWithNote(config, has_tensor, note);
}

std::string NoteOnKeys(const Json& config, const HasTensor& has_tensor) {
  std::string note;
  return BuildWithNote(config, has_tensor, note).ok() ? note : std::string();
}

}  // namespace ingot::model
