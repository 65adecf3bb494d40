// A Hugging Face directory: config.json, one or several *.safetensors or files of torch.save, the
// tokenizer's files.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/file.h"
#include "base/float_formats.h"
#include "model/source/asset_names.h"
#include "model/source/checkpoint_sources.h"
#include "model/source/hf/model_folder.h"
#include "model/source/hf/packed_experts.h"
#include "model/source/hf/weight_scales.h"
#include "model/source/mapped_file.h"
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
constexpr std::uint64_t kChunkBytes = 1u << 20;  // of codes, while scaled weights are read

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
  std::optional<WeightScales> scales;
  std::optional<TorchEntry> strided;  // its elements have to be gathered
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

class HfCheckpoint final : public Checkpoint {
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
  const std::map<std::string, std::string>& assets() const override { return assets_; }

 private:
  Status ReadConfig();
  Status ReadAssets();
  // The files to open, and with an index which tensor must be where.
  Result<std::vector<std::string>> ShardNames(std::map<std::string, std::string>& index);
  Result<std::vector<std::string>> IndexedNames(std::map<std::string, std::string>& index) const;
  Status OpenShards(const std::string& single);
  Status OpenShard(const std::string& name, const std::map<std::string, std::string>& index,
                   StoredTensors& stored);
  // Replaces tensors that hold all experts of a layer by one for each matrix.
  Status UnpackExperts(StoredTensors& stored) const;
  Status ClassifyTensors(const StoredTensors& stored);
  Result<std::optional<WeightScales>> FindScales(const StoredTensor& weight,
                                                 const StoredTensors& stored,
                                                 std::set<std::string>& consumed) const;
  Result<std::vector<float>> ReadFloats(const StoredTensor& tensor) const;
  const Place* PlaceOf(const TensorInfo& tensor) const;
  Status ReadScaledRows(const Place& place, std::uint64_t cols, std::uint64_t begin,
                        std::uint64_t end, MutableByteSpan out) const;

  std::string path_;
  std::string_view format_ = "safetensors";
  const char* index_file_ = kSafetensorsFiles.index;
  Json config_;
  std::vector<Shard> shards_;
  std::vector<TensorInfo> tensors_;
  std::vector<Place> places_;
  std::map<std::string, std::string> assets_;
};

Result<Json> ReadJsonObject(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  INGOT_TRY(CheckInFolder(folder, name));
  INGOT_ASSIGN(const std::string text, ReadFileToString(path, kMaxConfigBytes));
  INGOT_ASSIGN(Json json, ParsePythonJson(text).At(path));
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
  return OkStatus();
}

