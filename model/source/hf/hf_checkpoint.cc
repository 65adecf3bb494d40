// A Hugging Face directory: config.json, one or several *.safetensors or files of torch.save, the
// tokenizer's files.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/file.h"
#include "model/source/asset_names.h"
#include "model/source/checkpoint_note.h"
#include "model/source/checkpoint_sources.h"
#include "model/source/hf/mamba_ssm_config.h"
#include "model/source/hf/model_folder.h"
#include "model/source/hf/packed_experts.h"
#include "model/source/hf/text_model.h"
#include "model/source/hf/training_names.h"
#include "model/source/mapped_file.h"
#include "model/source/model_location.h"
#include "model/source/quantized/quantization_methods.h"
#include "model/source/rwkv/rwkv_layout.h"
#include "model/source/safetensors.h"
#include "model/source/tensor_names.h"
#include "model/source/torch/torch_file.h"
#include "model/text/json_text.h"
#include "model/text/rwkv_vocabulary_name.h"

namespace ingot::model {
namespace {

namespace fs = std::filesystem;

// A kind of weight files: the name of a single one and of the index of several.
struct WeightFiles {
  const char* single;
  const char* index;
};
constexpr WeightFiles kSafetensorsFiles = {"model.safetensors", "model.safetensors.index.json"};
constexpr WeightFiles kTorchFiles = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
constexpr std::uint64_t kMaxConfigBytes = 16u << 20;
// Where else a quantized checkpoint says how it was made, in files of older tools; with the key of
// the object inside, where there is one.
struct QuantizationFile {
  const char* name;
  const char* key;
};
constexpr QuantizationFile kQuantizationFiles[] = {{"quantize_config.json", nullptr},
                                                   {"quant_config.json", nullptr},
                                                   {"hf_quant_config.json", "quantization"}};

bool Exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

struct Shard {
  std::string name;
  File file;
  MappedFile mapped;
};

// Where a tensor lies, parallel to the list of TensorInfo.
struct Place {
  std::size_t shard = 0;
  std::uint64_t offset = 0;
  DType stored = DType::kF32;
  std::optional<TorchEntry> strided;    // its elements have to be gathered
  std::unique_ptr<RowDecoder> decoder;  // of quantized weights; then the rest says nothing
};

std::optional<DType> WeightDtype(std::string_view name) {
  if (name == "F32") return DType::kF32;
  if (name == "F16") return DType::kF16;
  if (name == "BF16") return DType::kBf16;
  if (name == "F8_E4M3") return DType::kF8E4m3;
  if (name == "I8") return DType::kI8;
  return std::nullopt;
}

// One entry of one shard, before it is known whether it is a weight, a scale or a buffer.
struct StoredTensor {
  std::size_t shard = 0;
  SafetensorsEntry entry;
  std::vector<std::uint64_t> strides;  // empty: contiguous
};
using StoredTensors = std::unordered_map<std::string, StoredTensor>;

std::optional<TorchEntry> StridedEntry(const StoredTensor& tensor) {
  const SafetensorsEntry& entry = tensor.entry;
  if (tensor.strides.empty()) return std::nullopt;
  return TorchEntry{entry.name,   entry.dtype, entry.shape,
                    entry.offset, entry.bytes, tensor.strides};
}

class HfCheckpoint final : public Checkpoint, public HasNote {
 public:
  // With `single`, that file of the directory and no other.
  static Result<std::unique_ptr<Checkpoint>> Open(const std::string& directory,
                                                  const std::string& single);

  const std::string& path() const override { return path_; }
  std::string_view format() const override { return format_; }
  const Json& config() const override { return config_; }
  std::span<const TensorInfo> tensors() const override { return tensors_; }
  Status ReadRows(const TensorInfo& tensor, std::uint64_t begin, std::uint64_t end,
                  MutableByteSpan out) const override;
  ByteSpan Mapped(const TensorInfo& tensor) const override;
  std::optional<CodedForm> Coded(const TensorInfo& tensor) const override;
  Result<CodedRows> ReadCoded(const TensorInfo& tensor, std::uint64_t begin,
                              std::uint64_t end) const override;
  const std::map<std::string, std::string>& assets() const override { return assets_; }
  const std::string& note() const override { return note_; }

