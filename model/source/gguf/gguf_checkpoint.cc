// A GGUF file as a checkpoint: Hugging Face names and row order, quantized blocks expanded to
// float32.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/float_formats.h"
#include "model/source/checkpoint_sources.h"
#include "model/source/gguf/gguf.h"
#include "model/source/gguf/gguf_config.h"
#include "model/source/gguf/gguf_families.h"
#include "model/source/gguf/gguf_keys.h"
#include "model/source/gguf/gguf_parts.h"
#include "model/source/gguf/gguf_tensors.h"
#include "model/source/gguf/gguf_tokenizer.h"
#include "model/source/tokenizer_status.h"

namespace ingot::model {
namespace {

constexpr std::uint64_t kChunkBytes = 1u << 20;  // of a file, read at once and expanded

class GgufCheckpoint final : public Checkpoint, public HasTokenizerStatus {
 public:
  static Result<std::unique_ptr<Checkpoint>> Open(const std::string& path);

  const std::string& path() const override { return path_; }
  std::string_view format() const override { return "gguf"; }
  const Json& config() const override { return config_; }
  std::span<const TensorInfo> tensors() const override { return tensors_; }
  Status ReadRows(const TensorInfo& tensor, std::uint64_t begin, std::uint64_t end,
                  MutableByteSpan out) const override;
  ByteSpan Mapped(const TensorInfo& tensor) const override;
  std::optional<CodedForm> Coded(const TensorInfo& tensor) const override;
  Result<CodedRows> ReadCoded(const TensorInfo& tensor, std::uint64_t begin,
                              std::uint64_t end) const override;
  const std::map<std::string, std::string>& assets() const override { return assets_; }
  const Status& tokenizer_status() const override { return tokenizer_status_; }

 private:
  Status OpenParts();
  Status Load();
  void AddTensors();  // of places_
  const GgufPlace* PlaceOf(const TensorInfo& tensor) const;
  Status ReadPlain(const GgufPlace& place, const TensorInfo& tensor, std::uint64_t begin,
                   std::uint64_t end, MutableByteSpan out) const;
  Status ReadUnpermuted(const GgufPlace& place, const TensorInfo& tensor, std::uint64_t begin,
                        std::uint64_t end, MutableByteSpan out) const;
  Status ReadGrouped(const GgufPlace& place, const TensorInfo& tensor, std::uint64_t begin,
                     std::uint64_t end, MutableByteSpan out) const;
  Status ReadTransposed(const GgufPlace& place, const TensorInfo& tensor, std::uint64_t begin,
                        std::uint64_t end, MutableByteSpan out) const;

