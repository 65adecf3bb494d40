#include "pack/export_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <utility>

#include "artifact/decoded_size.h"
#include "base/file.h"
#include "base/float_formats.h"
#include "base/parallel.h"
#include "codecs/plane_codec.h"
#include "files/atomic_file.h"
#include "model/source/asset_names.h"
#include "pack/hf_writer.h"
#include "stored/plane_record.h"
#include "stored/tensor_planes.h"
#include "stored/transform_tables.h"

namespace ingot::pack {
namespace {

namespace fs = std::filesystem;
using artifact::Json;

constexpr std::uint64_t kBlockWeights = std::uint64_t{1} << 20;  // decoded at a time
constexpr std::uint64_t kTaskWeights = std::uint64_t{64} << 10;

// Rows [begin, end) of a tensor into out, in parallel.
void Decode(const stored::TensorPlanes& tensor, std::uint64_t begin, std::uint64_t end,
            float* out) {
  const std::uint64_t grain = std::max<std::uint64_t>(kTaskWeights / tensor.cols, 1);
  ParallelFor(end - begin, grain, [&](std::size_t from, std::size_t to) {
    codecs::ApplyPlanes(tensor.planes, begin + from, begin + to, out + from * tensor.cols);
  });
}

// Planes that end in the source's exact values.
bool IsExact(const artifact::TensorRecord& record) {
  return std::ranges::any_of(record.planes, [](const artifact::PlaneRecord& plane) {
    const auto kind = codecs::FindPlaneKind(plane.kind);
    return kind.ok() && (*kind)->role == codecs::PlaneRole::kReplaces;
  });
}

bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBf16;
}

void Convert(const float* values, std::size_t count, DType dtype, std::uint8_t* out) {
  if (dtype == DType::kF32) {
    std::memcpy(out, values, count * sizeof(float));
    return;
  }
  for (std::size_t i = 0; i < count; ++i)
    StoreLe<std::uint16_t>(out + 2 * i,
                           dtype == DType::kBf16 ? ToBf16(values[i]) : ToFp16(values[i]));
}

// The largest row of a matrix that `dtype` has no numbers for, at its top or its bottom. The
// smallest are as those of codecs/rounding/scale_range.h: dead rows may become zeros.
Status CheckFits(const float* values, std::uint64_t rows, std::uint64_t cols,
                 std::uint64_t first_row, bool matrix, DType dtype) {
  if (dtype == DType::kF32) return OkStatus();
  for (std::uint64_t r = 0; r < rows; ++r) {
    float largest = 0;
    for (std::uint64_t c = 0; c < cols; ++c) {
      const float magnitude = std::fabs(values[r * cols + c]);
      if (std::isfinite(magnitude)) largest = std::max(largest, magnitude);
    }
    const float stored =
        dtype == DType::kBf16 ? FromBf16(ToBf16(largest)) : FromFp16(ToFp16(largest));
    const bool lost = matrix && dtype == DType::kF16 && stored < largest && largest > 0x1p-40f &&
                      std::fabs(stored - largest) > largest / 4;
    if (std::isfinite(stored) && !lost) continue;
    return InvalidArgument(fmt::format(
        "row {}: {:.4g}, its largest weight, is {} what {} holds ({}); export with --dtype {}",
        first_row + r, largest, lost ? "below" : "above", DTypeName(dtype),
        lost                   ? "1.2e-07"
        : dtype == DType::kF16 ? "65504"
                               : "3.39e+38",
        dtype == DType::kF16 ? "bf16 or f32" : "f32"));
  }
  return OkStatus();
}

// Transformers' shape of a tensor that is held flat here: RWKV-4's mixes of tokens.
void RestoreShape(std::string_view model_type, OutputTensor& output) {
  if (model_type == "rwkv" && output.shape.size() == 1 &&
      output.name.find(".time_mix_") != std::string::npos)
    output.shape.insert(output.shape.begin(), 2, 1);
}

// Transformers' name of a tensor of RWKV-4 as the original project calls it; `name` itself where it
// has no other.
std::string NameInTransformers(std::string_view model_type, const std::string& name) {
  if (model_type != "rwkv") return name;
  if (name == "emb.weight") return "rwkv.embeddings.weight";
  if (name.starts_with("ln_out.")) return "rwkv." + name;
  if (!name.starts_with("blocks.")) return name;
  constexpr std::pair<std::string_view, std::string_view> kParts[] = {
      {".ln0.", ".pre_ln."},
      {".att.", ".attention."},
      {".ffn.", ".feed_forward."},
      {".time_mix_k", ".time_mix_key"},
      {".time_mix_v", ".time_mix_value"},
      {".time_mix_r", ".time_mix_receptance"}};
  std::string renamed = "rwkv." + name;
  for (const auto& [from, to] : kParts)
    if (const std::size_t at = renamed.find(from); at != std::string::npos)
      renamed.replace(at, from.size(), to);
  return renamed;
}

// The other name of an encoder's output bias, which transformers ties to the first and reads it
// by; empty for other tensors.
std::string TiedName(std::string_view name) {
  if (name == "cls.predictions.decoder.bias") return "cls.predictions.bias";
  if (name == "lm_head.decoder.bias") return "lm_head.bias";
  return "";
}

// What is written is what was verified: no file of the artifact's may stand beside or before it.
Status CheckNames(const artifact::Manifest& manifest) {
  for (const artifact::AssetRecord& asset : manifest.assets) {
    if (!model::IsAssetName(asset.name))
      return Corruption(fmt::format(
          "asset '{}' is no part of a tokenizer: it is not written where a loader may run it or "
          "take it for the weights",
          asset.name));
    if (asset.stream.bytes > model::kMaxAssetBytes)
      return LimitExceeded(fmt::format("asset '{}' of {} bytes, at most {}", asset.name,
                                       asset.stream.bytes, model::kMaxAssetBytes));
  }
  for (const artifact::TensorRecord& tensor : manifest.tensors)
    if (tensor.name == "__metadata__")
      return Corruption("tensor '__metadata__' has the name that safetensors keeps for itself");
  return OkStatus();
}

// One export under way.
class Exporter {
 public:
  Exporter(const artifact::ArtifactReader& reader, const ExportOptions& options)
      : reader_(reader), options_(options) {}

