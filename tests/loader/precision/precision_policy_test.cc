// With how many planes rows are multiplied, held against the same rows told so one by one.
#include "loader/precision/precision_policy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>

#include "loader/ingot.h"
#include "loader/step_cost.h"
#include "loader/weights/live_planes.h"
#include "pack/rewrite.h"
#include "tests/loader/packed_fixture.h"
#include "tests/model/model_fixtures.h"

namespace ingot::loader {
namespace {

using model::PlanesOfClass;
using model::TokenId;
using Mode = PrecisionOptions::Mode;

std::shared_ptr<const Model> Nested(const char* codec = "nested_v1") {
  return Packed(FixturePath("llama"), codec, Compute::kFast);
}

// What calibration would have learned, made up: importance by id, then by the state's first value.
ImportanceValues MadeUp(const Model& model) {
  const model::Architecture& architecture = model.architecture();
  ImportanceValues values;
  values.token.resize(architecture.vocab_size);
  for (std::size_t id = 0; id < values.token.size(); ++id)
    values.token[id] = static_cast<float>(id % 8) / 8;
  values.weights = {0, 1, 0, 0, 0, 0};
  values.probe.assign(kFeatures + 1 + architecture.hidden_size, 0);
  values.probe[kFeatures + 1] = 1;
  for (std::size_t i = 0; i < kQuantiles; ++i) {
    values.quantiles.push_back(static_cast<float>(i) / (kQuantiles - 1));
    values.probe_quantiles.push_back(3 * (2 * values.quantiles.back() - 1));
  }
  values.layers.assign(architecture.layers.size() + 1, 0);
  values.layers.back() = 1;
  values.probe_layer = 0;
  return values;
}

std::shared_ptr<const Model> Written(const Model& packed, const ImportanceValues& values,
                                     const std::function<void(artifact::Manifest&)>& patch) {
  pack::RewriteOptions options;
  const auto add = [&](std::string_view name, const std::vector<float>& of, int layer = -1) {
    options.added.push_back({std::string(name), "router", {of.size()}, layer, of});
  };
  add(kClassToken, values.token);
  add(kClassWeights, values.weights);
  add(kClassQuantiles, values.quantiles);
  add(kClassProbe, values.probe, static_cast<int>(values.probe_layer));
  add(kClassProbeQuantiles, values.probe_quantiles);
  add(kClassLayers, values.layers);
  options.target = (std::filesystem::temp_directory_path() /
                    ("ingot-classes-" + std::to_string(getpid()) + ".ingot"))
                       .string();
  options.force = true;
  options.patch = patch;
  const auto report = pack::Rewrite(*packed.artifact(), {}, options);
  EXPECT_TRUE(report.ok()) << report.status().message();
  const auto model = Model::Open(options.target);
  EXPECT_TRUE(model.ok()) << model.status().message();
  std::filesystem::remove(options.target);
  return model.ok() ? *model : nullptr;
}

std::vector<float> Step(Runner& runner, Sequence& sequence, std::span<const TokenId> ids,
                        const std::vector<std::uint32_t>& planes) {
  std::vector<model::Row> rows;
  std::vector<std::uint32_t> wanted;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    rows.push_back(
        {sequence.number(), static_cast<std::int32_t>(sequence.position() + i), planes[i]});
    wanted.push_back(static_cast<std::uint32_t>(i));
  }
  const auto logits = runner.Step({ids, rows}, wanted);
  EXPECT_TRUE(logits.ok()) << logits.status().message();
  if (!logits.ok()) return {};
  return {logits->data(), logits->data() + logits->size()};
}

const std::vector<TokenId> kIds = {3, 17, 5, 60, 22, 9, 41, 12};

TEST(PrecisionPolicy, AClassIsThePlanesThatTheTableGivesIt) {
  const auto model = Nested();
  ASSERT_NE(model, nullptr);
  std::size_t tables = 0;
  for (const artifact::TensorRecord& tensor : model->artifact()->manifest().tensors) {
    const auto table = tensor.extra.find("planes_by_class");
    if (table == tensor.extra.end()) continue;
    const ResidentMatrix& matrix = *model->weights().Find(tensor.name);
    for (std::uint32_t c = 0; c < model::kTokenClasses; ++c) {
      const PlaneRange by_class = LivePlanes(matrix, PlanesOfClass(c)),
                       by_count = LivePlanes(matrix, (*table)[c].get<std::size_t>());
      EXPECT_EQ(by_class.first, by_count.first) << tensor.name << c;
      EXPECT_EQ(by_class.last, by_count.last) << tensor.name << c;
    }
    ++tables;
  }
  EXPECT_GT(tables, 10u);
  const std::uint32_t counts[] = {1, 0, 0, model::kAllPlanes};  // the same of every matrix
  for (const std::uint32_t c : {0u, 3u}) {
    Runner by_class(model), by_count(model);
    const auto a = by_class.Open(), b = by_count.Open();
    EXPECT_EQ(Step(by_class, *a, kIds, std::vector<std::uint32_t>(kIds.size(), PlanesOfClass(c))),
              Step(by_count, *b, kIds, std::vector<std::uint32_t>(kIds.size(), counts[c])))
        << c;
  }
}

// A row alone reads what a step's cost says; rows of two classes read for both.
TEST(PrecisionPolicy, BytesAreCountedAtEveryProduct) {
  const auto model = Nested();
  ASSERT_NE(model, nullptr);
  const auto read = [&](const std::vector<std::uint32_t>& planes) {
    Runner runner(model);
    const auto sequence = runner.Open();
    Step(runner, *sequence, std::span(kIds).first(planes.size()), planes);
    return runner.ops().weight_reads();
  };
  double by_class[2] = {};
  for (std::uint32_t c = 0; c < 2; ++c) {
    const CpuOps::WeightReads one = read({PlanesOfClass(c)});
    by_class[c] = CostOfStep(*model, PlanesOfClass(c)).weight_bytes;
    EXPECT_DOUBLE_EQ(one.bytes, by_class[c]);
    EXPECT_DOUBLE_EQ(one.row_bytes, by_class[c]);
    EXPECT_DOUBLE_EQ(one.bits_a_weight(), 8 * one.row_bytes / one.row_weights);
  }
  EXPECT_LT(by_class[0], 0.7 * by_class[1]);
  const CpuOps::WeightReads mixed = read({PlanesOfClass(0), PlanesOfClass(1), PlanesOfClass(0)});
  EXPECT_DOUBLE_EQ(mixed.bytes, by_class[0] + by_class[1]);
  EXPECT_DOUBLE_EQ(mixed.row_bytes, 2 * by_class[0] + by_class[1]);
}

TEST(PrecisionPolicy, WhatPrecedesATokenIsWhatItsDistributionSays) {
  std::vector<float> logits;
  for (int i = 0; i < 77; ++i) logits.push_back(static_cast<float>(std::sin(i * 1.7) * 6));
  double total = 0, entropy = 0;
  for (const float x : logits) total += std::exp(double{x});
  for (const float x : logits)
    entropy -= std::exp(double{x}) / total * (double{x} - std::log(total));
  const TokenContext context = ContextOf(logits, 30, 5);
  EXPECT_NEAR(context.entropy, entropy, 1e-4);
  EXPECT_NEAR(context.surprise, std::log(total) - double{logits[30]}, 1e-4);
  EXPECT_EQ(context.position, 5u);
  const auto features = FeaturesOf(context, 0.5);
  EXPECT_EQ(features[0], 1);
  EXPECT_EQ(features[1], 0.5);
  EXPECT_NEAR(features[4], std::log(6.0), 1e-12);
  EXPECT_NEAR(features[5], entropy / 2, 1e-4);
}

TEST(PrecisionPolicy, ThresholdsCutImportance) {
  const auto model = Nested();
  ASSERT_NE(model, nullptr);
  const TokenImportance importance(MadeUp(*model));
  EXPECT_DOUBLE_EQ(importance.Importance(-1), 0);
  EXPECT_DOUBLE_EQ(importance.Importance(2), 1);
  EXPECT_NEAR(importance.Importance(0.3), 0.3, 1e-6);
  const auto classes = [&](const std::array<double, 3>& thresholds) {
    auto policy = PrecisionPolicy::ByImportance(importance, thresholds);
    std::vector<TokenContext> rows;
    for (const TokenId id : {0, 1, 2, 3, 4, 5, 6, 7}) rows.push_back({id, 4, 0, 0});
    std::vector<std::uint32_t> result;
    for (const std::uint32_t planes : policy.Start(rows))
      result.push_back(planes - PlanesOfClass(0));
    return result;
  };
  using Classes = std::vector<std::uint32_t>;
  EXPECT_EQ(classes({0.25, 0.5, 0.75}), (Classes{0, 0, 1, 1, 2, 2, 3, 3}));
  EXPECT_EQ(classes({0.5, 1, 1}), (Classes{0, 0, 0, 0, 1, 1, 1, 1}));
  EXPECT_EQ(classes({1, 1, 1}), Classes(8, 0));
  EXPECT_EQ(classes({0, 0, 0}), Classes(8, 3));
}

// The layers above the probe have the class that the state there tells; held against rows that are
// set so by hand.
TEST(PrecisionPolicy, TheStateMovesTheClassOfLaterLayers) {
  const auto model = Nested();
  ASSERT_NE(model, nullptr);
  const TokenImportance importance(MadeUp(*model));
  auto policy = PrecisionPolicy::ByImportance(importance, {0.5, 1, 1});
  std::vector<TokenContext> rows;
  for (std::size_t i = 0; i < kIds.size(); ++i) rows.push_back({kIds[i], i, 0, 0});
  Runner runner(model);
  const auto sequence = runner.Open();
  const std::vector<std::uint32_t> below = policy.Start(rows);
  std::vector<float> got;
  {
    const PrecisionOf choosing(runner, policy);
    got = Step(runner, *sequence, kIds, below);
  }
  EXPECT_FALSE(runner.ops().after_layer);
  std::vector<std::uint32_t> above;
  Runner naive(model);
  const auto other = naive.Open();
  naive.ops().after_layer = [&](std::size_t layer, Tensor& x, std::span<const std::uint32_t>) {
    if (layer != 0) return model::GoingRows();
    for (std::size_t r = 0; r < x.rows(); ++r) {
      double squares = 0;
      for (std::size_t i = 0; i < x.cols(); ++i) squares += double{x.row(r)[i]} * x.row(r)[i];
      const double first = x.row(r)[0] / std::sqrt(squares / static_cast<double>(x.cols()));
      above.push_back(PlanesOfClass(first >= 0 ? 1 : 0));  // the middle of the made-up quantiles
    }
    x.set_planes(std::make_shared<const std::vector<std::uint32_t>>(above));
    return model::GoingRows();
  };
  EXPECT_EQ(got, Step(naive, *other, kIds, below));
  EXPECT_NE(above, below);
  std::uint64_t of_one = 0;
  for (std::size_t i = 0; i < above.size(); ++i) {
    EXPECT_EQ(PlanesOfClass(policy.judged()[i].class_above), above[i]);
    of_one += above[i] == PlanesOfClass(1) ? 1 : 0;
  }
  EXPECT_EQ(policy.stats().above[1], of_one);
  EXPECT_EQ(policy.stats().above[0] + policy.stats().above[1], kIds.size());
}

TEST(PrecisionPolicy, ByChanceKeepsTheMix) {
  const auto model = Nested();
  ASSERT_NE(model, nullptr);
  auto policy = PrecisionPolicy::ByImportance(TokenImportance(MadeUp(*model)), {0.25, 1, 1});
  const std::vector<TokenContext> rows(1000, TokenContext{1, 2, 0, 0});
  policy.Start(rows);
  policy.Start(std::vector<TokenContext>(3000, TokenContext{5, 2, 0, 0}));
  EXPECT_EQ(policy.stats().below[0], 1000u);
  auto chance = PrecisionPolicy::ByChance(policy, 7);
  chance.Start(std::vector<TokenContext>(4000, TokenContext{0, 1, 0, 0}));
  EXPECT_NEAR(static_cast<double>(chance.stats().below[0]), 1000, 100);
  EXPECT_EQ(chance.stats().below[0] + chance.stats().below[1], 4000u);
}

TEST(PrecisionPolicy, ModesOfGeneration) {
  const std::string path = std::string(INGOT_SHARED_DIR) + "/models/stories260K-llama";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  const auto packed = Packed(path, "nested_v1", Compute::kFast);
  ASSERT_NE(packed, nullptr);
  const auto model = Written(*packed, MadeUp(*packed), {});
  ASSERT_NE(model, nullptr);
  const auto write = [&](const PrecisionOptions& precision) {
    Session session(model);
    GenerateOptions options;
    options.max_tokens = 24;
    options.stop_at_eos = false;
    options.sampler.temperature = 0;
    options.speculation.draft = 3;
    options.precision = precision;
    auto result = GenerateFromIds(session, kIds, options, [](std::string_view) { return true; });
    EXPECT_TRUE(result.ok()) << result.status().message();
    EXPECT_FALSE(session.runner().ops().after_layer);
    return result.ok() ? *std::move(result) : GenerateResult{};
  };
  const GenerateResult full = write({}),
                       all = write({.mode = Mode::kAdaptive, .thresholds = {0, 0, 0}});
  EXPECT_EQ(all.tokens, full.tokens);
  EXPECT_EQ(all.speculation.model.drafts, 0u);  // what precedes a step is not known in a draft
  const GenerateResult few = write({.mode = Mode::kAdaptive, .thresholds = {1, 1, 1}});
  EXPECT_LT(few.bits_a_weight, all.bits_a_weight);
  EXPECT_EQ(few.precision.below[0], 23u);
}

TEST(PrecisionPolicy, WhatCannotBeIsRefused) {
  const auto whole = Nested("int4_rtn"), packed = Nested();
  ASSERT_TRUE(whole != nullptr && packed != nullptr);
  const auto model = Written(*packed, MadeUp(*packed), [](artifact::Manifest& manifest) {
    manifest.provenance["classes"]["curve"] = {
        {{"share", 0}, {"kl", 0.01}}, {{"share", 0.5}, {"kl", 0.03}}, {{"share", 1}, {"kl", 0.09}}};
  });
  ASSERT_NE(model, nullptr);
  const auto refusal = [](const Model& of, const PrecisionOptions& options) {
    return PrecisionPolicy::Make(of, options).status().message();
  };
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_TRUE(has(refusal(*whole, {.mode = Mode::kInt4}), "pack with nested_v1"));
  EXPECT_TRUE(has(refusal(*packed, {.mode = Mode::kAdaptive}), "calibrate --classes"));
  EXPECT_TRUE(has(refusal(*packed, {.mode = Mode::kMixed}), "calibrate --classes"));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const std::array<double, 3>& bad : {std::array{0.5, 0.25, 0.75}, std::array{-0.1, 0.5, 1.0},
                                           std::array{0.1, 0.5, 1.5}, std::array{nan, 0.5, 1.0}})
    EXPECT_TRUE(has(refusal(*model, {.mode = Mode::kAdaptive, .thresholds = bad}),
                    "go from 0 to 1 and do not fall"));
  EXPECT_TRUE(has(refusal(*model, {.mode = Mode::kAdaptive, .max_kl = 0.005}),
                  "class 1 for all tokens already takes 0.01"));
  // Between two points of the curve.
  auto policy = PrecisionPolicy::Make(*model, {.mode = Mode::kAdaptive, .max_kl = 0.018});
  ASSERT_TRUE(policy.ok()) << policy.status().message();
  const std::vector<TokenContext> rows = {{1, 3, 0, 0}, {2, 3, 0, 0}, {3, 3, 0, 0}};
  EXPECT_EQ(policy->Start(rows),
            (std::vector{PlanesOfClass(0), PlanesOfClass(1), PlanesOfClass(1)}));
}

