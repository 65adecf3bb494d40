#include "model/architecture/mixer_rwkv.h"

namespace ingot::model {
namespace {

Status CheckLow(std::initializer_list<const LowRank*> lows) {
  for (const LowRank* low : lows)
    if (low->present() && low->in.rows == 0) return Misfit(low->in.weight + " has no rows");
  return OkStatus();
}

void VisitLow(const LowRank& low, std::uint64_t rows, std::uint64_t cols, PartVisitor& visitor) {
  if (!low.present()) return;
  visitor.Linear(low.in, low.in.rows, cols, kNewInput);
  visitor.Linear(low.out, rows, low.in.rows, kNewInput);
}

void VisitMix(const RwkvMix& mix, std::uint64_t hidden, PartVisitor& visitor) {
  if (!mix.present()) return;
  visitor.Values(mix.vector, {hidden});
  VisitLow(mix.low, hidden, hidden, visitor);
}

}  // namespace

Status RwkvSpec::Check(const MixerContext& /*context*/) const {
  INGOT_TRY(CheckState({heads, head_dim, head_dim, 3}));
  if (decay.empty() && !decay_low.present()) return Misfit("time mixing has no decays");
  if (version != RwkvVersion::k4 && !norm.present()) return Misfit("heads have no norm");
  return CheckLow({&receptance_mix.low, &key_mix.low, &value_mix.low, &gate_mix.low, &decay_mix.low,
                   &rate_mix.low, &decay_low, &rate_low, &gate_low, &value_low});
}

// Every projection reads a mix of its own.
void RwkvSpec::VisitParts(const MixerContext& context, PartVisitor& visitor) const {
  const std::uint64_t hidden = context.hidden;
  const std::uint64_t decays = decay_per_head ? heads : inner();
  visitor.OptionalValues(first_mix, {hidden});
  for (const RwkvMix* mix :
       {&decay_mix, &key_mix, &value_mix, &receptance_mix, &gate_mix, &rate_mix})
    VisitMix(*mix, hidden, visitor);
  visitor.OptionalValues(decay, {decays});
  visitor.Values(bonus, {decays});
  for (const LowRank* low : {&decay_low, &rate_low, &value_low, &gate_low})
    VisitLow(*low, inner(), hidden, visitor);
  if (version == RwkvVersion::k7) {
    visitor.Values(key_scale, {inner()});
    visitor.Values(key_rate, {inner()});
  }
  for (const LinearRef* ref : {&receptance, &key, &value})
    visitor.Linear(*ref, inner(), hidden, kNewInput);
  visitor.OptionalLinear(gate, inner(), hidden, kNewInput);
  visitor.OptionalNorm(norm, inner());
  visitor.Linear(out, hidden, inner(), kNewInput);
}

Status RwkvChannelMixSpec::Check() const { return CheckLow({&key_mix.low, &receptance_mix.low}); }

void RwkvChannelMixSpec::VisitParts(const MixerContext& context, PartVisitor& visitor) const {
  VisitMix(key_mix, context.hidden, visitor);
  VisitMix(receptance_mix, context.hidden, visitor);
  visitor.Linear(key, value.cols, context.hidden, kNewInput);
  visitor.OptionalLinear(receptance, context.hidden, context.hidden, kNewInput);
  visitor.Linear(value, context.hidden, value.cols, kNewInput);
}

}  // namespace ingot::model
