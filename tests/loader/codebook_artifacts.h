// An artifact of vq and lowrank planes of every shape that a reader tells apart, and of the recipes
// that have them.
#pragma once

#include <string>
#include <vector>

#include "artifact/writer.h"
#include "base/float_formats.h"
#include "base/random.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/lowrank_plane.h"
#include "codecs/planes/transform.h"
#include "codecs/planes/trellis_plane.h"
#include "codecs/planes/vq_plane.h"
#include "codecs/recipe.h"
#include "stored/plane_record.h"

namespace ingot::loader {

struct CodebookTensor {
  std::string name;
  std::uint64_t rows, cols;
  std::vector<codecs::PlaneSpec> specs;  // empty: those of the recipe
  codecs::RecipeOptions recipe = {};
};

// trellis planes whose codes lie in columns: tests/golden/trellis_v1.ingot has these.
inline std::vector<CodebookTensor> ColumnTensors() {
  const auto columns = [](std::int64_t bits, std::int64_t state, std::int64_t tile) {
    return codecs::PlaneSpec{codecs::kTrellisKind,
                             {{"bits", bits},
                              {"order", std::string(codecs::kTrellisColumns)},
                              {"state", state},
                              {"tile", tile}},
                             0};
  };
  return {{"two", 70, 130, {columns(2, 14, 32)}},
          {"three", 300, 64, {columns(3, 16, 256)}},
          {"four", 7, 577, {columns(4, 8, 3)}},
          {"single", 3, 33, {columns(3, 14, 1)}},
          {"rotated", 272, 96, {columns(3, 14, 256), codecs::HadamardSpec(96)}},
          {"encoded", 70, 40, {}, {.codec = "trellis_v1", .bits = 2}}};
}

inline std::vector<CodebookTensor> CodebookTensors() {
  using codecs::LowRankSpec;
  using codecs::VqSpec;
  const auto trellis = [](std::int64_t bits, std::int64_t state, std::int64_t tile) {
    return codecs::PlaneSpec{
        codecs::kTrellisKind, {{"bits", bits}, {"state", state}, {"tile", tile}}, 0};
  };
  return {
      {"ones", 40, 100, {VqSpec(1, 4, 32, 0)}},
      {"pairs", 24, 129, {VqSpec(2, 8, 129, 0)}},
      {"fours", 31, 258, {VqSpec(4, 8, 258, 0)}},
      {"wide_index", 9, 1030, {VqSpec(4, 12, 64, 0)}},
      {"cut_groups", 12, 50, {VqSpec(4, 5, 6, 0)}},
      {"tiny", 1, 1, {VqSpec(4, 12, 1, 0)}},
      {"halves", 30, 64, {LowRankSpec(5, "f16", 0)}},
      {"bytes", 70, 48, {LowRankSpec(33, "i8", 0)}},
      {"both", 70, 96, {LowRankSpec(16, "i8", 0), VqSpec(4, 8, 96, 0), codecs::HadamardSpec(96)}},
      {"trellis2", 70, 130, {trellis(2, 14, 32)}},
      {"trellis3", 300, 64, {trellis(3, 16, 256)}},
      {"trellis4", 7, 577, {trellis(4, 8, 3)}},
      {"ring_of_one", 3, 33, {trellis(3, 14, 1)}},
      {"calibrated", 70, 96, {}, {.codec = "calibrated_vq", .transform = "hadamard"}},
      {"tenpak", 70, 96, {}, {.codec = "tenpak_x_v1", .transform = "hadamard"}},
      {"tenpak_plain", 20, 40, {}, {.codec = "tenpak_x_v1", .scales = "f16"}}};
}

inline codecs::EncodedSlab CodebookStreams(const CodebookTensor& t) {
  Random random(t.rows * 1000 + t.cols);
  codecs::EncodedSlab slab;
  if (t.specs.empty()) {
    std::vector<std::uint8_t> weights(2 * t.rows * t.cols);
    for (std::size_t i = 0; i < weights.size(); i += 2)
      StoreLe(weights.data() + i, ToBf16(static_cast<float>(0.03 * random.Normal())));
    const auto encoder = *codecs::MakeEncoder(t.recipe, t.cols, DType::kBf16);
    return *encoder->EncodeSlab({DType::kBf16, t.rows, t.cols, weights});
  }
  for (const codecs::PlaneSpec& spec : t.specs) {
    auto& plane = slab.planes.emplace_back();
    for (const codecs::StreamSpec& stream :
         *(*codecs::FindPlaneKind(spec.kind))->streams(spec, t.cols)) {
      auto& bytes = plane.emplace_back(*codecs::StreamBytes(stream, t.rows));
      const bool whole = stream.name == "indices" || stream.name == "codes" ||
                         (spec.kind == codecs::kLowRankKind &&
                          std::get<std::string>(spec.attributes.at("factors")) == "i8" &&
                          !stream.name.ends_with("_scales"));
      for (std::size_t i = 0; i < bytes.size(); i += whole ? 1 : 2)
        if (whole)
          bytes[i] = static_cast<std::uint8_t>(random.Below(256));
        else
          StoreLe(bytes.data() + i, ToFp16(static_cast<float>(0.1 * random.Normal())));
    }
  }
  return slab;
}

inline Status WriteCodebookArtifact(const std::string& path,
                                    const std::vector<CodebookTensor>& tensors) {
  artifact::ArtifactPlan plan;
  plan.fingerprint = "codebooks";
  for (const CodebookTensor& t : tensors) {
    artifact::TensorPlan tensor;
    artifact::TensorRecord& record = tensor.record;
    record.name = t.name;
    record.shape = {t.rows, t.cols};
    record.dtype = "bf16";
    record.codec = t.specs.empty() ? t.recipe.codec : "calibrated_vq";
    record.role = "linear";
    const auto specs = t.specs.empty()
                           ? (*codecs::MakeEncoder(t.recipe, t.cols, DType::kBf16))->planes()
                           : t.specs;
    for (const codecs::PlaneSpec& spec : specs) INGOT_TRY(stored::AddPlane(spec, t.cols, tensor));
    plan.tensors.push_back(std::move(tensor));
  }
  INGOT_ASSIGN(auto writer, artifact::ArtifactWriter::Open(path, std::move(plan), true));
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const codecs::EncodedSlab slab = CodebookStreams(tensors[t]);
    std::vector<std::vector<ByteSpan>> streams;
    for (const auto& plane : slab.planes) streams.emplace_back(plane.begin(), plane.end());
    INGOT_TRY(writer->AddSlab(t, 0, streams, {}));
  }
  return writer->Finish(nullptr, {}).status();
}

}  // namespace ingot::loader