  Result<ExportReport> Run() {
    INGOT_TRY(CheckTarget());
    INGOT_TRY(CheckNames(reader_.manifest()));
    INGOT_TRY(artifact::CheckDecodedSize(reader_, options_.max_decoded_bytes));
    INGOT_TRY(Plan());
    files::RemoveStaleDirectories(options_.target);
    INGOT_ASSIGN(files::Temporary directory, files::Temporary::MakeDirectory(options_.target));
    const std::vector<std::vector<OutputTensor>> shards = CutShards(outputs_, options_.shard_bytes);
    for (std::size_t i = 0; i < shards.size(); ++i)
      INGOT_TRY(WriteShard(directory.path() + "/" + ShardName(i, shards.size()), shards[i]));
    if (shards.size() > 1) INGOT_TRY(WriteIndex(directory.path(), shards));
    INGOT_TRY(WriteSmallFiles(directory.path()));
    INGOT_TRY(directory.RenameTo(options_.target));
    std::error_code ignored;
    fs::permissions(options_.target, fs::perms(0755), ignored);
    return ExportReport{total_bytes_, shards.size(),
                        uniform_.has_value() ? std::string(DTypeName(*uniform_)) : "source"};
  }

 private:
  Status CheckTarget() {
    if (options_.target.empty()) return InvalidArgument("the directory to make has no name");
    while (options_.target.size() > 1 && options_.target.ends_with('/')) options_.target.pop_back();
    std::error_code error;
    if (!fs::exists(options_.target, error)) return OkStatus();
    if (fs::is_directory(options_.target, error) && fs::is_empty(options_.target, error))
      return OkStatus();
    return InvalidArgument(options_.target +
                           ": is there already; remove it or choose another name");
  }

  // The format and size of every tensor.
  Status Plan() {
    uniform_ = options_.dtype;
    for (const artifact::TensorRecord& record : reader_.manifest().tensors) {
      const auto dtype = ParseDType(record.dtype);
      if (!options_.dtype.has_value() && (!IsExact(record) || !dtype.ok() || !IsFloat(*dtype)))
        uniform_ = DType::kF32;
    }
    if (uniform_.has_value() && !IsFloat(*uniform_))
      return InvalidArgument("--dtype must be f32, f16 or bf16");
    for (const artifact::TensorRecord& record : reader_.manifest().tensors) {
      OutputTensor output{record.name, record.shape, DType::kF32, 0};
      if (uniform_.has_value()) {
        output.dtype = *uniform_;
      } else {
        INGOT_ASSIGN(output.dtype, ParseDType(record.dtype));
      }
      if (stored::IsTransposed(record)) std::swap(output.shape[0], output.shape[1]);
      output.bytes = DTypeBytes(output.dtype);
      for (const std::uint64_t n : record.shape) output.bytes *= n;
      const Json& config = reader_.manifest().config;
      const auto type = config.find("model_type");
      if (type != config.end() && type->is_string()) {
        const std::string& model_type = type->get_ref<const std::string&>();
        output.name = NameInTransformers(model_type, record.name);
        RestoreShape(model_type, output);
      }
      Add(record, std::move(output));
    }
    AddTiedNames();
    return OkStatus();
  }

  void Add(const artifact::TensorRecord& record, OutputTensor output) {
    total_bytes_ += output.bytes;
    records_[output.name] = &record;
    outputs_.push_back(std::move(output));
  }

  void AddTiedNames() {
    for (std::size_t i = 0, n = outputs_.size(); i < n; ++i) {
      OutputTensor tied = outputs_[i];
      const artifact::TensorRecord& record = *records_.at(tied.name);
      tied.name = TiedName(tied.name);
      if (!tied.name.empty() && !records_.contains(tied.name)) Add(record, std::move(tied));
    }
  }

