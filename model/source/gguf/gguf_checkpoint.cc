// A GGUF file as a checkpoint: Hugging Face names and row order, quantized blocks expanded to
// float32.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/file.h"
#include "base/float_formats.h"
#include "model/source/checkpoint_sources.h"
#include "model/source/gguf/gguf.h"
#include "model/source/gguf/gguf_config.h"
#include "model/source/gguf/gguf_tensors.h"
#include "model/source/gguf/gguf_tokenizer.h"
#include "model/source/mapped_file.h"

namespace ingot::model {
namespace {

constexpr std::uint64_t kChunkBytes = 1u << 20;  // of a file, read at once and expanded

class GgufCheckpoint final : public Checkpoint {
 public:
  static Result<std::unique_ptr<Checkpoint>> Open(const std::string& path);

  const std::string& path() const override { return path_; }
  std::string_view format() const override { return "gguf"; }
  const Json& config() const override { return config_; }
  std::span<const TensorInfo> tensors() const override { return tensors_; }
  Status ReadRows(const TensorInfo& tensor, std::uint64_t begin, std::uint64_t end,
                  MutableByteSpan out) const override;
  ByteSpan Mapped(const TensorInfo& tensor) const override;
  const std::map<std::string, std::string>& assets() const override { return assets_; }

 private:
  Status Load();
  const GgufPlace* PlaceOf(const TensorInfo& tensor) const;
  Status ReadPlain(const GgufPlace& place, const TensorInfo& tensor, std::uint64_t begin,
                   std::uint64_t end, MutableByteSpan out) const;
  Status ReadUnpermuted(const GgufPlace& place, const TensorInfo& tensor, std::uint64_t begin,
                        std::uint64_t end, MutableByteSpan out) const;

