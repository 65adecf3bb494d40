#include "model/source/gguf/gguf_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace ingot::model {
namespace {

// Experts: "ffn_gate_exps" stacked, "ffn_gate.3" (old files) one by one.
struct ExpertName {
  std::string_view part;  // "gate", "up", "down"
  std::optional<std::uint64_t> index;
};

std::optional<std::uint64_t> ParseIndex(std::string_view digits) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::optional<ExpertName> ParseExpert(std::string_view module) {
  for (const std::string_view part : {"gate", "up", "down"}) {
    if (module == fmt::format("ffn_{}_exps", part)) return ExpertName{part, std::nullopt};
    const std::string old = fmt::format("ffn_{}.", part);
    if (!module.starts_with(old)) continue;
    if (const auto index = ParseIndex(module.substr(old.size()))) return ExpertName{part, index};
  }
  return std::nullopt;
}

// What a converter's flags and sizes decide.
struct HeadSizes {
  std::uint64_t heads = 0, kv_heads = 0, head_dim = 0;
};

HeadSizes SizesOf(const nlohmann::json& config) {
  HeadSizes sizes;
  sizes.heads = config.value("num_attention_heads", std::uint64_t{0});
  sizes.kv_heads = config.value("num_key_value_heads", sizes.heads);
  sizes.head_dim = config.value("head_dim", std::uint64_t{0});
  return sizes;
}

class Placer {
 public:
  Placer(const Gguf& gguf, const GgufFamily& family, const nlohmann::json& config)
      : gguf_(gguf),
        family_(family),
        mixtral_(std::string_view(family.model_type) == "mixtral"),
        two_norms_(config.value("num_ln_in_parallel_attn", 0) == 2),
        rescale_every_(config.value("rescale_every", std::uint64_t{0})),
        sizes_(SizesOf(config)) {}

  Result<std::vector<GgufPlace>> Place() {
    for (const GgufTensor& tensor : gguf_.tensors) INGOT_TRY(PlaceOne(tensor));
    return std::move(places_);
  }

 private:
  Status PlaceOne(const GgufTensor& tensor);
  Status PlaceInLayer(const GgufTensor& tensor, std::string_view layer, std::string_view module,
                      const std::string& suffix);
  Status PlaceExperts(const GgufTensor& tensor, const ExpertName& expert, const std::string& layer);
  // Of the tensor's first dimension, a tensor each; `name` says how they are called.
  template <typename Name>
  Status Split(const GgufTensor& tensor, Name name, GgufChange change = GgufChange::kNone);
  Status Add(const GgufTensor& tensor, std::string name, std::string_view module,
             GgufChange change = GgufChange::kNone, std::uint64_t layer = 0);
  Status Change(const GgufTensor& tensor, std::string_view module, std::uint64_t layer,
                GgufPlace& place);
  Status Unknown(const GgufTensor& tensor) const {
    return Unsupported(fmt::format("tensor '{}' has no known place in architecture '{}'",
                                   tensor.name, family_.architecture));
  }