  std::string path_;
  std::vector<GgufPart> parts_;
  Gguf gguf_;  // of all parts; while it is opened
  Json config_;
  std::vector<GgufPlace> places_;  // parallel to tensors_
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::string> assets_;
  Status tokenizer_status_;
};

// Weights are other numbers than the file's.
bool IsComputed(const GgufPlace& place) {
  return place.change == GgufChange::kMinusOne || place.change == GgufChange::kLogNegative ||
         place.change == GgufChange::kTwice;
}

DType DeliveredDtype(const GgufPlace& place) {
  // Taking 1 off a half precision norm again would not give back what was rounded away.
  if (IsComputed(place)) return DType::kF32;
  return place.type->direct.value_or(DType::kF32);
}

Status GgufCheckpoint::OpenParts() {
  INGOT_ASSIGN(GgufParts opened, OpenGgufParts(path_));
  parts_ = std::move(opened.parts);
  gguf_ = std::move(opened.gguf);
  return OkStatus();
}

Status GgufCheckpoint::Load() {
  const Gguf& gguf = gguf_;
  const GgufValue* name = gguf.Find("general.architecture");
  if (name == nullptr || name->type != GgufValueType::kString)
    return Corruption("metadata key 'general.architecture' is missing");
  const std::string architecture(name->text);
  // A vocabulary that is not understood is no reason not to read the weights.
  auto vocabulary = MakeGgufTokenizer(gguf);
  if (vocabulary.ok())
    assets_ = *std::move(vocabulary);
  else
    tokenizer_status_ = std::move(vocabulary).status();
  GgufKeys keys(gguf, architecture);
  const bool experts = keys.Count(".expert_count").value_or(0) > 0;
  const auto family = FindGgufFamily(architecture, experts);
  std::vector<ByteSpan> files;
  for (const GgufPart& part : parts_) files.push_back(part.mapped.bytes());
  auto config = family.ok() ? MakeGgufConfig(gguf, files, **family) : Result<Json>(family.status());
  if (!config.ok() && gguf.tensors.empty()) {
    // A file with a vocabulary alone has no model to run, but a tokenizer to give.
    INGOT_TRY(tokenizer_status_);
    if (assets_.empty()) return config.status();
    config_ = {{"model_type", architecture}};
    return OkStatus();
  }
  if (!family.ok()) {
    // Shown as it is; whoever wants to run it is told the architecture.
    config_ = {{"model_type", "GGUF " + architecture}};
    places_ = PlaceGgufTensorsAsTheyAre(gguf);
    AddTensors();
    return OkStatus();
  }
  INGOT_ASSIGN(config_, std::move(config));
  INGOT_ASSIGN(places_, PlaceGgufTensors(gguf, **family, config_));
  RenameGgufKeys(**family, config_);
  AddTensors();
  return OkStatus();
}

void GgufCheckpoint::AddTensors() {
  for (const GgufPlace& place : places_)
    tensors_.push_back({place.name, place.shape, DeliveredDtype(place),
                        std::string(place.type->name), place.bytes, parts_[place.part].name});
  gguf_ = Gguf();
}

Result<std::unique_ptr<Checkpoint>> GgufCheckpoint::Open(const std::string& path) {
  auto checkpoint = std::make_unique<GgufCheckpoint>();
  checkpoint->path_ = path;
  INGOT_TRY(checkpoint->OpenParts());
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
  return parts_[place->part].mapped.bytes().subspan(place->offset, place->bytes);
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
  if (!IsComputed(place)) return;
  for (std::size_t i = 0; i < count * type.block_weights; ++i) {
    const auto value = LoadLe<float>(out + 4 * i);
    StoreLe(out + 4 * i, place.change == GgufChange::kLogNegative ? std::log(-value)
                         : place.change == GgufChange::kTwice     ? value * place.factor
                                                                  : value - 1.0f);
  }
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
  if (place.type->direct == tensor.dtype && !IsComputed(place))
    return parts_[place.part].file.ReadAt(place.offset + begin * stored_row, out);
  ByteBuffer buffer(std::min(step, total));
  for (std::uint64_t at = 0; at < total; at += step) {
    const MutableByteSpan part{buffer.data(), std::min(step, total - at)};
    INGOT_TRY(parts_[place.part].file.ReadAt(place.offset + begin * stored_row + at, part));
    Expand(place, tensor.dtype, part, out.data() + at / block * out_block);
  }
  return OkStatus();
}

// kUnpermute: the row of the file that row `row` of the model is, h * n + p * n/2 + j for h * n + 2
// * j
// + p.
std::uint64_t PermutedSourceRow(const GgufPlace& place, std::uint64_t row) {
  const std::uint64_t n = place.head_rows, in_head = row % n;
  return row - in_head + in_head % (n / 2) * 2 + in_head / (n / 2);
}

// Reads head by head. A bias is the same with elements for rows.
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
      const std::uint64_t source = PermutedSourceRow(place, row) - first;
      std::memcpy(out.data() + (row - begin) * row_bytes, head.data() + source * row_bytes,
                  row_bytes);
    }
  }
  return OkStatus();
}

// Runs of rows within a head. A bias is the same with elements for rows.
Status GgufCheckpoint::ReadGrouped(const GgufPlace& place, const TensorInfo& tensor,
                                   std::uint64_t begin, std::uint64_t end,
                                   MutableByteSpan out) const {
  TensorInfo view = tensor;
  if (tensor.shape.size() == 1) {
    if (!place.type->direct) return Unsupported("a bias in quantized blocks");
    view.shape = {tensor.shape[0], 1};
    end = begin == end ? 0 : tensor.shape[0];
    begin = 0;
  }
  const std::uint64_t row_bytes = view.cols() * DTypeBytes(view.dtype);
  for (std::uint64_t row = begin; row < end;) {
    const std::uint64_t run = std::min(end - row, place.head_rows - row % place.head_rows);
    const std::uint64_t source = GroupedSourceRow(place, row);
    INGOT_TRY(ReadPlain(place, view, source, source + run,
                        out.subspan((row - begin) * row_bytes, run * row_bytes)));
    row += run;
  }
  return OkStatus();
}