  std::string path_;
  File file_;
  MappedFile mapped_;
  Json config_;
  std::vector<GgufPlace> places_;  // parallel to tensors_
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::string> assets_;
};

DType DeliveredDtype(const GgufPlace& place) {
  // Taking 1 off a half precision norm again would not give back what was rounded away.
  if (place.change == GgufChange::kMinusOne) return DType::kF32;
  return place.type->direct.value_or(DType::kF32);
}

Status GgufCheckpoint::Load() {
  INGOT_ASSIGN(const Gguf gguf, ParseGguf(mapped_.bytes()));
  const GgufValue* name = gguf.Find("general.architecture");
  if (name == nullptr || name->type != GgufValueType::kString)
    return Corruption("metadata key 'general.architecture' is missing");
  const std::string architecture(name->text);
  INGOT_ASSIGN(assets_, MakeGgufTokenizer(gguf));
  GgufKeys keys(gguf, architecture);
  if (const auto parts = keys.Count("split.count"); parts && *parts > 1)
    return Unsupported(fmt::format("one of {} parts; merge them into one GGUF first", *parts));
  const bool experts = keys.Count(".expert_count").value_or(0) > 0;
  const auto family = FindGgufFamily(architecture, experts);
  if (!family.ok()) {
    // A file with a vocabulary alone has no model to run, but a tokenizer to give.
    if (!gguf.tensors.empty() || assets_.empty()) return family.status();
    config_ = {{"model_type", architecture}};
    return OkStatus();
  }
  INGOT_ASSIGN(config_, MakeGgufConfig(gguf, mapped_.bytes(), **family));
  INGOT_ASSIGN(places_, PlaceGgufTensors(gguf, **family, config_));
  const std::string file = path_.substr(path_.rfind('/') + 1);
  for (const GgufPlace& place : places_)
    tensors_.push_back({place.name, place.shape, DeliveredDtype(place),
                        std::string(place.type->name), place.bytes, file});
  return OkStatus();
}

Result<std::unique_ptr<Checkpoint>> GgufCheckpoint::Open(const std::string& path) {
  auto checkpoint = std::make_unique<GgufCheckpoint>();
  checkpoint->path_ = path;
  INGOT_ASSIGN(checkpoint->file_, File::OpenRead(path));
  INGOT_ASSIGN(checkpoint->mapped_, MappedFile::Open(path));
  INGOT_TRY(checkpoint->Load().At(path));
  return std::unique_ptr<Checkpoint>(std::move(checkpoint));
}

const GgufPlace* GgufCheckpoint::PlaceOf(const TensorInfo& tensor) const {
  const TensorInfo* own = Find(tensor.name);
  return own == nullptr ? nullptr : &places_[static_cast<std::size_t>(own - tensors_.data())];
}

ByteSpan GgufCheckpoint::Mapped(const TensorInfo& tensor) const {
  const GgufPlace* place = PlaceOf(tensor);
  if (place == nullptr || place->change != GgufChange::kNone || !place->type->direct) return {};
  return mapped_.bytes().subspan(place->offset, place->bytes);
}

// Whole blocks as they are delivered: copied, or as float32.
void Expand(const GgufPlace& place, DType delivered, ByteSpan blocks, std::uint8_t* out) {
  const GgufType& type = *place.type;
  const std::size_t count = blocks.size() / type.block_bytes;
  if (type.direct == delivered) {
    std::memcpy(out, blocks.data(), blocks.size());
  } else if (type.direct) {  // half precision to float32
    for (std::size_t i = 0; i < count; ++i) {
      const auto half = LoadLe<std::uint16_t>(blocks.data() + 2 * i);
      StoreLe(out + 4 * i, type.direct == DType::kF16 ? FromFp16(half) : FromBf16(half));
    }
  } else {
    std::vector<float> values(type.block_weights * count);
    type.dequantize(blocks.data(), count, values.data());
    std::memcpy(out, values.data(), values.size() * sizeof(float));
  }
  if (place.change != GgufChange::kMinusOne) return;
  for (std::size_t i = 0; i < count * type.block_weights; ++i)
    StoreLe(out + 4 * i, LoadLe<float>(out + 4 * i) - 1.0f);
}

Status GgufCheckpoint::ReadPlain(const GgufPlace& place, const TensorInfo& tensor,
                                 std::uint64_t begin, std::uint64_t end,
                                 MutableByteSpan out) const {
  const std::uint64_t rows = tensor.rows();
  const std::uint64_t stored_row = rows == 0 ? 0 : place.bytes / rows;
  const std::uint64_t block = place.type->block_bytes;
  const std::uint64_t out_block = place.type->block_weights * DTypeBytes(tensor.dtype);
  const std::uint64_t step = std::max<std::uint64_t>(1, kChunkBytes / block) * block;
  const std::uint64_t total = (end - begin) * stored_row;
  if (place.type->direct == tensor.dtype && place.change == GgufChange::kNone)
    return file_.ReadAt(place.offset + begin * stored_row, out);
  ByteBuffer buffer(std::min(step, total));
  for (std::uint64_t at = 0; at < total; at += step) {
    const MutableByteSpan part{buffer.data(), std::min(step, total - at)};
    INGOT_TRY(file_.ReadAt(place.offset + begin * stored_row + at, part));
    Expand(place, tensor.dtype, part, out.data() + at / block * out_block);
  }
  return OkStatus();
}

// Reads head by head; row h * n + p * n/2 + j of the model is row h * n + 2 * j + p of the file. A
// bias is the same with elements for rows.
Status GgufCheckpoint::ReadUnpermuted(const GgufPlace& place, const TensorInfo& tensor,
                                      std::uint64_t begin, std::uint64_t end,
                                      MutableByteSpan out) const {
  const std::uint64_t n = place.head_rows;
  const bool vector = tensor.shape.size() == 1;
  TensorInfo view = tensor;
  if (vector) {
    if (!place.type->direct) return Unsupported("a bias in quantized blocks");
    view.shape = {tensor.shape[0], 1};
    end = begin == end ? 0 : tensor.shape[0];
    begin = 0;
  }
  const std::uint64_t row_bytes = view.cols() * DTypeBytes(view.dtype);
  ByteBuffer head(n * row_bytes);
  for (std::uint64_t row = begin; row < end;) {
    const std::uint64_t first = row / n * n;
    INGOT_TRY(ReadPlain(place, view, first, first + n, {head.data(), head.size()}));
    for (; row < std::min(end, first + n); ++row) {
      const std::uint64_t in_head = row - first;
      const std::uint64_t source = in_head % (n / 2) * 2 + in_head / (n / 2);
      std::memcpy(out.data() + (row - begin) * row_bytes, head.data() + source * row_bytes,
                  row_bytes);
    }
  }
  return OkStatus();
}

Status GgufCheckpoint::ReadRows(const TensorInfo& tensor, std::uint64_t begin, std::uint64_t end,
                                MutableByteSpan out) const {
  const GgufPlace* place = PlaceOf(tensor);
  if (place == nullptr) return NotFound(fmt::format("{}: no tensor '{}'", path_, tensor.name));
  const std::uint64_t row_bytes = tensor.cols() * DTypeBytes(tensor.dtype);
  if (begin > end || end > tensor.rows() || out.size() != (end - begin) * row_bytes)
    return InvalidArgument(fmt::format("tensor '{}': rows {} to {} of {} into {} bytes",
                                       tensor.name, begin, end, tensor.rows(), out.size()));
  const std::string where = fmt::format("{}: tensor '{}'", path_, tensor.name);
  if (place->change == GgufChange::kUnpermute)
    return ReadUnpermuted(*place, tensor, begin, end, out).At(where);
  return ReadPlain(*place, tensor, begin, end, out).At(where);
}

}  // namespace

Result<std::unique_ptr<Checkpoint>> OpenGgufCheckpoint(const std::string& path) {
  return GgufCheckpoint::Open(path);
}

}  // namespace ingot::model
