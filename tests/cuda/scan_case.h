// What tests of recurrences share: runs of rows with states on the device, whole and cut.
#pragma once

#include <memory>
#include <span>

#include "loader/cuda/kernels/scan_runs.h"
#include "tests/cuda/device_case.h"

namespace ingot::cuda {

// One row, few, and more than a tile of any kernel.
inline const std::vector<std::int32_t> kRunBegins = {0, 1, 6, 26};
inline constexpr std::size_t kRunRows = 26;

// States of as many sequences as there are runs; other floats lie before and after them.
class RunStates {
 public:
  RunStates(std::size_t size, unsigned seed) : size_(size), begins_(kRunBegins) {
    std::vector<float*> pointers;
    for (std::size_t i = 0; i + 1 < kRunBegins.size(); ++i) {
      first_.push_back(Normal(size + 2 * kBeside, 1, seed + static_cast<unsigned>(i)));
      blocks_.push_back(std::make_unique<DeviceArray<float>>(first_.back()));
      pointers.push_back(blocks_.back()->data());
    }
    pointers_ = std::make_unique<DeviceArray<float*>>(pointers);
  }

  // What Reset puts: of(i, v) in the place of number i of a state, v.
  void Fill(const std::function<float(std::size_t i, float v)>& of) {
    for (std::vector<float>& first : first_)
      for (std::size_t i = 0; i < size_; ++i) first[kBeside + i] = of(i, first[kBeside + i]);
  }
  void Reset() {
    for (std::size_t i = 0; i < blocks_.size(); ++i) blocks_[i]->Put(first_[i]);
  }
  ScanRuns Runs() {
    return {pointers_->data(), begins_.data(), kBeside, static_cast<int>(blocks_.size())};
  }
  // The last sequence alone, over other rows.
  ScanRuns Last(DeviceArray<std::int32_t>& begins) {
    return {pointers_->data() + blocks_.size() - 1, begins.data(), kBeside, 1};
  }
  // What run i starts from.
  std::vector<double> First(std::size_t i) const {
    return {first_[i].begin() + kBeside, first_[i].end() - kBeside};
  }
  // What it holds now; that nothing beside it changed.
  std::vector<float> Now(std::size_t i) const {
    std::vector<float> now = blocks_[i]->Get();
    for (std::size_t at = 0; at < now.size(); ++at)
      if (at < kBeside || at >= kBeside + size_) {
        EXPECT_EQ(now[at], first_[i][at]);
      }
    return {now.begin() + kBeside, now.end() - kBeside};
  }
  std::vector<std::uint8_t> Bytes() const {
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i < blocks_.size(); ++i) AppendBytes(Now(i), bytes);
    return bytes;
  }

 private:
  static constexpr std::int64_t kBeside = 3;
  std::size_t size_;
  DeviceArray<std::int32_t> begins_;
  std::vector<std::vector<float>> first_;
  std::vector<std::unique_ptr<DeviceArray<float>>> blocks_;
  std::unique_ptr<DeviceArray<float*>> pointers_;
};

class ScanCase : public DeviceCase {
 protected:
  // `launch` writes y and the states of the runs that it is given; `wanted` makes, in float64, a
  // run's rows from its state, which it carries on. Then the last run in two launches: the same
  // bits.
  void Check(RunStates& states, DeviceArray<float>& y,
             const std::function<int(const ScanRuns&)>& launch,
             const std::function<std::vector<double>(std::vector<double>& state, std::size_t begin,
                                                     std::size_t end)>& wanted) {
    Launch(
        [&] {
          states.Reset();
          y.Poison();
          return launch(states.Runs());
        },
        [&] {
          std::vector<std::uint8_t> bytes = states.Bytes();
          AppendBytes(y.Get(), bytes);
          return bytes;
        });
    const std::vector<float> whole = y.Get();
    const std::vector<std::uint8_t> whole_states = states.Bytes();
    std::vector<double> rows;
    for (std::size_t i = 0; i + 1 < kRunBegins.size(); ++i) {
      std::vector<double> state = states.First(i);
      const auto of_run = wanted(state, static_cast<std::size_t>(kRunBegins[i]),
                                 static_cast<std::size_t>(kRunBegins[i + 1]));
      rows.insert(rows.end(), of_run.begin(), of_run.end());
      EXPECT_LE(RelativeError(states.Now(i), state), 2e-6);
    }
    EXPECT_LE(RelativeError(whole, rows), 2e-6);

    states.Reset();
    y.Poison();
    for (const std::vector<std::int32_t>& part : {std::vector<std::int32_t>{6, 9}, {9, 26}}) {
      DeviceArray<std::int32_t> begins(part);
      ASSERT_EQ(launch(states.Last(begins)), 0);
      ASSERT_EQ(WaitStream(stream_), 0);
    }
    const std::vector<float> cut = y.Get();
    const std::size_t first = 6 * cut.size() / kRunRows;
    EXPECT_TRUE(std::equal(cut.begin() + static_cast<std::ptrdiff_t>(first), cut.end(),
                           whole.begin() + static_cast<std::ptrdiff_t>(first)));
    const std::vector<std::uint8_t> cut_states = states.Bytes();
    const std::size_t last = cut_states.size() / 3 * 2;
    EXPECT_TRUE(std::equal(cut_states.begin() + static_cast<std::ptrdiff_t>(last), cut_states.end(),
                           whole_states.begin() + static_cast<std::ptrdiff_t>(last)));
  }
};

}  // namespace ingot::cuda
