// Rows that leave a batch at layer borders, against the rule over whole histories
// (NaiveModel::LogitsOfLeaving).
#include "model/forward/rows_that_leave.h"

#include <gtest/gtest.h>

#include "tests/model/model_fixtures.h"
#include "tests/model/naive_model.h"

namespace ingot {
namespace {

class LeavingOps : public NaiveOps {
 public:
  LeavingOps(const model::Architecture& architecture, const NaiveWeights& weights,
             std::vector<std::size_t> exits)
      : NaiveOps(architecture, weights), exits_(std::move(exits)) {}

  model::GoingRows AfterLayer(std::size_t layer, Tensor& x, std::span<const std::uint32_t> rows) {
    EXPECT_EQ(x.rows, rows.size());
    asked.push_back(rows.size());
    std::vector<std::uint32_t> going;
    for (std::uint32_t i = 0; i < rows.size(); ++i)
      if (exits_[rows[i]] > layer) going.push_back(i);
    if (going.size() == rows.size()) return std::nullopt;
    return going;
  }
  Tensor PutRows(Tensor to, const Tensor& x, std::span<const std::uint32_t> rows) {
    NaiveOps::PutRows(to, x, rows);
    return to;
  }

  std::vector<std::size_t> asked;  // rows, each time

 private:
  std::vector<std::size_t> exits_;
};
static_assert(model::WatchesLayers<LeavingOps> && !model::WatchesLayers<NaiveOps>);

class RowsThatLeaveTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    model_ = NaiveModel::Open(FixturePath(GetParam()));
    ASSERT_NE(model_, nullptr);
    ids_ = FixtureIds(GetParam());
    layers_ = model_->architecture().layers.size();
  }
  void ExpectTheRule(const std::vector<std::size_t>& exits) {
    LeavingOps ops(model_->architecture(), model_->weights(), exits);
    const std::vector<double> got = model_->Run(ops, ids_);
    const std::vector<double> want = model_->LogitsOfLeaving(ids_, exits);
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-9) << i;
  }
  std::unique_ptr<NaiveModel> model_;
  std::vector<std::int32_t> ids_;
  std::size_t layers_ = 0;
};

TEST_P(RowsThatLeaveTest, SomeAtEveryLayer) {
  std::vector<std::size_t> exits;
  for (std::size_t t = 0; t < ids_.size(); ++t) exits.push_back((t * 7 + t / 3) % (layers_ + 1));
  ExpectTheRule(exits);
}

TEST_P(RowsThatLeaveTest, AllAtOnceAndNobodyIsAskedAgain) {
  const std::vector<std::size_t> exits(ids_.size(), 0);
  ExpectTheRule(exits);
  LeavingOps ops(model_->architecture(), model_->weights(), exits);
  model_->Run(ops, ids_);
  EXPECT_EQ(ops.asked, std::vector<std::size_t>{ids_.size()});
}

TEST_P(RowsThatLeaveTest, NoneIsTheForwardItself) {
  LeavingOps ops(model_->architecture(), model_->weights(),
                 std::vector<std::size_t>(ids_.size(), layers_));
  EXPECT_EQ(model_->Run(ops, ids_), model_->Logits(ids_));
  EXPECT_EQ(ops.asked, std::vector<std::size_t>(layers_, ids_.size()));
}

INSTANTIATE_TEST_SUITE_P(Models, RowsThatLeaveTest, testing::ValuesIn(FixtureNames()),
                         FixtureTestName());

TEST(ExitRouter, IsDownOfSiluOfUpOfTheNorm) {
  const auto model = NaiveModel::Open(FixturePath("llama"));
  ASSERT_NE(model, nullptr);
  const model::Architecture& a = model->architecture();
  model::ExitSpec exit;
  exit.norm = a.final_norm;
  exit.up = a.layers[0].mlp.up;
  exit.down = a.layers[0].mlp.down;
  exit.down.rows = 1;
  Matrix x(2, a.hidden_size);
  for (std::size_t i = 0; i < x.values.size(); ++i)
    x.values[i] = std::sin(0.7 * static_cast<double>(i));
  NaiveOps ops(a, model->weights());
  const Matrix normed = ops.Norm(exit.norm, x);
  const Matrix scores = model::RunExitRouter(ops, exit, x);
  ASSERT_EQ(scores.rows, 2u);
  ASSERT_EQ(scores.cols, 1u);
  for (std::size_t t = 0; t < 2; ++t) {
    double want = 0;
    for (std::size_t i = 0; i < exit.up.rows; ++i) {
      double inner = 0;
      for (std::size_t c = 0; c < x.cols; ++c)
        inner += model->weights().Of(exit.up.weight)[i][c] * normed[t][c];
      want += model->weights().Of(exit.down.weight)[0][i] * inner / (1 + std::exp(-inner));
    }
    EXPECT_NEAR(scores[t][0], want, 1e-12);
  }
}

}  // namespace
}  // namespace ingot
