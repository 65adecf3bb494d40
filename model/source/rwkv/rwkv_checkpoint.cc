#include "model/source/rwkv/rwkv_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "model/source/rwkv/rwkv_layout.h"

namespace ingot::model {
namespace {

constexpr std::string_view kStackedMix = "time_maa_w2";
constexpr std::uint64_t kStacked = 5;

std::string_view LastPart(std::string_view name) { return name.substr(name.rfind('.') + 1); }

// A mixing vector, decay, bonus or other parameter that is not a matrix, whatever its shape.
bool IsSmall(std::string_view part) {
  if (part.starts_with("time_"))
    return !part.starts_with("time_maa_w1") && !part.starts_with(kStackedMix) &&
           !part.starts_with("time_decay_w");
  return (part.size() == 3 &&
          (part.starts_with("x_") || part == "k_k" || part == "k_a" || part == "r_k")) ||
         part == "w0" || part == "a0" || part == "v0";
}

class RwkvCheckpoint final : public Checkpoint {
 public:
  RwkvCheckpoint(std::unique_ptr<Checkpoint> source, const RwkvLayout& layout)
      : source_(std::move(source)), layout_(layout), config_(source_->config()) {
    if (!config_.is_object()) config_ = Json::object();
    AddTensors();
    CompleteConfig();
  }

  const std::string& path() const override { return source_->path(); }
  std::string_view format() const override { return source_->format(); }
  const Json& config() const override { return config_; }
  std::span<const TensorInfo> tensors() const override { return tensors_; }
  const std::map<std::string, std::string>& assets() const override { return source_->assets(); }

  Status ReadRows(const TensorInfo& tensor, std::uint64_t begin, std::uint64_t end,
                  MutableByteSpan out) const override {
    const Origin* origin = OriginOf(tensor);
    if (origin == nullptr) return NotFound(fmt::format("{}: no tensor '{}'", path(), tensor.name));
    const TensorInfo& whole = *origin->tensor;
    if (whole.shape == tensor.shape) return source_->ReadRows(whole, begin, end, out);
    const std::uint64_t row_bytes = tensor.cols() * DTypeBytes(tensor.dtype);
    if (begin > end || end > tensor.rows() || out.size() != (end - begin) * row_bytes)
      return InvalidArgument(fmt::format("tensor '{}': rows {} to {} of {} into {} bytes",
                                         tensor.name, begin, end, tensor.rows(), out.size()));
    if (origin->part < 0)
      return begin == end ? OkStatus() : source_->ReadRows(whole, 0, whole.rows(), out);
    const auto part = static_cast<std::uint64_t>(origin->part);
    ByteBuffer matrix(tensor.rows() * row_bytes);
    INGOT_TRY(source_->ReadRows(whole, part, part + 1, matrix.span()));
    std::memcpy(out.data(), matrix.data() + begin * row_bytes, out.size());
    return OkStatus();
  }

  ByteSpan Mapped(const TensorInfo& tensor) const override {
    const Origin* origin = OriginOf(tensor);
    if (origin == nullptr) return {};
    const ByteSpan bytes = source_->Mapped(*origin->tensor);
    if (origin->part < 0 || bytes.empty()) return bytes;
    const std::uint64_t part_bytes = bytes.size() / kStacked;
    return bytes.subspan(static_cast<std::uint64_t>(origin->part) * part_bytes, part_bytes);
  }

 private:
  // A tensor of the source, or one of the matrices stacked in it.
  struct Origin {
    const TensorInfo* tensor;
    int part;
  };

  const Origin* OriginOf(const TensorInfo& tensor) const {
    const TensorInfo* own = Find(tensor.name);
    return own == nullptr ? nullptr : &origins_[static_cast<std::size_t>(own - tensors_.data())];
  }

  void AddTensors() {
    std::vector<std::pair<TensorInfo, Origin>> all;
    const std::string first = RwkvBlock(layout_, 0) + layout_.time_mix;
    for (const TensorInfo& tensor : source_->tensors()) {
      const std::string_view part = LastPart(tensor.name);
      // The first layer's values are their own: what blends them is there, but never used.
      if ((part == "v0" || part == "v1" || part == "v2") && tensor.name.starts_with(first))
        continue;
      TensorInfo info = tensor;
      if (part == kStackedMix && tensor.shape.size() == 3 && tensor.shape[0] == kStacked) {
        info.shape.erase(info.shape.begin());
        info.stored_bytes /= kStacked;
        for (std::uint64_t i = 0; i < kStacked; ++i) {
          info.name = fmt::format("{}.{}", tensor.name, i);
          all.push_back({info, {&tensor, static_cast<int>(i)}});
        }
        continue;
      }
      if (IsSmall(part)) info.shape = {tensor.elements()};
      all.push_back({std::move(info), {&tensor, -1}});
    }
    std::sort(all.begin(), all.end(),
              [](const auto& a, const auto& b) { return a.first.name < b.first.name; });
    for (auto& [info, origin] : all) {
      tensors_.push_back(std::move(info));
      origins_.push_back(origin);
    }
  }

