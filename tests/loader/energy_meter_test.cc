#include "loader/energy_meter.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/model/source_builders.h"

namespace ingot::loader {
namespace {

class EnergyMeterTest : public testing::Test {
 protected:
  void Zone(const std::string& folder, const std::string& name, const std::string& microjoules) {
    std::filesystem::create_directories(directory_.path() + "/" + folder);
    directory_.Write(folder + "/name", name + "\n");
    directory_.Write(folder + "/energy_uj", microjoules + "\n");
    directory_.Write(folder + "/max_energy_range_uj", "1000000\n");
  }
  model::TestDirectory directory_;
};

TEST_F(EnergyMeterTest, WithoutACounterThereIsNoMeter) {
  EXPECT_EQ(MakePackageMeter(directory_.path() + "/absent"), nullptr);
  EXPECT_EQ(MakePackageMeter(directory_.path()), nullptr);
  Zone("intel-rapl:0", "dram", "5");  // no package
  EXPECT_EQ(MakePackageMeter(directory_.path()), nullptr);
  Zone("intel-rapl:1", "package-0", "five");
  EXPECT_EQ(MakePackageMeter(directory_.path()), nullptr);
}

TEST_F(EnergyMeterTest, AddsPackagesOnceAndFollowsTheWrap) {
  Zone("intel-rapl:0", "package-0", "100");
  Zone("intel-rapl-mmio:0", "package-0", "100");  // the same under another interface
  Zone("intel-rapl:1", "package-1", "999000");
  Zone("intel-rapl:0:0", "core", "7");
  const auto meter = MakePackageMeter(directory_.path());
  ASSERT_NE(meter, nullptr);
  EXPECT_EQ(meter->what(), "package-0 and package-1, RAPL");
  EXPECT_DOUBLE_EQ(*meter->Joules(), 0);
  for (const char* folder : {"intel-rapl:0", "intel-rapl-mmio:0"}) Zone(folder, "package-0", "600");
  Zone("intel-rapl:1", "package-1", "500");  // 1500 further
  EXPECT_NEAR(*meter->Joules(), 0.002, 1e-9);
  for (const char* folder : {"intel-rapl:0", "intel-rapl-mmio:0"}) Zone(folder, "package-0", "?");
  EXPECT_FALSE(meter->Joules().has_value());
}

}  // namespace
}  // namespace ingot::loader