 private:
  Status ReadConfig();
  Status ReadAssets();
  // The files to open, and with an index which tensor must be where.
  Result<std::vector<std::string>> ShardNames(std::map<std::string, std::string>& index);
  Result<std::vector<std::string>> IndexedNames(std::map<std::string, std::string>& index) const;
  Status OpenShards(const std::string& single);
  Status OpenShard(const std::string& name, const std::map<std::string, std::string>& index,
                   StoredTensors& stored);
  // A head that an index may list or not, since its weight is the embedding.
  bool MayBeTied(std::string_view tensor) const;
  // Gives tensors the names that they have in a plain model; what is not the text model's goes.
  Status NameTensors(StoredTensors& stored);
  // Replaces tensors that hold all experts of a layer by one for each matrix.
  Status UnpackExperts(StoredTensors& stored) const;
  // What the checkpoint says of its quantization; null where it says nothing.
  Result<Json> QuantizationConfig() const;
  Status ClassifyTensors(const StoredTensors& stored);
  Status AddTensors(const PartTable& parts, std::vector<QuantizedWeight> weights);
  const Place* PlaceOf(const TensorInfo& tensor) const;

  std::string path_;
  std::string_view format_ = "safetensors";
  const char* index_file_ = kSafetensorsFiles.index;
  Json config_;
  bool inner_text_ = false;  // the model is the text part of what the folder holds
  std::string note_;
  std::vector<Shard> shards_;
  std::map<std::string, std::string> metadata_;  // of all safetensors files
  std::vector<TensorInfo> tensors_;
  std::vector<Place> places_;
  std::map<std::string, std::string> assets_;
};

Result<Json> ReadJsonObject(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  INGOT_TRY(CheckInFolder(folder, name));
  INGOT_TRY(CheckIsNoPointer(path));
  INGOT_ASSIGN(const std::string text, ReadFileToString(path, kMaxConfigBytes));
  INGOT_ASSIGN(Json json, ParseJson(text).At(path));
  if (!json.is_object()) return Corruption(path + ": not a JSON object");
  return json;
}

bool IsPlainFileName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

Status HfCheckpoint::ReadConfig() {
  const std::string file = path_ + "/config.json";
  if (!Exists(file))
    return NotFound(path_ + ": no config.json there; not a Hugging Face model directory");
  INGOT_ASSIGN(config_, ReadJsonObject(path_, "config.json"));
  INGOT_ASSIGN(auto original, FromMambaSsmConfig(config_).At(path_));
  if (original) config_ = *std::move(original);
  INGOT_ASSIGN(auto text, TextConfig(config_).At(path_));
  inner_text_ = text.has_value();
  if (text) config_ = *std::move(text);
  return OkStatus();
}

Status HfCheckpoint::ReadAssets() {
  for (const std::string_view asset : kAssetNames) {
    const std::string name(asset);
    const std::string file = path_ + "/" + name;
    if (!Exists(file)) continue;
    // Mistral's own form of what tokenizer.json holds: megabytes that nobody would read.
    if (name == "tekken.json" && assets_.contains("tokenizer.json")) continue;
    INGOT_TRY(CheckInFolder(path_, name));
    INGOT_ASSIGN(assets_[name], ReadFileToString(file, kMaxAssetBytes));
  }
  std::error_code error;
  for (fs::directory_iterator it(path_, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!IsRwkvVocabulary(name)) continue;
    INGOT_TRY(CheckInFolder(path_, name));
    INGOT_ASSIGN(assets_[name], ReadFileToString(it->path().string(), kMaxAssetBytes));
  }
  return OkStatus();
}

Result<std::vector<std::string>> HfCheckpoint::IndexedNames(
    std::map<std::string, std::string>& index) const {
  const std::string index_path = path_ + "/" + index_file_;
  std::set<std::string> names;
  INGOT_ASSIGN(const Json json, ReadJsonObject(path_, index_file_));
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object())
    return Corruption(index_path + ": no object 'weight_map'");
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !IsPlainFileName(file.get<std::string>()))
      return Corruption(
          fmt::format("{}: tensor '{}' is not mapped to a file name", index_path, tensor));
    index[tensor] = file.get<std::string>();
    names.insert(index[tensor]);
  }
  if (names.empty()) return Corruption(index_path + ": 'weight_map' is empty");
  for (const std::string& name : names)
    if (!Exists(path_ + "/" + name))
      return NotFound(
          fmt::format("{}: shard {} is missing ({} of {} shards are there)", path_, name,
                      std::count_if(names.begin(), names.end(),
                                    [&](const std::string& n) { return Exists(path_ + "/" + n); }),
                      names.size()));
  return std::vector<std::string>(names.begin(), names.end());
}

