// An artifact of dependent planes of every shape that loading tells apart.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "artifact/writer.h"
#include "base/random.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/dependent_plane.h"
#include "codecs/rounding/entropy_pack.h"

namespace ingot::loader {

struct DependentTensor {
  std::string name;
  std::uint64_t rows, cols, band;
  std::int64_t states, restart;
  double spread;             // of the codes
  int outliers;              // codes far out, of all
  std::int32_t furthest;     // of those
  double row_factor = 0.01;  // about
  bool own_columns = false;  // each band has its own column factors
};

inline std::vector<DependentTensor> DependentTensors() {
  return {{"narrow", 70, 300, 70, 256, 2048, 1.2, 0, 0},
          {"few_wide", 64, 577, 64, 256, 25, 6, 30, 100},
          {"wide", 90, 200, 1000, 64, 2048, 30, 0, 0},
          {"escapes", 33, 128, 33, 4, 10, 6, 12, 200},
          {"wide_escapes", 33, 128, 33, 1024, 33, 40, 12, 7000},
          {"beyond", 5, 40, 5, 256, 5, 5, 2, 1 << 21},
          {"large_factors", 20, 40, 20, 256, 20, 30, 0, 0, 3000},
          {"bands", 50, 64, 20, 8, 7, 6, 7, 140},
          {"own_columns", 50, 64, 20, 256, 20, 6, 0, 0, 0.01, true},
          {"one", 1, 1, 1, 256, 1, 3, 0, 0},
          {"column", 40, 1, 40, 4096, 30, 3, 0, 0},
          {"zeros", 12, 30, 12, 256, 12, 0, 0, 0}};
}

inline codecs::PlaneSpec DependentSampleSpec(const DependentTensor& t) {
  return {codecs::kDependentKind,
          {{"band", static_cast<std::int64_t>(t.band)},
           {"states", t.states},
           {"restart", t.restart},
           {"scalar", std::int64_t{codecs::kDependentScalar}}},
          0};
}

// One band's streams: spread by row and column, a class below kDependentScalar here and there.
inline codecs::EntropyStreamsOut DependentSample(const DependentTensor& t, std::uint64_t rows,
                                                 std::uint64_t begin) {
  Random random(t.rows * 1000 + t.cols + begin), shared(t.cols + (t.own_columns ? begin : 0));
  codecs::EntropyCodes band;
  codecs::LineClasses classes;
  band.rows = rows;
  band.cols = t.cols;
  const auto factor = [](Random& of, double middle) {
    return codecs::EntropyFactor(
        codecs::EntropyRecord(static_cast<float>(middle * std::exp2(of.Normal())), 0));
  };
  for (std::uint64_t j = 0; j < t.cols; ++j) {
    band.column_factors.push_back(factor(shared, 1));
    classes.columns.push_back(static_cast<std::uint8_t>(j % 7 == 3 ? 2 : 10 + j % 3));
  }
  for (std::uint64_t i = 0; i < rows; ++i) {
    band.row_factors.push_back(factor(random, t.row_factor));
    classes.rows.push_back(static_cast<std::uint8_t>(6 + random.Below(3)));
  }
  for (std::uint64_t i = 0; i < rows; ++i)
    for (std::uint64_t j = 0; j < t.cols; ++j) {
      const double code = t.spread * random.Normal() / (j % 7 == 3 ? 4 : 1 + 0.3 * (j % 3));
      band.codes.push_back(static_cast<std::int32_t>(std::lround(std::clamp(code, -127.0, 127.0))));
    }
  for (int k = 0; k < t.outliers; ++k)
    band.codes[random.Below(band.codes.size())] =
        (k % 2 == 0 ? t.furthest : -t.furthest) / (1 + k / 2);
  return codecs::PackEntropy(band, classes);
}

inline Status WriteDependentArtifact(const std::string& path) {
  artifact::ArtifactPlan plan;
  plan.fingerprint = "dependent";
  const auto tensors = DependentTensors();
  for (const DependentTensor& t : tensors) {
    artifact::TensorPlan tensor;
    artifact::TensorRecord& record = tensor.record;
    record.name = t.name;
    record.shape = {t.rows, t.cols};
    record.dtype = "bf16";
    record.codec = "entropy_v2";
    record.role = "linear";
    artifact::PlaneRecord plane{codecs::kDependentKind,
                                {{"band", t.band},
                                 {"states", t.states},
                                 {"restart", t.restart},
                                 {"scalar", codecs::kDependentScalar}},
                                0,
                                {}};
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
      const auto packed = DependentSample(tensors[t], rows, begin);
      const std::vector<ByteSpan> streams(packed.streams.begin(), packed.streams.end());
      const artifact::StreamCuts cuts{0, 0, packed.cuts};
      INGOT_TRY(writer->AddSlab(t, static_cast<std::uint32_t>(slab), {streams}, {}, {&cuts, 1}));
    }
  return writer->Finish(nullptr, {}).status();
}

}  // namespace ingot::loader
