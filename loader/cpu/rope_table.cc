#include "loader/cpu/rope_table.h"

#include "model/forward/position_terms.h"

namespace ingot::loader {

RopeTable::RopeTable(const model::RopeSpec& spec)
    : spec_(&spec), by_length_(model::DependsOnLength(spec)) {
  if (!by_length_) frequencies_ = model::RopeFrequencies(spec, 0);
}

void RopeTable::Begin(std::span<const RopePlace> places) {
  if (spec_->dims == 0) return;
  at_.clear();
  if (by_length_) {
    table_.resize(places.size() * spec_->dims);
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (i == 0 || places[i].sequence_length != places[i - 1].sequence_length)
        frequencies_ = model::RopeFrequencies(*spec_, places[i].sequence_length);
      model::RopeRow(*spec_, frequencies_, places[i].position, table_.data() + i * spec_->dims);
      at_.push_back(i);
    }
    return;
  }
  for (const RopePlace& place : places) {
    for (std::uint64_t p = table_.size() / spec_->dims; p <= place.position; ++p) {
      table_.resize((p + 1) * spec_->dims);
      model::RopeRow(*spec_, frequencies_, p, table_.data() + p * spec_->dims);
    }
    at_.push_back(place.position);
  }
}

void RopeTable::Rotate(float* x, std::size_t heads, std::size_t head_dim, std::size_t row) const {
  const std::size_t half = spec_->dims / 2;
  const float* cosine = Row(row);
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
