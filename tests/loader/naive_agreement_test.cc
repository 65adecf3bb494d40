// The processor's op set, computing exactly, against the naive float64 one.
#include <gtest/gtest.h>

#include "loader/session.h"
#include "tests/model/model_fixtures.h"
#include "tests/model/naive_model.h"

namespace ingot::loader {
namespace {

class NaiveAgreementTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ModelOptions options;
    options.compute = Compute::kExact;
    auto model = Model::Open(FixturePath(GetParam()), options);
    ASSERT_TRUE(model.ok()) << model.status().message();
    model_ = *model;
    naive_ = NaiveModel::Open(FixturePath(GetParam()));
    ASSERT_NE(naive_, nullptr);
    ids_ = FixtureIds(GetParam());
  }
  std::shared_ptr<const Model> model_;
  std::unique_ptr<NaiveModel> naive_;
  std::vector<model::TokenId> ids_;
};

std::vector<float> Floats(std::span<const double> values) { return {values.begin(), values.end()}; }

TEST_P(NaiveAgreementTest, LogitsOfEveryToken) {
  Session session(model_);
  const auto hidden = session.Hidden(ids_, 0);
  ASSERT_TRUE(hidden.ok()) << hidden.status().message();
  const Tensor logits = session.Logits(*hidden, 0, ids_.size());
  EXPECT_LE(RelativeError({logits.data(), logits.size()}, Floats(naive_->Logits(ids_))), 1e-4);
}

// A prompt that leaves after the first layer, then tokens that go on: they see keys, values and
// states of every layer.
TEST_P(NaiveAgreementTest, WhatComesAfterAPromptThatLeft) {
  // Frequencies that a sequence's length changes would differ from block to block.
  for (const model::RopeSpec& rope : model_->architecture().ropes)
    if (rope.switch_length > 0) ids_.resize(std::min<std::size_t>(ids_.size(), rope.switch_length));
  const std::size_t vocab = model_->architecture().vocab_size;
  const std::size_t prompt = model_->architecture().masked ? ids_.size() : ids_.size() / 2;
  std::vector<std::size_t> exits(ids_.size(), model_->architecture().layers.size());
  std::fill_n(exits.begin(), prompt, 0);
  const std::vector<float> want = Floats(naive_->LogitsOfLeaving(ids_, exits));
  const auto row = [&](std::size_t t) { return std::span(want).subspan(t * vocab, vocab); };

  Session session(model_);
  session.WatchLayers([](std::size_t, Tensor&) { return false; });
  const auto left = session.Prefill(std::span(ids_).first(prompt));
  ASSERT_TRUE(left.ok()) << left.status().message();
  EXPECT_LE(RelativeError(*left, row(prompt - 1)), 1e-4);
  session.WatchLayers(nullptr);
  for (std::size_t t = prompt; t < ids_.size(); ++t) {
    const auto logits = session.Decode(ids_[t]);
    ASSERT_TRUE(logits.ok()) << logits.status().message();
    EXPECT_LE(RelativeError(*logits, row(t)), 1e-4) << t;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, NaiveAgreementTest, testing::ValuesIn(FixtureNames()),
                         FixtureTestName());

}  // namespace
}  // namespace ingot::loader
