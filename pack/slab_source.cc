#include "pack/slab_source.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>

#include "codecs/plane.h"

namespace ingot::pack {
namespace {

constexpr std::size_t kTransposeBytes = std::size_t{1} << 20;
constexpr std::size_t kCheckBytes = std::size_t{128} << 10;  // stays in a core's own cache

template <typename T>
void TransposeBlock(const std::uint8_t* block, std::uint64_t block_rows, std::uint64_t block_cols,
                    std::uint64_t col_begin, std::uint64_t col_end, std::uint64_t out_cols,
                    std::uint8_t* out) {
  for (std::uint64_t c = col_begin; c < col_end; ++c) {
    std::uint8_t* row = out + (c - col_begin) * out_cols * sizeof(T);
    for (std::uint64_t r = 0; r < block_rows; ++r)
      StoreLe<T>(row + r * sizeof(T), LoadLe<T>(block + (r * block_cols + c) * sizeof(T)));
  }
}

// Slab rows [begin, end) are columns [begin, end) of the source.
Status ReadTransposed(const model::Checkpoint& checkpoint, const PlannedTensor& tensor,
                      std::uint64_t begin, std::uint64_t end, std::uint8_t* out) {
  const std::size_t element = DTypeBytes(tensor.source.dtype);
  const std::uint64_t source_rows = tensor.cols;
  const std::uint64_t source_row_bytes = tensor.rows * element;
  const std::uint64_t block_rows =
      std::clamp<std::uint64_t>(kTransposeBytes / source_row_bytes, 1, source_rows);
  ByteBuffer block(block_rows * source_row_bytes);
  for (std::uint64_t row = 0; row < source_rows; row += block_rows) {
    const std::uint64_t count = std::min(block_rows, source_rows - row);
    INGOT_TRY(checkpoint.ReadRows(tensor.source, row, row + count,
                                  block.span().first(count * source_row_bytes)));
    std::uint8_t* place = out + row * element;
    if (element == 4)
      TransposeBlock<std::uint32_t>(block.data(), count, tensor.rows, begin, end, tensor.cols,
                                    place);
    else if (element == 2)
      TransposeBlock<std::uint16_t>(block.data(), count, tensor.rows, begin, end, tensor.cols,
                                    place);
    else
      TransposeBlock<std::uint8_t>(block.data(), count, tensor.rows, begin, end, tensor.cols,
                                   place);
  }
  return OkStatus();
}

// The largest exponent field is the mark of NaN and infinity. Signed maxima of masked values are
// one instruction a vector on every x86-64.
template <typename T>
bool AnyMasked(ByteSpan bytes, T mask) {
  T largest = 0;
  const std::size_t count = bytes.size() / sizeof(T);
  for (std::size_t i = 0; i < count; ++i) {
    const T value = static_cast<T>(LoadLe<T>(bytes.data() + i * sizeof(T)) & mask);
    largest = value > largest ? value : largest;
  }
  return largest == mask;
}

template <typename T>
std::optional<std::uint64_t> FirstMasked(ByteSpan bytes, T mask) {
  if (!AnyMasked<T>(bytes, mask)) return std::nullopt;
  for (std::size_t i = 0;; ++i)
    if ((LoadLe<T>(bytes.data() + i * sizeof(T)) & mask) == mask) return i;
}

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14; older kernels answer EINVAL and fault page by page
#endif

// The whole pages that a range touches.
void Advise(ByteSpan range, int advice) {
  constexpr std::uintptr_t kPage = 4096;
  const auto begin = reinterpret_cast<std::uintptr_t>(range.data()) & ~(kPage - 1);
  const auto end = reinterpret_cast<std::uintptr_t>(range.data()) + range.size();
  ::madvise(reinterpret_cast<void*>(begin), end - begin, advice);
}

}  // namespace

ByteSpan MapSlab(const model::Checkpoint& checkpoint, const PlannedTensor& tensor,
                 std::uint32_t slab) {
  const ByteSpan mapped = checkpoint.Mapped(tensor.source);
  if (tensor.transposed || mapped.empty()) return {};
  const std::uint64_t row_bytes = tensor.cols * DTypeBytes(tensor.source.dtype);
  const std::uint64_t begin = tensor.SlabBegin(slab) * row_bytes;
  const ByteSpan bytes = mapped.subspan(begin, tensor.SlabEnd(slab) * row_bytes - begin);
  Advise(bytes, MADV_POPULATE_READ);
  return bytes;
}

// Neighbouring slabs share a page at each end; whoever still needs it faults it in again.
void DropMapped(ByteSpan slab) { Advise(slab, MADV_DONTNEED); }

Result<ByteSpan> ReadSlab(const model::Checkpoint& checkpoint, const PlannedTensor& tensor,
                          std::uint32_t slab, MutableByteSpan buffer) {
  return ReadTensorRows(checkpoint, tensor, tensor.SlabBegin(slab), tensor.SlabEnd(slab), buffer);
}

Result<ByteSpan> ReadTensorRows(const model::Checkpoint& checkpoint, const PlannedTensor& tensor,
                                std::uint64_t begin, std::uint64_t end, MutableByteSpan buffer) {
  const MutableByteSpan out =
      buffer.first((end - begin) * tensor.cols * DTypeBytes(tensor.source.dtype));
  if (tensor.transposed) {
    INGOT_TRY(ReadTransposed(checkpoint, tensor, begin, end, out.data()));
  } else {
    INGOT_TRY(checkpoint.ReadRows(tensor.source, begin, end, out));
  }
  return ByteSpan(out);
}

std::optional<std::uint64_t> FindNonfinite(DType dtype, ByteSpan bytes) {
  switch (dtype) {
    case DType::kF32:
      return FirstMasked<std::int32_t>(bytes, 0x7f800000);
    case DType::kF16:
      return FirstMasked<std::int16_t>(bytes, 0x7c00);
    case DType::kBf16:
      return FirstMasked<std::int16_t>(bytes, 0x7f80);
    case DType::kF8E4m3:
      return FirstMasked<std::int8_t>(bytes, 0x7f);
    case DType::kI8:
      return std::nullopt;
  }
  return std::nullopt;
}

std::string DescribeNonfinite(const PlannedTensor& tensor, std::uint32_t slab, ByteSpan bytes,
                              std::uint64_t index) {
  const std::size_t element = DTypeBytes(tensor.source.dtype);
  std::uint8_t padded[4 + 64] = {};  // ConvertToFloat may load whole vectors
  std::copy_n(bytes.data() + index * element, element, padded);
  float value = 0;
  codecs::ConvertToFloat(tensor.source.dtype, {padded, element}, {&value, 1});
  return fmt::format("row {}, column {} is {}", tensor.SlabBegin(slab) + index / tensor.cols,
                     index % tensor.cols, std::isnan(value) ? "NaN" : "infinite");
}

SlabCheck CheckSlab(DType dtype, ByteSpan bytes) {
  SlabCheck check;
  Hasher hasher;
  for (std::size_t at = 0; at < bytes.size(); at += kCheckBytes) {
    const ByteSpan piece = bytes.subspan(at, std::min(kCheckBytes, bytes.size() - at));
    hasher.Update(piece);
    if (check.nonfinite.has_value()) continue;
    if (const auto found = FindNonfinite(dtype, piece))
      check.nonfinite = at / DTypeBytes(dtype) + *found;
  }
  check.digest = hasher.Finish();
  return check;
}

Result<std::set<std::string>> FindNonfiniteTensors(const model::Checkpoint& checkpoint,
                                                   const PackPlan& plan) {
  std::set<std::string> names;
  AlignedBuffer<std::uint8_t> buffer;
  for (const PlannedTensor& tensor : plan.tensors) {
    const std::size_t largest = tensor.slab_rows * tensor.cols * DTypeBytes(tensor.source.dtype);
    if (buffer.size() < largest) buffer = AlignedBuffer<std::uint8_t>(largest);
    for (std::uint32_t slab = 0; slab < tensor.slab_count; ++slab) {
      INGOT_ASSIGN(const ByteSpan bytes,
                   ReadSlab(checkpoint, tensor, slab, buffer.span()).At(tensor.source.name));
      if (!FindNonfinite(tensor.source.dtype, bytes).has_value()) continue;
      names.insert(tensor.source.name);
      break;
    }
  }
  return names;
}

}  // namespace ingot::pack
