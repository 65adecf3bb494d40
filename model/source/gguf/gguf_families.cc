#include "model/source/gguf/gguf_families.h"

#include <fmt/format.h>

namespace ingot::model {
namespace {

using enum GgufChange;

constexpr GgufNameRow kOutside[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}};

constexpr GgufNameRow kInLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_qkv", "self_attn.qkv_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
    {"ffn_gate_inp", "mlp.gate"},
    {"ffn_gate_inp_shexp", "mlp.shared_expert_gate", kRow},
    {"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
    {"ffn_up_shexp", "mlp.shared_expert.up_proj"},
    {"ffn_down_shexp", "mlp.shared_expert.down_proj"},
};

// Gemma 2 and 3 have norms before and after each branch; OLMo 2 has them after alone.
constexpr GgufNameRow kGemmaInLayer[] = {
    {"ffn_norm", "pre_feedforward_layernorm"},
    {"post_attention_norm", "post_attention_layernorm"},
    {"post_ffw_norm", "post_feedforward_layernorm"},
};
constexpr GgufNameRow kPhi3InLayer[] = {{"ffn_up", "mlp.gate_up_proj"}};
constexpr GgufNameRow kMixtralInLayer[] = {{"ffn_gate_inp", "block_sparse_moe.gate"}};
constexpr GgufNameRow kStableLmInLayer[] = {
    {"attn_q_norm", "self_attn.q_layernorm.norms.{}", kSplitRows},
    {"attn_k_norm", "self_attn.k_layernorm.norms.{}", kSplitRows},
};

constexpr GgufNameRow kGpt2Outside[] = {
    {"token_embd", "transformer.wte"},
    {"position_embd", "transformer.wpe"},
    {"output_norm", "transformer.ln_f"},
    {"output", "lm_head"},
};
constexpr GgufNameRow kGpt2InLayer[] = {
    {"attn_norm", "ln_1"},
    {"attn_qkv", "attn.c_attn", kTranspose},
    {"attn_output", "attn.c_proj", kTranspose},
    {"ffn_norm", "ln_2"},
    {"ffn_up", "mlp.c_fc", kTranspose},
    {"ffn_down", "mlp.c_proj", kTranspose},
};

constexpr GgufNameRow kNeoxOutside[] = {
    {"token_embd", "gpt_neox.embed_in"},
    {"output_norm", "gpt_neox.final_layer_norm"},
    {"output", "embed_out"},
};
constexpr GgufNameRow kNeoxInLayer[] = {
    {"attn_norm", "input_layernorm"},   {"attn_qkv", "attention.query_key_value", kGroupHeads},
    {"attn_output", "attention.dense"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_up", "mlp.dense_h_to_4h"},    {"ffn_down", "mlp.dense_4h_to_h"},
};

constexpr GgufNameRow kBloomOutside[] = {
    {"token_embd", "transformer.word_embeddings"},
    {"token_embd_norm", "transformer.word_embeddings_layernorm"},
    {"output_norm", "transformer.ln_f"},
    {"output", "lm_head"},
};
constexpr GgufNameRow kBloomInLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_qkv", "self_attention.query_key_value", kGroupHeads},
    {"attn_output", "self_attention.dense"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_up", "mlp.dense_h_to_4h"},
    {"ffn_down", "mlp.dense_4h_to_h"},
};
// With a second norm, the first is that of the MLP (see Placer).
constexpr GgufNameRow kFalconInLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_norm_2", "ln_attn"},
    {"attn_qkv", "self_attention.query_key_value", kGroupHeads},
    {"attn_output", "self_attention.dense"},
    {"ffn_up", "mlp.dense_h_to_4h"},
    {"ffn_down", "mlp.dense_4h_to_h"},
};

constexpr GgufNameRow kPhiOutside[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.final_layernorm"},
    {"output", "lm_head"},
};
constexpr GgufNameRow kPhiInLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.dense"},
    {"ffn_up", "mlp.fc1"},
    {"ffn_down", "mlp.fc2"},
};

