// Launches, fills and copies that are recorded, and run as one.
#include "loader/cuda/kernels/layer_kernels.h"
#include "tests/cuda/device_case.h"

namespace ingot::cuda {
namespace {

using Graphs = DeviceCase;

TEST_F(Graphs, RunWhatWasRecordedOverWhatIsThereNow) {
  const std::vector<float> ones(300, 1);
  DeviceArray<float> x(ones), y(300), copy(300), filled(300);
  PointwiseArgs args{
      .x = x.data(), .y = y.data(), .count = 300, .number = 3, .op = Pointwise::kScale};
  ASSERT_EQ(BeginRecording(stream_), 0);
  ASSERT_EQ(launch_pointwise(&args, stream_), 0);
  args.number = 100;  // a launch has the arguments that it was given
  ASSERT_EQ(CopyOnDevice(copy.data(), y.data(), copy.bytes(), stream_), 0);
  ASSERT_EQ(FillBytes(filled.data(), 0, filled.bytes(), stream_), 0);
  void* graph = nullptr;
  ASSERT_EQ(EndRecording(stream_, &graph), 0);
  ASSERT_NE(graph, nullptr);
  EXPECT_TRUE(std::isnan(copy.Get()[0]));  // nothing ran
  for (const float number : {1.0f, 2.0f}) {
    x.Put(std::vector<float>(300, number));
    filled.Poison();
    ASSERT_EQ(RunGraph(graph, stream_), 0);
    ASSERT_EQ(WaitStream(stream_), 0);
    EXPECT_EQ(copy.Get(), std::vector<float>(300, 3 * number));
    EXPECT_EQ(filled.Get(), std::vector<float>(300, 0));
  }
  CloseGraph(graph);
  ASSERT_EQ(launch_pointwise(&args, stream_), 0);  // launches run again
  ASSERT_EQ(WaitStream(stream_), 0);
  EXPECT_EQ(y.Get(), std::vector<float>(300, 200));
}

}  // namespace
}  // namespace ingot::cuda
