#include "calibration/torch/stage_weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "codecs/plane.h"

namespace ingot::calibration {
namespace {

constexpr std::uint64_t kReadBytes = 8 << 20;

// Rows [begin, end) of a tensor's matrix view as floats, a block at a time.
Status ReadFloats(const model::Checkpoint& checkpoint, const model::TensorInfo& tensor,
                  std::uint64_t begin, std::uint64_t end, float* out) {
  const std::uint64_t row_bytes = tensor.cols() * DTypeBytes(tensor.dtype);
  if (row_bytes == 0) return OkStatus();
  const std::uint64_t block = std::max<std::uint64_t>(1, kReadBytes / row_bytes);
  ByteBuffer bytes(std::min(block, end - begin) * row_bytes);
  for (std::uint64_t r = begin; r < end; r += block) {
    const std::uint64_t rows = std::min(block, end - r);
    INGOT_TRY(checkpoint.ReadRows(tensor, r, r + rows, bytes.span().first(rows * row_bytes)));
    codecs::ConvertToFloat(tensor.dtype, bytes.span().first(rows * row_bytes),
                           {out + (r - begin) * tensor.cols(), rows * tensor.cols()});
  }
  return OkStatus();
}

std::int64_t Signed(std::uint64_t n) { return static_cast<std::int64_t>(n); }

class CheckpointReader : public WeightReader {
 public:
  explicit CheckpointReader(const model::Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  Result<at::Tensor> Matrix(const std::string& name, bool transposed) const override {
    INGOT_ASSIGN(const model::TensorInfo* tensor, Find(name));
    at::Tensor values = at::empty({Signed(tensor->rows()), Signed(tensor->cols())}, at::kFloat);
    INGOT_TRY(ReadFloats(checkpoint_, *tensor, 0, tensor->rows(), values.data_ptr<float>())
                  .At(fmt::format("tensor '{}'", name)));
    return transposed ? values.t().contiguous() : values;
  }

  Result<at::Tensor> Rows(const std::string& table,
                          std::span<const std::int32_t> ids) const override {
    INGOT_ASSIGN(const model::TensorInfo* tensor, Find(table));
    const std::uint64_t cols = tensor->cols();
    at::Tensor out = at::empty({Signed(ids.size()), Signed(cols)}, at::kFloat);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] < 0 || static_cast<std::uint64_t>(ids[i]) >= tensor->rows())
        return InvalidArgument(
            fmt::format("row {} of '{}', which has {}", ids[i], table, tensor->rows()));
      const auto row = static_cast<std::uint64_t>(ids[i]);
      INGOT_TRY(ReadFloats(checkpoint_, *tensor, row, row + 1, out.data_ptr<float>() + i * cols)
                    .At(table));
    }
    return out;
  }

 private:
  Result<const model::TensorInfo*> Find(const std::string& name) const {
    const model::TensorInfo* tensor = checkpoint_.Find(name);
    if (tensor != nullptr) return tensor;
    return NotFound(fmt::format("{}: tensor '{}' is missing", checkpoint_.path(), name));
  }

  const model::Checkpoint& checkpoint_;
};

}  // namespace

std::shared_ptr<const WeightReader> ReaderOf(const model::Checkpoint& checkpoint) {
  return std::make_shared<CheckpointReader>(checkpoint);
}

Result<at::Tensor> StageWeights::Read(const std::string& name, bool transposed) {
  const std::string key = (transposed ? "t:" : ":") + name;
  if (const auto it = tensors_.find(key); it != tensors_.end()) return it->second;
  INGOT_ASSIGN(const at::Tensor values, reader_->Matrix(name, transposed));
  tensors_[key] = values;
  return values;
}

Status StageWeights::AddLinear(const model::LinearRef& ref) {
  INGOT_ASSIGN(const at::Tensor whole, Read(ref.weight, ref.transposed));
  const auto rows = static_cast<std::uint64_t>(whole.size(0));
  if (whole.size(1) != Signed(ref.cols) || ref.rows > rows || ref.row_begin > rows - ref.rows)
    return InvalidArgument(fmt::format("'{}' is {} x {}, rows [{}, {}) of {} columns are used",
                                       ref.weight, whole.size(0), whole.size(1), ref.row_begin,
                                       ref.row_begin + ref.rows, ref.cols));
  Linear linear;
  linear.weight = whole.narrow(0, Signed(ref.row_begin), Signed(ref.rows));
  if (!ref.bias.empty()) {
    INGOT_ASSIGN(const at::Tensor bias, Read(ref.bias, false));
    const at::Tensor flat = bias.view({-1});
    if (static_cast<std::uint64_t>(flat.size(0)) < ref.row_begin + ref.rows)
      return InvalidArgument(fmt::format("'{}' has {} values, {} are used", ref.bias, flat.size(0),
                                         ref.row_begin + ref.rows));
    linear.bias = flat.narrow(0, Signed(ref.row_begin), Signed(ref.rows));
  }
  linears_[&ref] = linear;
  return OkStatus();
}

Status StageWeights::AddNorm(const model::NormSpec& norm) {
  Norm bound;
  std::vector<at::Tensor> parts;
  for (const std::string& name : norm.head_weights) {
    INGOT_ASSIGN(const at::Tensor part, Read(name, false));
    parts.push_back(part.view({-1}));
  }
  if (parts.empty() && !norm.weight.empty()) {
    INGOT_ASSIGN(const at::Tensor weight, Read(norm.weight, false));
    bound.weight = weight.view({-1});
  } else if (!parts.empty()) {
    for (const at::Tensor& part : parts)
      if (part.size(0) != parts[0].size(0))
        return InvalidArgument("norms of heads differ in size: " + norm.head_weights[0]);
    bound.weight = parts.size() == 1 ? parts[0] : at::stack(parts);
  }
  if (bound.weight.defined() && norm.weight_offset != 0)
    bound.weight = bound.weight + norm.weight_offset;
  if (!norm.bias.empty()) {
    INGOT_ASSIGN(const at::Tensor bias, Read(norm.bias, false));
    bound.bias = bias.view({-1});
  }
  norms_[&norm] = bound;
  return OkStatus();
}

Result<std::unique_ptr<StageWeights>> StageWeights::Load(const model::Checkpoint& checkpoint,
                                                         const model::Architecture& architecture,
                                                         std::size_t stage) {
  return Load(ReaderOf(checkpoint), architecture, stage);
}

Result<std::unique_ptr<StageWeights>> StageWeights::Load(std::shared_ptr<const WeightReader> reader,
                                                         const model::Architecture& architecture,
                                                         std::size_t stage) {
  std::unique_ptr<StageWeights> weights(new StageWeights(std::move(reader)));
  Status status;
  VisitStage(
      architecture, stage,
      [&](const model::LinearRef& ref) {
        if (status.ok()) status = weights->AddLinear(ref);
      },
      [&](const model::NormSpec& norm) {
        if (status.ok()) status = weights->AddNorm(norm);
      });
  VisitValues(architecture, stage, [&](const std::string& name) {
    if (!status.ok()) return;
    Result<at::Tensor> values = weights->Read(name, false);
    if (values.ok())
      weights->values_[&name] = *std::move(values);
    else
      status = std::move(values).status();
  });
  if (!status.ok()) return std::move(status).At(StageName(architecture, stage));
  return weights;
}

}  // namespace ingot::calibration
