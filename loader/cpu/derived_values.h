// Small tensors in the form that the CPU's kernels take, where that is not the checkpoint's:
//   convolutions          taps x channels instead of channels x taps
//   Mamba's A_log         states x channels, as -exp of itself; Mamba-2's likewise, a head each
//   RWKV's decay          the factor (version 4: its logarithm) instead of its logarithms, once for
//                         every channel; the bonus once for every channel
// A mixer that is not named here takes its tensors as they are.
//
// Thread rule: functions without state.
#pragma once

#include "loader/cpu/value_table.h"
#include "model/architecture/architecture.h"

namespace ingot::loader {

template <class Mixer>
void DeriveValues(const Mixer& /*mixer*/, ValueTable& /*values*/) {}
void DeriveValues(const model::MambaSpec& mixer, ValueTable& values);
void DeriveValues(const model::Mamba2Spec& mixer, ValueTable& values);
void DeriveValues(const model::RwkvSpec& mixer, ValueTable& values);

}  // namespace ingot::loader
