// Descriptions against the tensors that there are: every part of every family, one short of it.
#include "model/architecture/check_architecture.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "tests/model/column_shard.h"
#include "tests/model/model_fixtures.h"

namespace ingot::model {
namespace {

struct Described {
  Architecture architecture;
  std::map<std::string, MatrixShape, std::less<>> shapes;

  Status Check() const {
    return CheckArchitecture(architecture, [&](std::string_view name) {
      const auto it = shapes.find(name);
      return it == shapes.end() ? std::nullopt : std::optional(it->second);
    });
  }
};

Described Describe(const std::string& fixture) {
  Described out;
  const auto checkpoint = Checkpoint::Open(FixturePath(fixture));
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  auto built = BuildArchitecture((*checkpoint)->config(), [&](std::string_view name) {
    return (*checkpoint)->Find(name) != nullptr;
  });
  EXPECT_TRUE(built.ok()) << built.status().message();
  out.architecture = *std::move(built);
  for (const TensorUse& use : TensorUses(out.architecture)) {
    const TensorInfo* tensor = (*checkpoint)->Find(use.name);
    EXPECT_NE(tensor, nullptr) << use.name;
    const MatrixShape shape{tensor->rows(), tensor->cols()};
    out.shapes[use.name] = use.transposed ? MatrixShape{shape.cols, shape.rows} : shape;
  }
  return out;
}

class CheckArchitectureTest : public testing::TestWithParam<std::string> {};

TEST_P(CheckArchitectureTest, EveryTensorMustBeThereAndLargeEnough) {
  Described model = Describe(GetParam());
  ASSERT_TRUE(model.Check().ok()) << model.Check().message();
  const Architecture& a = model.architecture;
  for (auto& [name, shape] : model.shapes) {
    const MatrixShape whole = shape;
    // Tables that may be longer or shorter than the description says.
    const bool any_rows = name == a.position_embedding || name == a.segment_embedding;
    for (const MatrixShape& bent :
         {MatrixShape{whole.rows - 1, whole.cols}, MatrixShape{whole.rows, whole.cols - 1}}) {
      if (any_rows && bent.rows < whole.rows) continue;
      shape = bent;
      const Status status = model.Check();
      EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << name << " " << status.message();
      EXPECT_NE(status.message().find(name), std::string::npos) << status.message();
    }
    shape = whole;
  }
  for (const auto& [name, shape] : std::map(model.shapes)) {
    model.shapes.erase(name);
    const Status status = model.Check();
    EXPECT_EQ(status.code(), StatusCode::kNotFound) << name;
    EXPECT_NE(status.message().find("tensor '" + name + "' is not in the model"), std::string::npos)
        << status.message();
    model.shapes[name] = shape;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, CheckArchitectureTest, testing::ValuesIn(FixtureNames()),
                         FixtureTestName());

// A description bent in one number, and the line that says so.
struct Bend {
  const char* fixture;
  void (*bend)(Architecture&);
  const char* message;
};

const Bend kBends[] = {
    {"llama", [](Architecture& a) { a.hidden_size = 0; },
     "architecture: hidden size 0 and vocabulary 96 must be positive"},
    {"llama", [](Architecture& a) { a.ropes[0].inv_freq.pop_back(); },
     "architecture: rotary embedding of 8 dimensions has 3 frequencies"},
    {"llama", [](Architecture& a) { a.layers[1].attention.heads = 0; },
     "layer 1: architecture: 0 heads over 2 kv heads of 8 dimensions"},
    {"llama",
     [](Architecture& a) {
       a.ropes[0].dims = 34;
       a.ropes[0].inv_freq.resize(17);
     },
     "layer 0: architecture: rotary embedding of 34 dimensions in heads of 8"},
    {"llama", [](Architecture& a) { a.layers[1].attention.q.weight.clear(); },
     "layer 1: tensor '' is not in the model"},
    {"llama", [](Architecture& a) { a.layers[0].mlp.gate = {}; },
     "layer 0: tensor '' is not in the model"},
    {"bloom", [](Architecture& a) { a.layers[0].attention.q_columns.begin += 4096; },
     "fused columns"},
    {"stablelm-2", [](Architecture& a) { a.layers[0].attention.q_norm.head_weights.pop_back(); },
     "layer 0: architecture: norms of heads have another number of weights than heads"},
    {"mixtral", [](Architecture& a) { a.layers[0].mlp.experts_per_token = 9; },
     "layer 0: architecture: 9 of 4 experts per token"},
    {"mixtral", [](Architecture& a) { a.layers[0].mlp.experts[1].kind = MlpKind::kNone; },
     "experts per token"},
    {"mamba", [](Architecture& a) { a.layers[0].mamba.conv.kernel = 1025; },
     "a convolution of 1025 taps"},
    {"mamba", [](Architecture& a) { a.layers[0].mamba.state = std::uint64_t{1} << 40; },
     "a layer's state is empty or above 268435456 values"},
    {"mamba2", [](Architecture& a) { a.layers[1].mamba2.norm_groups = 5; }, "normalized in 5"},
    {"retnet", [](Architecture& a) { a.layers[0].retention.decays.pop_back(); }, "decays"},
    {"rwkv6-hf", [](Architecture& a) { a.layers[0].rwkv.heads = 0; }, "a layer's state is empty"},
    {"rwkv6-hf", [](Architecture& a) { a.layers[0].rwkv.norm = {}; }, "heads have no norm"},
    {"rwkv6-hf", [](Architecture& a) { a.layers[0].rwkv.decay_low = {}; }, "no decays"},
    {"rwkv6-hf", [](Architecture& a) { a.layers[0].rwkv.decay_low.in.rows = 0; }, "has no rows"},
    {"gpt2", [](Architecture& a) { a.position_offset = 1000; }, "position table has 72 rows"},
};

TEST(CheckArchitecture, NumbersThatDoNotFitTogether) {
  for (const Bend& bend : kBends) {
    Described model = Describe(bend.fixture);
    bend.bend(model.architecture);
    const Status status = model.Check();
    EXPECT_FALSE(status.ok()) << bend.message;
    EXPECT_NE(status.message().find(bend.message), std::string::npos)
        << status.message() << "\n  wanted: " << bend.message;
  }
}

TEST(CheckArchitecture, ARangeOfColumnsEndsInItsMatrix) {
  for (const std::size_t shard : {std::size_t{0}, std::size_t{1}}) {
    Described model = Describe("llama");
    model.architecture = ColumnShard(std::move(model.architecture), shard, 2);
    EXPECT_TRUE(model.Check().ok()) << model.Check().message();
    LinearRef& o = model.architecture.layers[0].attention.o;
    const LinearRef good = o;
    o.col_begin += 1 + o.cols * (1 - shard);
    EXPECT_EQ(model.Check().code(), StatusCode::kInvalidArgument);
    o = good;
    o.stored_cols += 1;
    EXPECT_EQ(model.Check().code(), StatusCode::kInvalidArgument);
    o = good;
    o.stored_cols = 0;
    EXPECT_EQ(model.Check().code(), StatusCode::kInvalidArgument);
    o = good;
    o.bias = model.architecture.final_norm.weight;
    EXPECT_EQ(model.Check().ok(), shard == 0) << model.Check().message();
  }
}

}  // namespace
}  // namespace ingot::model