// Rows are columns of the file, all of whose rows are read for them.
Status GgufCheckpoint::ReadTransposed(const GgufPlace& place, const TensorInfo& tensor,
                                      std::uint64_t begin, std::uint64_t end,
                                      MutableByteSpan out) const {
  TensorInfo view = tensor;
  std::swap(view.shape[0], view.shape[1]);
  const std::uint64_t element = DTypeBytes(view.dtype), stored_rows = view.rows();
  const std::uint64_t row_bytes = view.cols() * element;
  const std::uint64_t step = std::max<std::uint64_t>(1, kChunkBytes / std::max(row_bytes, element));
  ByteBuffer buffer(std::min(step, stored_rows) * row_bytes);
  for (std::uint64_t first = 0; first < stored_rows; first += step) {
    const std::uint64_t last = std::min(stored_rows, first + step);
    INGOT_TRY(ReadPlain(place, view, first, last, {buffer.data(), (last - first) * row_bytes}));
    for (std::uint64_t s = first; s < last; ++s)
      for (std::uint64_t r = begin; r < end; ++r)
        std::memcpy(out.data() + ((r - begin) * stored_rows + s) * element,
                    buffer.data() + (s - first) * row_bytes + r * element, element);
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
  switch (place->change) {
    case GgufChange::kUnpermute:
      return ReadUnpermuted(*place, tensor, begin, end, out).At(where);
    case GgufChange::kGroupHeads:
      return ReadGrouped(*place, tensor, begin, end, out).At(where);
    case GgufChange::kTranspose:
      return ReadTransposed(*place, tensor, begin, end, out).At(where);
    case GgufChange::kZeros:
      std::fill(out.begin(), out.end(), std::uint8_t{0});
      return OkStatus();
    default:
      break;
  }
  return ReadPlain(*place, tensor, begin, end, out).At(where);
}

std::optional<CodedForm> GgufCheckpoint::Coded(const TensorInfo& tensor) const {
  const GgufPlace* place = PlaceOf(tensor);
  if (place == nullptr || place->type->integers == nullptr || tensor.shape.size() < 2)
    return std::nullopt;
  if (place->change != GgufChange::kNone && place->change != GgufChange::kUnpermute &&
      place->change != GgufChange::kGroupHeads)
    return std::nullopt;
  const GgufIntegers& type = *place->type->integers;
  if (tensor.cols() % type.block_weights != 0) return std::nullopt;
  return CodedForm{type.bits, type.group,
                   type.minima ? CodedForm::Origin::kMinimum : CodedForm::Origin::kMiddle,
                   type.half_scales()};
}

Result<CodedRows> GgufCheckpoint::ReadCoded(const TensorInfo& tensor, std::uint64_t begin,
                                            std::uint64_t end) const {
  if (!Coded(tensor) || begin > end || end > tensor.rows())
    return InvalidArgument(fmt::format("tensor '{}': rows {} to {} of {} as codes", tensor.name,
                                       begin, end, tensor.rows()));
  const GgufPlace& place = *PlaceOf(tensor);
  const GgufIntegers& type = *place.type->integers;
  const std::uint64_t cols = tensor.cols(), blocks = cols / type.block_weights;
  const std::uint64_t groups = cols / type.group, block_groups = type.block_weights / type.group;
  CodedRows rows;
  rows.codes.resize((end - begin) * cols);
  rows.scales.resize((end - begin) * groups);
  if (type.minima) rows.offsets.resize(rows.scales.size());
  ByteBuffer stored(blocks * type.block_bytes);
  for (std::uint64_t row = begin; row < end; ++row) {
    const std::uint64_t source =
        place.change == GgufChange::kUnpermute    ? PermutedSourceRow(place, row)
        : place.change == GgufChange::kGroupHeads ? GroupedSourceRow(place, row)
                                                  : row;
    INGOT_TRY(parts_[place.part]
                  .file.ReadAt(place.offset + source * stored.size(), stored.span())
                  .At(fmt::format("{}: tensor '{}'", path_, tensor.name)));
    for (std::uint64_t b = 0; b < blocks; ++b) {
      const std::uint64_t group = (row - begin) * groups + b * block_groups;
      type.take_apart(stored.data() + b * type.block_bytes,
                      rows.codes.data() + (row - begin) * cols + b * type.block_weights,
                      rows.scales.data() + group,
                      type.minima ? rows.offsets.data() + group : nullptr);
    }
  }
  return rows;
}

}  // namespace

Result<std::unique_ptr<Checkpoint>> OpenGgufCheckpoint(const std::string& path) {
  return GgufCheckpoint::Open(path);
}

}  // namespace ingot::model