  const Gguf& gguf_;
  const GgufFamily& family_;
  bool mixtral_, two_norms_;
  std::uint64_t rescale_every_;
  HeadSizes sizes_;
  std::vector<GgufPlace> places_;
};

GgufPlace PlaceOf(const GgufTensor& tensor) {
  GgufPlace place;
  place.name = tensor.name;
  place.shape = tensor.shape;
  place.type = tensor.type;
  place.offset = tensor.offset;
  place.bytes = tensor.bytes;
  place.part = tensor.part;
  return place;
}

// Mamba-2 has one number a head, which the file has as a column.
bool IsColumnOfLogs(const GgufPlace& place) {
  return place.change == GgufChange::kLogNegative && place.shape.size() == 2 && place.shape[1] == 1;
}

// What the change needs to know, and the shape it leads to.
Status Placer::Change(const GgufTensor& tensor, std::string_view module, std::uint64_t layer,
                      GgufPlace& place) {
  const std::uint64_t rows = place.shape.front(), head_dim = sizes_.head_dim;
  if (place.change == GgufChange::kNone && family_.permuted &&
      (module == "attn_q" || module == "attn_k")) {
    if (head_dim == 0 || head_dim % 2 != 0 || rows % head_dim != 0)
      return Corruption(fmt::format("tensor '{}': {} rows are no whole heads of {} rows",
                                    tensor.name, rows, head_dim));
    place.change = GgufChange::kUnpermute;
    place.head_rows = head_dim;
  } else if (place.change == GgufChange::kNone && family_.norms_offset &&
             module.ends_with("norm")) {
    place.change = GgufChange::kMinusOne;
  } else if (place.change == GgufChange::kGroupHeads) {
    if (head_dim == 0 || head_dim > rows || sizes_.heads > rows || sizes_.kv_heads == 0 ||
        sizes_.heads % sizes_.kv_heads != 0 ||
        rows != (sizes_.heads + 2 * sizes_.kv_heads) * head_dim)
      return Corruption(fmt::format("tensor '{}': {} rows are no {} + 2 x {} heads of {} rows",
                                    tensor.name, rows, sizes_.heads, sizes_.kv_heads, head_dim));
    place.head_rows = head_dim;
    place.groups = sizes_.kv_heads;
    place.group_heads = sizes_.heads / sizes_.kv_heads;
  } else if (place.change == GgufChange::kTranspose) {
    if (place.shape.size() == 2)
      std::swap(place.shape[0], place.shape[1]);
    else
      place.change = GgufChange::kNone;  // a bias
  } else if (place.change == GgufChange::kColumn) {
    if (place.shape.size() == 2) place.shape = {place.shape[0], 1, place.shape[1]};
    place.change = GgufChange::kNone;
  } else if (place.change == GgufChange::kRow) {
    if (place.shape.size() == 1) place.shape = {1, place.shape[0]};
    place.change = GgufChange::kNone;
  } else if (place.change == GgufChange::kFlat || IsColumnOfLogs(place)) {
    std::uint64_t elements = 1;
    for (const std::uint64_t n : place.shape) elements *= n;
    place.shape = {elements};
    if (place.change == GgufChange::kFlat) place.change = GgufChange::kNone;
  } else if (place.change == GgufChange::kTwice) {
    const std::uint64_t halved = rescale_every_ == 0 ? 0 : layer / rescale_every_;
    if (halved > 100)
      return Corruption(
          fmt::format("metadata: weights of layer {} are halved {} times", layer, halved));
    place.factor = std::ldexp(1.0f, static_cast<int>(halved));
    if (halved == 0) place.change = GgufChange::kNone;
  }
  return OkStatus();
}

Status Placer::Add(const GgufTensor& tensor, std::string name, std::string_view module,
                   GgufChange change, std::uint64_t layer) {
  GgufPlace place = PlaceOf(tensor);
  place.name = std::move(name);
  place.change = change;
  INGOT_TRY(Change(tensor, module, layer, place));
  places_.push_back(std::move(place));
  return OkStatus();
}

template <typename Name>
Status Placer::Split(const GgufTensor& tensor, Name name, GgufChange change) {
  if (tensor.shape.size() < 2 || tensor.shape[0] == 0) return Unknown(tensor);
  GgufTensor one = tensor;
  const std::uint64_t count = tensor.shape[0];
  one.shape.assign(tensor.shape.begin() + 1, tensor.shape.end());
  one.bytes = tensor.bytes / count;
  if (count > 65536)
    return Unsupported(fmt::format("tensor '{}': {} experts or heads", tensor.name, count));
  for (std::uint64_t i = 0; i < count; ++i, one.offset += one.bytes)
    INGOT_TRY(Add(one, name(i), "", change));
  return OkStatus();
}

Status Placer::PlaceExperts(const GgufTensor& tensor, const ExpertName& expert,
                            const std::string& layer) {
  const auto name = [&](std::uint64_t index) {
    if (!mixtral_)
      return fmt::format("{}.{}.weight", layer,
                         fmt::format(fmt::runtime(family_.experts), index, expert.part));
    const char* matrix = expert.part == "gate" ? "w1" : expert.part == "up" ? "w3" : "w2";
    return fmt::format("{}.block_sparse_moe.experts.{}.{}.weight", layer, index, matrix);
  };
  if (expert.index) return Add(tensor, name(*expert.index), "");
  if (tensor.shape.size() != 3) return Unknown(tensor);
  return Split(tensor, name);
}

Status Placer::PlaceInLayer(const GgufTensor& tensor, std::string_view layer,
                            std::string_view module, const std::string& suffix) {
  const auto index = ParseIndex(layer);
  if (!index) return Unknown(tensor);
  const std::string prefix = fmt::format("{}{}", family_.layers, *index);
  if (suffix == ".weight")
    if (const auto expert = ParseExpert(module)) return PlaceExperts(tensor, *expert, prefix);
  const GgufNameRow* row = InsideName(family_, module);
  if (row == nullptr) return Unknown(tensor);
  std::string_view hf = row->hf;
  // Falcon of 40B: the norm of the MLP comes first in the file.
  if (two_norms_ && module == "attn_norm") hf = "ln_mlp";
  const std::string ending(row->suffix == "*" ? std::string_view(suffix) : row->suffix);
  if (family_.skips_first_values && *index == 0 && module.starts_with("time_mix_v") &&
      module.size() == std::string_view("time_mix_v0").size())
    return OkStatus();
  const std::size_t at = hf.find("{}");
  if (at == std::string_view::npos)
    return Add(tensor, fmt::format("{}.{}{}", prefix, hf, ending), module, row->change, *index);
  GgufTensor rows = tensor;
  if (!row->parts.empty()) {
    // Dimensions of 1 say nothing.
    std::erase(rows.shape, std::uint64_t{1});
    if (rows.shape.size() != 2 || rows.shape[0] != row->parts.size()) return Unknown(tensor);
  }
  const auto name = [&](std::uint64_t i) {
    const std::string part = row->parts.empty() ? std::to_string(i) : std::string(1, row->parts[i]);
    return fmt::format("{}.{}{}{}{}", prefix, hf.substr(0, at), part, hf.substr(at + 2), ending);
  };
  return Split(
      rows, name,
      row->change == GgufChange::kTransposeEach ? GgufChange::kTranspose : GgufChange::kNone);
}

Status Placer::PlaceOne(const GgufTensor& tensor) {
  const std::string_view name = tensor.name;
  if (name.starts_with("rope_f") || name.ends_with("attn_rot_embd.weight") ||
      name.ends_with(".rope_freqs.weight"))
    return OkStatus();
  std::string_view stem = name;
  std::string suffix;  // parameters of a mixer have none
  for (const std::string_view known : {".weight", ".bias"})
    if (name.ends_with(known)) {
      suffix = known;
      stem.remove_suffix(known.size());
    }
  constexpr std::string_view kLayer = "blk.";
  if (stem.starts_with(kLayer)) {
    const std::string_view rest = stem.substr(kLayer.size());
    const std::size_t second = rest.find('.');
    if (second == std::string_view::npos) return Unknown(tensor);
    return PlaceInLayer(tensor, rest.substr(0, second), rest.substr(second + 1), suffix);
  }
  const GgufNameRow* row = OutsideName(family_, stem);
  if (row == nullptr || suffix.empty()) return Unknown(tensor);
  return Add(tensor, std::string(row->hf) + suffix, stem, row->change);
}

// Biases of the linear layers of a family whose config has attention_bias and mlp_bias.
class BiasFlags {
 public:
  BiasFlags(nlohmann::json& config, std::vector<GgufPlace>& places)
      : config_(config),
        places_(places),  // Every layer has a tensor, whatever the file says.
        layers_(std::min<std::uint64_t>(config.value("num_hidden_layers", std::uint64_t{0}),
                                        places.size())) {
    for (const GgufPlace& place : places) by_name_.emplace(place.name, &place - places.data());
  }

