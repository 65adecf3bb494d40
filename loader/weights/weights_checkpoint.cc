// Weights straight from a source checkpoint: every tensor is one raw plane, mapped where the file
// has it as kernels want it.
#include <cstring>
#include <string>
#include <utility>

#include "base/parallel.h"
#include "codecs/planes/raw_plane.h"
#include "loader/weights/resident.h"

namespace ingot::loader {
namespace {

constexpr std::uint64_t kTransposeTile = 64;

// out (cols x rows) = in (rows x cols) transposed, elements of `bytes` bytes, in tiles that fit the
// first-level cache.
template <typename T>
void TransposeAs(const std::uint8_t* in, std::uint64_t rows, std::uint64_t cols,
                 std::uint8_t* out) {
  const std::uint64_t tiles = CeilDiv(rows, kTransposeTile);
  ParallelFor(tiles, 1, [&](std::size_t begin, std::size_t end) {
    const std::uint64_t last = std::min<std::uint64_t>(rows, end * kTransposeTile);
    for (std::uint64_t r0 = begin * kTransposeTile; r0 < last; r0 += kTransposeTile)
      for (std::uint64_t c0 = 0; c0 < cols; c0 += kTransposeTile)
        for (std::uint64_t c = c0; c < std::min(cols, c0 + kTransposeTile); ++c)
          for (std::uint64_t r = r0; r < std::min(last, r0 + kTransposeTile); ++r)
            StoreLe(out + (c * rows + r) * sizeof(T), LoadLe<T>(in + (r * cols + c) * sizeof(T)));
  });
}

void Transpose(const std::uint8_t* in, std::uint64_t rows, std::uint64_t cols, std::size_t bytes,
               std::uint8_t* out) {
  if (bytes == 4) return TransposeAs<std::uint32_t>(in, rows, cols, out);
  if (bytes == 2) return TransposeAs<std::uint16_t>(in, rows, cols, out);
  return TransposeAs<std::uint8_t>(in, rows, cols, out);
}

Status LoadMatrix(const model::Checkpoint& checkpoint, const model::TensorInfo& tensor,
                  bool transposed, ResidentMatrix& matrix) {
  const std::uint64_t rows = tensor.rows(), cols = tensor.cols();
  const std::size_t element = DTypeBytes(tensor.dtype);
  const auto bytes = CheckedMul(tensor.elements(), element);
  if (!bytes) return LimitExceeded("more than 2^64 bytes");
  matrix.name = tensor.name;
  matrix.rows = transposed ? cols : rows;
  matrix.cols = transposed ? rows : cols;

  ByteSpan values = checkpoint.Mapped(tensor);
  if (values.size() != *bytes) values = {};
  ByteBuffer read;
  if (values.empty() && *bytes > 0) {
    read = ByteBuffer(*bytes);
    INGOT_TRY(checkpoint.ReadRows(tensor, 0, rows, read.span()));
    values = read.span();
  }
  if (transposed) {
    ByteBuffer turned(*bytes);
    Transpose(values.data(), rows, cols, element, turned.data());
    read = std::move(turned);
    values = read.span();
  }
  if (!read.empty()) matrix.backing.emplace_back(std::move(read));
  matrix.Add(codecs::RawSpec(tensor.dtype), std::vector<ByteSpan>{values});
  INGOT_TRY(stored::Validate(matrix));
  return PrepareMatrix(matrix);
}

}  // namespace

Result<std::unique_ptr<WeightSet>> WeightSet::FromCheckpoint(
    std::shared_ptr<const model::Checkpoint> checkpoint, const model::Architecture& architecture) {
  return FromCheckpoint(std::move(checkpoint), model::TensorUses(architecture));
}

Result<std::unique_ptr<WeightSet>> WeightSet::FromCheckpoint(
    std::shared_ptr<const model::Checkpoint> checkpoint, std::span<const model::TensorUse> uses) {
  auto weights = std::make_unique<WeightSet>(checkpoint);
  for (const model::TensorUse& use : uses) {
    if (weights->Find(use.name) != nullptr) continue;
    const model::TensorInfo* tensor = checkpoint->Find(use.name);
    if (tensor == nullptr)
      return NotFound(checkpoint->path() + ": tensor '" + use.name + "' is missing");
    auto matrix = std::make_unique<ResidentMatrix>();
    INGOT_TRY(
        LoadMatrix(*checkpoint, *tensor, use.transposed, *matrix).At("tensor '" + use.name + "'"));
    weights->Add(std::move(matrix));
  }
  return weights;
}

}  // namespace ingot::loader
