#include "pack/tensor_rows.h"

#include <algorithm>

#include "codecs/encoders/tensor_encoder.h"
#include "pack/slab_source.h"

namespace ingot::pack {
namespace {

std::uint64_t WindowRows(const PlannedTensor& tensor) {
  return std::min(tensor.rows, codecs::SlabRows(tensor.cols));
}

}  // namespace

TensorRows::TensorRows(const model::Checkpoint& checkpoint, const PlannedTensor& tensor)
    : checkpoint_(checkpoint), tensor_(tensor) {
  if (!tensor.transposed) mapped_ = checkpoint.Mapped(tensor.source);
}

TensorRows::~TensorRows() {
  if (!mapped_.empty()) DropMapped(mapped_);
}

std::uint64_t TensorRows::max_rows() const { return WindowRows(tensor_); }

std::uint64_t TensorRows::Bytes(const PlannedTensor& tensor) {
  return WindowRows(tensor) * tensor.cols * DTypeBytes(tensor.source.dtype);
}

Result<codecs::WeightSlab> TensorRows::Read(std::uint64_t begin, std::uint64_t end) {
  const std::uint64_t row_bytes = tensor_.cols * DTypeBytes(tensor_.source.dtype);
  const auto view = [&](ByteSpan bytes, std::uint64_t first) {
    return codecs::WeightSlab{
        tensor_.source.dtype, end - begin, tensor_.cols,
        bytes.subspan((begin - first) * row_bytes, (end - begin) * row_bytes)};
  };
  if (!mapped_.empty()) return view(mapped_, 0);
  if (begin < begin_ || end > end_) {
    // A transposed matrix is read whole for any row: as many at once as there is room for.
    const std::uint64_t ahead = tensor_.transposed ? begin + max_rows() : end;
    begin_ = begin;
    end_ = std::min(tensor_.rows, ahead);
    const std::uint64_t bytes = (end_ - begin_) * row_bytes;
    if (window_.size() < bytes) window_ = ByteBuffer(bytes);
    const auto read = ReadTensorRows(checkpoint_, tensor_, begin_, end_, window_.span());
    if (!read.ok()) end_ = begin_;
    INGOT_TRY(read.status());
  }
  return view(window_.span(), begin_);
}

}  // namespace ingot::pack
