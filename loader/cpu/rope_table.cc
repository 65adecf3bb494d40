#include "loader/cpu/rope_table.h"

#include <cmath>

namespace ingot::loader {

bool UsesLongFrequencies(const model::RopeSpec& spec, std::uint64_t sequence_length) {
  return !spec.long_inv_freq.empty() && sequence_length > spec.switch_length;
}

std::vector<float> RopeTable::Frequencies(std::uint64_t sequence_length) const {
  const bool is_long = UsesLongFrequencies(*spec_, sequence_length);
  const std::vector<double>& source = is_long ? spec_->long_inv_freq : spec_->inv_freq;
  std::vector<float> result(source.begin(), source.end());
  if (spec_->dynamic_factor > 0 && sequence_length > spec_->switch_length && spec_->dims > 2) {
    const double growth = spec_->dynamic_factor * static_cast<double>(sequence_length) /
                              static_cast<double>(spec_->switch_length) -
                          (spec_->dynamic_factor - 1);
    for (std::size_t i = 0; i < result.size(); ++i)
      result[i] = static_cast<float>(
          source[i] *
          std::pow(growth, -2.0 * static_cast<double>(i) / static_cast<double>(spec_->dims - 2)));
  }
  return result;
}

void RopeTable::Prepare(std::uint64_t positions, std::uint64_t sequence_length) {
  if (spec_->dims == 0) return;
  if (frequencies_.empty() || spec_->dynamic_factor > 0 || !spec_->long_inv_freq.empty()) {
    std::vector<float> frequencies = Frequencies(sequence_length);
    if (frequencies != frequencies_) table_.clear();
    frequencies_ = std::move(frequencies);
  }
  const std::size_t half = spec_->dims / 2;
  table_.reserve(positions * spec_->dims);
  for (std::uint64_t at = table_.size() / spec_->dims; at < positions; ++at) {
    table_.resize((at + 1) * spec_->dims);
    float* row = table_.data() + at * spec_->dims;
    for (std::size_t i = 0; i < half; ++i) {
      // The angle is rounded to float32 first: that is where the reference's rounding lies.
      const double angle = static_cast<float>(at) * frequencies_[i];
      row[i] = static_cast<float>(std::cos(angle) * spec_->attention_factor);
      row[half + i] = static_cast<float>(std::sin(angle) * spec_->attention_factor);
    }
  }
}

void RopeTable::Rotate(float* x, std::size_t heads, std::size_t head_dim,
                       std::uint64_t position) const {
  const std::size_t half = spec_->dims / 2;
  const float* cosine = Row(position);
  const float* sine = cosine + half;
  const std::size_t step = spec_->interleaved ? 2 : 1;
  const std::size_t partner = spec_->interleaved ? 1 : half;
  for (std::size_t h = 0; h < heads; ++h, x += head_dim) {
    for (std::size_t i = 0; i < half; ++i) {
      float& a = x[i * step];
      float& b = x[i * step + partner];
      const float rotated = a * cosine[i] - b * sine[i];
      b = b * cosine[i] + a * sine[i];
      a = rotated;
    }
  }
}

}  // namespace ingot::loader
