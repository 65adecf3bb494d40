// A matrix that a source holds in integer codes under scales of groups of a row: kMiddle
// (code - 2^(bits - 1)) * scale, kZero (code - zero) * scale, kMinimum code * scale + minimum, each
// operation rounded once, to float32. Thread rule: values.
#pragma once

#include <cstdint>
#include <vector>

namespace ingot {

struct CodedForm {
  enum class Origin { kMiddle, kZero, kMinimum };
  int bits = 0;
  std::uint64_t group = 0;  // weights of a row that share a scale; the last group may be shorter
  Origin origin = Origin::kMiddle;
  bool half_scales = false;  // float16 holds every scale and minimum
};
struct CodedRows {
  std::vector<std::uint8_t> codes;  // rows x cols, < 2^bits
  std::vector<float> scales;        // rows x groups
  std::vector<float> offsets;       // zeros, multiples of 2^(bits - 8) below 2^bits, or minima
};
}  // namespace ingot
