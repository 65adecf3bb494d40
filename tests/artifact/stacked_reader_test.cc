#include "artifact/stacked_reader.h"

#include <functional>

#include "tests/artifact/artifact_fixture.h"

namespace ingot::artifact {
namespace {

const std::string kGolden = std::string(INGOT_SOURCE_DIR) + "/tests/golden/";

using Shared = std::shared_ptr<const ArtifactReader>;

Shared OpenAt(const std::string& path) {
  OpenOptions options;
  options.allow_delta = true;
  auto reader = ArtifactReader::Open(path, options);
  EXPECT_TRUE(reader.ok()) << reader.status().message();
  return reader.ok() ? Shared(*std::move(reader)) : nullptr;
}

class Stacked : public testing::Test {
 protected:
  // A delta over MakeSample(1) that changes its second tensor; `edit` has the last word.
  Shared Delta(const std::function<void(Sample&)>& edit = {}) {
    Sample sample = MakeSample(1);
    sample.plan.manifest.base_root = HexOf(base_->root());
    sample.plan.manifest.config["hidden_size"] = 65;
    sample.plan.assets = {{"tokenizer.json", "of the delta"}};
    sample.plan.tensors.erase(sample.plan.tensors.begin());
    sample.data.erase(sample.data.begin());
    if (edit) edit(sample);
    Pack(dir_ / "delta.ingot", sample);
    return OpenAt(dir_ / "delta.ingot");
  }
  Status Refused(const std::function<void(Sample&)>& edit) {
    return StackedReader::Open(base_, Delta(edit)).status();
  }
  void SetUp() override {
    Pack(dir_ / "base.ingot", MakeSample(1));
    base_ = OpenAt(dir_ / "base.ingot");
  }
  const TempDir dir_;
  Shared base_;
};

TEST_F(Stacked, PairsTensorsAndAssets) {
  const auto stack = StackedReader::Open(base_, Delta());
  ASSERT_TRUE(stack.ok()) << stack.status().message();
  ASSERT_EQ((*stack)->tensors().size(), 3u);
  EXPECT_EQ((*stack)->tensors()[0].record().name, "embed");
  EXPECT_EQ((*stack)->tensors()[0].delta, nullptr);
  EXPECT_EQ((*stack)->tensors()[1].delta->name, "layers.0.q");
  EXPECT_EQ((*stack)->config()["hidden_size"], 65);
  EXPECT_EQ(*(*stack)->ReadAsset("tokenizer.json"), "of the delta");
  EXPECT_EQ(*(*stack)->ReadAsset("empty.txt"), "");
  EXPECT_EQ((*stack)->ReadAsset("none").status().code(), StatusCode::kNotFound);
}

TEST_F(Stacked, ADeltaAloneIsNoModel) {
  Delta();
  const auto alone = ArtifactReader::Open(dir_ / "delta.ingot", {});
  EXPECT_EQ(alone.status().code(), StatusCode::kUnsupported);
  EXPECT_NE(
      alone.status().message().find("delta over the artifact of root " + HexOf(base_->root())),
      std::string::npos);
}

TEST_F(Stacked, WhatDoesNotBelongTogetherIsRefused) {
  EXPECT_EQ(StackedReader::Open(base_, base_).status().code(), StatusCode::kInvalidArgument);
  const Shared delta = Delta();
  EXPECT_NE(StackedReader::Open(delta, delta).status().message().find("a delta itself"),
            std::string::npos);
  Sample other = MakeSample(1);
  other.plan.manifest.provenance["seed"] = 8;
  Pack(dir_ / "other.ingot", other);
  const Status status = StackedReader::Open(OpenAt(dir_ / "other.ingot"), delta).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find(HexOf(base_->root())), std::string::npos) << status.message();
}

TEST_F(Stacked, TensorsThatDoNotFitTheBaseAreRefused) {
  const auto name = [](Sample& s) { s.plan.tensors[0].record.name = "more"; };
  EXPECT_NE(Refused(name).message().find("tensor more is not in the base"), std::string::npos);
  const auto shape = [](Sample& s) { s.plan.tensors[0].record.shape = {64, 65}; };
  EXPECT_NE(Refused(shape).message().find("is 64x65, the base's 64x64"), std::string::npos);
  const auto role = [](Sample& s) { s.plan.tensors[0].record.role = "head"; };
  EXPECT_EQ(Refused(role).code(), StatusCode::kCorruption);
  // What is no weight of the model's own may be new.
  const auto router = [](Sample& s) {
    s.plan.tensors[0].record.name = "more";
    s.plan.tensors[0].record.role = "router";
  };
  EXPECT_TRUE(Refused(router).ok()) << Refused(router).message();
}

TEST(Golden, ExitsAndDeltaV1Read) {
  const Shared exits = OpenAt(kGolden + "exits_v1.ingot");
  ASSERT_NE(exits, nullptr);
  EXPECT_EQ(exits->header().minor, 1);
  EXPECT_EQ(exits->manifest().tensors[4].role, "shared");
  ASSERT_EQ(exits->manifest().exits.size(), 1u);
  EXPECT_EQ(exits->manifest().exits[0].down, "exit.down");
  EXPECT_TRUE(ArtifactReader::Open(kGolden + "exits_v1.ingot", {}).ok());
  EXPECT_EQ(ArtifactReader::Open(kGolden + "delta_v1.ingot", {}).status().code(),
            StatusCode::kUnsupported);
  const auto stack = StackedReader::Open(OpenAt(kGolden + "transforms_v1.ingot"),
                                         OpenAt(kGolden + "delta_v1.ingot"));
  ASSERT_TRUE(stack.ok()) << stack.status().message();
  EXPECT_EQ((*stack)->tensors().size(), 14u);
  EXPECT_EQ((*stack)->exits().size(), 1u);
  EXPECT_TRUE((*stack)->delta().VerifyAll(nullptr)->empty());
}

}  // namespace
}  // namespace ingot::artifact
