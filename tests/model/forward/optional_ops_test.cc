// The ops that an op set may have beside OpSet: each is used where it is there, and gives what the
// ops it stands for give.
#include "model/forward/optional_ops.h"

#include <gtest/gtest.h>

#include <barrier>
#include <thread>

#include "tests/model/column_shard.h"
#include "tests/model/model_fixtures.h"
#include "tests/model/naive_model.h"

namespace ingot {
namespace {

double LargestDifference(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

class FusedOps : public NaiveOps {
 public:
  using NaiveOps::NaiveOps;

  // Token by token, so that no list of an expert's rows is made.
  Tensor RoutedExperts(const model::MlpSpec& mlp, const Tensor& x, const Tensor& logits) {
    ++experts;
    Matrix sum(x.rows, x.cols);
    for (std::uint32_t t = 0; t < x.rows; ++t) {
      const std::uint32_t only[] = {t};
      const Matrix token = Select(x, only);
      const Routes routes =
          Route(Select(logits, only), mlp.experts_per_token, mlp.normalize_expert_weights);
      for (std::size_t e = 0; e < mlp.experts.size(); ++e)
        for (const Routes::Row& row : routes.by_expert[e]) {
          const model::MlpSpec& expert = mlp.experts[e];
          const Matrix gated = GatedLinear(expert.gate, expert.up, expert.activation, token);
          const Matrix y = Linear({&expert.down}, gated).front();
          for (std::size_t c = 0; c < y.cols; ++c) sum[t][c] += row.weight * y[0][c];
        }
    }
    return sum;
  }
  std::pair<Tensor, Tensor> AddNorm(Tensor x, const Tensor& branch, double scale,
                                    const model::NormSpec& norm) {
    ++add_norms;
    x = Add(std::move(x), branch, scale);
    Matrix normed = Norm(norm, x);
    return {std::move(x), std::move(normed)};
  }
  std::pair<Tensor, Tensor> NormRouter(const model::NormSpec& norm, const Tensor& x,
                                       const model::LinearRef& router) {
    ++routers;
    Matrix normed = Norm(norm, x);
    Matrix logits = Linear({&router}, normed).front();
    return {std::move(normed), std::move(logits)};
  }
  Tensor GatedLinear(const model::LinearRef& gate, const model::LinearRef& up,
                     model::Activation activation, const Tensor& x) {
    ++gates;
    return Gate(activation, Linear({&gate}, x).front(), Linear({&up}, x).front());
  }

  std::size_t experts = 0, add_norms = 0, routers = 0, gates = 0;
};
static_assert(model::RunsExperts<FusedOps> && model::AddsAndNorms<FusedOps>);
static_assert(model::NormsAndRoutes<FusedOps> && model::GatesProducts<FusedOps>);
static_assert(!model::RunsExperts<NaiveOps> && !model::AddsAndNorms<NaiveOps>);
static_assert(!model::NormsAndRoutes<NaiveOps> && !model::GatesProducts<NaiveOps>);

class OptionalOpsTest : public testing::TestWithParam<std::string> {};

TEST_P(OptionalOpsTest, GiveTheSame) {
  const auto model = NaiveModel::Open(FixturePath(GetParam()));
  ASSERT_NE(model, nullptr);
  const std::vector<std::int32_t> ids = FixtureIds(GetParam());
  FusedOps ops(model->architecture(), model->weights());
  EXPECT_LE(LargestDifference(model->Run(ops, ids), model->Logits(ids)), 1e-9);
  std::size_t mixtures = 0, gated = 0, added = 0;
  for (const model::LayerSpec& layer : model->architecture().layers) {
    const bool mixture = layer.mlp.kind == model::MlpKind::kMoe;
    mixtures += mixture;
    gated += layer.mlp.kind == model::MlpKind::kGated;
    if (layer.residual == model::ResidualKind::kSequential && !mixture)
      added += layer.pre_mlp_norm.present() && layer.mlp.kind != model::MlpKind::kNone;
    if (layer.residual == model::ResidualKind::kPostNorm)
      added += layer.post_mixer_norm.present() + layer.post_mlp_norm.present();
  }
  EXPECT_EQ(ops.experts, mixtures);
  EXPECT_LE(ops.routers, mixtures);
  EXPECT_EQ(ops.routers > 0, mixtures > 0);
  EXPECT_EQ(ops.add_norms, added);
  EXPECT_GE(ops.gates, gated);
}

INSTANTIATE_TEST_SUITE_P(Models, OptionalOpsTest,
                         testing::Values("llama", "gemma2", "olmo2", "mixtral", "qwen2-moe", "gptj",
                                         "opt-350m", "bert", "jamba", "retnet"),
                         FixtureTestName());

// Two devices that hold half of the heads and half of each MLP's columns.
struct Meeting {
  std::barrier<> barrier{2};
  Matrix addends[2];
  std::size_t sums = 0;
};

class ShardOps : public NaiveOps {
 public:
  ShardOps(const model::Architecture& architecture, const NaiveWeights& weights, Meeting& meeting,
           std::size_t shard)
      : NaiveOps(architecture, weights), meeting_(meeting), shard_(shard) {}

  Tensor SumAddends(Tensor x) {
    meeting_.addends[shard_] = std::move(x);
    meeting_.barrier.arrive_and_wait();
    Matrix sum = Add(meeting_.addends[0], meeting_.addends[1], 1.0);
    if (shard_ == 0) ++meeting_.sums;
    meeting_.barrier.arrive_and_wait();
    return sum;
  }

 private:
  Meeting& meeting_;
  std::size_t shard_;
};

TEST(ColumnRanges, TwoDevicesGiveWhatOneGives) {
  for (const char* name : {"llama", "qwen2", "llama-bias-tied", "gemma2"}) {
    const auto whole = NaiveModel::Open(FixturePath(name));
    ASSERT_NE(whole, nullptr);
    const std::vector<std::int32_t> ids = FixtureIds(name);
    Meeting meeting;
    std::vector<double> logits[2];
    const auto device = [&](std::size_t shard) {
      const model::Architecture mine = ColumnShard(whole->architecture(), shard, 2);
      const NaiveWeights weights(whole->checkpoint());
      ShardOps ops(mine, weights, meeting, shard);
      const std::vector<model::Row> rows = model::WholeSequences(1, ids.size());
      std::vector<std::uint32_t> all(ids.size());
      std::iota(all.begin(), all.end(), 0u);
      logits[shard] = model::Forward(mine, ops, {ids, rows}, all).values;
    };
    std::thread other([&] { device(1); });
    device(0);
    other.join();
    const std::vector<double> want = whole->Logits(ids);
    EXPECT_LE(LargestDifference(logits[0], want), 1e-9) << name;
    EXPECT_EQ(logits[0], logits[1]) << name;
    EXPECT_EQ(meeting.sums, 2 * whole->architecture().layers.size()) << name;
  }
}

}  // namespace
}  // namespace ingot