Result<std::vector<std::string>> HfCheckpoint::ShardNames(
    std::map<std::string, std::string>& index) {
  using Names = std::vector<std::string>;
  if (Exists(path_ + "/" + kSafetensorsFiles.single)) return Names{kSafetensorsFiles.single};
  if (Exists(path_ + "/" + kSafetensorsFiles.index)) return IndexedNames(index);
  std::set<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(path_, error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".safetensors") names.insert(it->path().filename().string());
  if (!names.empty()) return Names(names.begin(), names.end());
  index_file_ = kTorchFiles.index;
  if (Exists(path_ + "/" + kTorchFiles.single)) return Names{kTorchFiles.single};
  if (Exists(path_ + "/" + kTorchFiles.index)) return IndexedNames(index);
  return NotFound(fmt::format(
      "{}: no {}, no other *.safetensors and no {}; a .pth file is given by its own path", path_,
      kSafetensorsFiles.single, kTorchFiles.single));
}

// The directory of a weight file of either format.
Result<std::vector<TorchEntry>> ParseWeights(ByteSpan file, std::string_view name) {
  if (HasTorchExtension(name)) return ParseTorchFile(file);
  INGOT_ASSIGN(std::vector<SafetensorsEntry> entries, ParseSafetensors(file));
  std::vector<TorchEntry> weights;
  weights.reserve(entries.size());
  for (SafetensorsEntry& entry : entries)
    weights.push_back({std::move(entry.name),
                       std::move(entry.dtype),
                       std::move(entry.shape),
                       entry.offset,
                       entry.bytes,
                       {}});
  return weights;
}

Status HfCheckpoint::OpenShard(const std::string& name,
                               const std::map<std::string, std::string>& index,
                               StoredTensors& stored) {
  const std::string file = path_ + "/" + name;
  INGOT_TRY(CheckIsNoPointer(file));
  Shard shard;
  shard.name = name;
  INGOT_ASSIGN(shard.file, File::OpenRead(file));
  INGOT_ASSIGN(shard.mapped, MappedFile::Open(file));
  INGOT_ASSIGN(std::vector<TorchEntry> entries, ParseWeights(shard.mapped.bytes(), name).At(file));
  if (!HasTorchExtension(name)) {
    INGOT_ASSIGN(auto metadata, SafetensorsMetadata(shard.mapped.bytes()).At(file));
    metadata_.merge(metadata);
  }
  for (TorchEntry& weight : entries) {
    StoredTensor entry{shards_.size(),
                       {weight.name, std::move(weight.dtype), std::move(weight.shape),
                        weight.offset, weight.bytes},
                       std::move(weight.strides)};
    const std::string tensor = std::move(weight.name);
    if (!index.empty()) {
      const auto listed = index.find(tensor);
      const bool derived = MayBeTied(tensor) || IsKnownBuffer(tensor);
      if (listed == index.end() ? !derived : listed->second != name)
        return Corruption(fmt::format(
            "{}: tensor '{}' is {} {}", file, tensor,
            listed == index.end() ? "not listed in" : "listed for another shard in", index_file_));
    }
    const auto [it, inserted] = stored.emplace(tensor, std::move(entry));
    if (!inserted)
      return Corruption(fmt::format("{}: tensor '{}' is also in {}", file, tensor,
                                    shards_[it->second.shard].name));
  }
  shards_.push_back(std::move(shard));
  return OkStatus();
}

bool HfCheckpoint::MayBeTied(std::string_view tensor) const {
  return IsHeadWeight(tensor) && config_.value("tie_word_embeddings", Json()) != false;
}

