#include "pack/source_summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "model/families/known_keys.h"
#include "model/source/checkpoint_note.h"
#include "model/source/tensor_names.h"
#include "model/source/tokenizer_status.h"
#include "model/text/json_text.h"
#include "model/tokenizer/tokenizer.h"
#include "pack/name_pattern.h"
#include "pack/own_text.h"
#include "pack/size_estimate.h"

namespace ingot::pack {
namespace {

ParameterSum& operator+=(ParameterSum& sum, const model::TensorInfo& tensor) {
  ++sum.tensors;
  sum.weights += tensor.elements();
  sum.source_bytes += tensor.stored_bytes;
  return sum;
}

std::string TokenizerText(const model::Checkpoint& checkpoint, std::vector<std::string>& problems) {
  const auto& assets = checkpoint.assets();
  auto tokenizer = model::Tokenizer::FromAssets(assets);
  if (const Status why = model::TokenizerStatus(checkpoint); !why.ok()) {
    problems.push_back("tokenizer: " + why.message() + "; it packs with --no-tokenizer");
    return "not understood";
  }
  if (!tokenizer.ok()) {
    if (tokenizer.status().code() == StatusCode::kNotFound) return "none";
    problems.push_back("tokenizer: " + std::string(tokenizer.status().message()));
    return "not understood";
  }
  std::string kind = assets.contains("tokenizer.model") ? "SentencePiece" : "RWKV world";
  if (const auto json = assets.find("tokenizer.json"); json != assets.end()) {
    kind = "tokenizer.json";
    if (const auto parsed = model::ParseJson(json->second); parsed.ok() && parsed->is_object())
      if (const auto it = parsed->find("model"); it != parsed->end() && it->is_object())
        kind = it->value("type", Json("BPE")).is_string() ? it->value("type", "BPE") : kind;
  }
  return fmt::format("{}, {} tokens", kind, (*tokenizer)->vocab_size());
}

// Weights of experts that a token does not visit.
std::uint64_t IdleWeights(const model::MlpSpec& mlp) {
  if (mlp.kind != model::MlpKind::kMoe || mlp.experts.empty()) return 0;
  const model::MlpSpec& expert = mlp.experts.front();
  std::uint64_t weights = 0;
  for (const model::LinearRef* ref : {&expert.gate, &expert.up, &expert.down})
    weights += ref->rows * ref->cols;
  return weights *
         (mlp.experts.size() - std::min<std::uint64_t>(mlp.experts_per_token, mlp.experts.size()));
}

// `learned`: statistics are taken first.
Result<PackPlan> PlanOf(const model::Checkpoint& checkpoint, RolePreset preset, bool learned) {
  PlanOptions options;
  options.preset = std::move(preset);
  options.allow_unused = true;
  options.require_tokenizer = false;
  options.statistics_to_come = learned;
  return MakePlan(checkpoint, options);
}

void SummarizePreset(const model::Checkpoint& checkpoint, const RolePreset& preset,
                     double learned_bits, PresetSummary& summary) {
  const auto text = [&](codecs::RecipeOptions recipe) {
    if (learned_bits > 0) recipe.rate = 0;  // an estimate's, not an option
    return RecipeText(recipe);
  };
  summary.linear = text(preset.linear);
  summary.embedding = text(preset.embedding);
  summary.head = text(preset.head);
  const auto plan = PlanOf(checkpoint, preset, summary.learned);
  if (!plan.ok()) {
    summary.problem = plan.status().message();
    return;
  }
  // Where rows cannot be read, what is compressed counts as it is.
  auto estimates = EstimateBytes(checkpoint, *plan);
  if (estimates.ok() && learned_bits > 0) SpendBits(*plan, learned_bits, *estimates);
  double linear_bytes = 0, linear_weights = 0;
  for (std::size_t t = 0; t < plan->tensors.size(); ++t) {
    const PlannedTensor& tensor = plan->tensors[t];
    summary.bytes.exact += tensor.bytes.exact;
    summary.bytes.at_most += tensor.bytes.at_most;
    summary.bytes.data_dependent |= tensor.bytes.data_dependent;
    summary.resident_bytes += tensor.resident_bytes;
    const double bytes = estimates.ok()
                             ? static_cast<double>((*estimates)[t])
                             : static_cast<double>(tensor.bytes.exact + tensor.bytes.at_most);
    summary.estimated_bytes += static_cast<std::uint64_t>(bytes);
    if (tensor.role != model::TensorRole::kLinear) continue;
    linear_bytes += bytes;
    linear_weights += static_cast<double>(tensor.weights());
  }
  if (linear_weights > 0) summary.bits_per_linear_weight = 8 * linear_bytes / linear_weights;
}

void AddPresets(const model::Checkpoint& checkpoint, SourceSummary& summary) {
  const model::Architecture& a = summary.architecture;
  const bool tied = a.head.weight == a.embedding, learns = summary.cannot_learn.empty();
  const auto add = [&](std::string_view name, PresetSummary::Option option, double learned_bits,
                       const RolePreset& preset, bool learned) {
    PresetSummary& made = summary.presets.emplace_back();
    made.name = name;
    made.option = option;
    made.learned = learned;
    SummarizePreset(checkpoint, preset, learned_bits, made);
  };
  using Option = PresetSummary::Option;
  for (const TargetInfo& target : Targets())
    if (learns)
      add(target.name, Option::kTarget, target.learned_bits,
          LearnedPreset({.codec = std::string(target.learned_codec)}, target.learned_bits, tied),
          true);
  if (learns)
    add("smallest", Option::kSmallest, kSmallestBits,
        LearnedPreset({.codec = "entropy_v2"}, kSmallestBits, tied), true);
  // Three bits by nearest rounding are refused.
  for (const TargetInfo& target : Targets())
    if (const auto preset = TargetPreset(target.name); preset.ok() && target.name != "size")
      add(target.name, Option::kTarget, 0, *preset, false);
  for (const codecs::Recipe& info : codecs::Recipes()) {
    codecs::RecipeOptions recipe;
    recipe.codec = info.name;
    add(info.name, Option::kCodec, 0, CodecPreset(recipe), info.needs_statistics);
  }
}

// What pack takes when nothing is said.
RolePreset DefaultPreset(const SourceSummary& summary) {
  const model::Architecture& a = summary.architecture;
  for (const TargetInfo& target : Targets())
    if (target.name == kDefaultTarget && summary.cannot_learn.empty())
      return LearnedPreset({.codec = std::string(target.learned_codec)}, target.learned_bits,
                           a.head.weight == a.embedding);
  return *TargetPreset(kDefaultTarget);
}

std::string CodecText(codecs::RecipeOptions recipe, const SourceSummary& summary) {
  if (summary.cannot_learn.empty()) recipe.rate = 0;  // an estimate's, not an option
  return RecipeText(recipe);
}

// How each tensor of the file is used, by name; those that are in no plan are unused.
struct Use {
  std::string role, codec;
};
using Uses = std::map<std::string, Use, std::less<>>;

void AddTensors(const model::Checkpoint& checkpoint, const Uses& uses, bool known,
                SourceSummary& summary) {
  std::map<std::tuple<std::string, std::string, std::vector<std::uint64_t>>, std::size_t> index;
  for (const model::TensorInfo& tensor : checkpoint.tensors()) {
    const auto use = uses.find(tensor.name);
    if (use == uses.end() && model::IsKnownBuffer(tensor.name)) continue;
    const Use found = use != uses.end() ? use->second : Use{known ? "unused" : "unknown", ""};
    if (known && use == uses.end()) summary.unused.push_back(tensor.name);
    summary.total += tensor;
    summary.by_role[found.role] += tensor;
    summary.bytes_by_type[tensor.stored_type] += tensor.stored_bytes;
    const std::string pattern = PatternOf(tensor.name);
    const auto [it, inserted] =
        index.emplace(std::tuple(pattern, found.role, tensor.shape), summary.groups.size());
    if (inserted)
      summary.groups.push_back(
          {pattern, tensor.shape, tensor.stored_type, found.role, found.codec, {}});
    summary.groups[it->second].sum += tensor;
  }
}

std::string_view OptionName(PresetSummary::Option option) {
  return option == PresetSummary::Option::kTarget     ? "target"
         : option == PresetSummary::Option::kSmallest ? "smallest"
                                                      : "codec";
}

Json SumJson(const ParameterSum& sum) {
  return {{"tensors", sum.tensors}, {"weights", sum.weights}, {"source_bytes", sum.source_bytes}};
}

std::string_view MixerName(const model::LayerSpec& layer) {
  return model::VisitMixer(layer, [](const auto& mixer) { return mixer.kName; });
}

std::string_view ActivationText(model::Activation activation) {
  switch (activation) {
    case model::Activation::kSilu:
      return "silu";
    case model::Activation::kGelu:
      return "gelu";
    case model::Activation::kGeluTanh:
      return "gelu (tanh)";
    case model::Activation::kRelu:
      return "relu";
    default:
      return "activation";
  }
}

std::string PositionsText(const model::Architecture& a, const model::AttentionSpec& attention) {
  if (attention.alibi) return "ALiBi";
  if (attention.rope < a.ropes.size() && a.ropes[attention.rope].dims > 0) {
    const model::RopeSpec& rope = a.ropes[attention.rope];
    return rope.dims == attention.head_dim
               ? "rotary"
               : fmt::format("rotary over {} of {} dimensions", rope.dims, attention.head_dim);
  }
  return a.position_embedding.empty() ? "no positions" : "learned positions";
}

Json ArchitectureJson(const model::Architecture& a) {
  if (a.layers.empty()) return nullptr;
  std::map<std::string, std::size_t> mixers;
  Json json = {{"family", a.family},
               {"layers", a.layers.size()},
               {"hidden_size", a.hidden_size},
               {"vocab_size", a.vocab_size},
               {"context", a.max_positions},
               {"tied_head", a.head.weight == a.embedding},
               {"masked", a.masked}};
  const model::AttentionSpec* attention = nullptr;
  std::uint64_t windowed = 0, window = 0, experts = 0, per_token = 0;
  for (const model::LayerSpec& layer : a.layers) {
    ++mixers[std::string(MixerName(layer))];
    if (layer.mixer == model::MixerKind::kAttention) {
      if (attention == nullptr) attention = &layer.attention;
      windowed += layer.attention.window > 0;
      window = std::max(window, layer.attention.window);
    }
    if (layer.mlp.experts.size() > experts) {
      experts = layer.mlp.experts.size();
      per_token = layer.mlp.experts_per_token;
    }
  }
  json["mixers"] = mixers;
  if (attention != nullptr) {
    json["heads"] = attention->heads;
    json["kv_heads"] = attention->kv_heads;
    json["head_dim"] = attention->head_dim;
    json["positions"] = PositionsText(a, *attention);
    json["window"] = window;
    json["windowed_layers"] = windowed;
  }
  if (experts > 0) {
    json["experts"] = experts;
    json["experts_per_token"] = per_token;
  }
  return json;
}

}  // namespace

std::string LayersText(const model::Architecture& a) {
  std::vector<std::pair<std::string, std::size_t>> kinds;  // in the order of the layers
  for (const model::LayerSpec& layer : a.layers) {
    std::string text(MixerName(layer));
    if (layer.mixer == model::MixerKind::kAttention) {
      const model::AttentionSpec& spec = layer.attention;
      text = fmt::format("attention, {} heads", spec.heads);
      if (spec.kv_heads != spec.heads)
        text += fmt::format(" over {} of keys and values", spec.kv_heads);
      text += fmt::format(", {} wide; {}", spec.head_dim, PositionsText(a, spec));
      if (spec.window > 0) text += fmt::format("; window {}", spec.window);
    }
    const auto known = std::find_if(kinds.begin(), kinds.end(),
                                    [&](const auto& kind) { return kind.first == text; });
    if (known == kinds.end())
      kinds.emplace_back(text, 1);
    else
      ++known->second;
  }
  std::string all;
  for (const auto& [text, layers] : kinds)
    all += (all.empty() ? "" : " | ") +
           (kinds.size() > 1 ? fmt::format("{} x {}", layers, text) : text);
  return all;
}

std::string MlpText(const model::Architecture& a) {
  if (a.layers.empty()) return {};
  const auto largest = std::max_element(
      a.layers.begin(), a.layers.end(),
      [](const auto& x, const auto& y) { return x.mlp.experts.size() < y.mlp.experts.size(); });
  const model::MlpSpec* mlp = &largest->mlp;
  std::string text;
  if (mlp->kind == model::MlpKind::kMoe && !mlp->experts.empty()) {
    text = fmt::format("{} experts, {} a token{}, ", mlp->experts.size(), mlp->experts_per_token,
                       mlp->shared_expert.empty() ? "" : ", one shared");
    mlp = &mlp->experts.front();
  }
  if (mlp->kind == model::MlpKind::kRwkvChannelMix)
    return fmt::format("RWKV channel mixing {}", largest->channel_mix.key.rows);
  if (!mlp->up.present()) return text + "none";
  return text + fmt::format("{} {} {}", mlp->kind == model::MlpKind::kGated ? "gated" : "plain",
                            ActivationText(mlp->activation), mlp->up.rows);
}

SourceSummary SummarizeSource(const model::Checkpoint& checkpoint) {
  SourceSummary summary;
  summary.path = checkpoint.path();
  summary.format = checkpoint.format();
  if (const auto type = checkpoint.config().find("model_type");
      type != checkpoint.config().end() && type->is_string())
    summary.model_type = type->get<std::string>();
  const auto has = [&](std::string_view name) { return checkpoint.Find(name) != nullptr; };
  auto built = model::BuildArchitecture(checkpoint.config(), has);
  Uses uses;
  bool known = false;
  if (!built.ok()) {
    summary.problems.push_back(built.status().message());
  } else {
    summary.architecture = *std::move(built);
    for (std::string note :
         {model::NoteOf(checkpoint), model::NoteOnKeys(checkpoint.config(), has)})
      if (!note.empty()) summary.notes.push_back(std::move(note));
    summary.cannot_learn = WhyNoOwnText(checkpoint, summary.architecture);
    summary.overhead_bytes = EstimateOverhead(checkpoint);
    const auto plan = PlanOf(checkpoint, DefaultPreset(summary), summary.cannot_learn.empty());
    known = true;
    if (!plan.ok()) {
      summary.problems.push_back(plan.status().message());
    } else if (const Status unused =
                   model::CheckTensors(summary.architecture, checkpoint.tensors(), false);
               !unused.ok()) {
      summary.problems.push_back(std::string(unused.message()) +
                                 "; pack refuses it without --allow-unused");
    }
    // Without a plan (a tensor is missing, say) the uses still tell roles.
    for (const model::TensorUse& use : model::TensorUses(summary.architecture))
      uses[use.name] = {std::string(RoleName(use.role)), ""};
    if (plan.ok())
      for (const PlannedTensor& tensor : plan->tensors)
        uses[tensor.source.name].codec = CodecText(tensor.recipe, summary);
    if (plan.ok()) AddPresets(checkpoint, summary);
  }
  summary.tokenizer = TokenizerText(checkpoint, summary.problems);
  AddTensors(checkpoint, uses, known, summary);
  summary.active_weights = summary.total.weights;
  for (const model::LayerSpec& layer : summary.architecture.layers)
    summary.active_weights -= std::min(summary.active_weights, IdleWeights(layer.mlp));
  return summary;
}

Json SourceJson(const SourceSummary& s) {
  Json roles = Json::object(), groups = Json::array(), presets = Json::array();
  for (const auto& [role, sum] : s.by_role) roles[role] = SumJson(sum);
  for (const TensorGroup& group : s.groups) {
    Json json = SumJson(group.sum);
    json.update({{"pattern", group.pattern},
                 {"shape", group.shape},
                 {"stored_type", group.stored_type},
                 {"role", group.role},
                 {"codec", group.codec}});
    groups.push_back(std::move(json));
  }
  for (const PresetSummary& preset : s.presets) {
    Json json = {{"name", preset.name},           {"option", OptionName(preset.option)},
                 {"learned", preset.learned},     {"linear", preset.linear},
                 {"embedding", preset.embedding}, {"head", preset.head}};
    if (preset.problem.empty())
      json.update({{"exact_bytes", preset.bytes.exact},
                   {"at_most_bytes", preset.bytes.at_most},
                   {"data_dependent", preset.bytes.data_dependent},
                   {"estimated_bytes", preset.estimated_bytes},
                   {"estimated_file_bytes",
                    preset.estimated_bytes + static_cast<std::uint64_t>(s.overhead_bytes)},
                   {"resident_bytes", preset.resident_bytes},
                   {"bits_per_linear_weight", preset.bits_per_linear_weight}});
    else
      json["problem"] = preset.problem;
    presets.push_back(std::move(json));
  }
  return {{"kind", "source"},
          {"path", s.path},
          {"format", s.format},
          {"model_type", s.model_type},
          {"understood", s.understood()},
          {"problems", s.problems},
          {"notes", s.notes},
          {"architecture", ArchitectureJson(s.architecture)},
          {"parameters", s.total.weights},
          {"active_parameters", s.active_weights},
          {"roles", roles},
          {"source_bytes", s.total.source_bytes},
          {"source_types", s.bytes_by_type},
          {"tokenizer", s.tokenizer},
          {"tensor_groups", groups},
          {"unused", s.unused},
          {"presets", presets},
          {"default_target", kDefaultTarget},
          {"learns", s.cannot_learn.empty()}};
}

}  // namespace ingot::pack
