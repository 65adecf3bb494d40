#include "model/architecture/walk.h"

namespace ingot::model {
namespace {

std::uint64_t EmbeddingWidth(const Architecture& a) {
  return a.embedding_size != 0 ? a.embedding_size : a.hidden_size;
}

// REQUIRES: an MLP of matrices.
void VisitDense(const MlpSpec& mlp, std::uint64_t hidden, bool expert, PartVisitor& visitor) {
  const std::uint64_t inner = mlp.down.cols;
  const bool gated = mlp.kind == MlpKind::kGated;
  if (gated) visitor.Linear(mlp.gate, inner, hidden, {.first = true, .expert = expert});
  visitor.Linear(mlp.up, inner, hidden, {.first = !gated, .expert = expert});
  visitor.OptionalNorm(mlp.inner_norm, inner);
  visitor.Linear(mlp.down, hidden, inner, {.first = true, .expert = expert});
}

void VisitMlp(const LayerSpec& layer, const MixerContext& context, PartVisitor& visitor) {
  const MlpSpec& mlp = layer.mlp;
  switch (mlp.kind) {
    case MlpKind::kNone:
      return;
    case MlpKind::kRwkvChannelMix:
      return layer.channel_mix.VisitParts(context, visitor);
    case MlpKind::kGated:
    case MlpKind::kPlain:
      return VisitDense(mlp, context.hidden, false, visitor);
    case MlpKind::kMoe:
      break;
  }
  visitor.Linear(mlp.router, mlp.experts.size(), context.hidden, kNewInput);
  for (const MlpSpec& expert : mlp.experts) VisitDense(expert, context.hidden, true, visitor);
  for (const MlpSpec& shared : mlp.shared_expert)
    VisitDense(shared, context.hidden, false, visitor);
  visitor.OptionalLinear(mlp.shared_gate, 1, context.hidden, kSameInput);
}

void VisitExit(const ExitSpec& exit, std::uint64_t hidden, PartVisitor& visitor) {
  visitor.OptionalNorm(exit.norm, hidden);
  visitor.Linear(exit.up, exit.up.rows, hidden, kNewInput);
  visitor.Linear(exit.down, 1, exit.up.rows, kNewInput);
}

}  // namespace

void VisitEmbeddingParts(const Architecture& a, PartVisitor& visitor) {
  const std::uint64_t width = EmbeddingWidth(a);
  visitor.Table(a.embedding, a.vocab_size, width);
  visitor.OptionalLinear(a.embedding_projection, a.hidden_size, width, kNewInput);
  if (!a.position_embedding.empty())
    visitor.Table(a.position_embedding, a.max_positions + a.position_offset, a.hidden_size);
  if (!a.segment_embedding.empty()) visitor.Table(a.segment_embedding, a.segments, a.hidden_size);
  visitor.OptionalNorm(a.embedding_norm, a.hidden_size);
}

void VisitLayerParts(const Architecture& a, std::size_t index, PartVisitor& visitor) {
  const LayerSpec& layer = a.layers[index];
  const MixerContext context = ContextOf(a);
  visitor.OptionalNorm(layer.pre_mixer_norm, context.hidden);
  VisitMixer(layer, [&](const auto& mixer) { mixer.VisitParts(context, visitor); });
  visitor.OptionalNorm(layer.post_mixer_norm, context.hidden);
  visitor.OptionalNorm(layer.pre_mlp_norm, context.hidden);
  VisitMlp(layer, context, visitor);
  visitor.OptionalNorm(layer.post_mlp_norm, context.hidden);
  for (const ExitSpec& exit : a.exits)
    if (exit.layer == index) VisitExit(exit, context.hidden, visitor);
}

void VisitHeadParts(const Architecture& a, PartVisitor& visitor) {
  const std::uint64_t width = EmbeddingWidth(a);
  visitor.OptionalNorm(a.final_norm, a.hidden_size);
  visitor.OptionalLinear(a.head_projection, width, a.hidden_size, kNewInput);
  visitor.OptionalLinear(a.head_dense, width, width, kNewInput);
  visitor.OptionalNorm(a.head_norm, width);
  visitor.Linear(a.head, a.vocab_size, width, {.head = true});
}

void VisitParts(const Architecture& a, PartVisitor& visitor) {
  VisitEmbeddingParts(a, visitor);
  for (std::size_t i = 0; i < a.layers.size(); ++i) VisitLayerParts(a, i, visitor);
  VisitHeadParts(a, visitor);
}

}  // namespace ingot::model