TEST(PrecisionPolicy, AClassOfPlanesThatAreNotThereIsNoModel) {
  const auto packed = Nested();
  ASSERT_NE(packed, nullptr);
  pack::RewriteOptions options;
  options.force = true;
  options.target = (std::filesystem::temp_directory_path() /
                    ("ingot-classes-bad-" + std::to_string(getpid()) + ".ingot"))
                       .string();
  const auto opened = [&](const artifact::Json& table) {
    options.patch = [&](artifact::Manifest& manifest) {
      for (auto& tensor : manifest.tensors)
        if (tensor.planes.size() == 3) tensor.extra["planes_by_class"] = table;
    };
    EXPECT_TRUE(pack::Rewrite(*packed->artifact(), {}, options).ok());
    return Model::Open(options.target).status();
  };
  EXPECT_TRUE(opened({1, 2, 3, 3}).ok());
  for (const artifact::Json& bad :
       {artifact::Json{1, 2, 3, 4}, artifact::Json{0, 1, 1, 1}, artifact::Json{1, 2},
        artifact::Json("all"), artifact::Json{1, 2.5, 3, 3}}) {
    const Status status = opened(bad);
    EXPECT_EQ(status.code(), StatusCode::kCorruption) << bad.dump();
    EXPECT_NE(status.message().find("tensor '"), std::string::npos) << status.message();
  }
  std::filesystem::remove(options.target);
}

}  // namespace
}  // namespace ingot::loader
