// What the plane fuzz targets share: bytes -> a shape, stream lengths and streams; whatever
// validates must decode without touching a byte outside its streams.
#pragma once

#include <cstdlib>
#include <cstring>
#include <vector>

#include "codecs/plane_codec.h"

namespace ingot::codecs {

class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

  std::uint8_t Byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  std::uint64_t Below(std::uint64_t n) { return (Byte() | std::uint64_t{Byte()} << 8) % n; }
  // A heap copy of its own, so that a sanitizer sees each end.
  std::vector<std::uint8_t> Take(std::size_t n) {
    std::vector<std::uint8_t> bytes(n);
    const std::size_t have = n < left_ ? n : left_;
    if (have > 0) std::memcpy(bytes.data(), data_, have);
    data_ += have;
    left_ -= have;
    return bytes;
  }
  std::size_t left() const { return left_; }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

// Decodes `spec` over streams from `input`: mostly of the right size, now and then not. `also` sees
// a plane that validated, and its weights.
template <typename Also>
void FuzzPlane(const PlaneSpec& spec, FuzzInput& input, Also&& also) {
  const std::uint64_t rows = input.Below(9), cols = input.Below(700);
  const std::uint8_t damage = input.Byte();
  const PlaneKind* kind = *FindPlaneKind(spec.kind);
  const auto specs = kind->streams(spec, cols);
  if (!specs.ok()) return;
  std::vector<std::vector<std::uint8_t>> streams;
  for (std::size_t s = 0; s < specs->size(); ++s) {
    const StreamSpec& stream = (*specs)[s];
    std::uint64_t bytes = *StreamBytes(stream, rows);
    if (stream.extent == StreamExtent::kData) bytes = 2 * input.Below(64);
    if (damage % 8 == s + 1) bytes = input.Below(2000);
    streams.push_back(input.Take(bytes));
  }
  PlaneView view{&spec, rows, cols, {}};
  for (const auto& stream : streams) view.streams.emplace_back(stream);
  std::vector<float> out(rows * cols);
  const bool valid = kind->validate(view).ok();
  if (DecodeTensorRows({&view, 1}, 0, rows, out).ok() != valid) std::abort();
  if (valid) also(view, out);
  if (valid && rows > 1) {
    out.resize((rows - 1) * cols);
    if (!DecodeTensorRows({&view, 1}, 1, rows, out).ok()) std::abort();
  }
}
inline void FuzzPlane(const PlaneSpec& spec, FuzzInput& input) {
  FuzzPlane(spec, input, [](const PlaneView&, const std::vector<float>&) {});
}

}  // namespace ingot::codecs
