// Weights straight from a source checkpoint: every tensor is one plane, raw, mapped where the file
// has it as kernels want it, or of the source's own codes.
#include <cstring>
#include <string>
#include <utility>

#include "base/parallel.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/coded_plane.h"
#include "codecs/planes/raw_plane.h"
#include "loader/weights/resident.h"

namespace ingot::loader {
namespace {

constexpr std::uint64_t kOne = 1;
constexpr std::uint64_t kTransposeTile = 64;
constexpr std::uint64_t kCodedWeights = std::uint64_t{1} << 18;  // taken out of the source at once

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

Status LoadCoded(const model::Checkpoint& checkpoint, const model::TensorInfo& tensor,
                 const CodedForm& form, ResidentMatrix& matrix) {
  matrix.name = tensor.name;
  matrix.rows = tensor.rows();
  matrix.cols = tensor.cols();
  const codecs::PlaneSpec spec = codecs::CodedSpec(form);
  INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::FindPlaneKind(spec.kind));
  INGOT_ASSIGN(const std::vector<codecs::StreamSpec> streams, kind->streams(spec, matrix.cols));
  std::vector<ByteBuffer> held;
  for (const codecs::StreamSpec& stream : streams) {
    INGOT_ASSIGN(const std::uint64_t bytes, codecs::StreamBytes(stream, matrix.rows));
    held.emplace_back(bytes);
  }
  // A run of rows into its place in each stream.
  const auto take = [&](std::uint64_t begin, std::uint64_t end) -> Status {
    INGOT_ASSIGN(const CodedRows rows, checkpoint.ReadCoded(tensor, begin, end));
    const auto part = codecs::CodedStreams(form, rows, matrix.cols);
    for (std::size_t s = 0; s < part.size(); ++s)
      std::memcpy(held[s].data() + held[s].size() / matrix.rows * begin, part[s].data(),
                  part[s].size());
    return OkStatus();
  };
  const std::uint64_t step =
      std::max<std::uint64_t>(1, kCodedWeights / std::max(matrix.cols, kOne));
  std::vector<Status> taken(CeilDiv(matrix.rows, step));
  ParallelFor(taken.size(), 1, [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i)
      taken[i] = take(i * step, std::min(matrix.rows, (i + 1) * step));
  });
  for (Status& status : taken) INGOT_TRY(std::move(status));
  matrix.Add(spec, std::move(held));
  INGOT_TRY(stored::Validate(matrix));
  return PrepareMatrix(matrix);
}

// A matrix that is multiplied by, as its source holds it; anything else as numbers.
Status Load(const model::Checkpoint& checkpoint, const model::TensorInfo& tensor,
            const model::TensorUse& use, ResidentMatrix& matrix) {
  if (use.role != model::TensorRole::kVector && !use.transposed)
    if (const auto form = checkpoint.Coded(tensor))
      return LoadCoded(checkpoint, tensor, *form, matrix);
  return LoadMatrix(checkpoint, tensor, use.transposed, matrix);
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
    INGOT_TRY(Load(*checkpoint, *tensor, use, *matrix).At("tensor '" + use.name + "'"));
    weights->Add(std::move(matrix));
  }
  return weights;
}

}  // namespace ingot::loader
