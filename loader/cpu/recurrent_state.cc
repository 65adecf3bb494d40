#include "loader/cpu/recurrent_state.h"

#include <algorithm>

#include "base/status.h"

namespace ingot::loader {

float* RecurrentState::Slot(std::size_t layer, std::size_t slot, std::size_t size) {
  INGOT_CHECK(layer < layers_.size());
  std::vector<AlignedBuffer<float>>& slots = layers_[layer];
  if (slots.size() <= slot) slots.resize(slot + 1);
  AlignedBuffer<float>& buffer = slots[slot];
  if (buffer.size() != size) {
    INGOT_CHECK(buffer.size() == 0);
    buffer = AlignedBuffer<float>(size);
    std::fill(buffer.begin(), buffer.end(), 0.0f);
    resident_bytes_ += size * sizeof(float);
  }
  return buffer.data();
}

RecurrentState RecurrentState::Copy() const {
  RecurrentState copy;
  for (const std::vector<AlignedBuffer<float>>& slots : layers_) {
    copy.layers_.emplace_back();
    for (const AlignedBuffer<float>& from : slots) {
      AlignedBuffer<float>& to = copy.layers_.back().emplace_back(from.size());
      std::copy(from.data(), from.data() + from.size(), to.data());
    }
  }
  copy.resident_bytes_ = resident_bytes_;
  return copy;
}

void RecurrentState::Reset() {
  for (std::vector<AlignedBuffer<float>>& slots : layers_)
    for (AlignedBuffer<float>& buffer : slots) std::fill(buffer.begin(), buffer.end(), 0.0f);
}

bool HasRecurrentLayers(const model::Architecture& architecture) {
  return std::any_of(architecture.layers.begin(), architecture.layers.end(),
                     [](const model::LayerSpec& layer) { return IsRecurrent(layer.mixer); });
}

}  // namespace ingot::loader
