#include "model/architecture/mixer_retention.h"

#include <string>

namespace ingot::model {

Status RetentionSpec::Check(const MixerContext& context) const {
  INGOT_TRY(CheckState({heads, key_dim, value_dim}));
  if (decays.size() == heads && rope < context.ropes.size() && context.ropes[rope].dims <= key_dim)
    return OkStatus();
  return Misfit("retention of " + std::to_string(heads) + " heads has " +
                std::to_string(decays.size()) + " decays");
}

void RetentionSpec::VisitParts(const MixerContext& context, PartVisitor& visitor) const {
  visitor.Linear(q, heads * key_dim, context.hidden, kNewInput);
  visitor.Linear(k, heads * key_dim, context.hidden, kSameInput);
  visitor.Linear(v, heads * value_dim, context.hidden, kSameInput);
  visitor.Linear(gate, heads * value_dim, context.hidden, kSameInput);
  visitor.OptionalNorm(norm, value_dim);
  visitor.Linear(out, context.hidden, heads * value_dim, kNewInput);
}

}  // namespace ingot::model
