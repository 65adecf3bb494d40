// Keys of config.json: those of every config class of transformers, of published checkpoints, and
// those that nobody knows.
#include "model/families/known_keys.h"

#include <gtest/gtest.h>

#include <sstream>

#include "base/file.h"
#include "model/architecture/architecture.h"

namespace ingot::model {
namespace {

bool Everything(std::string_view) { return true; }

// No head, no biases: what a checkpoint has that is not asked for its layout.
bool Weights(std::string_view name) { return !name.ends_with(".bias"); }

// tests/fixtures/model/default_configs.json, a config a line, by tools/fixtures/make_fixtures.py.
std::vector<Json> DefaultConfigs() {
  std::istringstream lines(
      *ReadFileToString(INGOT_SOURCE_DIR "/tests/fixtures/model/default_configs.json"));
  std::vector<Json> configs;
  for (std::string line; std::getline(lines, line);) configs.push_back(Json::parse(line));
  return configs;
}

TEST(KnownKeys, EveryConfigClassOfTransformersPasses) {
  const std::vector<Json> configs = DefaultConfigs();
  ASSERT_EQ(configs.size(), 34u);
  for (const Json& config : configs) {
    const auto built = BuildArchitecture(config, Everything);
    ASSERT_TRUE(built.ok()) << config["model_type"] << ": " << built.status().message();
    EXPECT_EQ(NoteOnKeys(config, Everything), "") << config["model_type"];
  }
}

// What the Hub has, in the words of its time.
constexpr const char* kPublished[] = {
    R"({"architectures":["LlamaForCausalLM"],"attention_bias":false,"attention_dropout":0.0,
        "bos_token_id":128000,"eos_token_id":[128001,128008,128009],"hidden_act":"silu",
        "hidden_size":4096,"initializer_range":0.02,"intermediate_size":14336,
        "max_position_embeddings":131072,"mlp_bias":false,"model_type":"llama",
        "num_attention_heads":32,"num_hidden_layers":32,"num_key_value_heads":8,"pretraining_tp":1,
        "rms_norm_eps":1e-05,"rope_scaling":{"factor":8.0,"low_freq_factor":1.0,
        "high_freq_factor":4.0,"original_max_position_embeddings":8192,"rope_type":"llama3"},
        "rope_theta":500000.0,"tie_word_embeddings":false,"torch_dtype":"bfloat16",
        "transformers_version":"4.42.3","use_cache":true,"vocab_size":128256})",
    R"({"architectures":["LlamaForCausalLM"],"bos_token_id":0,"eos_token_id":0,"hidden_act":"silu",
        "hidden_size":576,"initializer_range":0.041666666666666664,"intermediate_size":1536,
        "is_llama_config":true,"max_position_embeddings":8192,"model_type":"llama",
        "num_attention_heads":9,"num_hidden_layers":30,"num_key_value_heads":3,"pretraining_tp":1,
        "rms_norm_eps":1e-05,"rope_interleaved":false,"rope_scaling":null,"rope_theta":100000,
        "tie_word_embeddings":true,"torch_dtype":"bfloat16","vocab_size":49152})",
    R"({"architectures":["MistralForCausalLM"],"attention_dropout":0.0,"bos_token_id":1,
        "eos_token_id":2,"hidden_act":"silu","hidden_size":4096,"initializer_range":0.02,
        "intermediate_size":14336,"max_position_embeddings":32768,"model_type":"mistral",
        "num_attention_heads":32,"num_hidden_layers":32,"num_key_value_heads":8,
        "rms_norm_eps":1e-05,"rope_theta":1000000.0,"sliding_window":null,
        "tie_word_embeddings":false,"torch_dtype":"bfloat16","vocab_size":32768})",
    R"({"architectures":["Qwen2ForCausalLM"],"attention_dropout":0.0,"bos_token_id":151643,
        "eos_token_id":151645,"hidden_act":"silu","hidden_size":896,"initializer_range":0.02,
        "intermediate_size":4864,"max_position_embeddings":32768,"max_window_layers":21,
        "model_type":"qwen2","num_attention_heads":14,"num_hidden_layers":24,
        "num_key_value_heads":2,"rms_norm_eps":1e-06,"rope_theta":1000000.0,
        "sliding_window":32768,"tie_word_embeddings":true,"use_cache":true,
        "use_sliding_window":false,"use_mrope":false,"vocab_size":151936})",
    R"({"architectures":["Qwen3ForCausalLM"],"attention_bias":false,"attention_dropout":0.0,
        "head_dim":128,"hidden_act":"silu","hidden_size":1024,"intermediate_size":3072,
        "max_position_embeddings":40960,"max_window_layers":28,"model_type":"qwen3",
        "num_attention_heads":16,"num_hidden_layers":28,"num_key_value_heads":8,
        "rms_norm_eps":1e-06,"rope_scaling":null,"rope_theta":1000000,"sliding_window":null,
        "tie_word_embeddings":true,"use_sliding_window":false,"vocab_size":151936})",
    R"({"architectures":["GemmaForCausalLM"],"attention_bias":false,"attention_dropout":0.0,
        "bos_token_id":2,"eos_token_id":1,"head_dim":256,"hidden_act":"gelu",
        "hidden_activation":"gelu_pytorch_tanh","hidden_size":2048,"intermediate_size":16384,
        "max_position_embeddings":8192,"model_type":"gemma","num_attention_heads":8,
        "num_hidden_layers":18,"num_key_value_heads":1,"pad_token_id":0,"rms_norm_eps":1e-06,
        "rope_scaling":null,"rope_theta":10000.0,"vocab_size":256000})",
    R"({"architectures":["Gemma2ForCausalLM"],"attn_logit_softcapping":50.0,
        "cache_implementation":"hybrid","final_logit_softcapping":30.0,"head_dim":256,
        "hidden_act":"gelu_pytorch_tanh","hidden_activation":"gelu_pytorch_tanh",
        "hidden_size":2304,"intermediate_size":9216,"max_position_embeddings":8192,
        "model_type":"gemma2","num_attention_heads":8,"num_hidden_layers":26,
        "num_key_value_heads":4,"query_pre_attn_scalar":256,"rms_norm_eps":1e-06,
        "rope_theta":10000.0,"sliding_window":4096,"vocab_size":256000})",
    R"({"architectures":["Gemma3ForCausalLM"],"attn_logit_softcapping":null,
        "cache_implementation":"hybrid","final_logit_softcapping":null,"head_dim":256,
        "hidden_activation":"gelu_pytorch_tanh","hidden_size":1152,"intermediate_size":6912,
        "max_position_embeddings":32768,"model_type":"gemma3_text","num_attention_heads":4,
        "num_hidden_layers":26,"num_key_value_heads":1,"query_pre_attn_scalar":256,
        "rms_norm_eps":1e-06,"rope_local_base_freq":10000,"rope_scaling":null,
        "rope_theta":1000000,"sliding_window":512,"sliding_window_pattern":6,"vocab_size":262144})",
    R"({"_name_or_path":"Phi-3-mini-4k-instruct","architectures":["Phi3ForCausalLM"],
        "attention_dropout":0.0,"auto_map":{"AutoConfig":"configuration_phi3.Phi3Config"},
        "bos_token_id":1,"embd_pdrop":0.0,"eos_token_id":32000,"hidden_act":"silu",
        "hidden_size":3072,"intermediate_size":8192,"max_position_embeddings":4096,
        "model_type":"phi3","num_attention_heads":32,"num_hidden_layers":32,
        "num_key_value_heads":32,"original_max_position_embeddings":4096,"pad_token_id":32000,
        "resid_pdrop":0.0,"rms_norm_eps":1e-05,"rope_scaling":null,"rope_theta":10000.0,
        "sliding_window":2047,"tie_word_embeddings":false,"attention_bias":false,
        "vocab_size":32064})",
    R"({"architectures":["MixtralForCausalLM"],"attention_dropout":0.0,"hidden_act":"silu",
        "hidden_size":4096,"intermediate_size":14336,"max_position_embeddings":32768,
        "model_type":"mixtral","num_attention_heads":32,"num_experts_per_tok":2,
        "num_hidden_layers":32,"num_key_value_heads":8,"num_local_experts":8,
        "output_router_logits":false,"rms_norm_eps":1e-05,"rope_theta":1000000.0,
        "router_aux_loss_coef":0.02,"sliding_window":null,"vocab_size":32000})",
    R"({"alibi":false,"apply_residual_connection_post_layernorm":false,
        "architectures":["FalconForCausalLM"],"attention_dropout":0.0,
        "auto_map":{"AutoConfig":"configuration_falcon.FalconConfig"},"bias":false,
        "bos_token_id":11,"eos_token_id":11,"hidden_dropout":0.0,"hidden_size":4544,
        "initializer_range":0.02,"layer_norm_epsilon":1e-05,"model_type":"falcon",
        "multi_query":true,"new_decoder_architecture":false,"num_attention_heads":71,
        "num_hidden_layers":32,"parallel_attn":true,"vocab_size":65024})",
    R"({"apply_residual_connection_post_layernorm":false,"attention_dropout":0.0,
        "attention_softmax_in_fp32":true,"bias_dropout_fusion":true,"bos_token_id":1,
        "eos_token_id":2,"pad_token_id":3,"unk_token_id":0,"hidden_dropout":0.0,
        "masked_softmax_fusion":true,"model_type":"bloom","n_embed":1024,"n_inner":null,
        "n_layer":24,"num_attention_heads":16,"offset_alibi":100,"pretraining_tp":1,
        "seq_length":2048,"skip_bias_add":true,"skip_bias_add_qkv":false,"slow_but_exact":false,
        "initializer_range":0.02,"layer_norm_epsilon":1e-05,"vocab_size":250880})",
    R"({"_name_or_path":"opt-125m","activation_dropout":0.0,"activation_function":"relu",
        "architectures":["OPTForCausalLM"],"attention_dropout":0.0,"do_layer_norm_before":true,
        "dropout":0.1,"_remove_final_layer_norm":false,"ffn_dim":3072,"hidden_size":768,
        "init_std":0.02,"layerdrop":0.0,"max_position_embeddings":2048,"model_type":"opt",
        "num_attention_heads":12,"num_hidden_layers":12,"prefix":"</s>","vocab_size":50272,
        "word_embed_proj_dim":768})",
    R"({"activation_function":"gelu_new","architectures":["GPT2LMHeadModel"],"attn_pdrop":0.1,
        "embd_pdrop":0.1,"initializer_range":0.02,"layer_norm_epsilon":1e-05,"model_type":"gpt2",
        "n_ctx":1024,"n_embd":768,"n_head":12,"n_layer":12,"n_positions":1024,"resid_pdrop":0.1,
        "summary_activation":null,"summary_first_dropout":0.1,"summary_proj_to_labels":true,
        "summary_type":"cls_index","summary_use_proj":true,
        "task_specific_params":{"text-generation":{"do_sample":true,"max_length":50}},
        "vocab_size":50257})",
    R"({"activation_function":"gelu_new","architectures":["GPTJForCausalLM"],"attn_pdrop":0.0,
        "embd_pdrop":0.0,"gradient_checkpointing":false,"layer_norm_epsilon":1e-05,
        "model_type":"gptj","n_embd":4096,"n_head":16,"n_inner":null,"n_layer":28,
        "n_positions":2048,"resid_pdrop":0.0,"rotary":true,"rotary_dim":64,
        "scale_attn_weights":true,"summary_type":"cls_index","tie_word_embeddings":false,
        "tokenizer_class":"GPT2Tokenizer","vocab_size":50400})",
    R"({"architectures":["GPTNeoXForCausalLM"],"bos_token_id":0,"eos_token_id":0,
        "hidden_act":"gelu","hidden_size":768,"initializer_range":0.02,"intermediate_size":3072,
        "layer_norm_eps":1e-05,"max_position_embeddings":2048,"model_type":"gpt_neox",
        "num_attention_heads":12,"num_hidden_layers":12,"rotary_emb_base":10000,"rotary_pct":0.25,
        "tie_word_embeddings":false,"use_parallel_residual":true,"vocab_size":50304})",
    R"({"architectures":["MambaForCausalLM"],"conv_kernel":4,"d_inner":1536,"d_model":768,
        "expand":2,"fused_add_norm":true,"hidden_act":"silu","hidden_size":768,
        "initializer_range":0.1,"intermediate_size":1536,"layer_norm_epsilon":1e-05,
        "model_type":"mamba","n_layer":24,"num_hidden_layers":24,"pad_vocab_size_multiple":8,
        "rescale_prenorm_residual":false,"residual_in_fp32":true,"rms_norm":true,"ssm_cfg":{},
        "state_size":16,"time_step_floor":0.0001,"time_step_init_scheme":"random",
        "time_step_max":0.1,"time_step_min":0.001,"time_step_rank":48,"time_step_scale":1.0,
        "use_bias":false,"use_cache":true,"use_conv_bias":true,"vocab_size":50280})",
    R"({"architectures":["RwkvForCausalLM"],"attention_hidden_size":768,"bos_token_id":0,
        "context_length":1024,"eos_token_id":0,"hidden_size":768,"intermediate_size":3072,
        "layer_norm_epsilon":1e-05,"model_type":"rwkv","num_hidden_layers":12,"rescale_every":6,
        "tie_word_embeddings":false,"use_cache":true,"vocab_size":50277})",
    R"({"architectures":["BertForMaskedLM"],"attention_probs_dropout_prob":0.1,
        "gradient_checkpointing":false,"hidden_act":"gelu","hidden_dropout_prob":0.1,
        "hidden_size":768,"initializer_range":0.02,"intermediate_size":3072,
        "layer_norm_eps":1e-12,"max_position_embeddings":512,"model_type":"bert",
        "num_attention_heads":12,"num_hidden_layers":12,"pad_token_id":0,
        "position_embedding_type":"absolute","transformers_version":"4.6.0.dev0",
        "type_vocab_size":2,"use_cache":true,"vocab_size":30522})",
    R"({"activation":"gelu","architectures":["DistilBertForMaskedLM"],"attention_dropout":0.1,
        "dim":768,"dropout":0.1,"hidden_dim":3072,"initializer_range":0.02,
        "max_position_embeddings":512,"model_type":"distilbert","n_heads":12,"n_layers":6,
        "pad_token_id":0,"qa_dropout":0.1,"seq_classif_dropout":0.2,"sinusoidal_pos_embds":false,
        "tie_weights_":true,"vocab_size":30522})",
    R"({"architectures":["OlmoForCausalLM"],"attention_bias":false,"attention_dropout":0.0,
        "clip_qkv":null,"eos_token_id":50279,"hidden_act":"silu","hidden_size":2048,
        "initializer_range":0.02,"intermediate_size":8192,"max_position_embeddings":2048,
        "model_type":"olmo","num_attention_heads":16,"num_hidden_layers":16,
        "num_key_value_heads":16,"pad_token_id":1,"pretraining_tp":1,"rope_scaling":null,
        "rope_theta":10000.0,"tie_word_embeddings":true,"vocab_size":50304})",
    R"({"architectures":["StableLmForCausalLM"],"bos_token_id":100257,"eos_token_id":100257,
        "hidden_act":"silu","hidden_size":2048,"initializer_range":0.02,"intermediate_size":5632,
        "layer_norm_eps":1e-05,"max_position_embeddings":4096,"model_type":"stablelm",
        "num_attention_heads":32,"num_hidden_layers":24,"num_key_value_heads":32,
        "partial_rotary_factor":0.25,"rope_theta":10000,"tie_word_embeddings":false,
        "use_cache":true,"use_qkv_bias":true,"vocab_size":100352})",
    R"({"architectures":["PhiForCausalLM"],"attention_dropout":0.0,"embd_pdrop":0.0,
        "hidden_act":"gelu_new","hidden_size":2560,"intermediate_size":10240,
        "layer_norm_eps":1e-05,"max_position_embeddings":2048,"model_type":"phi",
        "num_attention_heads":32,"num_hidden_layers":32,"num_key_value_heads":32,
        "partial_rotary_factor":0.4,"qk_layernorm":false,"resid_pdrop":0.1,"rope_scaling":null,
        "rope_theta":10000.0,"tie_word_embeddings":false,"vocab_size":51200})",
};

