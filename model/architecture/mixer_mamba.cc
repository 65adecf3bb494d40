#include "model/architecture/mixer_mamba.h"

namespace ingot::model {
namespace {

constexpr std::uint64_t kMaxConvKernel = 1024;

Status CheckConv(const CausalConvSpec& conv, std::uint64_t channels) {
  if (conv.channels == channels && channels > 0 && conv.kernel > 0 && conv.kernel <= kMaxConvKernel)
    return OkStatus();
  return Misfit("a convolution of " + std::to_string(conv.kernel) + " taps over " +
                std::to_string(conv.channels) + " channels, " + std::to_string(channels) +
                " expected");
}

void VisitConv(const CausalConvSpec& conv, PartVisitor& visitor) {
  visitor.Values(conv.weight, {conv.channels, 1, conv.kernel});
  visitor.OptionalValues(conv.bias, {conv.channels});
}

}  // namespace

Status MambaSpec::Check(const MixerContext& /*context*/) const {
  INGOT_TRY(CheckState({inner, state}));
  return CheckConv(conv, inner);
}

void MambaSpec::VisitParts(const MixerContext& context, PartVisitor& visitor) const {
  visitor.Linear(x, inner, context.hidden, kNewInput);
  visitor.Linear(z, inner, context.hidden, kSameInput);
  VisitConv(conv, visitor);
  visitor.Linear(dt, dt.rows, inner, kNewInput);
  visitor.Linear(b, state, inner, kSameInput);
  visitor.Linear(c, state, inner, kSameInput);
  visitor.OptionalNorm(dt_norm, dt.rows);
  visitor.OptionalNorm(b_norm, state);
  visitor.OptionalNorm(c_norm, state);
  visitor.Linear(time_step, inner, dt.rows, kNewInput);
  visitor.Values(a_log, {inner, state});
  visitor.Values(d, {inner});
  visitor.Linear(out, context.hidden, inner, kNewInput);
}

Status Mamba2Spec::Check(const MixerContext& /*context*/) const {
  INGOT_TRY(CheckState({heads, head_dim, state}));
  if (groups == 0 || heads % groups != 0 || norm_groups == 0 || inner() % norm_groups != 0)
    return Misfit(std::to_string(heads) + " heads in " + std::to_string(groups) +
                  " groups, normalized in " + std::to_string(norm_groups));
  return CheckConv(conv, inner() + 2 * groups * state);
}

void Mamba2Spec::VisitParts(const MixerContext& context, PartVisitor& visitor) const {
  visitor.Linear(z, inner(), context.hidden, kNewInput);
  visitor.Linear(xbc, conv.channels, context.hidden, kSameInput);
  visitor.Linear(dt, heads, context.hidden, kSameInput);
  VisitConv(conv, visitor);
  for (const std::string* name : {&dt_bias, &a_log, &d}) visitor.Values(*name, {heads});
  visitor.OptionalNorm(norm, inner());
  visitor.Linear(out, context.hidden, inner(), kNewInput);
}

}  // namespace ingot::model