  Status WriteShard(const std::string& path, const std::vector<OutputTensor>& tensors) {
    INGOT_ASSIGN(SafetensorsWriter writer, SafetensorsWriter::Create(path, tensors));
    for (const OutputTensor& output : tensors) {
      const artifact::TensorRecord& record = *records_.at(output.name);
      INGOT_ASSIGN(const stored::TensorPlanes tensor,
                   stored::ReadTensor(reader_, record).At(output.name));
      INGOT_TRY(transforms_.AddOf(tensor).At(output.name));
      INGOT_TRY(stored::IsTransposed(record) ? WriteTransposed(tensor, output, writer)
                                             : WriteRows(tensor, output, writer));
      done_bytes_ += output.bytes;
      if (options_.progress) INGOT_TRY(options_.progress(done_bytes_, total_bytes_));
    }
    return writer.Commit();
  }

  Status WriteRows(const stored::TensorPlanes& tensor, const OutputTensor& output,
                   SafetensorsWriter& writer) {
    const std::uint64_t block = std::max<std::uint64_t>(kBlockWeights / tensor.cols, 1);
    for (std::uint64_t row = 0; row < tensor.rows; row += block) {
      const std::uint64_t end = std::min(row + block, tensor.rows);
      const std::size_t count = (end - row) * tensor.cols;
      Reserve(count);
      Decode(tensor, row, end, values_.data());
      INGOT_TRY(
          CheckFits(values_.data(), end - row, tensor.cols, row, tensor.rows > 1, output.dtype)
              .At(output.name));
      Convert(values_.data(), count, output.dtype, bytes_.data());
      INGOT_TRY(writer.Append(bytes_.span().first(count * DTypeBytes(output.dtype))));
    }
    return OkStatus();
  }

  // The source held the matrix the other way round; only small models do (GPT-2), so whole.
  Status WriteTransposed(const stored::TensorPlanes& tensor, const OutputTensor& output,
                         SafetensorsWriter& writer) {
    const std::size_t count = tensor.rows * tensor.cols;
    Reserve(count);
    Decode(tensor, 0, tensor.rows, values_.data());
    INGOT_TRY(
        CheckFits(values_.data(), tensor.rows, tensor.cols, 0, true, output.dtype).At(output.name));
    AlignedBuffer<float> turned(count);
    for (std::uint64_t r = 0; r < tensor.rows; ++r)
      for (std::uint64_t c = 0; c < tensor.cols; ++c)
        turned[c * tensor.rows + r] = values_[r * tensor.cols + c];
    Convert(turned.data(), count, output.dtype, bytes_.data());
    return writer.Append(bytes_.span().first(count * DTypeBytes(output.dtype)));
  }

  void Reserve(std::size_t count) {
    if (values_.size() >= count) return;
    values_ = AlignedBuffer<float>(count);
    bytes_ = ByteBuffer(count * sizeof(float));
  }

  Status WriteIndex(const std::string& directory,
                    const std::vector<std::vector<OutputTensor>>& shards) {
    Json index = {{"metadata", {{"total_size", total_bytes_}}}, {"weight_map", Json::object()}};
    for (std::size_t i = 0; i < shards.size(); ++i)
      for (const OutputTensor& tensor : shards[i])
        index["weight_map"][tensor.name] = ShardName(i, shards.size());
    return files::WriteFileAtomic(directory + "/model.safetensors.index.json",
                                  AsBytes(index.dump(1)));
  }

  Status WriteSmallFiles(const std::string& directory) {
    Json config = reader_.manifest().config;
    config.erase("quantization_config");  // the weights are plain now
    if (uniform_.has_value()) {
      const std::string name = *uniform_ == DType::kF32   ? "float32"
                               : *uniform_ == DType::kF16 ? "float16"
                                                          : "bfloat16";
      // transformers 5 reads dtype, older ones torch_dtype.
      if (config.contains("dtype")) config["dtype"] = name;
      if (config.contains("torch_dtype") || !config.contains("dtype")) config["torch_dtype"] = name;
    }
    for (const artifact::AssetRecord& asset : reader_.manifest().assets) {
      INGOT_ASSIGN(const std::string content, reader_.ReadAsset(asset.name).At(asset.name));
      INGOT_TRY(files::WriteFileAtomic(directory + "/" + asset.name, AsBytes(content)));
    }
    return files::WriteFileAtomic(directory + "/config.json", AsBytes(config.dump(2) + "\n"));
  }

  const artifact::ArtifactReader& reader_;
  ExportOptions options_;
  std::optional<DType> uniform_;
  std::vector<OutputTensor> outputs_;
  std::map<std::string, const artifact::TensorRecord*> records_;
  stored::TransformTables transforms_;
  std::uint64_t total_bytes_ = 0;
  std::uint64_t done_bytes_ = 0;
  AlignedBuffer<float> values_;
  ByteBuffer bytes_;
};

}  // namespace

Result<ExportReport> ExportModel(const artifact::ArtifactReader& reader,
                                 const ExportOptions& options) {
  return Exporter(reader, options).Run();
}

}  // namespace ingot::pack