TEST(KnownKeys, PublishedConfigsPass) {
  for (const char* text : kPublished) {
    const Json config = Json::parse(text);
    const auto built = BuildArchitecture(config, Everything);
    ASSERT_TRUE(built.ok()) << config["model_type"] << ": " << built.status().message();
    EXPECT_EQ(NoteOnKeys(config, Everything), "") << config["model_type"];
  }
}

Json Llama(const Json& extra) {
  Json config = {{"model_type", "llama"}, {"hidden_size", 64},      {"intermediate_size", 96},
                 {"vocab_size", 100},     {"num_hidden_layers", 2}, {"num_attention_heads", 8}};
  config.update(extra);
  return config;
}

TEST(KnownKeys, WhatNobodyKnowsIsToldOnce) {
  const auto one = BuildArchitecture(Llama({{"frobnicate", 3}}), Weights);
  ASSERT_TRUE(one.ok()) << one.status().message();
  EXPECT_EQ(NoteOnKeys(Llama({{"frobnicate", 3}}), Weights),
            "config.json: 'frobnicate' says nothing that is known of a 'llama', and is ignored");
  Json many = Llama(Json::object());
  for (char c = 'a'; c < 'i'; ++c) many[std::string(1, c)] = true;
  EXPECT_EQ(NoteOnKeys(many, Weights),
            "config.json: 'a', 'b', 'c', 'd', 'e', 'f' and 2 more say nothing that is known of a "
            "'llama', and are ignored");
  // A value of null says nothing.
  EXPECT_EQ(NoteOnKeys(Llama({{"frobnicate", nullptr}}), Weights), "");
}