Status HfCheckpoint::ReadAssets() {
  for (const std::string_view asset : kAssetNames) {
    const std::string name(asset);
    const std::string file = path_ + "/" + name;
    if (!Exists(file)) continue;
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
  Shard shard;
  shard.name = name;
  INGOT_ASSIGN(shard.file, File::OpenRead(file));
  INGOT_ASSIGN(shard.mapped, MappedFile::Open(file));
  INGOT_ASSIGN(std::vector<TorchEntry> entries, ParseWeights(shard.mapped.bytes(), name).At(file));
  for (TorchEntry& weight : entries) {
    StoredTensor entry{shards_.size(),
                       {weight.name, std::move(weight.dtype), std::move(weight.shape),
                        weight.offset, weight.bytes},
                       std::move(weight.strides)};
    const std::string tensor = std::move(weight.name);
    if (!index.empty()) {
      const auto listed = index.find(tensor);
      if (listed == index.end() || listed->second != name)
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

Result<std::vector<float>> HfCheckpoint::ReadFloats(const StoredTensor& tensor) const {
  const SafetensorsEntry& entry = tensor.entry;
  const auto dtype = WeightDtype(entry.dtype);
  if (!dtype || DTypeBytes(*dtype) < 2)
    return Unsupported(fmt::format("tensor '{}': scales of dtype {}", entry.name, entry.dtype));
  const ByteSpan file = shards_[tensor.shard].mapped.bytes();
  ByteBuffer gathered;
  if (const auto strided = StridedEntry(tensor)) {
    gathered = ByteBuffer(entry.bytes);
    GatherStrided(file, *strided, 0, gathered.span());
  }
  const ByteSpan bytes =
      gathered.empty() ? file.subspan(entry.offset, entry.bytes) : ByteSpan(gathered.span());
  std::vector<float> values(entry.bytes / DTypeBytes(*dtype));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (*dtype == DType::kF32) {
      values[i] = LoadLe<float>(bytes.data() + 4 * i);
    } else {
      const auto half = LoadLe<std::uint16_t>(bytes.data() + 2 * i);
      values[i] = *dtype == DType::kF16 ? FromFp16(half) : FromBf16(half);
    }
  }
  return values;
}

Result<std::optional<WeightScales>> HfCheckpoint::FindScales(
    const StoredTensor& weight, const StoredTensors& stored,
    std::set<std::string>& consumed) const {
  const SafetensorsEntry& entry = weight.entry;
  if (entry.dtype != "F8_E4M3" && entry.dtype != "I8") return std::optional<WeightScales>();
  std::uint64_t block[2] = {128, 128};
  if (const auto q = config_.find("quantization_config"); q != config_.end() && q->is_object())
    if (const auto size = q->find("weight_block_size");
        size != q->end() && size->is_array() && size->size() == 2)
      for (int i = 0; i < 2; ++i)
        if ((*size)[i].is_number_integer() && (*size)[i] > 0)
          block[i] = (*size)[i].get<std::uint64_t>();
  for (const std::string& name : ScaleNames(entry.name)) {
    const auto it = stored.find(name);
    if (it == stored.end()) continue;
    TensorInfo view;
    view.shape = entry.shape;
    INGOT_ASSIGN(std::vector<float> values, ReadFloats(it->second));
    const bool bitsandbytes = name.ends_with(".SCB") || name == "SCB";
    if (bitsandbytes)
      for (float& value : values) value /= 127.0f;
    INGOT_ASSIGN(WeightScales scales, LayOutScales(std::move(values), it->second.entry.shape,
                                                   view.rows(), view.cols(), block[0], block[1])
                                          .At(fmt::format("tensor '{}'", name)));
    consumed.insert(name);
    if (bitsandbytes) consumed.insert(entry.name + "_format");
    return std::optional<WeightScales>(std::move(scales));
  }
  return std::optional<WeightScales>();
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

Status HfCheckpoint::ClassifyTensors(const StoredTensors& stored) {
  std::set<std::string> consumed;
  std::map<std::string, std::optional<WeightScales>> scales;
  for (const auto& [name, tensor] : stored) {
    INGOT_ASSIGN(scales[name],
                 FindScales(tensor, stored, consumed).At(path_ + "/" + shards_[tensor.shard].name));
  }
  for (auto& [name, weight_scales] : scales) {  // in the order of names
    const StoredTensor& tensor = stored.at(name);
    const SafetensorsEntry& entry = tensor.entry;
    const auto dtype = WeightDtype(entry.dtype);
    if (consumed.contains(name) || (!dtype && IsKnownBuffer(name))) continue;
    const std::string& file = shards_[tensor.shard].name;
    if (!dtype)
      return Unsupported(
          fmt::format("{}/{}: tensor '{}': weights of dtype {} (known: F32, F16, BF16, "
                      "F8_E4M3, I8)",
                      path_, file, name, entry.dtype));
    tensors_.push_back(
        {name, entry.shape, weight_scales ? DType::kF32 : *dtype, entry.dtype, entry.bytes, file});
    places_.push_back(
        {tensor.shard, entry.offset, *dtype, std::move(weight_scales), StridedEntry(tensor)});
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
    if (!stored.contains(tensor))
      return Corruption(fmt::format("{}/{}: tensor '{}' is not in it, though {} says so", path_,
                                    file, tensor, index_file_));
  // A lone file says first what it is; then its config.json is missed, but for the original RWKV's
  // files, which never have one (AdaptRwkv).
  const bool describes_itself =
      stored.contains("emb.weight") && stored.contains("blocks.0.att.key.weight");
  config_ = single.empty() ? std::move(config_) : Json::object();
  if (!single.empty() && (!describes_itself || Exists(path_ + "/config.json")))
    INGOT_TRY(ReadConfig());
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
  if (place == nullptr || place->scales || place->strided) return {};
  // Storages of old PyTorch files start anywhere; kernels load whole elements.
  if (format_ == "pytorch" && place->offset % DTypeBytes(place->stored) != 0) return {};
  return shards_[place->shard].mapped.bytes().subspan(place->offset, tensor.stored_bytes);
}

Status HfCheckpoint::ReadScaledRows(const Place& place, std::uint64_t cols, std::uint64_t begin,
                                    std::uint64_t end, MutableByteSpan out) const {
  const std::uint64_t step =
      std::max<std::uint64_t>(1, kChunkBytes / std::max<std::uint64_t>(1, cols));
  ByteBuffer codes(std::min(step, end - begin) * cols);
  std::vector<float> values(codes.size());
  for (std::uint64_t row = begin; row < end; row += step) {
    const std::uint64_t n = std::min(step, end - row) * cols;
    const MutableByteSpan part{codes.data(), n};
    if (place.strided)
      GatherStrided(shards_[place.shard].mapped.bytes(), *place.strided, row * cols, part);
    else
      INGOT_TRY(shards_[place.shard].file.ReadAt(place.offset + row * cols, part));
    ApplyScales(*place.scales, place.stored, row, cols, part, {values.data(), n});
    std::memcpy(out.data() + (row - begin) * cols * sizeof(float), values.data(),
                n * sizeof(float));
  }
  return OkStatus();
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
  if (place->scales) return ReadScaledRows(*place, tensor.cols(), begin, end, out).At(where);
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
