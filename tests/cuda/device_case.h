// What tests of kernels share: arrays on the device, launches in two orders of threads, comparison
// with float64. The same tests run on the host grid and, built by nvcc, on a GPU.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "base/float_formats.h"
#include "loader/cuda/device.h"
#include "loader/cuda/kernels/launch_types.h"
#if defined(INGOT_HOST_GRID)
#include "loader/cuda/host/host_grid.h"
#endif

namespace ingot::cuda {

// On the device; poisoned where nothing is given. Its end is the allocation's end.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) {
    EXPECT_EQ(AllocateBytes(&data_, bytes()), 0);
    Poison();
  }
  explicit DeviceArray(const std::vector<T>& from) : DeviceArray(from.size()) { Put(from); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { FreeBytes(data_); }

  T* data() { return static_cast<T*>(data_); }
  std::size_t bytes() const { return count_ * sizeof(T); }
  void Put(const std::vector<T>& from) {
    WithStream([&](void* s) { return CopyToDevice(data_, from.data(), bytes(), s); });
  }
  void Poison(int value = 0xff) {
    WithStream([&](void* s) { return FillBytes(data_, value, bytes(), s); });
  }
  std::vector<T> Get() const {
    std::vector<T> values(count_);
    WithStream([&](void* s) { return CopyToHost(values.data(), data_, bytes(), s); });
    return values;
  }

 private:
  template <class Call>
  static void WithStream(Call call) {
    void* stream = nullptr;
    EXPECT_EQ(OpenStream(&stream), 0);
    EXPECT_EQ(call(stream), 0);
    EXPECT_EQ(WaitStream(stream), 0);
    CloseStream(stream);
  }
  std::size_t count_;
  void* data_ = nullptr;
};

template <class T>
void AppendBytes(const std::vector<T>& values, std::vector<std::uint8_t>& bytes) {
  const auto* p = reinterpret_cast<const std::uint8_t*>(values.data());
  bytes.insert(bytes.end(), p, p + values.size() * sizeof(T));
}

class DeviceCase : public testing::Test {
 protected:
  void SetUp() override {
    int devices = 0;
    if (CountDevices(&devices) != 0 || devices == 0) GTEST_SKIP() << "no GPU";
    ASSERT_EQ(OpenStream(&stream_), 0);
  }
  void TearDown() override {
    if (stream_ != nullptr) CloseStream(stream_);
  }

  // Runs the launches and reads `results`; twice on the host grid, in other orders of threads, with
  // bits that agree.
  void Launch(const std::function<int()>& launch,
              const std::function<std::vector<std::uint8_t>()>& results) {
    std::vector<std::uint8_t> first;
    for (const std::uint64_t seed : {1, 2}) {
#if defined(INGOT_HOST_GRID)
      static_cast<host::Stream*>(stream_)->seed = 1000 * seed;
#endif
      const int error = launch();
      ASSERT_EQ(error, 0) << ErrorText(error, stream_);
      const int late = WaitStream(stream_);
      ASSERT_EQ(late, 0) << ErrorText(late, stream_);
      std::vector<std::uint8_t> bytes = results();
      if (seed == 2) {
        ASSERT_EQ(bytes, first) << "another order of threads, other bits";
      }
      first = std::move(bytes);
    }
  }

  // Of float32 outputs; `fill` is what they hold before, NaN where it is empty.
  std::vector<float> Result(DeviceArray<float>& out, const std::function<int()>& launch,
                            const std::vector<float>& fill = {}) {
    Launch(
        [&] {
          fill.empty() ? out.Poison() : out.Put(fill);
          return launch();
        },
        [&] {
          std::vector<std::uint8_t> bytes;
          AppendBytes(out.Get(), bytes);
          return bytes;
        });
    return out.Get();
  }

  void* stream_ = nullptr;
};

// Numbers as a FloatType stores them.
inline std::vector<std::uint8_t> Stored(const std::vector<float>& values, FloatType type) {
  std::vector<std::uint8_t> bytes;
  for (const float v : values) {
    if (type == FloatType::kF32) {
      AppendBytes<float>({v}, bytes);
      continue;
    }
    AppendBytes<std::uint16_t>({type == FloatType::kF16 ? ToFp16(v) : ToBf16(v)}, bytes);
  }
  return bytes;
}

inline std::vector<float> Loaded(const std::vector<std::uint8_t>& bytes, FloatType type) {
  std::vector<float> values(bytes.size() / static_cast<std::size_t>(FloatBytes(type)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (type == FloatType::kF32) {
      std::memcpy(&values[i], bytes.data() + 4 * i, 4);
      continue;
    }
    std::uint16_t bits;
    std::memcpy(&bits, bytes.data() + 2 * i, 2);
    values[i] = type == FloatType::kF16 ? FromFp16(bits) : FromBf16(bits);
  }
  return values;
}

inline std::vector<float> Normal(std::size_t count, float deviation, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(count);
  for (float& v : values) v = normal(random);
  return values;
}

// |got - wanted| / |wanted| over all numbers.
inline double RelativeError(const std::vector<float>& got, const std::vector<double>& wanted) {
  EXPECT_EQ(got.size(), wanted.size());
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    error += (got[i] - wanted[i]) * (got[i] - wanted[i]);
    norm += wanted[i] * wanted[i];
  }
  return std::sqrt(error / norm);  // NaN where a number is poison
}

}  // namespace ingot::cuda
