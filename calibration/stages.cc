#include "calibration/stages.h"

#include <fmt/format.h>

#include <initializer_list>

namespace ingot::calibration {
namespace {

using LinearVisitor = std::function<void(const model::LinearRef&)>;

void VisitRefs(std::initializer_list<const model::LinearRef*> refs, const LinearVisitor& visit) {
  for (const model::LinearRef* ref : refs)
    if (ref->present()) visit(*ref);
}

void VisitMlp(const model::MlpSpec& mlp, const LinearVisitor& visit) {
  VisitRefs({&mlp.router, &mlp.gate, &mlp.up, &mlp.down}, visit);
  for (const model::MlpSpec& expert : mlp.experts) VisitMlp(expert, visit);
  for (const model::MlpSpec& shared : mlp.shared_expert) VisitMlp(shared, visit);
  VisitRefs({&mlp.shared_gate}, visit);
}

// Of all low-rank vectors that make mixes, which read one tensor, and of those that make decays,
// rates, values and gates.
void VisitRwkv(const model::RwkvSpec& rwkv, const LinearVisitor& visit) {
  VisitRefs({&rwkv.receptance, &rwkv.key, &rwkv.value, &rwkv.gate, &rwkv.out}, visit);
  for (const model::LowRank* low :
       {&rwkv.receptance_mix.low, &rwkv.key_mix.low, &rwkv.value_mix.low, &rwkv.gate_mix.low,
        &rwkv.decay_mix.low, &rwkv.decay_low, &rwkv.rate_low, &rwkv.gate_low, &rwkv.value_low})
    VisitRefs({&low->in, &low->out}, visit);
}

void VisitMlpInputs(const model::MlpSpec& mlp, const LinearVisitor& visit) {
  if (mlp.gate.present())
    visit(mlp.gate);
  else
    VisitRefs({&mlp.up}, visit);
  VisitRefs({&mlp.down}, visit);
}

}  // namespace

std::string StageName(const model::Architecture& architecture, std::size_t stage) {
  if (stage == 0) return "embedding";
  if (stage > architecture.layers.size()) return "head";
  return fmt::format("layer {}", stage - 1);
}

void VisitStage(const model::Architecture& a, std::size_t stage, const LinearVisitor& linear,
                const std::function<void(const model::NormSpec&)>& norm) {
  const auto norms = [&](std::initializer_list<const model::NormSpec*> specs) {
    for (const model::NormSpec* spec : specs)
      if (spec->present()) norm(*spec);
  };
  if (stage == 0) {
    VisitRefs({&a.embedding_projection}, linear);
    norms({&a.embedding_norm});
  } else if (stage > a.layers.size()) {
    norms({&a.final_norm, &a.head_norm});
    VisitRefs({&a.head_projection, &a.head_dense, &a.head}, linear);
  } else {
    const model::LayerSpec& layer = a.layers[stage - 1];
    const model::AttentionSpec& attention = layer.attention;
    norms({&layer.pre_mixer_norm, &attention.q_norm, &attention.k_norm, &layer.post_mixer_norm,
           &layer.pre_mlp_norm, &layer.mlp.inner_norm, &layer.post_mlp_norm});
    norms({&layer.mamba.dt_norm, &layer.mamba.b_norm, &layer.mamba.c_norm, &layer.mamba2.norm,
           &layer.retention.norm});
    VisitRefs({&attention.q, &attention.k, &attention.v, &attention.qkv, &attention.o}, linear);
    const model::MambaSpec& mamba = layer.mamba;
    VisitRefs({&mamba.x, &mamba.z, &mamba.dt, &mamba.b, &mamba.c, &mamba.time_step, &mamba.out},
              linear);
    const model::Mamba2Spec& mamba2 = layer.mamba2;
    VisitRefs({&mamba2.z, &mamba2.xbc, &mamba2.dt, &mamba2.out}, linear);
    const model::RetentionSpec& retention = layer.retention;
    VisitRefs({&retention.q, &retention.k, &retention.v, &retention.gate, &retention.out}, linear);
    VisitRwkv(layer.rwkv, linear);
    norms({&layer.rwkv.norm});
    const model::RwkvChannelMixSpec& channel_mix = layer.channel_mix;
    VisitRefs({&channel_mix.key, &channel_mix.value, &channel_mix.receptance}, linear);
    VisitMlp(layer.mlp, linear);
  }
}

void VisitValues(const model::Architecture& a, std::size_t stage,
                 const std::function<void(const std::string&)>& visit) {
  if (stage == 0 || stage > a.layers.size()) return;
  const model::MambaSpec& mamba = a.layers[stage - 1].mamba;
  const model::Mamba2Spec& mamba2 = a.layers[stage - 1].mamba2;
  for (const std::string* name :
       {&mamba.conv.weight, &mamba.conv.bias, &mamba.a_log, &mamba.d, &mamba2.conv.weight,
        &mamba2.conv.bias, &mamba2.a_log, &mamba2.d, &mamba2.dt_bias})
    if (!name->empty()) visit(*name);
  const model::RwkvSpec& rwkv = a.layers[stage - 1].rwkv;
  const model::RwkvChannelMixSpec& channel_mix = a.layers[stage - 1].channel_mix;
  for (const std::string* name :
       {&rwkv.receptance_mix.vector, &rwkv.key_mix.vector, &rwkv.value_mix.vector,
        &rwkv.gate_mix.vector, &rwkv.decay_mix.vector, &rwkv.rate_mix.vector, &rwkv.first_mix,
        &rwkv.decay, &rwkv.bonus, &rwkv.key_scale, &rwkv.key_rate, &channel_mix.key_mix.vector,
        &channel_mix.receptance_mix.vector})
    if (!name->empty()) visit(*name);
}

std::uint64_t BorderWidth(const model::Architecture& architecture) {
  std::uint64_t width = architecture.hidden_size;
  // Layers after the first that blend its values into theirs.
  for (const model::LayerSpec& layer : architecture.layers)
    if (layer.rwkv.value_low.present()) return width + layer.rwkv.inner();
  return width;
}

void VisitInputs(const model::Architecture& a, std::size_t stage,
                 const std::function<void(const model::LinearRef&, bool expert)>& visit) {
  const auto each = [&](const model::LinearRef& ref) { visit(ref, false); };
  if (stage == 0 || stage > a.layers.size()) {
    VisitStage(a, stage, each, [](const model::NormSpec&) {});
    return;
  }
  const model::LayerSpec& layer = a.layers[stage - 1];
  VisitRefs({&layer.attention.q, &layer.attention.qkv, &layer.attention.o, &layer.mlp.router},
            each);
  VisitRefs({&layer.mamba.x, &layer.mamba.dt, &layer.mamba.time_step, &layer.mamba.out,
             &layer.mamba2.z, &layer.mamba2.out, &layer.retention.q, &layer.retention.out},
            each);
  // RWKV mixes an input for every projection.
  VisitRwkv(layer.rwkv, each);
  VisitRefs({&layer.channel_mix.key, &layer.channel_mix.value, &layer.channel_mix.receptance},
            each);
  VisitMlpInputs(layer.mlp, each);
  for (const model::MlpSpec& expert : layer.mlp.experts)
    VisitMlpInputs(expert, [&](const model::LinearRef& ref) { visit(ref, true); });
  for (const model::MlpSpec& shared : layer.mlp.shared_expert) VisitMlpInputs(shared, each);
}

}  // namespace ingot::calibration
