// What a bench measures and refuses; never how fast anything is.
#include "jobs/bench_job.h"

#include <fstream>

#include "jobs/cold_file.h"
#include "jobs/pack_job.h"
#include "tests/jobs/job_fixtures.h"

namespace ingot::jobs {
namespace {

class BenchJob : public JobTest {
 protected:
  BenchJobOptions Small() const {
    BenchJobOptions options;
    options.file = model_;
    options.batches = {1, 3};
    options.contexts = {5};
    options.prompts = {8};
    options.runs = 2;
    options.steps = 2;
    return options;
  }
  static Status Refusal(const BenchJobOptions& options) {
    return RunBenchJob(options, {}).status();
  }
};

TEST_F(BenchJob, MeasuresWhatWasAskedFor) {
  BenchJobOptions options = Small();
  options.rows = {2};
  Recorder recorder;
  const auto result = RunBenchJob(options, recorder.monitor());
  ASSERT_TRUE(result.ok()) << result.status().message();
  recorder.ExpectMonotone();
  EXPECT_GT(result->limits.read_bytes, 1e8);
  EXPECT_GT(result->limits.int8_products, 1e7);
  EXPECT_GT(result->limits.float_products, 1e7);
  ASSERT_TRUE(result->load.has_value());
  EXPECT_GT(result->load->warm.median, 0);
  EXPECT_EQ(result->load->file_bytes, FileBytes(model_));
  EXPECT_EQ(result->cache, "f16");
  using Kind = SpeedBench::Kind;
  const std::vector<std::pair<Kind, std::uint64_t>> want = {
      {Kind::kPrefill, 1}, {Kind::kRows, 2}, {Kind::kDecode, 1}, {Kind::kDecode, 3}};
  ASSERT_EQ(result->speeds.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    const SpeedBench& bench = result->speeds[i];
    EXPECT_EQ(bench.kind, want[i].first);
    EXPECT_EQ(bench.batch, want[i].second);
    EXPECT_GT(bench.seconds.median, 0);
    EXPECT_LE(bench.seconds.low, bench.seconds.median);
    EXPECT_GE(bench.seconds.high, bench.seconds.median);
    EXPECT_GT(bench.floor.seconds(), 0);
    // No counter, no number.
    EXPECT_EQ(bench.joules_a_token.has_value(), !result->energy.empty());
  }
  // A checkpoint's float32 matrices: the tied head and what the layers have, read once a step.
  EXPECT_GT(result->cost.weight_bytes, 1000);
  EXPECT_EQ(result->cost.int8_products, 0);
  EXPECT_GT(result->memory.weights, 0u);
  EXPECT_GT(result->memory.cache, 0u);
  EXPECT_GT(result->memory.activations, 0u);
}

TEST_F(BenchJob, RefusesNumbersThatNoBenchCanHave) {
  BenchJobOptions options = Small();
  options.batches = {1, 0};
  EXPECT_EQ(Refusal(options).message(), "--batch 0: from 1 to 4096");
  EXPECT_EQ(Refusal(options).code(), StatusCode::kInvalidArgument);
  options = Small();
  options.runs = 0;
  EXPECT_EQ(Refusal(options).message(), "--runs 0: from 1 to 10000");
  options = Small();
  options.cache = "int3";
  EXPECT_NE(Refusal(options).message().find("int3"), std::string::npos);
  options = Small();
  options.cache = "int8";  // the fixture's heads are of 8
  EXPECT_NE(Refusal(options).message().find("heads of 8"), std::string::npos);
  options = Small();
  options.batches = {4096};
  options.contexts = {1 << 24};
  const Status much = Refusal(options);
  EXPECT_EQ(much.code(), StatusCode::kLimit);
  EXPECT_NE(much.message().find("would fit"), std::string::npos) << much.message();
}

TEST_F(BenchJob, ComparesTheModesThatAnArtifactHas) {
  PackJobOptions pack;
  pack.model = model_;
  pack.output = Path("m.ingot");
  pack.recipe.codec = "nested_v1";
  const auto packed = RunPackJob(pack, {});
  ASSERT_TRUE(packed.ok()) << packed.status().message();
  BenchJobOptions options = Small();
  options.file = pack.output;
  options.compare_modes = true;
  const auto result = RunBenchJob(options, {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  ASSERT_EQ(result->speeds.size(), 3u);  // 4, 8 and 16 bits
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(result->speeds[i].planes, i + 1);
    // More planes are more bytes.
    if (i > 0) {
      EXPECT_GT(result->speeds[i].floor.read_seconds, result->speeds[i - 1].floor.read_seconds);
    }
  }
}

TEST_F(BenchJob, StopsWhenItIsCancelled) {
  Recorder recorder([](const Progress& now) { return now.done == 3; });
  EXPECT_EQ(RunBenchJob(Small(), recorder.monitor()).status().code(), kCancelled);
}

TEST(SpreadTest, MedianAndQuartiles) {
  EXPECT_EQ(SpreadOf({}).median, 0);
  const Spread odd = SpreadOf({5, 1, 3, 2, 4});
  EXPECT_EQ(odd.median, 3);
  EXPECT_EQ(odd.low, 2);
  EXPECT_EQ(odd.high, 4);
  EXPECT_EQ(SpreadOf({4, 1, 3, 2}).median, 2.5);
}

}  // namespace
}  // namespace ingot::jobs
