#include "model/source/rwkv/rwkv_layout.h"

namespace ingot::model {
namespace {

constexpr RwkvLayout kLayouts[] = {
    {"emb.weight", "head", "ln_out", "blocks.", "ln0", "ln1", "ln2", "att", "ffn", "receptance",
     "key", "value", "output", "ln_x", false, false, true},
    {"rwkv.embeddings.weight", "head", "rwkv.ln_out", "rwkv.blocks.", "pre_ln", "ln1", "ln2",
     "attention", "feed_forward", "receptance", "key", "value", "output", "ln_x", true, false,
     false},
    {"model.embeddings.weight", "lm_head", "model.norm", "model.layers.", "pre_norm", "attn_norm",
     "ffn_norm", "attn", "ffn", "r_proj", "k_proj", "v_proj", "o_proj", "g_norm", false, true,
     false},
};

}  // namespace

std::string RwkvBlock(const RwkvLayout& layout, std::uint64_t layer) {
  return layout.blocks + std::to_string(layer) + ".";
}

const RwkvLayout* FindRwkvLayout(const std::function<bool(std::string_view)>& has_tensor) {
  for (const RwkvLayout& layout : kLayouts) {
    const std::string mix = RwkvBlock(layout, 0) + layout.time_mix + ".";
    // Version 7 has k_k, the others time_decay: no other family does.
    if (has_tensor(layout.embedding) && has_tensor(mix + layout.receptance + ".weight") &&
        (has_tensor(mix + "k_k") || has_tensor(mix + "time_decay")))
      return &layout;
  }
  return nullptr;
}

}  // namespace ingot::model