constexpr GgufNameRow kMambaOutside[] = {
    {"token_embd", "backbone.embeddings"},
    {"output_norm", "backbone.norm_f"},
    {"output", "lm_head"},
};
constexpr GgufNameRow kMambaInLayer[] = {
    {"attn_norm", "norm"},
    {"ssm_in", "mixer.in_proj"},
    {"ssm_conv1d", "mixer.conv1d", kColumn},
    {"ssm_x", "mixer.x_proj"},
    {"ssm_dt", "mixer.dt_proj"},
    {"ssm_a", "mixer.A_log", kLogNegative},
    {"ssm_d", "mixer.D"},
    {"ssm_out", "mixer.out_proj"},
};

// A = -exp(A_log) a head, in a column.
constexpr GgufNameRow kMamba2InLayer[] = {
    {"attn_norm", "norm"},
    {"ssm_in", "mixer.in_proj"},
    {"ssm_conv1d", "mixer.conv1d", kColumn},
    {"ssm_dt", "mixer.dt_bias", kNone, {}, ""},
    {"ssm_a", "mixer.A_log", kLogNegative},
    {"ssm_d", "mixer.D", kFlat},
    {"ssm_norm", "mixer.norm", kFlat},
    {"ssm_out", "mixer.out_proj"},
};

constexpr GgufNameRow kJambaOutside[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.final_layernorm"},
    {"output", "lm_head"},
};
constexpr GgufNameRow kJambaInLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_norm", "pre_ff_layernorm"},
    {"ffn_gate", "feed_forward.gate_proj"},
    {"ffn_up", "feed_forward.up_proj"},
    {"ffn_down", "feed_forward.down_proj"},
    {"ffn_gate_inp", "feed_forward.router"},
    {"ssm_in", "mamba.in_proj"},
    {"ssm_conv1d", "mamba.conv1d", kColumn},
    {"ssm_x", "mamba.x_proj"},
    {"ssm_dt", "mamba.dt_proj"},
    {"ssm_dt_norm", "mamba.dt_layernorm"},
    {"ssm_b_norm", "mamba.b_layernorm"},
    {"ssm_c_norm", "mamba.c_layernorm"},
    {"ssm_a", "mamba.A_log", kLogNegative},
    {"ssm_d", "mamba.D"},
    {"ssm_out", "mamba.out_proj"},
};

constexpr GgufNameRow kStarcoder2InLayer[] = {
    {"ffn_up", "mlp.c_fc"},
    {"ffn_down", "mlp.c_proj"},
};

constexpr GgufNameRow kBertOutside[] = {
    {"token_embd", "embeddings.word_embeddings"},
    {"token_types", "embeddings.token_type_embeddings"},
    {"position_embd", "embeddings.position_embeddings"},
    {"token_embd_norm", "embeddings.LayerNorm"},
};
constexpr GgufNameRow kBertInLayer[] = {
    {"attn_q", "attention.self.query"},
    {"attn_k", "attention.self.key"},
    {"attn_v", "attention.self.value"},
    {"attn_output", "attention.output.dense"},
    {"attn_output_norm", "attention.output.LayerNorm"},
    {"ffn_up", "intermediate.dense"},
    {"ffn_down", "output.dense"},
    {"layer_output_norm", "output.LayerNorm"},
};