  Status Apply() {
    const std::string type = config_.value("model_type", std::string());
    if (type != "llama" && type != "mistral" && type != "granite") return OkStatus();
    const bool qkv = Any(kQkv), output = Any(kOutput), mlp = Any(kMlp);
    if (!qkv && !output && !mlp) return OkStatus();
    const bool window = config_.contains("sliding_window") && !config_["sliding_window"].is_null();
    if (type != "granite" && !output && !mlp && !window) {
      // Qwen2 is LLaMA with these biases.
      config_["model_type"] = "qwen2";
      config_["architectures"] = {"Qwen2ForCausalLM"};
      config_["use_sliding_window"] = false;
      config_.erase("sliding_window");
      return Fill(kQkv);
    }
    if (type == "mistral") {
      if (window) return Unsupported("architecture 'mistral' with biases and a sliding window");
      config_["model_type"] = "llama";
      config_["architectures"] = {"LlamaForCausalLM"};
      config_.erase("sliding_window");
    }
    config_["attention_bias"] = qkv || output;
    config_["mlp_bias"] = mlp;
    if (qkv || output) {
      INGOT_TRY(Fill(kQkv));
      INGOT_TRY(Fill(kOutput));
    }
    return mlp ? Fill(kMlp) : OkStatus();
  }

