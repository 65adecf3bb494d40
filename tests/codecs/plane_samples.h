// Random matrices and views that the codec tests share.
#pragma once

#include <vector>

#include "base/float_formats.h"
#include "base/random.h"
#include "codecs/plane.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/raw_split_plane.h"
#include "codecs/planes/remainder_plane.h"
#include "codecs/recipe.h"

namespace ingot::codecs {

inline std::vector<std::uint8_t> StoreAs(DType dtype, const std::vector<float>& values) {
  std::vector<std::uint8_t> bytes(values.size() * DTypeBytes(dtype));
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint8_t* p = bytes.data() + i * DTypeBytes(dtype);
    switch (dtype) {
      case DType::kF32:
        StoreLe(p, values[i]);
        break;
      case DType::kF16:
        StoreLe(p, ToFp16(values[i]));
        break;
      case DType::kBf16:
        StoreLe(p, ToBf16(values[i]));
        break;
      case DType::kF8E4m3:
        *p = ToFp8E4m3(values[i]);
        break;
      case DType::kI8:
        *p = static_cast<std::uint8_t>(static_cast<int>(values[i]));
        break;
    }
  }
  return bytes;
}

// Normal weights of deviation 0.03 with a few outliers, all-zero stretches and exact zeros.
inline std::vector<float> SampleWeights(std::uint64_t rows, std::uint64_t cols,
                                        std::uint64_t seed) {
  Random random(seed);
  std::vector<float> w(rows * cols);
  for (std::size_t i = 0; i < w.size(); ++i) {
    double v = 0.03 * random.Normal();
    if (random.Below(200) == 0) v *= 8;
    if (random.Below(50) == 0) v = 0;
    w[i] = static_cast<float>(v);
  }
  if (rows > 2)
    for (std::size_t i = cols; i < 2 * cols; ++i) w[i] = 0;
  return w;
}

inline std::vector<float> ToFloats(DType dtype, const std::vector<std::uint8_t>& bytes) {
  std::vector<float> out(bytes.size() / DTypeBytes(dtype));
  ConvertToFloat(dtype, bytes, out);
  return out;
}

inline std::vector<PlaneView> ViewsOf(const std::vector<PlaneSpec>& specs, const EncodedSlab& slab,
                                      std::uint64_t rows, std::uint64_t cols) {
  std::vector<PlaneView> views;
  for (std::size_t p = 0; p < specs.size(); ++p) {
    PlaneView view{&specs[p], rows, cols, {}};
    for (const auto& stream : slab.planes[p]) view.streams.emplace_back(stream);
    views.push_back(std::move(view));
  }
  return views;
}

// The source's own bytes, which planes that end in an exact one keep.
inline std::vector<std::uint8_t> SourceBytes(std::span<const PlaneView> planes, DType dtype) {
  const PlaneView& last = planes.back();
  std::vector<std::uint8_t> out(last.rows * last.cols * DTypeBytes(dtype));
  if (last.spec->kind == "raw") out.assign(last.streams[0].begin(), last.streams[0].end());
  if (last.spec->kind == "raw_split") RawSplitMergeRows(last, 0, last.rows, out.data());
  if (!last.spec->kind.starts_with("remainder")) return out;
  std::vector<float> sum(last.rows * last.cols);
  ApplyPlanes(planes.first(planes.size() - 1), 0, last.rows, sum.data());
  for (std::uint64_t r = 0; r < last.rows; ++r)
    RemainderRestoreRow(last, r, sum.data() + r * last.cols,
                        out.data() + r * last.cols * DTypeBytes(dtype));
  return out;
}

}  // namespace ingot::codecs
