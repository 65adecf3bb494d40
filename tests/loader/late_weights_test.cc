// Weights that are verified at their first use: the same bits, damage found before anything is
// computed from it, what no step needs is never read.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "artifact/reader.h"
#include "base/file.h"
#include "files/atomic_file.h"
#include "loader/runner.h"
#include "loader/session.h"
#include "tests/loader/packed_fixture.h"
#include "tests/model/model_fixtures.h"

namespace ingot::loader {
namespace {

using model::TokenId;

Result<std::shared_ptr<const Model>> OpenFile(const std::string& path, Verify verify,
                                              Compute compute = Compute::kFast) {
  ModelOptions options;
  options.verify = verify;
  options.compute = compute;
  return Model::Open(path, options);
}

Result<std::vector<float>> LogitsOf(const std::shared_ptr<const Model>& model,
                                    std::vector<TokenId> ids) {
  Session session(model);
  INGOT_ASSIGN(const std::span<const float> logits, session.Prefill(ids));
  return std::vector<float>(logits.begin(), logits.end());
}

// Flips a bit in the middle of a tensor's first stream.
void Damage(const std::string& path, const std::string& tensor) {
  const auto reader = artifact::ArtifactReader::Open(path, {});
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  std::uint64_t at = 0;
  for (const artifact::TensorRecord& record : (*reader)->manifest().tensors) {
    if (record.name != tensor) continue;
    const artifact::ChunkEntry& chunk =
        (*reader)->chunks()[record.planes[0].streams[0].first_chunk];
    at = chunk.offset + chunk.stored_bytes / 2;
  }
  ASSERT_GT(at, 0u) << tensor;
  std::string bytes = *ReadFileToString(path);
  bytes[at] = static_cast<char>(bytes[at] ^ 4);
  // Another file: a mapping of the old one stays as it was.
  std::filesystem::remove(path);
  ASSERT_TRUE(files::WriteFileAtomic(path, AsBytes(bytes)).ok());
}

class LateWeightsTest : public testing::Test {
 protected:
  void Pack(const std::string& fixture, const std::string& codec) {
    path_ = PackedFile(FixturePath(fixture), codec);
    ASSERT_FALSE(path_.empty());
  }
  void TearDown() override {
    if (!path_.empty()) std::filesystem::remove(path_);
  }
  std::string path_;
};

TEST_F(LateWeightsTest, EqualBits) {
  const std::pair<const char*, const char*> cases[] = {
      {"llama", "int4_rtn"},   {"llama", "nested_v1"},        {"mixtral", "int8_rtn"},
      {"mamba", "entropy_v1"}, {"rwkv7-hf", "fp8_hybrid_v1"}, {"gpt2", "lossless_v1"}};
  for (const auto& [fixture, codec] : cases)
    for (const Compute compute : {Compute::kExact, Compute::kFast}) {
      if (!std::filesystem::exists(FixturePath(fixture))) continue;
      Pack(fixture, codec);
      const auto eager = OpenFile(path_, Verify::kEager, compute);
      const auto lazy = OpenFile(path_, Verify::kLazy, compute);
      ASSERT_TRUE(eager.ok() && lazy.ok()) << lazy.status().message();
      EXPECT_LT((*lazy)->weights().resident_bytes(), (*eager)->weights().resident_bytes());
      const auto want = LogitsOf(*eager, {1, 5, 9, 3}), got = LogitsOf(*lazy, {1, 5, 9, 3});
      ASSERT_TRUE(want.ok() && got.ok()) << got.status().message();
      EXPECT_EQ(*got, *want) << fixture << ", " << codec;
      ASSERT_TRUE((*lazy)->weights().ReadAll().ok());
      EXPECT_EQ((*lazy)->weights().resident_bytes(), (*eager)->weights().resident_bytes());
    }
}

TEST_F(LateWeightsTest, DamageOfTheLastLayerIsFoundBeforeAnyLogits) {
  Pack("llama", "int4_rtn");
  const auto whole = OpenFile(path_, Verify::kEager);
  ASSERT_TRUE(whole.ok());
  const std::size_t last = (*whole)->architecture().layers.size() - 1;
  const std::string name = "model.layers." + std::to_string(last) + ".mlp.down_proj.weight";
  Damage(path_, name);
  const Status eager = OpenFile(path_, Verify::kEager).status();
  EXPECT_EQ(eager.code(), StatusCode::kCorruption);
  EXPECT_NE(eager.message().find("tensor '" + name + "': plane 0 (int): stream 'codes': chunk "),
            std::string::npos)
      << eager.message();
  const auto lazy = OpenFile(path_, Verify::kLazy);
  ASSERT_TRUE(lazy.ok()) << lazy.status().message();
  for (int i = 0; i < 2; ++i) {
    Runner runner(*lazy);
    const auto sequence = runner.Open();
    const std::uint32_t wanted = 0;
    const TokenId id = 5;
    const model::Row row{sequence->number(), 0};
    const auto step = runner.Step({{&id, 1}, {&row, 1}}, {&wanted, 1});
    EXPECT_EQ(step.status().code(), StatusCode::kCorruption);
    EXPECT_EQ(step.status().message(), eager.message());
    EXPECT_EQ(sequence->position(), 0u);
    // What failed stays failed: nothing is computed after it.
    EXPECT_EQ(runner.Step({{&id, 1}, {&row, 1}}, {&wanted, 1}).status().message(), eager.message());
  }
  EXPECT_EQ((*lazy)->weights().ReadAll().code(), StatusCode::kCorruption);
}

TEST_F(LateWeightsTest, DamageOfWhatTheOpenReadsIsFoundThere) {
  Pack("llama", "int4_rtn");
  Damage(path_, "model.norm.weight");
  for (const Verify verify : {Verify::kEager, Verify::kLazy}) {
    const Status status = OpenFile(path_, verify).status();
    EXPECT_EQ(status.code(), StatusCode::kCorruption);
    EXPECT_EQ(status.message().find(path_ + ": tensor 'model.norm.weight'"), 0u)
        << status.message();
  }
}

TEST_F(LateWeightsTest, ExpertsThatNoTokenVisitsAreNotRead) {
  Pack("mixtral", "int4_rtn");
  const auto whole = OpenFile(path_, Verify::kEager);
  ASSERT_TRUE(whole.ok());
  const auto& experts = (*whole)->architecture().layers[0].mlp.experts;
  ASSERT_GT(experts.size(), 2u);
  const auto want = LogitsOf(*whole, {7});
  ASSERT_TRUE(want.ok());
  std::size_t unread = 0, refused = 0;
  for (const auto& expert : experts) {
    Pack("mixtral", "int4_rtn");
    Damage(path_, expert.down.weight);
    const auto lazy = OpenFile(path_, Verify::kLazy);
    ASSERT_TRUE(lazy.ok()) << lazy.status().message();
    const auto got = LogitsOf(*lazy, {7});
    const bool here = (*lazy)->weights().Find(expert.down.weight)->here();
    EXPECT_FALSE(here);
    if (got.ok())
      EXPECT_EQ(*got, *want);
    else
      EXPECT_NE(got.status().message().find(expert.down.weight), std::string::npos);
    ++(got.ok() ? unread : refused);
  }
  EXPECT_EQ(refused, (*whole)->architecture().layers[0].mlp.experts_per_token);
  EXPECT_EQ(unread, experts.size() - refused);
}

TEST_F(LateWeightsTest, SessionsMayMeetTheSameWeightsAtOnce) {
  Pack("llama", "nested_v1");
  const auto want = LogitsOf(*OpenFile(path_, Verify::kEager), {1, 5, 9, 3});
  ASSERT_TRUE(want.ok());
  for (int round = 0; round < 8; ++round) {
    const auto lazy = OpenFile(path_, Verify::kLazy);
    ASSERT_TRUE(lazy.ok());
    std::vector<std::vector<float>> got(4);
    std::vector<std::thread> threads;
    for (auto& logits : got)
      threads.emplace_back([&] {
        if (auto result = LogitsOf(*lazy, {1, 5, 9, 3}); result.ok()) logits = *std::move(result);
      });
    for (std::thread& thread : threads) thread.join();
    for (const auto& logits : got) EXPECT_EQ(logits, *want);
  }
}

}  // namespace
}  // namespace ingot::loader
