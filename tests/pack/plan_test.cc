#include "pack/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "pack/slab_source.h"
#include "tests/model/model_fixtures.h"

namespace ingot::pack {
namespace {

std::unique_ptr<model::Checkpoint> Open(const std::string& fixture) {
  auto opened = model::Checkpoint::Open(FixturePath(fixture));
  EXPECT_TRUE(opened.ok()) << opened.status().message();
  return *std::move(opened);
}

PlanOptions Options(const std::string& recipe) {
  PlanOptions options;
  options.preset = CodecPreset(*ParseRecipe(recipe));
  options.require_tokenizer = false;
  return options;
}

const PlannedTensor& Find(const PackPlan& plan, const std::string& name) {
  const auto it = std::find_if(plan.tensors.begin(), plan.tensors.end(),
                               [&](const PlannedTensor& t) { return t.source.name == name; });
  EXPECT_NE(it, plan.tensors.end()) << name;
  return *it;
}

constexpr const char* kQuery = "model.layers.0.self_attn.q_proj.weight";
constexpr const char* kDown = "model.layers.1.mlp.down_proj.weight";

TEST(Plan, EveryTensorOnceInExecutionOrderByItsRole) {
  const auto checkpoint = Open("llama");
  const auto plan = MakePlan(*checkpoint, Options("int4_rtn:group=16"));
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  EXPECT_EQ(plan->family, "llama");
  EXPECT_TRUE(plan->unused.empty());
  std::set<std::string> names;
  int layer = -1;
  for (const PlannedTensor& tensor : plan->tensors) {
    EXPECT_TRUE(names.insert(tensor.source.name).second) << tensor.source.name;
    if (tensor.layer < 0) continue;
    EXPECT_GE(tensor.layer, layer);
    layer = tensor.layer;
  }
  EXPECT_EQ(names.size(), checkpoint->tensors().size());
  EXPECT_EQ(plan->tensors.front().role, model::TensorRole::kEmbedding);
  EXPECT_EQ(plan->tensors.front().recipe.codec, "int8_rtn");
  EXPECT_EQ(plan->tensors.back().role, model::TensorRole::kHead);
  EXPECT_EQ(Find(*plan, kQuery).recipe.codec, "int4_rtn");
  EXPECT_EQ(Find(*plan, kQuery).recipe.group, 16);
  const PlannedTensor& norm = Find(*plan, "model.norm.weight");
  EXPECT_EQ(norm.recipe.codec, kRawCodec);
  EXPECT_EQ(norm.rows, 1u);
}

TEST(Plan, RulesComeBeforeWhatAllocationChoseAndThatBeforeThePreset) {
  const auto checkpoint = Open("llama");
  PlanOptions options = Options("int4_rtn:group=16");
  options.chosen[kQuery] = *ParseRecipe("int2_rtn:group=16");
  options.chosen[kDown] = *ParseRecipe("int2_rtn:group=16");
  options.rules = {*ParseRule("*.layers.1.*=int8_rtn:group=8"), *ParseRule("*down*=lossless_v1")};
  const auto plan = MakePlan(*checkpoint, options);
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  EXPECT_EQ(Find(*plan, kQuery).recipe.codec, "int2_rtn");
  EXPECT_EQ(Find(*plan, kDown).recipe.codec, "lossless_v1");  // the later rule
  EXPECT_EQ(Find(*plan, "model.layers.1.mlp.up_proj.weight").recipe.group, 8);
  EXPECT_EQ(Find(*plan, "model.layers.0.mlp.up_proj.weight").recipe.codec, "int4_rtn");
  EXPECT_EQ(Find(*plan, "model.layers.1.input_layernorm.weight").recipe.codec, kRawCodec);
}

TEST(Plan, RulesThatMatchNoMatrixAreRefused) {
  const auto checkpoint = Open("llama");
  for (const auto& [rule, why] : {std::pair{"*nothing*=int4_rtn", "matches no tensor"},
                                  std::pair{"*layernorm*=int4_rtn", "only vectors"}}) {
    PlanOptions options = Options("int4_rtn:group=16");
    options.rules = {*ParseRule(rule)};
    const auto plan = MakePlan(*checkpoint, options);
    EXPECT_EQ(plan.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(plan.status().message().find(why), std::string::npos) << plan.status().message();
  }
}

TEST(Plan, RefusesWhatNoTensorCanHave) {
  const auto checkpoint = Open("llama");
  PlanOptions options = Options("int4_rtn:group=16");
  options.preset.linear.codec = "no_such";
  EXPECT_EQ(MakePlan(*checkpoint, options).status().code(), StatusCode::kInvalidArgument);
  options = Options("int4_rtn:group=16");
  options.require_tokenizer = true;  // the fixture has none
  EXPECT_EQ(MakePlan(*checkpoint, options).status().code(), StatusCode::kNotFound);
}

TEST(Plan, SlabsCoverTheRowsAndBytesAreThoseOfTheStreams) {
  for (const char* recipe : {"int4_rtn:group=16", "int8_rtn:group=8"}) {
    const auto checkpoint = Open("llama");
    const auto plan = MakePlan(*checkpoint, Options(recipe));
    ASSERT_TRUE(plan.ok());
    for (const PlannedTensor& tensor : plan->tensors) {
      ASSERT_GT(tensor.slab_count, 0u);
      EXPECT_EQ(tensor.SlabBegin(0), 0u);
      for (std::uint32_t slab = 0; slab + 1 < tensor.slab_count; ++slab)
        EXPECT_EQ(tensor.SlabEnd(slab), tensor.SlabBegin(slab + 1));
      EXPECT_EQ(tensor.SlabEnd(tensor.slab_count - 1), tensor.rows);
      EXPECT_FALSE(tensor.bytes.data_dependent) << tensor.source.name;
      EXPECT_EQ(tensor.bytes.exact + tensor.bytes.at_most, tensor.resident_bytes);
    }
    // By hand: codes, a float16 scale a group, and nothing else for levels without a zero.
    const PlannedTensor& query = Find(*plan, kQuery);
    const std::uint64_t bits = recipe[3] == '4' ? 4 : 8, group = bits == 4 ? 16 : 8;
    EXPECT_GE(query.resident_bytes, query.weights() * bits / 8 + query.weights() / group * 2);
    EXPECT_LE(query.resident_bytes, query.weights() * bits / 8 + query.weights() / group * 4);
  }
}

TEST(Plan, SparseOutliersMakeALengthThatOnlyEncodingTells) {
  const auto checkpoint = Open("llama");
  const auto plan = MakePlan(*checkpoint, Options("fp8_hybrid_v1"));
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  EXPECT_TRUE(Find(*plan, kQuery).bytes.data_dependent);
  EXPECT_FALSE(Find(*plan, "model.norm.weight").bytes.data_dependent);
}

TEST(Plan, TransposedMatricesAreStoredAsTheProductUsesThem) {
  const auto checkpoint = Open("gpt2");
  const auto plan = MakePlan(*checkpoint, Options("int8_rtn:group=8"));
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  int transposed = 0;
  for (const PlannedTensor& tensor : plan->tensors) {
    if (!tensor.transposed) continue;
    ++transposed;
    EXPECT_EQ(tensor.rows, tensor.source.shape[1]);
    EXPECT_EQ(tensor.cols, tensor.source.shape[0]);
    EXPECT_EQ(tensor.shape, (std::vector<std::uint64_t>{tensor.rows, tensor.cols}));
  }
  EXPECT_GT(transposed, 0);
}

TEST(Plan, NamedNonfiniteTensorsAreKeptAsTheyAre) {
  const auto checkpoint = Open("llama");
  PlanOptions options = Options("int4_rtn:group=16");
  options.nonfinite = {kQuery};
  const auto plan = MakePlan(*checkpoint, options);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(Find(*plan, kQuery).recipe.codec, kRawCodec);
  EXPECT_EQ(Find(*plan, kDown).recipe.codec, "int4_rtn");
  const auto found = FindNonfiniteTensors(*checkpoint, *plan);
  ASSERT_TRUE(found.ok());
  EXPECT_TRUE(found->empty());
}

}  // namespace
}  // namespace ingot::pack
