// Draws on the device against loader::Sampler, over every fixture's logits.
#include "loader/cuda/device_draw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "loader/cuda/device.h"
#include "loader/runner.h"
#include "tests/model/model_fixtures.h"

namespace ingot::cuda {
namespace {

const std::vector<loader::SamplerOptions> kOptions = {
    {.temperature = 0},
    {.temperature = 0, .repetition_penalty = 1.3},
    {.temperature = 1},
    {.temperature = 0.7, .top_k = 5},
    {.temperature = 1.5, .top_p = 0.9},
    {.temperature = 1.5, .top_k = 300, .top_p = 0.9},
    {.temperature = 1, .min_p = 0.1},
    {.temperature = 0.8, .top_k = 40, .top_p = 0.8, .min_p = 0.01, .repetition_penalty = 1.1}};

class DeviceDraw : public testing::TestWithParam<std::string> {};

TEST_P(DeviceDraw, IsTheSamplers) {
  const auto model = loader::Model::Open(FixturePath(GetParam()), {});
  ASSERT_TRUE(model.ok()) << model.status().message();
  std::vector<model::TokenId> ids = FixtureIds(GetParam());
  if (ids.size() > 8) ids.resize(8);
  loader::Runner runner(*model);
  const auto sequence = runner.Open();
  std::vector<model::Row> rows;
  std::vector<std::uint32_t> wanted(ids.size());
  std::iota(wanted.begin(), wanted.end(), 0u);
  for (const std::uint32_t i : wanted)
    rows.push_back({sequence->number(), static_cast<std::int32_t>(i)});
  const auto logits = runner.Step({ids, rows}, wanted);
  ASSERT_TRUE(logits.ok()) << logits.status().message();

  void* stream = nullptr;
  ASSERT_EQ(OpenStream(&stream), 0);
  {
    DevicePool pool(stream);
    auto block = pool.Upload(logits->data(), logits->size() * sizeof(float));
    ASSERT_TRUE(block.ok());
    const DeviceTensor on_device(*std::move(block), logits->rows(), logits->cols());
    for (const loader::SamplerOptions& options : kOptions) {
      DeviceDraws draws{options, {}};
      std::vector<model::TokenId> expected;
      for (const std::uint32_t i : wanted) {
        loader::SamplerOptions of_row = options;
        of_row.seed = 100 + i;
        draws.rows.push_back({of_row.seed, 3 * i, std::span(ids).first(i + 1)});
        auto sampler = loader::Sampler::Make(of_row);
        ASSERT_TRUE(sampler.ok());
        const auto drawn =
            sampler->Preview({logits->row(i), logits->cols()}, draws.rows.back().seen, 3 * i);
        ASSERT_TRUE(drawn.ok()) << drawn.status().message();
        expected.push_back(drawn->id);
      }
      const auto got = DrawRows(on_device, draws, pool, stream);
      ASSERT_TRUE(got.ok()) << got.status().message();
      EXPECT_EQ(*got, expected) << "options " << &options - kOptions.data();
    }
  }
  CloseStream(stream);
}

INSTANTIATE_TEST_SUITE_P(Models, DeviceDraw, testing::ValuesIn(FixtureNames()), FixtureTestName());

TEST(DeviceDrawErrors, LogitsMustBeFinite) {
  void* stream = nullptr;
  ASSERT_EQ(OpenStream(&stream), 0);
  {
    DevicePool pool(stream);
    auto block = pool.Upload(std::vector<float>{1, NAN, 0});
    ASSERT_TRUE(block.ok());
    const DeviceTensor logits(*std::move(block), 1, 3);
    EXPECT_EQ(DrawRows(logits, {{.temperature = 0}, {{}}}, pool, stream).status().code(),
              StatusCode::kCorruption);
  }
  CloseStream(stream);
}

}  // namespace
}  // namespace ingot::cuda
