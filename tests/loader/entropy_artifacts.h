// An artifact of entropy planes of every shape that loading tells apart.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "artifact/writer.h"
#include "base/random.h"
#include "codecs/plane_codec.h"
#include "codecs/rounding/entropy_pack.h"

namespace ingot::loader {

struct EntropyTensor {
  std::string name;
  std::uint64_t rows, cols, band;
  double spread;             // of the codes
  int outliers;              // codes far out, of all
  std::int32_t furthest;     // of those
  bool own_columns = false;  // each band has its own column factors
};

inline std::vector<EntropyTensor> EntropyTensors() {
  return {{"narrow", 70, 300, 70, 1.2, 0, 0},
          {"few_wide", 64, 577, 64, 1.5, 30, 20},
          {"wide", 90, 200, 1000, 9, 0, 0},
          {"escapes", 33, 128, 33, 20, 12, 200},
          {"far_escapes", 20, 90, 20, 5, 5, 60000},
          {"beyond", 5, 40, 5, 5, 2, 1 << 23},
          {"bands", 50, 64, 20, 6, 7, 140},
          {"own_columns", 50, 64, 20, 6, 0, 0, true},
          {"one", 1, 1, 1, 3, 0, 0},
          {"column", 40, 1, 40, 3, 0, 0},
          {"zeros", 12, 30, 12, 0, 0, 0}};
}

inline float EntropySampleFactor(Random& random, double middle) {
  return codecs::EntropyFactor(
      codecs::EntropyRecord(static_cast<float>(middle * std::exp2(random.Normal())), 0));
}

// One band's codes and factors.
inline codecs::EntropyCodes EntropySample(const EntropyTensor& t, std::uint64_t rows,
                                          std::uint64_t begin) {
  Random random(t.rows * 1000 + t.cols + begin), shared(t.cols + (t.own_columns ? begin : 0));
  codecs::EntropyCodes band;
  band.rows = rows;
  band.cols = t.cols;
  for (std::uint64_t j = 0; j < t.cols; ++j)
    band.column_factors.push_back(EntropySampleFactor(shared, 1));
  std::vector<double> spreads;
  for (std::uint64_t i = 0; i < rows; ++i) {
    band.row_factors.push_back(EntropySampleFactor(random, 0.01));
    spreads.push_back(t.spread * std::exp2(0.4 * random.Normal()));
  }
  for (std::uint64_t i = 0; i < rows; ++i)
    for (std::uint64_t j = 0; j < t.cols; ++j) {
      const double code = spreads[i] * random.Normal() / (1 + 0.3 * static_cast<double>(j % 3));
      const double most = t.spread < 2 ? 7 : 127;
      band.codes.push_back(static_cast<std::int32_t>(std::lround(std::clamp(code, -most, most))));
    }
  for (int k = 0; k < t.outliers; ++k)
    band.codes[random.Below(band.codes.size())] =
        (k % 2 == 0 ? t.furthest : -t.furthest) / (1 + k / 2);
  return band;
}

inline Status WriteEntropyArtifact(const std::string& path) {
  artifact::ArtifactPlan plan;
  plan.fingerprint = "entropy";
  const auto tensors = EntropyTensors();
  for (const EntropyTensor& t : tensors) {
    artifact::TensorPlan tensor;
    artifact::TensorRecord& record = tensor.record;
    record.name = t.name;
    record.shape = {t.rows, t.cols};
    record.dtype = "bf16";
    record.codec = "entropy_v1";
    record.role = "linear";
    artifact::PlaneRecord plane{"entropy", {{"band", t.band}}, 0, {}};
    for (const char* stream : {"codes", "rows", "columns", "escapes"})
      plane.streams.push_back({stream, 0, 0, 0});
    record.planes.push_back(std::move(plane));
    tensor.hints = {{artifact::CodingHint::kEntropy, artifact::CodingHint::kGeneral,
                     artifact::CodingHint::kGeneral, artifact::CodingHint::kGeneral}};
    tensor.slab_count = static_cast<std::uint32_t>(CeilDiv(t.rows, t.band));
    plan.tensors.push_back(std::move(tensor));
  }
  INGOT_ASSIGN(auto writer, artifact::ArtifactWriter::Open(path, std::move(plan), true));
  for (std::size_t t = 0; t < tensors.size(); ++t)
    for (std::uint64_t begin = 0, slab = 0; begin < tensors[t].rows;
         begin += tensors[t].band, ++slab) {
      const std::uint64_t rows = std::min(tensors[t].band, tensors[t].rows - begin);
      const auto packed = codecs::PackEntropy(EntropySample(tensors[t], rows, begin));
      const std::vector<ByteSpan> streams(packed.streams.begin(), packed.streams.end());
      const artifact::StreamCuts cuts{0, 0, packed.cuts};
      INGOT_TRY(writer->AddSlab(t, static_cast<std::uint32_t>(slab), {streams}, {}, {&cuts, 1}));
    }
  return writer->Finish(nullptr, {}).status();
}

}  // namespace ingot::loader