Status HfCheckpoint::NameTensors(StoredTensors& stored) {
  std::vector<std::string> names;
  names.reserve(stored.size());
  for (const auto& [name, tensor] : stored) {
    if (IsLoraTensor(name))
      return Unsupported(fmt::format(
          "{}/{}: tensor '{}' is of a LoRA adapter; merge it into the model first (PEFT's "
          "merge_and_unload, then save_pretrained)",
          path_, shards_[tensor.shard].name, name));
    names.push_back(name);
  }
  const std::string prefix = SharedTrainingPrefix(names);
  for (std::string& name : names) name = WithoutTrainingPrefix(name, prefix);
  const TextNames text(names);
  StoredTensors named;
  std::uint64_t left_out = 0, left_out_bytes = 0;
  std::string first;
  for (auto& [name, tensor] : stored) {
    std::string plain = WithoutTrainingPrefix(name, prefix);
    if (inner_text_) {
      const auto inner = text.NameOf(plain);
      if (!inner) {
        if (++left_out == 1 || name < first) first = name;
        left_out_bytes += tensor.entry.bytes;
        continue;
      }
      plain = *inner;
    }
    const std::size_t shard = tensor.shard;
    tensor.entry.name = plain;
    if (!named.emplace(plain, std::move(tensor)).second)
      return Corruption(fmt::format("{}/{}: tensor '{}' is there under several names, as '{}'",
                                    path_, shards_[shard].name, plain, name));
  }
  if (left_out > 0 && named.empty())
    return NotFound(
        fmt::format("{}: none of {} tensors is of the text model that config.json "
                    "describes (the first is '{}')",
                    path_, left_out, first));
  if (inner_text_)
    note_ = fmt::format(
        "the text model alone is taken; what else the checkpoint holds is left out: {} tensors of "
        "{:.1f} MB in all ('{}', ...)",
        left_out, static_cast<double>(left_out_bytes) / 1e6, first);
  if (left_out == 0) note_.clear();
  stored = std::move(named);
  return OkStatus();
}

Status HfCheckpoint::UnpackExperts(StoredTensors& stored) const {
  const bool mixtral = config_.value("model_type", Json()) == "mixtral";
  StoredTensors unpacked;
  bool any = false;
  for (const auto& [name, tensor] : stored) {
    if (!tensor.strides.empty()) continue;
    for (SafetensorsEntry& matrix : SplitPackedExperts(tensor.entry, mixtral)) {
      any = true;
      std::string matrix_name = matrix.name;
      unpacked.emplace(std::move(matrix_name), StoredTensor{tensor.shard, std::move(matrix), {}});
    }
  }
  if (!any) return OkStatus();
  for (auto& [name, tensor] : stored) {
    if (tensor.strides.empty() && !SplitPackedExperts(tensor.entry, mixtral).empty()) continue;
    const std::string there = NameBesidePackedExperts(name, mixtral);
    tensor.entry.name = there;
    const std::size_t shard = tensor.shard;
    if (!unpacked.emplace(there, std::move(tensor)).second)
      return Corruption(fmt::format("{}/{}: tensor '{}' is also among packed experts", path_,
                                    shards_[shard].name, there));
  }
  stored = std::move(unpacked);
  return OkStatus();
}

Result<Json> HfCheckpoint::QuantizationConfig() const {
  for (const char* key : {"quantization_config", "compression_config"})
    if (const auto it = config_.find(key); it != config_.end() && it->is_object()) return *it;
  for (const QuantizationFile& file : kQuantizationFiles) {
    if (!Exists(path_ + "/" + file.name)) continue;
    INGOT_ASSIGN(Json json, ReadJsonObject(path_, file.name));
    if (file.key == nullptr) return json;
    if (const auto inner = json.find(file.key); inner != json.end() && inner->is_object())
      return Json(*inner);
  }
  return Json();
}

