// What tests of planes turned at load ask: the codec's own weights, the loader's, and which planes
// there are now.
#pragma once

#include <gtest/gtest.h>

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

}  // namespace ingot::loader