  // Dimension `axis` of a tensor as the source has it, 0 where there is none.
  std::uint64_t Dimension(const std::string& name, std::size_t axis) const {
    const TensorInfo* tensor = source_->Find(name);
    return tensor == nullptr || tensor->shape.size() <= axis ? 0 : tensor->shape[axis];
  }

  // Sets what the config does not say.
  void Fill(const char* key, Json value) {
    const auto it = config_.find(key);
    if (it != config_.end() && !it->is_null()) return;
    if (value.is_number_unsigned() && value == 0) return;  // then it is missed by its name
    config_[key] = std::move(value);
  }

  int Version(const std::string& mix) const {
    if (source_->Find(mix + "k_k") != nullptr) return 7;
    if (source_->Find(mix + "time_maa_x") != nullptr) return 6;
    return source_->Find(mix + std::string(layout_.head_norm) + ".weight") != nullptr ? 5 : 4;
  }

  void CompleteConfig() {
    const std::string mix = RwkvBlock(layout_, 0) + layout_.time_mix + ".";
    const std::string channel = RwkvBlock(layout_, 0) + layout_.channel_mix + ".";
    const int version = Version(mix);
    // The original project's files have no config.json: one of another kind of model, beside them
    // by chance, says nothing. An exported folder has RWKV's.
    const auto type = config_.find("model_type");
    if (layout_.original && type != config_.end() &&
        !(type->is_string() && type->get_ref<const std::string&>().starts_with("rwkv")))
      config_ = Json::object();
    Fill("model_type", version == 4 ? "rwkv" : fmt::format("rwkv{}", version));
    Fill("vocab_size", Dimension(layout_.embedding, 0));
    Fill("hidden_size", Dimension(layout_.embedding, 1));
    std::uint64_t layers = 0;
    while (source_->Find(RwkvBlock(layout_, layers) + layout_.time_norm + ".weight") != nullptr)
      ++layers;
    Fill("num_hidden_layers", layers);
    Fill("attention_hidden_size", Dimension(mix + layout_.receptance + ".weight", 0));
    Fill("intermediate_size", Dimension(channel + "key.weight", 0));
    if (version == 5) CompleteVersion5(mix);
    if (version == 6) {
      Fill("head_size", Dimension(mix + "time_faaaa", 1));
      Fill("time_mix_extra_dim", Dimension(mix + "time_maa_w1", 1) / kStacked);
      Fill("time_decay_extra_dim", Dimension(mix + "time_decay_w1", 1));
    }
    if (version == 7) CompleteVersion7(mix);
  }

  // One decay a head up to version 5.1, then heads x channels.
  void CompleteVersion5(const std::string& mix) {
    const std::uint64_t heads = Dimension(mix + "time_decay", 0);
    const std::uint64_t channels = Dimension(mix + "time_decay", 1);
    const std::uint64_t inner = Dimension(mix + layout_.receptance + ".weight", 0);
    Fill("decay_per_head", channels <= 1);
    Fill("head_size", channels > 1 ? channels : heads == 0 ? 0 : inner / heads);
  }

  void CompleteVersion7(const std::string& mix) {
    Fill("head_dim", Dimension(mix + "r_k", 1));
    const std::string second = RwkvBlock(layout_, 1) + layout_.time_mix + ".";
    const std::pair<const char*, std::string> ranks[] = {{"decay_low_rank_dim", mix + "w"},
                                                         {"a_low_rank_dim", mix + "a"},
                                                         {"v_low_rank_dim", second + "v"},
                                                         {"gate_low_rank_dim", mix + "g"}};
    for (const auto& [key, stem] : ranks)
      Fill(key, layout_.lora_names ? Dimension(stem + "_lora.lora.0.weight", 0)
                                   : Dimension(stem + "1", 1));
  }

  std::unique_ptr<Checkpoint> source_;
  const RwkvLayout& layout_;
  Json config_;
  std::vector<TensorInfo> tensors_;
  std::vector<Origin> origins_;
};

}  // namespace

Result<std::unique_ptr<Checkpoint>> AdaptRwkv(std::unique_ptr<Checkpoint> source) {
  const RwkvLayout* layout =
      FindRwkvLayout([&](std::string_view name) { return source->Find(name) != nullptr; });
  if (layout == nullptr) return source;
  return std::unique_ptr<Checkpoint>(std::make_unique<RwkvCheckpoint>(std::move(source), *layout));
}

}  // namespace ingot::model