Status HfCheckpoint::ClassifyTensors(const StoredTensors& stored) {
  PartTable parts;
  for (const auto& [name, tensor] : stored) {
    StoredPart part;
    part.name = name;
    part.dtype = tensor.entry.dtype;
    part.shape = tensor.entry.shape;
    part.offset = tensor.entry.offset;
    part.bytes = tensor.entry.bytes;
    part.file = &shards_[tensor.shard].file;
    part.shard = tensor.shard;
    part.strided = StridedEntry(tensor);
    part.mapped = shards_[tensor.shard].mapped.bytes();
    parts.Add(std::move(part));
  }
  INGOT_ASSIGN(const Json quantization, QuantizationConfig());
  INGOT_ASSIGN(std::vector<QuantizedWeight> weights,
               FindQuantizedWeights({quantization, metadata_, parts}).At(path_));
  return AddTensors(parts, std::move(weights));
}

Status HfCheckpoint::AddTensors(const PartTable& parts, std::vector<QuantizedWeight> weights) {
  std::map<std::string, std::pair<TensorInfo, Place>> all;  // in the order of names
  for (QuantizedWeight& weight : weights) {
    Place place;
    place.shard = weight.shard;
    place.decoder = std::move(weight.rows);
    TensorInfo info = {weight.name,        std::move(weight.shape), DType::kF32,
                       weight.stored_type, weight.stored_bytes,     shards_[weight.shard].name};
    if (!all.emplace(weight.name, std::pair(std::move(info), std::move(place))).second)
      return Corruption(fmt::format("{}: tensor '{}' is there twice", path_, weight.name));
  }
  for (const auto& [name, part] : parts.parts()) {
    const auto dtype = WeightDtype(part.dtype);
    if (parts.taken(name) || (!dtype && IsKnownBuffer(name))) continue;
    const std::string& file = shards_[part.shard].name;
    if (!dtype && IsIntegerBuffer(name, part.dtype)) {
      TensorInfo info = {name, part.shape, DType::kF32, part.dtype, part.bytes, file};
      all.emplace(name, std::pair(std::move(info), Place()));
      continue;
    }
    if (!dtype)
      return Unsupported(fmt::format(
          "{}/{}: tensor '{}': weights of dtype {} (known: F32, F16, BF16, F8_E4M3, I8; others "
          "with the scales of a quant_method)",
          path_, file, name, part.dtype));
    Place place;
    place.shard = part.shard;
    place.offset = part.offset;
    place.stored = *dtype;
    place.strided = part.strided;
    TensorInfo info = {name, part.shape, *dtype, part.dtype, part.bytes, file};
    if (!all.emplace(name, std::pair(std::move(info), std::move(place))).second)
      return Corruption(
          fmt::format("{}/{}: tensor '{}' is there quantized, too", path_, file, name));
  }
  for (auto& [name, entry] : all) {
    tensors_.push_back(std::move(entry.first));
    places_.push_back(std::move(entry.second));
  }
  return OkStatus();
}

Status HfCheckpoint::OpenShards(const std::string& single) {
  std::map<std::string, std::string> index;
  std::vector<std::string> names = {single};
  if (single.empty()) {
    INGOT_ASSIGN(names, ShardNames(index));
  }
  if (HasTorchExtension(names.front())) format_ = "pytorch";
  StoredTensors stored;
  for (const std::string& name : names) {
    if (single.empty()) INGOT_TRY(CheckInFolder(path_, name));  // that one the user named himself
    INGOT_TRY(OpenShard(name, index, stored));
  }
  for (const auto& [tensor, file] : index)
    if (!stored.contains(tensor) && !MayBeTied(tensor))
      return Corruption(fmt::format("{}/{}: tensor '{}' is not in it, though {} says so", path_,
                                    file, tensor, index_file_));
  // A lone file says first what it is; then its config.json is missed, but for the original RWKV's
  // files, which never have one (AdaptRwkv).
  const bool describes_itself =
      stored.contains("emb.weight") && stored.contains("blocks.0.att.key.weight");
  config_ = single.empty() ? std::move(config_) : Json::object();
  if (!single.empty() && (!describes_itself || Exists(path_ + "/config.json")))
    INGOT_TRY(ReadConfig());
  INGOT_TRY(NameTensors(stored));
  INGOT_TRY(UnpackExperts(stored));
  return ClassifyTensors(stored);
}

