// The names under which checkpoints hold RWKV's tensors: the original project's, transformers' (and
// the ports for versions 5 and 6 that follow it), and flash-linear-attention's of version 7.
//
// Thread rule: constants and pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace ingot::model {

struct RwkvLayout {
  const char* embedding;
  const char* head;
  const char* final_norm;
  const char* blocks;  // followed by the layer's number
  const char *first_norm, *time_norm, *channel_norm;
  const char *time_mix, *channel_mix;             // modules of a block
  const char *receptance, *key, *value, *output;  // of time mixing; channel mixing says key, value
  const char* head_norm;
  bool long_names;  // time_mix_key for time_mix_k
  bool lora_names;  // w_lora.lora.0.weight for w1, stored as other matrices are
  bool original;    // no config.json comes with it
};

// The layout that the tensors follow, nullptr where they are no RWKV.
const RwkvLayout* FindRwkvLayout(const std::function<bool(std::string_view)>& has_tensor);

std::string RwkvBlock(const RwkvLayout& layout, std::uint64_t layer);

}  // namespace ingot::model
