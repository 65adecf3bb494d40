// The models under tests/fixtures/models and what their reference computed: what the tests of every
// op set share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/tokenizer/tokenizer.h"

namespace ingot {

inline std::string FixturePath(const std::string& name) {
  return std::string(INGOT_SOURCE_DIR) + "/tests/fixtures/models/" + name;
}

// Every model that has logits, sorted.
inline std::vector<std::string> FixtureNames() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(FixturePath(""), error))
    if (std::filesystem::exists(entry.path() / "logits.bin"))
      names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

inline std::vector<model::TokenId> FixtureIds(const std::string& name) {
  std::istringstream text(*ReadFileToString(FixturePath(name) + "/ids.txt"));
  std::vector<model::TokenId> ids;
  for (model::TokenId id; text >> id;) ids.push_back(id);
  return ids;
}

// ids x vocabulary.
inline std::vector<float> FixtureLogits(const std::string& name) {
  const std::string bytes = *ReadFileToString(FixturePath(name) + "/logits.bin");
  std::vector<float> logits(bytes.size() / sizeof(float));
  std::memcpy(logits.data(), bytes.data(), logits.size() * sizeof(float));
  return logits;
}

// A fixture's name where a test's name is wanted: the last argument of INSTANTIATE_TEST_SUITE_P.
struct FixtureTestName {
  template <typename Info>
  std::string operator()(const Info& info) const {
    std::string name = info.param;
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
  }
};

// Largest difference over largest magnitude. REQUIRES: as many of `got` as of `want`.
inline double RelativeError(std::span<const float> got, std::span<const float> want) {
  double difference = 0, largest = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference = std::max(difference, std::abs(static_cast<double>(got[i]) - want[i]));
    largest = std::max(largest, std::abs(static_cast<double>(want[i])));
    if (std::isnan(got[i])) return HUGE_VAL;
  }
  return difference / largest;
}

}  // namespace ingot