Result<std::unique_ptr<Checkpoint>> HfCheckpoint::Open(const std::string& directory,
                                                       const std::string& single) {
  auto checkpoint = std::make_unique<HfCheckpoint>();
  checkpoint->path_ = directory;
  if (single.empty()) INGOT_TRY(checkpoint->ReadConfig());
  INGOT_TRY(checkpoint->OpenShards(single));
  INGOT_TRY(checkpoint->ReadAssets());
  return std::unique_ptr<Checkpoint>(std::move(checkpoint));
}

const Place* HfCheckpoint::PlaceOf(const TensorInfo& tensor) const {
  const TensorInfo* own = Find(tensor.name);
  return own == nullptr ? nullptr : &places_[static_cast<std::size_t>(own - tensors_.data())];
}

ByteSpan HfCheckpoint::Mapped(const TensorInfo& tensor) const {
  const Place* place = PlaceOf(tensor);
  if (place == nullptr || place->decoder != nullptr || place->strided ||
      IsIntegerBuffer(tensor.name, tensor.stored_type))
    return {};
  // Storages of old PyTorch files start anywhere; kernels load whole elements.
  if (format_ == "pytorch" && place->offset % DTypeBytes(place->stored) != 0) return {};
  return shards_[place->shard].mapped.bytes().subspan(place->offset, tensor.stored_bytes);
}

std::optional<CodedForm> HfCheckpoint::Coded(const TensorInfo& tensor) const {
  const Place* place = PlaceOf(tensor);
  if (place == nullptr || place->decoder == nullptr || tensor.shape.size() < 2) return std::nullopt;
  return place->decoder->Coded();
}

Result<CodedRows> HfCheckpoint::ReadCoded(const TensorInfo& tensor, std::uint64_t begin,
                                          std::uint64_t end) const {
  const Place* place = PlaceOf(tensor);
  if (place == nullptr || place->decoder == nullptr || begin > end || end > tensor.rows())
    return Checkpoint::ReadCoded(tensor, begin, end);
  return place->decoder->ReadCoded(begin, end)
      .At(fmt::format("{}/{}: tensor '{}'", path_, tensor.file, tensor.name));
}

Status HfCheckpoint::ReadRows(const TensorInfo& tensor, std::uint64_t begin, std::uint64_t end,
                              MutableByteSpan out) const {
  const Place* place = PlaceOf(tensor);
  if (place == nullptr) return NotFound(fmt::format("{}: no tensor '{}'", path_, tensor.name));
  const std::uint64_t row_bytes = tensor.cols() * DTypeBytes(tensor.dtype);
  if (begin > end || end > tensor.rows() || out.size() != (end - begin) * row_bytes)
    return InvalidArgument(fmt::format("tensor '{}': rows {} to {} of {} into {} bytes",
                                       tensor.name, begin, end, tensor.rows(), out.size()));
  const std::string where = fmt::format("{}/{}: tensor '{}'", path_, tensor.file, tensor.name);
  if (IsIntegerBuffer(tensor.name, tensor.stored_type))
    return Unsupported(fmt::format("{}: {} values are no weights", where, tensor.stored_type));
  if (place->decoder != nullptr) {
    const bool aligned = reinterpret_cast<std::uintptr_t>(out.data()) % alignof(float) == 0;
    std::vector<float> copy(aligned ? 0 : out.size() / sizeof(float));
    float* values = aligned ? reinterpret_cast<float*>(out.data()) : copy.data();
    INGOT_TRY(place->decoder->Read(begin, end, values).At(where));
    if (!aligned) std::memcpy(out.data(), copy.data(), out.size());
    return OkStatus();
  }
  if (place->strided) {
    GatherStrided(shards_[place->shard].mapped.bytes(), *place->strided, begin * tensor.cols(),
                  out);
    return OkStatus();
  }
  return shards_[place->shard].file.ReadAt(place->offset + begin * row_bytes, out).At(where);
}

}  // namespace

Result<std::unique_ptr<Checkpoint>> OpenHfCheckpoint(const std::string& directory) {
  return HfCheckpoint::Open(directory, "");
}

Result<std::unique_ptr<Checkpoint>> OpenTorchCheckpoint(const std::string& path) {
  const fs::path file(path);
  const std::string directory = file.parent_path().string();
  return HfCheckpoint::Open(directory.empty() ? "." : directory, file.filename().string());
}

}  // namespace ingot::model
