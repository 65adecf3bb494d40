// A random LLaMA whose heads are wide enough for caches of codes.
#pragma once

#include <string>

#include "base/random.h"
#include "tests/model/source_builders.h"

namespace ingot::loader {

// Writes it into `directory`: 2 layers, 4 heads over 2 of 32, 96 tokens.
inline std::string WriteWideLlama(model::TestDirectory& directory) {
  const std::string config = R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
    "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
    "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 96, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512, "rope_theta": 10000.0, "tie_word_embeddings": true,
    "hidden_act": "silu", "torch_dtype": "float32"})";
  std::vector<model::TensorBytes> tensors;
  std::uint64_t seed = 1;
  const auto add = [&](const std::string& name, std::vector<std::uint64_t> shape, double scale,
                       double offset = 0) {
    std::uint64_t count = 1;
    for (const std::uint64_t n : shape) count *= n;
    Random random(seed++);
    std::vector<float> values(count);
    for (float& v : values) v = static_cast<float>(random.Normal() * scale + offset);
    tensors.push_back({name, "F32", std::move(shape), model::BytesOfValues(values)});
  };
  add("model.embed_tokens.weight", {96, 64}, 1);
  for (int i = 0; i < 2; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    add(layer + "self_attn.q_proj.weight", {128, 64}, 0.12);
    add(layer + "self_attn.k_proj.weight", {64, 64}, 0.12);
    add(layer + "self_attn.v_proj.weight", {64, 64}, 0.2);
    add(layer + "self_attn.o_proj.weight", {64, 128}, 0.1);
    add(layer + "mlp.gate_proj.weight", {96, 64}, 0.2);
    add(layer + "mlp.up_proj.weight", {96, 64}, 0.2);
    add(layer + "mlp.down_proj.weight", {64, 96}, 0.2);
    add(layer + "input_layernorm.weight", {64}, 0.1, 1);
    add(layer + "post_attention_layernorm.weight", {64}, 0.1, 1);
  }
  add("model.norm.weight", {64}, 0.1, 1);
  directory.Write("config.json", config);
  directory.Write("model.safetensors", model::SafetensorsFile(tensors));
  return directory.path();
}

}  // namespace ingot::loader
