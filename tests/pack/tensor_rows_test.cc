#include "pack/tensor_rows.h"

#include <gtest/gtest.h>

#include <cstring>
#include <utility>
#include <vector>

#include "pack/slab_source.h"
#include "tests/pack/one_matrix.h"

namespace ingot::pack {
namespace {

// Rows in any order are those of the matrix, whichever way they are read.
void ExpectRows(const model::Checkpoint& checkpoint, const PlannedTensor& tensor) {
  const std::uint64_t row_bytes = tensor.cols * DTypeBytes(tensor.source.dtype);
  ByteBuffer whole(tensor.rows * row_bytes);
  ASSERT_TRUE(ReadTensorRows(checkpoint, tensor, 0, tensor.rows, whole.span()).ok());
  TensorRows rows(checkpoint, tensor);
  EXPECT_EQ(rows.rows(), tensor.rows);
  EXPECT_EQ(rows.cols(), tensor.cols);
  EXPECT_LE(rows.max_rows() * row_bytes, TensorRows::Bytes(tensor));
  const std::uint64_t last = tensor.rows - 1;
  for (const auto& [begin, end] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
           {0, 3}, {last, last + 1}, {2, 9}, {last / 2, last}, {0, last + 1}}) {
    const auto slab = rows.Read(begin, end);
    ASSERT_TRUE(slab.ok()) << slab.status().message();
    EXPECT_EQ(slab->rows, end - begin);
    EXPECT_EQ(slab->cols, tensor.cols);
    ASSERT_EQ(slab->bytes.size(), (end - begin) * row_bytes);
    EXPECT_EQ(std::memcmp(slab->bytes.data(), whole.data() + begin * row_bytes, slab->bytes.size()),
              0);
  }
}

TEST(TensorRows, OfASourceThatIsNotMapped) {
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kI8})
    for (const bool transposed : {false, true}) {
      const OneMatrix checkpoint(70, 50, dtype);
      ExpectRows(checkpoint, Planned(checkpoint, transposed, transposed ? 50 : 70));
    }
}

TEST(TensorRows, OfAMappedFile) {
  const auto checkpoint = model::Checkpoint::Open(INGOT_SOURCE_DIR "/tests/fixtures/models/llama");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  int mapped = 0;
  for (const model::TensorInfo& source : (*checkpoint)->tensors()) {
    if (source.shape.size() != 2 || source.shape[0] < 10) continue;
    PlannedTensor tensor;
    tensor.source = source;
    tensor.rows = source.rows();
    tensor.cols = source.cols();
    mapped += !(*checkpoint)->Mapped(source).empty();
    ExpectRows(**checkpoint, tensor);
  }
  EXPECT_GT(mapped, 0);
}

// A transposed matrix is not read whole again for every row.
TEST(TensorRows, ReadATransposedMatrixAhead) {
  const OneMatrix checkpoint(70, 50, DType::kBf16);
  const PlannedTensor tensor = Planned(checkpoint, true, 50);
  TensorRows rows(checkpoint, tensor);
  ASSERT_TRUE(rows.Read(0, 1).ok());
  const std::size_t reads = checkpoint.reads();
  for (std::uint64_t r = 1; r < 50; ++r) ASSERT_TRUE(rows.Read(r, r + 1).ok());
  EXPECT_EQ(checkpoint.reads(), reads);
}

}  // namespace
}  // namespace ingot::pack
