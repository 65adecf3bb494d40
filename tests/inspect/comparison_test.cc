#include "inspect/comparison.h"

#include <gtest/gtest.h>

namespace ingot::inspect {
namespace {

TensorSummary Tensor(const std::string& name, int layer, const std::string& codec,
                     std::uint64_t bytes, const std::string& content) {
  TensorSummary tensor;
  tensor.name = name;
  tensor.shape = {8, 16};
  tensor.codec = codec;
  tensor.role = "linear";
  tensor.layer = layer;
  tensor.planes = {{"int", codec == "a" ? "int4 g16" : "int2 g16", 0, bytes, bytes}};
  tensor.size = {1, 128, bytes, bytes, 256};
  tensor.content = content;
  return tensor;
}

Summary Of(std::vector<TensorSummary> tensors) {
  Summary summary;
  summary.config = {{"model_type", "llama"}, {"hidden_size", 16}};
  summary.root_digest = "00";
  for (TensorSummary& tensor : tensors) {
    summary.by_role[tensor.role] += tensor.size;
    summary.total += tensor.size;
    summary.tensors.push_back(std::move(tensor));
  }
  return summary;
}

TEST(Comparison, SaysWhatIsTheSameWhatDiffersAndWhatOneHasAlone) {
  Summary a = Of({Tensor("same", 0, "a", 64, "x"), Tensor("values", 0, "a", 64, "x"),
                  Tensor("codec", 0, "a", 64, "x"), Tensor("shape", 0, "a", 64, "x"),
                  Tensor("mine", 1, "a", 64, "x")});
  Summary b = Of({Tensor("yours", 0, "a", 64, "x"), Tensor("codec", 0, "b", 32, "x"),
                  Tensor("same", 0, "a", 64, "x"), Tensor("values", 0, "a", 64, "y"),
                  Tensor("shape", 0, "a", 64, "x")});
  b.tensors[4].shape = {16, 8};
  b.config["hidden_size"] = 32;
  b.config["rope_theta"] = 1e4;
  const Comparison c = Compare(a, b);
  ASSERT_EQ(c.pairs.size(), 4u);
  EXPECT_EQ(c.same_bytes(), 1u);
  EXPECT_EQ(c.same_making(), 2u);
  EXPECT_FALSE(c.pairs[3].same_shape);
  ASSERT_EQ(c.only_a.size(), 1u);
  EXPECT_EQ(c.only_a[0]->name, "mine");
  ASSERT_EQ(c.only_b.size(), 1u);
  EXPECT_EQ(c.only_b[0]->name, "yours");
  ASSERT_EQ(c.config.size(), 2u);
  EXPECT_EQ(c.config[0].key, "hidden_size");
  EXPECT_TRUE(c.config[1].a.is_null());
  EXPECT_FALSE(c.same_model());

  const Json json = ComparisonJson(c, "a", "b", PairOrder::kSize);
  EXPECT_EQ(json["tensors"][0]["name"], "codec");  // whose size differs the most
  EXPECT_EQ(json["tensors"][0]["b"]["bits_per_weight"], 2.0);
  EXPECT_EQ(json["config"]["hidden_size"]["b"], 32);
  const std::string text = ComparisonText(c, "a", "b", false, PairOrder::kStream, 80);
  for (const char* said :
       {"hidden_size: 16 against 32", "shape: 8x16 against 16x8", "only in A mine",
        "only in B yours", "2 of 4 tensors in both are made alike, 1 of them are the same bytes"})
    EXPECT_NE(text.find(said), std::string::npos) << said << "\n" << text;
}

TEST(Comparison, OneModelIsOneModelAndLayersOfOneKindAreOneLine) {
  std::vector<TensorSummary> fine, coarse;
  for (int layer = 0; layer < 30; ++layer) {
    fine.push_back(Tensor("layers." + std::to_string(layer) + ".w", layer, "a", 64, "x"));
    coarse.push_back(Tensor("layers." + std::to_string(layer) + ".w", layer,
                            layer == 29 ? "a" : "b", layer == 29 ? 64 : 32, "y"));
  }
  const Summary a = Of(fine), b = Of(coarse);
  EXPECT_TRUE(Compare(a, a).same_model());
  const std::string text = ComparisonText(Compare(a, b), "a", "b", false, PairOrder::kStream, 80);
  EXPECT_NE(text.find("layers 0-28"), std::string::npos) << text;
  EXPECT_NE(text.find("layer 29"), std::string::npos) << text;
  EXPECT_NE(text.find("0.500x"), std::string::npos) << text;
}

}  // namespace
}  // namespace ingot::inspect