TEST(KnownKeys, WhatChangesTheForwardIsRefusedByName) {
  struct Case {
    Json extra;
    const char* message;
  };
  const Case cases[] = {
      {{{"is_causal", false}},
       "config.json: 'is_causal' is false: a decoder whose tokens see those after them is not "
       "supported"},
      {{{"per_layer_config", {{"0", {{"sliding_window", 8}}}}}},
       "config.json: 'per_layer_config' gives layers configs of their own, which is not supported"},
      {{{"partial_rotary_factor", 0.5}, {"rope_scaling", {{"type", "linear"}, {"factor", 2}}}},
       "config.json: 'partial_rotary_factor' is 0.5 beside a scaled rope, in a family that rotates "
       "whole heads"},
      {{{"model_type", "bloom"}, {"slow_but_exact", true}, {"pretraining_tp", 2}},
       "config.json: 'slow_but_exact' is true with a 'pretraining_tp' above 1, which is not "
       "supported"},
      {{{"model_type", "gemma"}, {"use_bidirectional_attention", true}},
       "config.json: 'use_bidirectional_attention' is true: embedding models, whose tokens see "
       "those after them, are not supported"},
  };
  for (const Case& c : cases) {
    const auto built = BuildArchitecture(Llama(c.extra), Weights);
    ASSERT_FALSE(built.ok()) << c.message;
    EXPECT_EQ(built.status().code(), StatusCode::kUnsupported);
    EXPECT_EQ(built.status().message(), c.message);
  }
  EXPECT_TRUE(BuildArchitecture(Llama({{"is_causal", true}}), Weights).ok());
}