// The names of the port for Hugging Face.
constexpr GgufNameRow kRwkv6Outside[] = {
    {"token_embd", "rwkv.embeddings"},
    {"token_embd_norm", "rwkv.blocks.0.pre_ln"},
    {"output_norm", "rwkv.ln_out"},
    {"output", "head"},
};
constexpr GgufNameRow kRwkv6InLayer[] = {
    {"attn_norm", "ln1"},
    {"attn_norm_2", "ln2"},
    {"time_mix_w1", "attention.time_maa_w1", kTranspose, {}, ""},
    {"time_mix_w2", "attention.time_maa_w2.{}", kTransposeEach, {}, ""},
    {"time_mix_lerp_x", "attention.time_maa_x", kFlat, {}, ""},
    {"time_mix_lerp_w", "attention.time_maa_w", kFlat, {}, ""},
    {"time_mix_lerp_k", "attention.time_maa_k", kFlat, {}, ""},
    {"time_mix_lerp_v", "attention.time_maa_v", kFlat, {}, ""},
    {"time_mix_lerp_r", "attention.time_maa_r", kFlat, {}, ""},
    {"time_mix_lerp_g", "attention.time_maa_g", kFlat, {}, ""},
    {"time_mix_lerp_fused", "attention.time_maa_{}", kSplitRows, "wkvrg", ""},
    {"time_mix_first", "attention.time_faaaa", kFlat, {}, ""},
    {"time_mix_decay", "attention.time_decay", kFlat, {}, ""},
    {"time_mix_decay_w1", "attention.time_decay_w1", kTranspose, {}, ""},
    {"time_mix_decay_w2", "attention.time_decay_w2", kTranspose, {}, ""},
    {"time_mix_key", "attention.key"},
    {"time_mix_value", "attention.value"},
    {"time_mix_receptance", "attention.receptance"},
    {"time_mix_gate", "attention.gate"},
    {"time_mix_ln", "attention.ln_x"},
    {"time_mix_output", "attention.output", kTwice},
    {"channel_mix_lerp_k", "feed_forward.time_maa_k", kFlat, {}, ""},
    {"channel_mix_lerp_r", "feed_forward.time_maa_r", kFlat, {}, ""},
    {"channel_mix_key", "feed_forward.key"},
    {"channel_mix_receptance", "feed_forward.receptance"},
    {"channel_mix_value", "feed_forward.value", kTwice},
};