 private:
  using Modules = std::initializer_list<const char*>;
  static constexpr Modules kQkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"};
  static constexpr Modules kOutput = {"self_attn.o_proj"};
  static constexpr Modules kMlp = {"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"};

  static std::string Name(std::uint64_t layer, const char* module, const char* suffix) {
    return fmt::format("model.layers.{}.{}.{}", layer, module, suffix);
  }

  bool Any(Modules modules) const {
    for (std::uint64_t layer = 0; layer < layers_; ++layer)
      for (const char* module : modules)
        if (by_name_.contains(Name(layer, module, "bias"))) return true;
    return false;
  }

  // Zeros where one is missing beside its weight.
  Status Fill(Modules modules) {
    for (std::uint64_t layer = 0; layer < layers_; ++layer)
      for (const char* module : modules) {
        const auto weight = by_name_.find(Name(layer, module, "weight"));
        std::string name = Name(layer, module, "bias");
        if (weight == by_name_.end() || by_name_.contains(name)) continue;
        GgufPlace zeros;
        zeros.name = std::move(name);
        zeros.shape = {places_[weight->second].shape.front()};
        zeros.type = FindGgufType(0);
        zeros.change = GgufChange::kZeros;
        places_.push_back(std::move(zeros));
      }
    return OkStatus();
  }

  nlohmann::json& config_;
  std::vector<GgufPlace>& places_;
  std::uint64_t layers_;
  std::map<std::string, std::size_t> by_name_;
};

}  // namespace

std::vector<GgufPlace> PlaceGgufTensorsAsTheyAre(const Gguf& gguf) {
  std::vector<GgufPlace> places;
  for (const GgufTensor& tensor : gguf.tensors) places.push_back(PlaceOf(tensor));
  std::sort(places.begin(), places.end(),
            [](const GgufPlace& a, const GgufPlace& b) { return a.name < b.name; });
  return places;
}

std::uint64_t GroupedSourceRow(const GgufPlace& place, std::uint64_t row) {
  const std::uint64_t d = place.head_rows, q = place.group_heads;
  const std::uint64_t block = row / d, inside = row % d;
  const std::uint64_t group = block / (q + 2), member = block % (q + 2);
  if (member < q) return (group * q + member) * d + inside;
  const std::uint64_t first = (place.groups * q + (member - q) * place.groups) * d;
  return first + group * d + inside;
}

Result<std::vector<GgufPlace>> PlaceGgufTensors(const Gguf& gguf, const GgufFamily& family,
                                                nlohmann::json& config) {
  INGOT_ASSIGN(std::vector<GgufPlace> places, Placer(gguf, family, config).Place());
  INGOT_TRY(BiasFlags(config, places).Apply());
  std::sort(places.begin(), places.end(),
            [](const GgufPlace& a, const GgufPlace& b) { return a.name < b.name; });
  for (std::size_t i = 1; i < places.size(); ++i)
    if (places[i].name == places[i - 1].name)
      return Corruption(fmt::format("two tensors stand for '{}'", places[i].name));
  return places;
}

}  // namespace ingot::model
