// A packed model as tuning reads it, wherever it is kept: calibration knows planes, not files.
//
// Thread rule: values; see PackedModel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "codecs/plane.h"

namespace ingot::calibration {

// A tensor's planes and their streams, which live as long as `owner`. A vector is 1 x n.
struct PackedTensor {
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::vector<codecs::PlaneSpec> specs;
  std::vector<std::vector<ByteSpan>> streams;  // of each plane, in the order of StreamSpecs
  std::shared_ptr<const void> owner;
};

// A stream that takes the place of another of the same length.
struct NewStream {
  std::size_t plane = 0;
  std::size_t stream = 0;
  std::vector<std::uint8_t> bytes;
};

// The packed model, tensors under the source's names, matrices as rows (outputs) x cols.
//
// Thread rule: const methods may be called from several threads.
class PackedModel {
 public:
  virtual ~PackedModel() = default;
  // NotFound, Corruption.
  virtual Result<PackedTensor> Read(const std::string& name) const = 0;
};

}  // namespace ingot::calibration
