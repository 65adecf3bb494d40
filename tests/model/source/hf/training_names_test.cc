#include "model/source/hf/training_names.h"

#include <gtest/gtest.h>

#include <vector>

namespace ingot::model {
namespace {

std::vector<std::string> Plain(const std::vector<std::string>& names) {
  const std::string prefix = SharedTrainingPrefix(names);
  std::vector<std::string> plain;
  for (const std::string& name : names) plain.push_back(WithoutTrainingPrefix(name, prefix));
  return plain;
}

TEST(TrainingNames, PrefixesOfEveryTensorGo) {
  const std::vector<std::string> want = {"model.norm.weight", "lm_head.weight"};
  for (const std::string prefix : {"", "module.", "base_model.model.", "module.base_model.model.",
                                   "_orig_mod.", "module._orig_mod.", "_orig_mod.module."})
    EXPECT_EQ(Plain({prefix + want[0], prefix + want[1]}), want) << prefix;
  EXPECT_TRUE(SharedTrainingPrefix({}).empty());
}

TEST(TrainingNames, WhatOnlySomeHaveStays) {
  const std::vector<std::string> some = {"module.norm.weight", "lm_head.weight"};
  EXPECT_EQ(Plain(some), some);
  const std::vector<std::string> within = {"a.module.b", "my_orig_mod.c", "x.base_layers.y"};
  EXPECT_EQ(Plain(within), within);
}

TEST(TrainingNames, PartsBetweenGo) {
  EXPECT_EQ(WithoutTrainingPrefix("model.layers.0._orig_mod.mlp.up_proj.base_layer.weight", ""),
            "model.layers.0.mlp.up_proj.weight");
  EXPECT_EQ(WithoutTrainingPrefix("_fsdp_wrapped_module.a._checkpoint_wrapped_module.b", ""),
            "a.b");
}

TEST(TrainingNames, LoraMatrices) {
  EXPECT_TRUE(IsLoraTensor("base_model.model.a.q_proj.lora_A.weight"));
  EXPECT_TRUE(IsLoraTensor("a.q_proj.lora_B.default.weight"));
  EXPECT_FALSE(IsLoraTensor("model.lora_module.weight"));
}

}  // namespace
}  // namespace ingot::model
