// Mixture-of-experts layers as transformers 5 holds them in memory, and as a state dict that was
// written without its save_pretrained has them: all experts' matrices in one tensor a layer. They
// become the tensors of a Hugging Face checkpoint, one a matrix.
//
//   MODULE.experts.gate_up_proj   experts x 2 width x hidden   gate rows, then up rows, of each
//   MODULE.experts.down_proj      experts x hidden x width
//
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/source/safetensors.h"

namespace ingot::model {

// The matrices inside such a tensor, at their places in its file; empty where `tensor` is none.
// Mixtral's have names of their own (block_sparse_moe, w1, w3, w2).
std::vector<SafetensorsEntry> SplitPackedExperts(const SafetensorsEntry& tensor, bool mixtral);

// The name in a Hugging Face checkpoint of what stands beside packed experts: Mixtral's router
// moves with its module.
std::string NameBesidePackedExperts(std::string_view name, bool mixtral);

}  // namespace ingot::model
