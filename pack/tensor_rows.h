// The rows of a planned tensor as encoders ask for them before its slabs: in the mapped file where
// the source holds them so, else through a window of bounded size.
//
// Thread rule: belongs to one thread.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "codecs/encoders/row_source.h"
#include "model/source/checkpoint.h"
#include "pack/plan.h"

namespace ingot::pack {

class TensorRows final : public codecs::RowSource {
 public:
  // Borrowed: both.
  TensorRows(const model::Checkpoint& checkpoint, const PlannedTensor& tensor);
  // Lets the file's pages that were read leave the process.
  ~TensorRows() override;
  TensorRows(const TensorRows&) = delete;
  TensorRows& operator=(const TensorRows&) = delete;

  std::uint64_t rows() const override { return tensor_.rows; }
  std::uint64_t cols() const override { return tensor_.cols; }
  std::uint64_t max_rows() const override;
  Result<codecs::WeightSlab> Read(std::uint64_t begin, std::uint64_t end) override;

  // Memory that one takes, at most.
  static std::uint64_t Bytes(const PlannedTensor& tensor);

 private:
  const model::Checkpoint& checkpoint_;
  const PlannedTensor& tensor_;
  ByteSpan mapped_;  // the whole tensor; empty where the window is used
  ByteBuffer window_;
  std::uint64_t begin_ = 0, end_ = 0;  // of the window
};

}  // namespace ingot::pack
