// A checkpoint of one matrix in memory, for tests of what reads sources.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "model/source/checkpoint.h"
#include "pack/plan.h"

namespace ingot::pack {

// A checkpoint of one matrix in memory.
class OneMatrix : public model::Checkpoint {
 public:
  OneMatrix(std::uint64_t rows, std::uint64_t cols, DType dtype) {
    model::TensorInfo info;
    info.name = "w";
    info.shape = {rows, cols};
    info.dtype = dtype;
    tensors_.push_back(info);
    bytes_.resize(rows * cols * DTypeBytes(dtype));
    for (std::size_t i = 0; i < bytes_.size(); ++i)
      bytes_[i] = static_cast<std::uint8_t>(i * 131 + (i >> 8) * 7);
  }
  const std::string& path() const override { return path_; }
  std::string_view format() const override { return "memory"; }
  const model::Json& config() const override { return config_; }
  std::span<const model::TensorInfo> tensors() const override { return tensors_; }
  Status ReadRows(const model::TensorInfo& tensor, std::uint64_t begin, std::uint64_t end,
                  MutableByteSpan out) const override {
    ++reads_;
    const std::uint64_t row = tensor.shape[1] * DTypeBytes(tensor.dtype);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(begin * row), (end - begin) * row,
                out.begin());
    return OkStatus();
  }
  ByteSpan Mapped(const model::TensorInfo&) const override { return {}; }
  const std::map<std::string, std::string>& assets() const override { return assets_; }
  const std::vector<std::uint8_t>& bytes() const { return bytes_; }
  std::size_t reads() const { return reads_; }

 private:
  std::string path_ = "memory";
  model::Json config_;
  std::vector<model::TensorInfo> tensors_;
  std::vector<std::uint8_t> bytes_;
  std::map<std::string, std::string> assets_;
  mutable std::size_t reads_ = 0;
};

inline PlannedTensor Planned(const OneMatrix& checkpoint, bool transposed,
                             std::uint64_t slab_rows) {
  PlannedTensor tensor;
  tensor.source = checkpoint.tensors()[0];
  tensor.transposed = transposed;
  tensor.rows = tensor.source.shape[transposed ? 1 : 0];
  tensor.cols = tensor.source.shape[transposed ? 0 : 1];
  tensor.slab_rows = slab_rows;
  tensor.slab_count = static_cast<std::uint32_t>(CeilDiv(tensor.rows, slab_rows));
  return tensor;
}

}  // namespace ingot::pack
