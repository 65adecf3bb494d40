// How much single tokens matter, as tables: by where they stand in a window and by what they are.
//
// Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace ingot::calibration {

inline constexpr std::size_t kPositionBins = 10;
inline constexpr std::size_t kTopTokens = 64;

// Values of tokens, all windows one after another.
struct TokenValues {
  std::size_t context = 0;
  std::vector<std::int32_t> ids;
  // By layer: attention received, hidden_norm, gradient, cosine; each as many as ids, or none.
  std::vector<std::map<std::string, std::vector<float>>> layers;
  std::vector<float> entropy;
};

struct NamedTable {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::vector<float> values;
};

// The tables that statistics.h names cosine/... and importance/... . InvalidArgument where values
// are not as many as ids.
Result<std::vector<NamedTable>> ImportanceTables(const TokenValues& tokens);

}  // namespace ingot::calibration
