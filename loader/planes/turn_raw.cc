#include "loader/planes/turn_raw.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/raw_plane.h"

namespace ingot::loader {
namespace {

// Weights turned raw per task.
constexpr std::uint64_t kTurnWeights = 256 << 10;
// Of these so many at a time, in cache.
constexpr std::uint64_t kTurnBlockWeights = 16 << 10;

void StoreValues(DType dtype, const std::vector<float>& values, std::uint8_t* out) {
  switch (dtype) {
    case DType::kBf16:
      for (std::size_t i = 0; i < values.size(); ++i) StoreLe(out + 2 * i, ToBf16(values[i]));
      break;
    case DType::kF16:
      for (std::size_t i = 0; i < values.size(); ++i) StoreLe(out + 2 * i, ToFp16(values[i]));
      break;
    default:
      std::memcpy(out, values.data(), values.size() * sizeof(float));
  }
}

}  // namespace

void TurnRaw(stored::TensorPlanes& tensor, std::size_t plane, DType dtype) {
  const std::uint64_t row_bytes = tensor.cols * DTypeBytes(dtype);
  ByteBuffer values(tensor.rows * row_bytes);
  const std::uint64_t grain = std::max<std::uint64_t>(1, kTurnWeights / tensor.cols);
  ParallelFor(tensor.rows, grain, [&](std::size_t begin, std::size_t end) {
    const std::size_t block = std::max<std::size_t>(1, kTurnBlockWeights / tensor.cols);
    std::vector<float> weights(std::min(block, end - begin) * tensor.cols);
    for (std::size_t r = begin; r < end; r += block) {
      const std::size_t last = std::min(end, r + block);
      weights.resize((last - r) * tensor.cols);
      codecs::ApplyPlanes(std::span(tensor.planes).first(plane + 1), r, last, weights.data());
      StoreValues(dtype, weights, values.data() + r * row_bytes);
    }
  });
  std::vector<ByteBuffer> streams;
  streams.push_back(std::move(values));
  tensor.Replace(plane, codecs::RawSpec(dtype, tensor.specs[plane].level), std::move(streams));
}

}  // namespace ingot::loader
