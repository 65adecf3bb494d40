#include "loader/cpu/derived_values.h"

#include <cmath>

namespace ingot::loader {
namespace {

// rows x cols values, as turn(value) and transposed.
template <class Turn>
void Transpose(const std::string& name, std::size_t rows, std::size_t cols, ValueTable& values,
               Turn turn) {
  const float* stored = values.Of(name);
  AlignedBuffer<float> turned(rows * cols);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) turned[c * rows + r] = turn(stored[r * cols + c]);
  values.Replace(name, std::move(turned));
}

void TransposeTaps(const model::CausalConvSpec& conv, ValueTable& values) {
  Transpose(conv.weight, conv.channels, conv.kernel, values, [](float x) { return x; });
}

float MinusExp(float x) { return -std::exp(x); }

// Values of a channel or a head each, as turn(value), once for every channel.
template <class Turn>
void ByChannel(const std::string& name, const model::RwkvSpec& rwkv, ValueTable& values,
               Turn turn) {
  const float* stored = values.Of(name);
  AlignedBuffer<float> turned(rwkv.inner());
  for (std::size_t i = 0; i < turned.size(); ++i)
    turned[i] = turn(stored[rwkv.decay_per_head ? i / rwkv.head_dim : i]);
  values.Replace(name, std::move(turned));
}

}  // namespace

void DeriveValues(const model::MambaSpec& mixer, ValueTable& values) {
  TransposeTaps(mixer.conv, values);
  Transpose(mixer.a_log, mixer.inner, mixer.state, values, MinusExp);
}

void DeriveValues(const model::Mamba2Spec& mixer, ValueTable& values) {
  TransposeTaps(mixer.conv, values);
  Transpose(mixer.a_log, mixer.heads, 1, values, MinusExp);
}

void DeriveValues(const model::RwkvSpec& mixer, ValueTable& values) {
  if (!mixer.decay.empty()) {
    const bool is4 = mixer.version == model::RwkvVersion::k4;
    ByChannel(mixer.decay, mixer, values,
              [&](float x) { return is4 ? MinusExp(x) : std::exp(MinusExp(x)); });
  }
  ByChannel(mixer.bonus, mixer, values,
            [&](float x) { return mixer.bonus_is_log ? std::exp(x) : x; });
}

}  // namespace ingot::loader