// The names of flash-linear-attention.
constexpr GgufNameRow kRwkv7Outside[] = {
    {"token_embd", "model.embeddings"},
    {"token_embd_norm", "model.layers.0.pre_norm"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
};
constexpr GgufNameRow kRwkv7InLayer[] = {
    {"attn_norm", "attn_norm"},
    {"attn_norm_2", "ffn_norm"},
    {"time_mix_lerp_fused", "attn.x_{}", kSplitRows, "rwkvag", ""},
    {"time_mix_w0", "attn.w_lora.lora.2", kNone, {}, ".bias"},
    {"time_mix_w1", "attn.w_lora.lora.0"},
    {"time_mix_w2", "attn.w_lora.lora.2"},
    {"time_mix_a0", "attn.a_lora.lora.2", kNone, {}, ".bias"},
    {"time_mix_a1", "attn.a_lora.lora.0"},
    {"time_mix_a2", "attn.a_lora.lora.2"},
    {"time_mix_v0", "attn.v_lora.lora.2", kNone, {}, ".bias"},
    {"time_mix_v1", "attn.v_lora.lora.0"},
    {"time_mix_v2", "attn.v_lora.lora.2"},
    {"time_mix_g1", "attn.g_lora.lora.0"},
    {"time_mix_g2", "attn.g_lora.lora.2"},
    {"time_mix_k_k", "attn.k_k", kFlat, {}, ""},
    {"time_mix_k_a", "attn.k_a", kFlat, {}, ""},
    {"time_mix_r_k", "attn.r_k", kFlat, {}, ""},
    {"time_mix_key", "attn.k_proj"},
    {"time_mix_value", "attn.v_proj"},
    {"time_mix_receptance", "attn.r_proj"},
    {"time_mix_ln", "attn.g_norm"},
    {"time_mix_output", "attn.o_proj"},
    {"channel_mix_lerp_k", "ffn.x_k", kFlat, {}, ""},
    {"channel_mix_key", "ffn.key"},
    {"channel_mix_value", "ffn.value"},
};

constexpr std::string_view kModel = "model.layers.", kTransformer = "transformer.h.";
using Names = std::span<const GgufNameRow>;

// Rows not given in `inside` are kInLayer's, where a family's layers have LLaMA's names.
constexpr GgufFamily kFamilies[] = {
    {"llama", "llama", "LlamaForCausalLM", true},
    {"mistral", "mistral", "MistralForCausalLM", true},
    {"qwen2", "qwen2", "Qwen2ForCausalLM"},
    {"qwen2moe", "qwen2_moe", "Qwen2MoeForCausalLM"},
    {"qwen3", "qwen3", "Qwen3ForCausalLM"},
    {"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM"},
    {"phi3", "phi3", "Phi3ForCausalLM", false, false, kModel, Names(), kPhi3InLayer},
    {"gemma", "gemma", "GemmaForCausalLM", false, true},
    {"gemma2", "gemma2", "Gemma2ForCausalLM", false, true, kModel, Names(), kGemmaInLayer},
    {"gemma3", "gemma3_text", "Gemma3ForCausalLM", false, true, kModel, Names(), kGemmaInLayer},
    {"granite", "granite", "GraniteForCausalLM", true},
    {"olmo", "olmo", "OlmoForCausalLM", true},
    {"olmo2", "olmo2", "Olmo2ForCausalLM", false, false, kModel, Names(), kGemmaInLayer},
    {"olmoe", "olmoe", "OlmoeForCausalLM"},
    {"stablelm", "stablelm", "StableLmForCausalLM", false, false, kModel, Names(), kStableLmInLayer,
     true},
    {"phi2", "phi", "PhiForCausalLM", false, false, kModel, kPhiOutside, kPhiInLayer, true},
    {"gpt2", "gpt2", "GPT2LMHeadModel", false, false, kTransformer, kGpt2Outside, kGpt2InLayer,
     true},
    {"gptneox", "gpt_neox", "GPTNeoXForCausalLM", false, false, "gpt_neox.layers.", kNeoxOutside,
     kNeoxInLayer, true},
    {"bloom", "bloom", "BloomForCausalLM", false, false, kTransformer, kBloomOutside, kBloomInLayer,
     true},
    {"falcon", "falcon", "FalconForCausalLM", false, false, kTransformer, kBloomOutside,
     kFalconInLayer, true},
    {"mamba", "mamba", "MambaForCausalLM", false, false, "backbone.layers.", kMambaOutside,
     kMambaInLayer},
    {"mamba2", "mamba2", "Mamba2ForCausalLM", false, false, "backbone.layers.", kMambaOutside,
     kMamba2InLayer},
    {"jamba", "jamba", "JambaForCausalLM", false, false, kModel, kJambaOutside, kJambaInLayer,
     false, false, "feed_forward.experts.{}.{}_proj"},
    {"starcoder2", "starcoder2", "Starcoder2ForCausalLM", false, false, kModel, Names(),
     kStarcoder2InLayer, true},
    {"bert", "bert", "BertModel", false, false, "encoder.layer.", kBertOutside, kBertInLayer, true},
    {"rwkv6", "rwkv6", "Rwkv6ForCausalLM", false, false, "rwkv.blocks.", kRwkv6Outside,
     kRwkv6InLayer, true},
    {"rwkv7", "rwkv7", "RWKV7ForCausalLM", false, false, kModel, kRwkv7Outside, kRwkv7InLayer, true,
     true},
};
// Mixtral's files call themselves llama and have experts.
constexpr GgufFamily kMixtral = {"llama", "mixtral", "MixtralForCausalLM", true, false,
                                 kModel,  Names(),   kMixtralInLayer};

const GgufNameRow* Find(std::span<const GgufNameRow> rows, std::string_view name) {
  for (const GgufNameRow& row : rows)
    if (row.gguf == name) return &row;
  return nullptr;
}

}  // namespace

const GgufNameRow* OutsideName(const GgufFamily& family, std::string_view name) {
  return Find(family.outside.empty() ? kOutside : family.outside, name);
}

const GgufNameRow* InsideName(const GgufFamily& family, std::string_view name) {
  if (const GgufNameRow* own = Find(family.inside, name)) return own;
  return family.outside.empty() ? Find(kInLayer, name) : nullptr;
}

Result<const GgufFamily*> FindGgufFamily(const std::string& architecture, bool has_experts) {
  if (architecture == kMixtral.architecture && has_experts) return &kMixtral;
  std::string known;
  for (const GgufFamily& family : kFamilies) {
    if (architecture == family.architecture) return &family;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", family.architecture);
  }
  return Unsupported(
      fmt::format("GGUF architecture '{}' is not supported (known: {})", architecture, known));
}

}  // namespace ingot::model
