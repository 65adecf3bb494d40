#include "model/source/hf/packed_experts.h"

#include <gtest/gtest.h>

namespace ingot::model {
namespace {

SafetensorsEntry Packed(const std::string& name, std::vector<std::uint64_t> shape) {
  std::uint64_t bytes = 2;
  for (const std::uint64_t n : shape) bytes *= n;
  return {name, "BF16", std::move(shape), 1000, bytes};
}

TEST(PackedExperts, GateAndUpComeApart) {
  const auto parts =
      SplitPackedExperts(Packed("model.layers.3.mlp.experts.gate_up_proj", {2, 6, 4}), false);
  ASSERT_EQ(parts.size(), 4u);
  EXPECT_EQ(parts[0].name, "model.layers.3.mlp.experts.0.gate_proj.weight");
  EXPECT_EQ(parts[3].name, "model.layers.3.mlp.experts.1.up_proj.weight");
  EXPECT_EQ(parts[3].shape, (std::vector<std::uint64_t>{3, 4}));
  EXPECT_EQ(parts[3].offset, 1000u + 3 * 24);
  EXPECT_EQ(parts[3].bytes, 24u);
  EXPECT_EQ(parts[3].dtype, "BF16");
}

TEST(PackedExperts, MixtralHasItsOwnNames) {
  const auto parts =
      SplitPackedExperts(Packed("model.layers.0.mlp.experts.down_proj", {3, 4, 5}), true);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[2].name, "model.layers.0.block_sparse_moe.experts.2.w2.weight");
  EXPECT_EQ(parts[2].offset, 1000u + 2 * 40);
  EXPECT_EQ(SplitPackedExperts(Packed("m.mlp.experts.gate_up_proj", {1, 2, 2}), true)[1].name,
            "m.block_sparse_moe.experts.0.w3.weight");
  EXPECT_EQ(NameBesidePackedExperts("m.mlp.gate.weight", true), "m.block_sparse_moe.gate.weight");
  EXPECT_EQ(NameBesidePackedExperts("m.mlp.gate.weight", false), "m.mlp.gate.weight");
  EXPECT_EQ(NameBesidePackedExperts("m.norm.weight", true), "m.norm.weight");
}

TEST(PackedExperts, WhatIsNoneStaysWhole) {
  EXPECT_TRUE(SplitPackedExperts(Packed("m.mlp.experts.gate_up_proj", {2, 5, 4}), false).empty());
  EXPECT_TRUE(SplitPackedExperts(Packed("m.mlp.experts.gate_up_proj", {2, 6}), false).empty());
  EXPECT_TRUE(SplitPackedExperts(Packed("m.mlp.experts.down_proj", {0, 6, 4}), false).empty());
  EXPECT_TRUE(SplitPackedExperts(Packed("m.mlp.experts.down_proj", {2000, 6, 4}), false).empty());
  EXPECT_TRUE(SplitPackedExperts(Packed("m.mlp.down_proj.weight", {2, 6, 4}), false).empty());
}

}  // namespace
}  // namespace ingot::model
