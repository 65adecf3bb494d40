// BERT, RoBERTa and DistilBERT with their masked-LM heads: encoders, post-norm, learned positions,
// every token sees all others. Checkpoints name the body under a prefix ("bert.", "roberta.",
// "distilbert.") or without one.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/families/family.h"

namespace ingot::model {
namespace {

// Where a family keeps the parts of a layer and of its head.
struct EncoderNames {
  const char* prefix;  // of the body, may be missing in a file
  const char* layers;  // "<prefix><layers>N."
  const char* q;       // of a layer, as the others
  const char* k;
  const char* v;
  const char* o;
  const char* attention_norm;
  const char* up;
  const char* down;
  const char* mlp_norm;
  const char* head_dense;  // of the file, as the others
  const char* head_norm;
  const char* head;       // its weight where it is not tied, and perhaps its bias
  const char* head_bias;  // the bias by another name, "": none
};

constexpr EncoderNames kBertNames = {"bert.",
                                     "encoder.layer.",
                                     "attention.self.query",
                                     "attention.self.key",
                                     "attention.self.value",
                                     "attention.output.dense",
                                     "attention.output.LayerNorm",
                                     "intermediate.dense",
                                     "output.dense",
                                     "output.LayerNorm",
                                     "cls.predictions.transform.dense",
                                     "cls.predictions.transform.LayerNorm",
                                     "cls.predictions.decoder",
                                     "cls.predictions.bias"};
constexpr EncoderNames kRobertaNames = {"roberta.",
                                        "encoder.layer.",
                                        "attention.self.query",
                                        "attention.self.key",
                                        "attention.self.value",
                                        "attention.output.dense",
                                        "attention.output.LayerNorm",
                                        "intermediate.dense",
                                        "output.dense",
                                        "output.LayerNorm",
                                        "lm_head.dense",
                                        "lm_head.layer_norm",
                                        "lm_head.decoder",
                                        "lm_head.bias"};
constexpr EncoderNames kDistilBertNames = {"distilbert.",     "transformer.layer.",
                                           "attention.q_lin", "attention.k_lin",
                                           "attention.v_lin", "attention.out_lin",
                                           "sa_layer_norm",   "ffn.lin1",
                                           "ffn.lin2",        "output_layer_norm",
                                           "vocab_transform", "vocab_layer_norm",
                                           "vocab_projector", ""};

// The first checkpoints call a norm's vectors gamma and beta.
NormSpec EncoderNorm(const FamilyContext& context, const std::string& module, double eps) {
  const bool old = context.has_tensor(module + ".gamma");
  NormSpec norm;
  norm.kind = NormKind::kLayer;
  norm.weight = module + (old ? ".gamma" : ".weight");
  norm.bias = module + (old ? ".beta" : ".bias");
  norm.eps = eps;
  return norm;
}

LayerSpec BuildLayer(const FamilyContext& context, const EncoderNames& names,
                     const CommonSizes& sizes, const std::string& layer_name) {
  const std::uint64_t hidden = sizes.hidden;
  LayerSpec layer;
  layer.residual = ResidualKind::kPostNorm;
  AttentionSpec& attention = layer.attention;
  attention.heads = sizes.heads;
  attention.kv_heads = sizes.heads;
  attention.head_dim = sizes.head_dim;
  attention.scale = 1 / std::sqrt(static_cast<double>(sizes.head_dim));
  attention.causal = false;
  attention.q = Linear(layer_name + names.q, hidden, hidden, true);
  attention.k = Linear(layer_name + names.k, hidden, hidden, true);
  attention.v = Linear(layer_name + names.v, hidden, hidden, true);
  attention.o = Linear(layer_name + names.o, hidden, hidden, true);
  layer.post_mixer_norm = EncoderNorm(context, layer_name + names.attention_norm, sizes.eps);
  layer.mlp.kind = MlpKind::kPlain;
  layer.mlp.activation = sizes.activation;
  layer.mlp.up = Linear(layer_name + names.up, sizes.intermediate, hidden, true);
  layer.mlp.down = Linear(layer_name + names.down, hidden, sizes.intermediate, true);
  layer.post_mlp_norm = EncoderNorm(context, layer_name + names.mlp_norm, sizes.eps);
  return layer;
}

// The head's weight is the embedding unless the file has its own; its bias has two names.
void BuildHead(FamilyContext& context, const EncoderNames& names, const CommonSizes& sizes,
               Architecture& a) {
  const std::string dense = names.head_dense;
  if (!context.has_tensor(dense + ".weight")) {
    context.config.Fail(Unsupported(fmt::format(
        "{}: a {} without a masked-LM head (no tensor '{}.weight') predicts no tokens; give the "
        "masked-LM checkpoint",
        context.config.where(), context.model_type, dense)));
    return;
  }
  a.head_dense = Linear(dense, sizes.hidden, sizes.hidden, true);
  a.head_norm = EncoderNorm(context, names.head_norm, sizes.eps);
  a.head_activation = sizes.activation;
  a.head = Linear(names.head, sizes.vocab, sizes.hidden, true);
  if (!context.has_tensor(a.head.bias) && names.head_bias[0] != 0) a.head.bias = names.head_bias;
  if (!context.has_tensor(a.head.weight)) a.head.weight = a.embedding;
}

// What BERT and RoBERTa can be asked to be. (A checkpoint with relative positions has tables of
// distances that transformers 5 leaves out without a word.)
void RefuseOtherKinds(FamilyContext& context) {
  ConfigReader& c = context.config;
  if (c.Flag("is_decoder", false))
    c.Fail(Unsupported(fmt::format("{}: a {} as decoder ('is_decoder') is not supported", c.where(),
                                   context.model_type)));
  const std::string positions = c.Text("position_embedding_type", "absolute");
  if (positions != "absolute")
    c.Fail(Unsupported(fmt::format("{}: 'position_embedding_type' is '{}' (known: absolute)",
                                   c.where(), positions)));
}

Architecture BuildEncoder(FamilyContext& context, const EncoderNames& names,
                          const CommonSizes& sizes) {
  ConfigReader& c = context.config;
  std::string prefix = names.prefix;
  if (!context.has_tensor(prefix + "embeddings.word_embeddings.weight")) prefix.clear();
  const std::string embeddings = prefix + "embeddings.";
  Architecture a;
  a.family = context.model_type;
  a.masked = true;
  a.vocab_size = sizes.vocab;
  a.hidden_size = sizes.hidden;
  a.max_positions = sizes.max_positions;
  a.embedding = embeddings + "word_embeddings.weight";
  a.position_embedding = embeddings + "position_embeddings.weight";
  a.embedding_norm = EncoderNorm(context, embeddings + "LayerNorm", sizes.eps);
  BuildHead(context, names, sizes, a);
  for (std::uint64_t i = 0; i < sizes.layers && c.status().ok(); ++i)
    a.layers.push_back(
        BuildLayer(context, names, sizes, prefix + names.layers + std::to_string(i) + "."));
  return a;
}

}  // namespace

Architecture BuildBert(FamilyContext& context) {
  ConfigReader& c = context.config;
  RefuseOtherKinds(context);
  const bool roberta = context.model_type == "roberta";
  CommonSizes sizes = ReadSizes(context, {.max_positions = 512,
                                          .eps = 1e-12,
                                          .activation = "gelu",
                                          .kv_heads_key = nullptr,
                                          .head_dim_key = nullptr,
                                          .eps_key = "layer_norm_eps"});
  // RoBERTa counts its positions from behind the padding token's.
  std::uint64_t offset = 0;
  if (roberta) {
    offset = c.Count("pad_token_id", 0, kMaxVocab, 1) + 1;
    if (sizes.max_positions <= offset)
      c.Fail(fmt::format("'max_position_embeddings' {} leaves no position behind 'pad_token_id' {}",
                         sizes.max_positions, offset - 1));
    sizes.max_positions -= std::min(sizes.max_positions - 1, offset);
  }
  Architecture a = BuildEncoder(context, roberta ? kRobertaNames : kBertNames, sizes);
  a.position_offset = offset;
  a.segments = c.Count("type_vocab_size", 1, kMaxVocab, 2);
  const std::size_t root = a.embedding.size() - std::string("word_embeddings.weight").size();
  a.segment_embedding = a.embedding.substr(0, root) + "token_type_embeddings.weight";
  if (roberta) a.head_activation = Activation::kGelu;
  return a;
}

Architecture BuildDistilBert(FamilyContext& context) {
  CommonSizes sizes = ReadSizes(context, {.max_positions = 512,
                                          .eps = 1e-12,
                                          .activation_key = "activation",
                                          .activation = "gelu",
                                          .hidden_key = "dim",
                                          .layers_key = "n_layers",
                                          .heads_key = "n_heads",
                                          .kv_heads_key = nullptr,
                                          .intermediate_key = "hidden_dim",
                                          .head_dim_key = nullptr,
                                          .eps_key = nullptr});
  return BuildEncoder(context, kDistilBertNames, sizes);
}

}  // namespace ingot::model
