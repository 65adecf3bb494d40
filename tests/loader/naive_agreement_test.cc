// The processor's op set, computing exactly, against the naive float64 one.
#include <gtest/gtest.h>

#include "loader/runner.h"
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

// Two sequences at paces of their own, rows of both in a step, each leaving where its plan says.
class LeavingAgreementTest : public NaiveAgreementTest {
 protected:
  void Check(LeftRows left_rows);
};

void LeavingAgreementTest::Check(LeftRows left_rows) {
  for (const model::RopeSpec& rope : model_->architecture().ropes)
    if (rope.switch_length > 0) ids_.resize(std::min<std::size_t>(ids_.size(), rope.switch_length));
  const std::size_t layers = model_->architecture().layers.size();
  const std::size_t vocab = model_->architecture().vocab_size;
  const std::vector<model::TokenId> ids[] = {
      ids_, {ids_.rbegin(), ids_.rbegin() + static_cast<std::ptrdiff_t>(ids_.size() / 2)}};
  std::vector<std::size_t> exits[2];
  std::vector<float> want[2];
  for (std::size_t s = 0; s < 2; ++s) {
    for (std::size_t t = 0; t < ids[s].size(); ++t)
      exits[s].push_back((t * 5 + t / 4 + s) % (layers + 1));
    want[s] = Floats(left_rows == LeftRows::kRecompute
                         ? naive_->LogitsOfWaiting(ids[s], exits[s])
                         : naive_->LogitsOfLeaving(ids[s], exits[s], left_rows == LeftRows::kZero));
  }

  Runner runner(model_);
  runner.ops().left_rows = left_rows;
  const std::unique_ptr<Sequence> sequences[] = {runner.Open(), runner.Open()};
  for (std::size_t step = 0; sequences[0]->position() < ids[0].size(); ++step) {
    std::vector<model::TokenId> tokens;
    std::vector<model::Row> rows;
    for (std::size_t s = 0; s < 2; ++s) {
      const std::size_t begin = sequences[s]->position(), left = ids[s].size() - begin;
      const std::size_t count =
          model_->architecture().masked ? left : std::min(left, (step + s) % 3 * 4 + 1);
      for (std::size_t t = begin; t < begin + count; ++t) {
        tokens.push_back(ids[s][t]);
        rows.push_back({sequences[s]->number(), static_cast<std::int32_t>(t)});
      }
    }
    const auto place = [&](std::uint32_t row) {
      const std::size_t s = rows[row].sequence == sequences[0]->number() ? 0 : 1;
      return std::pair(s, static_cast<std::size_t>(rows[row].position));
    };
    runner.ops().after_layer = [&](std::size_t layer, Tensor&,
                                   std::span<const std::uint32_t> here) -> model::GoingRows {
      std::vector<std::uint32_t> going;
      for (std::uint32_t i = 0; i < here.size(); ++i) {
        const auto [s, t] = place(here[i]);
        if (exits[s][t] > layer) going.push_back(i);
      }
      return going;
    };
    std::vector<std::uint32_t> wanted(rows.size());
    std::iota(wanted.begin(), wanted.end(), 0u);
    const auto got = runner.Step({tokens, rows}, wanted);
    ASSERT_TRUE(got.ok()) << got.status().message();
    for (std::uint32_t r = 0; r < rows.size(); ++r) {
      const auto [s, t] = place(r);
      EXPECT_LE(RelativeError({got->row(r), vocab}, std::span(want[s]).subspan(t * vocab, vocab)),
                1e-4)
          << "sequence " << s << ", position " << t;
    }
  }
}

TEST_P(LeavingAgreementTest, KeysOfTheStateThatARowLeftWith) { Check(LeftRows::kPropagate); }
TEST_P(LeavingAgreementTest, KeysOfZero) { Check(LeftRows::kZero); }
TEST_P(LeavingAgreementTest, KeysThatWait) {
  if (model_->architecture().masked) GTEST_SKIP() << "an encoder's rows wait for none after them";
  Check(LeftRows::kRecompute);
}

INSTANTIATE_TEST_SUITE_P(Models, LeavingAgreementTest, testing::ValuesIn(FixtureNames()),
                         FixtureTestName());
INSTANTIATE_TEST_SUITE_P(Models, NaiveAgreementTest, testing::ValuesIn(FixtureNames()),
                         FixtureTestName());

}  // namespace
}  // namespace ingot::loader
