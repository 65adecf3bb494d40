// Writing statistics files (calibration/statistics.h), whole or out of the parts that a run left
// behind stage by stage.
//
// Thread rule: functions without state.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ingot::calibration {

struct StatisticsTensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::span<const float> values;
};

using StatisticsMetadata = std::map<std::string, std::string>;

// Writes `tensors` as a safetensors file that appears whole or not at all. InvalidArgument names a
// tensor with a value that is not finite, or whose values are not as many as its shape says; Io.
Status WriteStatistics(const std::string& path, const StatisticsMetadata& metadata,
                       std::span<const StatisticsTensor> tensors);

// Writes the tensors of `parts` (files of WriteStatistics) that `keep` takes, then `tensors`, into
// one file, in blocks: memory does not grow with the parts. A name in two parts is Corruption.
Status MergeStatistics(const std::string& path, const StatisticsMetadata& metadata,
                       std::span<const std::string> parts,
                       const std::function<bool(std::string_view name)>& keep,
                       std::span<const StatisticsTensor> tensors);

// What a part says about itself, and one of its tensors. NotFound names a tensor that is not there.
Result<StatisticsMetadata> ReadPartMetadata(const std::string& path);
Result<std::vector<float>> ReadPartTensor(const std::string& path, std::string_view name);

}  // namespace ingot::calibration
