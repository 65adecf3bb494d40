// What tests of planes turned at load ask: the codec's own weights, the loader's, and which planes
// there are now.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "artifact/reader.h"
#include "codecs/plane_codec.h"
#include "loader/cpu/linear.h"
#include "loader/weights/resident.h"

namespace ingot::loader {

// The weights as the codec's own decoder has them, straight from the artifact's streams.
inline std::vector<float> Decoded(const artifact::ArtifactReader& reader,
                           const artifact::TensorRecord& record) {
  const std::uint64_t rows = record.shape[0], cols = record.shape[1];
  codecs::PlaneSpec spec{record.planes[0].kind, {}, 0};
  for (const auto& [name, value] : record.planes[0].attributes.items())
    spec.attributes[name] = value.get<std::int64_t>();
  std::vector<artifact::StreamBytes> streams;
  codecs::PlaneView view{&spec, rows, cols, {}};
  for (const artifact::StreamRecord& stream : record.planes[0].streams)
    streams.push_back(*reader.ReadStream(stream));
  for (const auto& stream : streams) view.streams.push_back(stream.bytes());
  std::vector<float> out(rows * cols);
  EXPECT_TRUE(codecs::DecodeTensorRows({&view, 1}, 0, rows, out).ok());
  return out;
}

inline std::vector<float> AllRows(const ResidentMatrix& matrix) {
  std::vector<std::int32_t> ids(matrix.rows);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i);
  std::vector<float> rows(matrix.rows * matrix.cols);
  GatherRows(matrix, ids, rows.data());
  return rows;
}

inline std::string KindsOf(const ResidentMatrix& matrix) {
  std::string kinds;
  for (const codecs::PlaneSpec& spec : matrix.specs) {
    kinds += (kinds.empty() ? "" : " ") + spec.kind;
    if (spec.kind == "int")
      kinds += std::to_string(std::get<std::int64_t>(spec.attributes.at("bits")));
  }
  return kinds;
}

// What a product may be off by: an output, of its terms' magnitudes; all of them, of their length.
struct ProductBounds {
  double one, all;
};

// Multiplies x (tokens x cols) with a matrix whose weights are `w`; the products (tokens x rows).
inline std::vector<float> CheckProducts(const ResidentMatrix& matrix, const std::vector<float>& w,
                                        const std::vector<float>& x, Compute compute,
                                        const ProductBounds& bounds) {
  const std::size_t tokens = x.size() / matrix.cols;
  std::vector<float> y(tokens * matrix.rows);
  const LinearJob job{&matrix, 0, matrix.rows, nullptr, y.data(), matrix.rows};
  RunLinear({&job, 1}, x.data(), matrix.cols, tokens, matrix.cols, compute);
  double error = 0, norm = 0;
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::uint64_t r = 0; r < matrix.rows; ++r) {
      double sum = 0, magnitude = 0;
      for (std::uint64_t j = 0; j < matrix.cols; ++j) {
        const double term = static_cast<double>(w[r * matrix.cols + j]) * x[t * matrix.cols + j];
        sum += term;
        magnitude += std::fabs(term);
      }
      const double off = y[t * matrix.rows + r] - sum;
      EXPECT_LE(std::fabs(off), bounds.one * magnitude) << matrix.name;
      error += off * off;
      norm += sum * sum;
    }
  EXPECT_LE(std::sqrt(error), bounds.all * std::sqrt(norm)) << matrix.name;
  return y;
}

}  // namespace ingot::loader
