// A packed tensor whose scales, zeros and factors can be moved while its codes stay. No LibTorch
// type shows.
//
// Moved are: of `int` planes the group scales (f16), or the row scales and the 8-bit group scales
// under them (q8), and the zero points; of `entropy` and `dependent` planes the row and column
// factors; of a norm the raw values. A parameter is start + unit * delta, unit being about its own
// size, so that one step size fits all; it is always used as the stream stores it, rounded. Sparse,
// fp8 and raw matrices, transforms, and every tensor with planes beyond level 0 stay as they are:
// what refines a base would no longer fit it.
//
// Thread rule: belongs to one thread; Decode and Gradient are parallel inside and give the same at
// any number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "calibration/packed_model.h"
#include "codecs/plane.h"
#include "codecs/planes/transform.h"

namespace ingot::calibration {

class TuneTensor {
 public:
  enum class Use { kMatrix, kNorm };
  // Corruption where a plane's streams do not fit it. `offset` is what a norm adds to its weight.
  static Result<std::unique_ptr<TuneTensor>> Make(PackedTensor packed, Use use, double offset = 0);

  std::uint64_t rows() const { return packed_.rows; }
  std::uint64_t cols() const { return packed_.cols; }
  std::size_t parameters() const { return start_.size(); }  // 0: it stays as it is

  // The whole tensor as stored now, rows x cols floats.
  void Decode(float* out) const;
  // Rows [begin, end) of it, in the calling thread.
  void DecodeRows(std::uint64_t begin, std::uint64_t end, float* out) const;
  // From dL/d(weight), rows x cols, which is overwritten: dL/d(delta) of each parameter.
  // REQUIRES: out.size() == parameters().
  void Gradient(float* weights, std::span<float> out) const;
  // Stores start + unit * delta, rounded. Zeros bring back the tensor's own bytes.
  void Set(std::span<const float> deltas);
  // What differs from what came.
  std::vector<NewStream> Changed() const;

 private:
  enum class Format { kF32, kF16, kBf16, kSigned8, kZero, kRecord };
  // A stream of parameters: values [begin, begin + count) of start_ and unit_.
  struct Field {
    std::size_t plane = 0, stream = 0;
    Format format = Format::kF16;
    float step = 1;  // kZero: the value of one unit of the byte
    std::size_t begin = 0, count = 0;
    std::vector<std::uint8_t> bytes;
  };

  TuneTensor() = default;
  Status AddFields(Use use, double offset);
  Status AddInt(std::size_t plane);
  void AddField(std::size_t plane, std::size_t stream, Format format, float step = 1);
  float Load(const Field& field, const std::uint8_t* bytes, std::size_t i) const;
  void Store(Field& field, std::size_t i, float value) const;
  const Field* FieldOf(std::size_t plane, std::size_t stream) const;
  void IntGradient(std::size_t plane, const float* weights, std::span<float> out) const;
  void EntropyGradient(std::size_t plane, const float* weights, std::span<float> out) const;

  PackedTensor packed_;
  std::vector<codecs::PlaneView> views_;  // over packed_ and fields_
  std::vector<std::shared_ptr<const codecs::InputTransform>> transforms_;  // in decoding order
  std::vector<std::size_t> transform_planes_;
  std::uint64_t rows_together_ = 1;  // of a decoding task
  std::vector<Field> fields_;
  std::vector<float> start_, unit_;
};

}  // namespace ingot::calibration
