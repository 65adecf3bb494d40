#include "model/source/gguf/gguf_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

namespace ingot::model {
namespace {

struct NameRow {
  std::string_view gguf;
  std::string_view hf;
};

constexpr NameRow kOutside[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}};

constexpr NameRow kInLayer[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
    {"attn_qkv", "self_attn.qkv_proj"},  {"attn_output", "self_attn.o_proj"},
    {"attn_q_norm", "self_attn.q_norm"}, {"attn_k_norm", "self_attn.k_norm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

std::string_view Lookup(std::span<const NameRow> rows, std::string_view name) {
  for (const NameRow& row : rows)
    if (row.gguf == name) return row.hf;
  return {};
}

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

class Placer {
 public:
  Placer(const Gguf& gguf, const GgufFamily& family, const nlohmann::json& config)
      : gguf_(gguf),
        family_(family),
        mixtral_(std::string_view(family.model_type) == "mixtral"),
        post_norms_(std::string_view(family.model_type) == "gemma2" ||
                    std::string_view(family.model_type) == "gemma3_text"),
        phi3_(std::string_view(family.model_type) == "phi3"),
        head_dim_(config.at("head_dim").get<std::uint64_t>()) {}

  Result<std::vector<GgufPlace>> Place() {
    for (const GgufTensor& tensor : gguf_.tensors) INGOT_TRY(PlaceOne(tensor));
    std::sort(places_.begin(), places_.end(),
              [](const GgufPlace& a, const GgufPlace& b) { return a.name < b.name; });
    for (std::size_t i = 1; i < places_.size(); ++i)
      if (places_[i].name == places_[i - 1].name)
        return Corruption(fmt::format("two tensors stand for '{}'", places_[i].name));
    return std::move(places_);
  }

 private:
  Status PlaceOne(const GgufTensor& tensor);
  Status PlaceInLayer(const GgufTensor& tensor, std::string_view layer, std::string_view module,
                      std::string_view suffix);
  Status PlaceExperts(const GgufTensor& tensor, const ExpertName& expert, const std::string& layer);
  std::string_view LayerModule(std::string_view module) const;
  Status Add(const GgufTensor& tensor, std::string name, std::string_view module);
  Status Unknown(const GgufTensor& tensor) const {
    return Unsupported(fmt::format("tensor '{}' has no known place in architecture '{}'",
                                   tensor.name, family_.architecture));
  }

  const Gguf& gguf_;
  const GgufFamily& family_;
  bool mixtral_, post_norms_, phi3_;
  std::uint64_t head_dim_;
  std::vector<GgufPlace> places_;
};

Status Placer::Add(const GgufTensor& tensor, std::string name, std::string_view module) {
  GgufPlace place;
  place.name = std::move(name);
  place.shape = tensor.shape;
  place.type = tensor.type;
  place.offset = tensor.offset;
  place.bytes = tensor.bytes;
  if (family_.permuted && (module == "attn_q" || module == "attn_k")) {
    const std::uint64_t rows = place.shape.front();
    if (head_dim_ == 0 || head_dim_ % 2 != 0 || rows % head_dim_ != 0)
      return Corruption(fmt::format("tensor '{}': {} rows are no whole heads of {} rows",
                                    tensor.name, rows, head_dim_));
    place.change = GgufChange::kUnpermute;
    place.head_rows = head_dim_;
  } else if (family_.norms_offset && module.ends_with("norm")) {
    place.change = GgufChange::kMinusOne;
  }
  places_.push_back(std::move(place));
  return OkStatus();
}

std::string_view Placer::LayerModule(std::string_view module) const {
  if (module == "ffn_norm")
    return post_norms_ ? "pre_feedforward_layernorm" : "post_attention_layernorm";
  if (module == "post_attention_norm" && post_norms_) return "post_attention_layernorm";
  if (module == "post_ffw_norm" && post_norms_) return "post_feedforward_layernorm";
  if (module == "ffn_up" && phi3_) return "mlp.gate_up_proj";
  if (module == "ffn_gate_inp") return mixtral_ ? "block_sparse_moe.gate" : "mlp.gate";
  return Lookup(kInLayer, module);
}

Status Placer::PlaceExperts(const GgufTensor& tensor, const ExpertName& expert,
                            const std::string& layer) {
  const auto name = [&](std::uint64_t index) {
    if (!mixtral_)
      return fmt::format("{}.mlp.experts.{}.{}_proj.weight", layer, index, expert.part);
    const char* matrix = expert.part == "gate" ? "w1" : expert.part == "up" ? "w3" : "w2";
    return fmt::format("{}.block_sparse_moe.experts.{}.{}.weight", layer, index, matrix);
  };
  if (expert.index) return Add(tensor, name(*expert.index), "");
  if (tensor.shape.size() != 3 || tensor.shape[0] == 0) return Unknown(tensor);
  GgufTensor one = tensor;
  const std::uint64_t experts = tensor.shape[0];
  one.shape.erase(one.shape.begin());
  one.bytes = tensor.bytes / experts;
  if (experts > 65536)
    return Unsupported(fmt::format("tensor '{}': {} experts", tensor.name, experts));
  for (std::uint64_t i = 0; i < experts; ++i, one.offset += one.bytes)
    INGOT_TRY(Add(one, name(i), ""));
  return OkStatus();
}

Status Placer::PlaceInLayer(const GgufTensor& tensor, std::string_view layer,
                            std::string_view module, std::string_view suffix) {
  const auto index = ParseIndex(layer);
  if (!index) return Unknown(tensor);
  const std::string prefix = fmt::format("model.layers.{}", *index);
  if (suffix == "weight")
    if (const auto expert = ParseExpert(module)) return PlaceExperts(tensor, *expert, prefix);
  const std::string_view hf = LayerModule(module);
  if (hf.empty()) return Unknown(tensor);
  return Add(tensor, fmt::format("{}.{}.{}", prefix, hf, suffix), module);
}

Status Placer::PlaceOne(const GgufTensor& tensor) {
  const std::string_view name = tensor.name;
  if (name.starts_with("rope_f") || name.ends_with("attn_rot_embd.weight") ||
      name.ends_with(".rope_freqs.weight"))
    return OkStatus();
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return Unknown(tensor);
  const std::string_view suffix = name.substr(dot + 1);
  if (suffix != "weight" && suffix != "bias") return Unknown(tensor);
  const std::string_view stem = name.substr(0, dot);
  constexpr std::string_view kLayer = "blk.";
  if (stem.starts_with(kLayer)) {
    const std::string_view rest = stem.substr(kLayer.size());
    const std::size_t second = rest.find('.');
    if (second == std::string_view::npos) return Unknown(tensor);
    return PlaceInLayer(tensor, rest.substr(0, second), rest.substr(second + 1), suffix);
  }
  const std::string_view hf = Lookup(kOutside, stem);
  if (hf.empty()) return Unknown(tensor);
  return Add(tensor, fmt::format("{}.{}", hf, suffix), stem);
}

}  // namespace

Result<std::vector<GgufPlace>> PlaceGgufTensors(const Gguf& gguf, const GgufFamily& family,
                                                const nlohmann::json& config) {
  return Placer(gguf, family, config).Place();
}

}  // namespace ingot::model
