// Small artifacts of hand-made planes, with right digests whatever they say: what every reader of
// stored tensors must serve, and the bent ones that each of them must refuse alike.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "artifact/reader.h"
#include "artifact/writer.h"
#include "base/float_formats.h"
#include "base/random.h"
#include "codecs/planes/bit_fields.h"
#include "codecs/planes/transform.h"
#include "stored/plane_record.h"
#include "tests/artifact/artifact_fixture.h"

namespace ingot::stored {

constexpr std::uint64_t kCraftedRows = 24, kCraftedCols = 128, kCraftedGroup = 32;

// A tensor as it goes into the writer, to be bent on the way.
struct CraftedTensor {
  artifact::TensorPlan plan;
  std::vector<std::vector<std::vector<std::uint8_t>>> streams;

  artifact::PlaneRecord& plane(std::size_t p) { return plan.record.planes[p]; }
};
using Bend = std::function<void(CraftedTensor&)>;

inline std::vector<std::uint8_t> F16Noise(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::uint8_t> bytes(2 * count);
  for (std::size_t i = 0; i < count; ++i)
    StoreLe(bytes.data() + 2 * i, ToFp16(static_cast<float>(0.01 + 0.1 * random.Uniform())));
  return bytes;
}

inline codecs::PlaneSpec IntSpec(std::int64_t bits, int level) {
  return {"int",
          {{"bits", bits},
           {"group", static_cast<std::int64_t>(kCraftedGroup)},
           {"levels", std::string("symmetric")},
           {"scales", std::string("f16")}},
          level};
}

inline void AddIntPlane(CraftedTensor& tensor, std::int64_t bits, int level, std::uint64_t seed) {
  EXPECT_TRUE(AddPlane(IntSpec(bits, level), kCraftedCols, tensor.plan).ok());
  const std::uint64_t codes = codecs::CodeRowBytes(static_cast<int>(bits), kCraftedCols);
  tensor.streams.push_back({artifact::Noise(kCraftedRows * codes, seed),
                            F16Noise(kCraftedRows * kCraftedCols / kCraftedGroup, seed + 1)});
}

// int4, sparse and a column scale at level 0; int2 at level 1.
inline CraftedTensor MakeCrafted(const std::string& name, int layer, std::uint64_t seed) {
  CraftedTensor tensor;
  artifact::TensorRecord& record = tensor.plan.record;
  record.name = name;
  record.shape = {kCraftedRows, kCraftedCols};
  record.dtype = "bf16";
  record.codec = "int4_rtn";
  record.role = "linear";
  record.layer = layer;
  AddIntPlane(tensor, 4, 0, seed);
  EXPECT_TRUE(
      AddPlane({"sparse", {{"format", std::string("f16")}}, 0}, kCraftedCols, tensor.plan).ok());
  std::vector<std::uint8_t> counts(2 * kCraftedRows);
  counts[0] = 1;
  tensor.streams.push_back({counts, {7, 0}, F16Noise(1, seed + 2)});
  EXPECT_TRUE(AddPlane(codecs::ColumnScaleSpec(), kCraftedCols, tensor.plan).ok());
  tensor.streams.push_back({F16Noise(kCraftedCols, seed + 3)});
  AddIntPlane(tensor, 2, 1, seed + 4);
  return tensor;
}

// Writes tensors "a" (layer 0), "b" (layer 1) and "head" (of no layer); `bend` gets "b".
inline void WriteCrafted(const std::string& path, const Bend& bend = {}) {
  std::vector<CraftedTensor> tensors;
  tensors.push_back(MakeCrafted("a", 0, 10));
  tensors.push_back(MakeCrafted("b", 1, 20));
  tensors.push_back(MakeCrafted("head", -1, 30));
  if (bend) bend(tensors[1]);
  artifact::ArtifactPlan plan;
  plan.manifest.config = {{"model_type", "llama"}};
  plan.fingerprint = path;
  plan.assets = {{"tokenizer.json", "{}"}};
  for (const CraftedTensor& tensor : tensors) plan.tensors.push_back(tensor.plan);
  auto writer = artifact::ArtifactWriter::Open(path, std::move(plan), true);
  ASSERT_TRUE(writer.ok()) << writer.status().message();
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    std::vector<std::vector<ByteSpan>> streams;
    for (const auto& plane : tensors[t].streams) streams.emplace_back(plane.begin(), plane.end());
    const Status added = (*writer)->AddSlab(t, 0, streams, artifact::Json::object());
    ASSERT_TRUE(added.ok()) << added.message();
  }
  const auto finished = (*writer)->Finish(nullptr, {});
  ASSERT_TRUE(finished.ok()) << finished.status().message();
}

inline std::unique_ptr<artifact::ArtifactReader> OpenCrafted(const std::string& path) {
  auto reader = artifact::ArtifactReader::Open(path, {});
  EXPECT_TRUE(reader.ok()) << reader.status().message();
  return reader.ok() ? *std::move(reader) : nullptr;
}

struct Hostile {
  const char* what;
  Bend bend;          // of tensor "b"
  const char* words;  // in the error
};

