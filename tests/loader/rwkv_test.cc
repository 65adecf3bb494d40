// RWKV against what its own project and transformers compute: the tiny trained models of rwkv.cpp
// with the logits that come with them, bare .pth files of every version, states that go back.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <span>

#include "base/file.h"
#include "base/random.h"
#include "loader/rwkv_kernels.h"
#include "loader/session.h"

namespace ingot::loader {
namespace {

using model::TokenId;

constexpr char kPrompt[] = "\"in";  // of rwkv.cpp's tests; these models' tokens are bytes

std::vector<float> Floats(const std::string& path) {
  const std::string bytes = *ReadFileToString(path);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

double LargestDifference(std::span<const float> got, std::span<const float> want) {
  double largest = got.size() == want.size() ? 0 : HUGE_VAL;
  for (std::size_t i = 0; i < want.size() && i < got.size(); ++i)
    largest = std::isnan(got[i])
                  ? HUGE_VAL
                  : std::max(largest, std::abs(static_cast<double>(got[i]) - want[i]));
  return largest;
}

// The model's last logits after the prompt, prefilled at once or token by token.
void ExpectPublishedLogits(const std::string& path, const std::string& logits) {
  const auto model = Model::Open(path);
  ASSERT_TRUE(model.ok()) << model.status().message();
  std::vector<TokenId> ids;
  for (const char* c = kPrompt; *c != '\0'; ++c) ids.push_back(static_cast<unsigned char>(*c));
  const std::vector<float> want = Floats(logits);
  Session whole(*model), steps(*model);
  const auto got = whole.Prefill(ids);
  ASSERT_TRUE(got.ok()) << got.status().message();
  EXPECT_LE(LargestDifference(*got, want), 1e-3);
  for (const TokenId id : ids) ASSERT_TRUE(steps.Decode(id).ok());
  steps.Truncate(ids.size() - 1);
  const auto step = steps.Decode(ids.back());
  ASSERT_TRUE(step.ok());
  EXPECT_LE(LargestDifference(*step, want), 1e-3);
}

class PublishedRwkvTest : public testing::TestWithParam<const char*> {};

TEST_P(PublishedRwkvTest, LogitsAreThoseOfItsProject) {
  const std::string shared = std::string(INGOT_SHARED_DIR) + "/models/rwkv-tiny-raw/";
  const std::string name = GetParam();
  if (!std::filesystem::exists(shared)) GTEST_SKIP() << shared << " is not there";
  ExpectPublishedLogits(shared + "tiny-rwkv-" + name + "-FP32.bin",
                        shared + "expected-logits-" + name + ".bin");
}

INSTANTIATE_TEST_SUITE_P(Versions, PublishedRwkvTest,
                         testing::Values("4v0-660K", "5v1-730K", "5v2-730K", "7v0-834K"),
                         [](const auto& info) { return std::string(info.param).substr(0, 3); });

TEST(RwkvTest, TransformersLayoutGivesTheSameLogits) {
  const std::string shared = std::string(INGOT_SHARED_DIR) + "/models/";
  if (!std::filesystem::exists(shared)) GTEST_SKIP() << shared << " is not there";
  ExpectPublishedLogits(shared + "rwkv4-tiny-660K",
                        shared + "rwkv-tiny-raw/expected-logits-4v0-660K.bin");
}

}  // namespace
}  // namespace ingot::loader