// A family that is only in a checkpoint's own code: what its numbers do is not to be guessed.
TEST(KnownKeys, NumbersOfOwnCodeAreRefused) {
  Json config = {{"model_type", "retnet"},       {"vocab_size", 50},
                 {"decoder_embed_dim", 24},      {"decoder_value_embed_dim", 40},
                 {"decoder_retention_heads", 2}, {"decoder_layers", 2},
                 {"decoder_ffn_embed_dim", 33}};
  EXPECT_EQ(NoteOnKeys(config, Everything), "");
  config["xpos_base"] = 512;
  const auto built = BuildArchitecture(config, Everything);
  ASSERT_FALSE(built.ok());
  EXPECT_EQ(
      built.status().message(),
      "config.json: 'xpos_base' is 512, and what it means for a 'retnet' is not known; remove "
      "it if it says nothing");
  config["xpos_base"] = false;
  EXPECT_TRUE(BuildArchitecture(config, Everything).ok());
}

TEST(KnownKeys, HarmlessOnes) {
  for (const char* key : {"attention_dropout", "transformers_version", "decoder_start_token_id",
                          "initializer_factor", "summary_type", "router_aux_loss_coef"})
    EXPECT_TRUE(IsHarmlessKey(key)) << key;
  for (const char* key : {"is_causal", "logit_scale", "num_experts", "rope_theta", "layer_types"})
    EXPECT_FALSE(IsHarmlessKey(key)) << key;
}

}  // namespace
}  // namespace ingot::model