// What no reader of tensors may take. Digests are right: only these checks stand in the way.
inline std::vector<Hostile> HostileTensors() {
  const auto add_stream = [](CraftedTensor& t) {
    t.plane(0).streams.push_back({"more", 0, 0, 0});
    t.plan.hints[0].push_back(artifact::CodingHint::kRaw);
    t.streams[0].push_back({1, 2, 3});
  };
  return {
      {"unknown kind", [](CraftedTensor& t) { t.plane(0).kind = "magic"; }, "magic"},
      {"an integer above 2^63",
       [](CraftedTensor& t) { t.plane(0).attributes["bits"] = 0x8000000000000004u; },
       "attribute 'bits' is above 2^63"},
      {"an integer whose low half fits",
       [](CraftedTensor& t) { t.plane(0).attributes["bits"] = 0x100000004; }, "bits"},
      {"a negative integer", [](CraftedTensor& t) { t.plane(0).attributes["group"] = -32; },
       "group"},
      {"an attribute that is no value",
       [](CraftedTensor& t) { t.plane(0).attributes["bits"] = artifact::Json::array({4}); },
       "attribute 'bits' is neither a number nor text"},
      {"a number as text", [](CraftedTensor& t) { t.plane(0).attributes["bits"] = "4"; }, "bits"},
      {"an attribute too many", [](CraftedTensor& t) { t.plane(0).attributes["x"] = 1; },
       "attribute"},
      {"an attribute too few", [](CraftedTensor& t) { t.plane(0).attributes.erase("levels"); },
       "levels"},
      {"a stream's name", [](CraftedTensor& t) { t.plane(0).streams[0].name = "sedoc"; },
       "stream 'sedoc', 'codes' expected"},
      {"streams in another order",
       [](CraftedTensor& t) {
         std::swap(t.plane(0).streams[0], t.plane(0).streams[1]);
         std::swap(t.streams[0][0], t.streams[0][1]);
       },
       "stream 'scales', 'codes' expected"},
      {"a stream too many", add_stream, "3 streams, 2 expected"},
      {"a stream too few",
       [](CraftedTensor& t) {
         t.plane(0).streams.pop_back();
         t.plan.hints[0].pop_back();
         t.streams[0].pop_back();
       },
       "1 streams, 2 expected"},
      {"no stream at all",
       [](CraftedTensor& t) {
         t.plane(1).streams.clear();
         t.plan.hints[1].clear();
         t.streams[1].clear();
       },
       "0 streams, 3 expected"},
      {"a stream a byte short", [](CraftedTensor& t) { t.streams[0][1].pop_back(); },
       "stream 'scales' has 191 bytes, 192 expected"},
      {"a stream a byte long", [](CraftedTensor& t) { t.streams[0][0].push_back(0); },
       "stream 'codes' has 1537 bytes, 1536 expected"},
      {"a row more", [](CraftedTensor& t) { t.plan.record.shape[0] += 1; }, "bytes"},
      {"columns more", [](CraftedTensor& t) { t.plan.record.shape[1] += 32; }, "bytes"},
      {"a vector", [](CraftedTensor& t) { t.plan.record.shape = {kCraftedRows * kCraftedCols}; },
       "bytes"},
      {"a shape whose planes would be huge",
       [](CraftedTensor& t) {
         t.plan.record.shape = {std::uint64_t{1} << 40, kCraftedCols};
       },
       "bytes"},
      {"a sparse column out of the row",
       [](CraftedTensor& t) {
         t.streams[1][1] = {200, 0};
       },
       "column 200"},
      {"sparse rows that claim more than there is",
       [](CraftedTensor& t) { t.streams[1][0][0] = 2; }, "claims"},
      {"a scale of zero", [](CraftedTensor& t) { t.streams[2][0][0] = t.streams[2][0][1] = 0; },
       "scale of column 0"},
      {"too few column scales", [](CraftedTensor& t) { t.streams[2][0].resize(2); }, "scales"},
      {"a transform first",
       [](CraftedTensor& t) {
         std::swap(t.plan.record.planes[0], t.plan.record.planes[2]);
         std::swap(t.plan.hints[0], t.plan.hints[2]);
         std::swap(t.streams[0], t.streams[2]);
       },
       "plane 0 is a transform"},
  };
}

// Calls `read` with each hostile artifact: it must fail, naming the tensor and what is wrong.
inline void ExpectRefused(const std::function<Status(const artifact::ArtifactReader&)>& read) {
  const artifact::TempDir dir;
  for (const Hostile& hostile : HostileTensors()) {
    SCOPED_TRACE(hostile.what);
    WriteCrafted(dir / "hostile.ingot", hostile.bend);
    const auto reader = OpenCrafted(dir / "hostile.ingot");
    ASSERT_NE(reader, nullptr);
    const Status status = read(*reader);
    EXPECT_FALSE(status.ok());
    EXPECT_NE(status.message().find(hostile.words), std::string::npos) << status.message();
    EXPECT_TRUE(status.message().starts_with("tensor 'b': ") || status.message().starts_with("b: "))
        << status.message();
  }
}

}  // namespace ingot::stored
