#include "loader/cuda/device_state.h"

#include "model/forward/forward_rwkv.h"

namespace ingot::cuda {
namespace {

// Floats of each slot, by number.
using Slots = std::vector<std::size_t>;

static_assert(kConvSlot == 0 && kScanSlot == 1 && kRetentionSlot == 0);
static_assert(model::kRwkvTimeShift == 0 && model::kRwkvState == 1 &&
              model::kRwkvChannelShift == 2);

std::size_t KeptInputs(const model::CausalConvSpec& conv) {
  return (conv.kernel - 1) * conv.channels;
}

Slots SlotsOf(const model::AttentionSpec& /*mixer*/) { return {}; }
Slots SlotsOf(const model::MambaSpec& mixer) {
  return {KeptInputs(mixer.conv), mixer.state * mixer.inner};
}
Slots SlotsOf(const model::Mamba2Spec& mixer) {
  return {KeptInputs(mixer.conv), mixer.state * mixer.inner()};
}
Slots SlotsOf(const model::RetentionSpec& mixer) {
  return {mixer.heads * mixer.key_dim * mixer.value_dim};
}
// Of the scan alone: shifts are as wide as the model.
Slots SlotsOf(const model::RwkvSpec& mixer) {
  const bool is4 = mixer.version == model::RwkvVersion::k4;
  return {0, mixer.inner() * (is4 ? 3 : mixer.head_dim), 0};
}

}  // namespace

StateLayout::StateLayout(const model::Architecture& architecture) {
  for (const model::LayerSpec& layer : architecture.layers) {
    Slots slots =
        model::VisitMixer(layer, [](const auto& mixer) -> Slots { return SlotsOf(mixer); });
    if (layer.mixer == model::MixerKind::kRwkv)
      slots[model::kRwkvTimeShift] = architecture.hidden_size;
    if (layer.mlp.kind == model::MlpKind::kRwkvChannelMix) {
      slots.resize(model::kRwkvChannelShift + 1);
      slots[model::kRwkvChannelShift] = architecture.hidden_size;
    }
    std::vector<std::size_t>& at = at_.emplace_back();
    for (const std::size_t floats : slots) {
      at.push_back(floats_);
      floats_ += floats;
    }
  }
}

}  // namespace ingot::cuda
