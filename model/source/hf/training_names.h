// Prefixes that training puts before a model's tensor names: wrappers of torch.compile, of data
// parallelism and of PEFT. They are taken off, since they say nothing about the tensor.
//
// Thread rule: pure functions.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ingot::model {

// What stands before every one of `names`: "module.", "base_model.model.", also several of them;
// empty where there is none.
std::string SharedTrainingPrefix(std::span<const std::string> names);

// `name` without `prefix`, and without the parts that wrappers put between ("_orig_mod.",
// "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."). PEFT's "base_layer." around a layer is
// taken off, too.
std::string WithoutTrainingPrefix(std::string_view name, std::string_view prefix);

// A matrix of a LoRA adapter that was not merged into the weights.
bool IsLoraTensor(std::string_view name);

}  // namespace ingot::model
