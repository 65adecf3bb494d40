#include "loader/cpu/output_transform.h"

#include "loader/cpu/scratch.h"

namespace ingot::loader {
namespace {

void Transpose(const float* in, std::size_t rows, std::size_t cols, float* out) {
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) out[c * rows + r] = in[r * cols + c];
}

}  // namespace

void TransformOutputs(const PlaneRange& planes, std::uint64_t begin, std::uint64_t end,
                      std::size_t tokens, float* product) {
  const std::size_t rows = end - begin;
  Scratch<float> turned(rows * tokens);
  Transpose(product, tokens, rows, turned.data());
  for (std::size_t i = 0; i < planes.output_count; ++i) {
    const PreparedPlane& plane = *planes.outputs[i];
    // To B a token's outputs are a column like one of W'.
    codecs::PlaneView view = *plane.view;
    view.cols = tokens;
    plane.kind->decode_rows(view, begin, end, turned.data());
  }
  Transpose(turned.data(), rows, tokens, product);
}

}  // namespace ingot::loader
