// Small artifacts to break, and helpers to read and write whole files.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "artifact/reader.h"
#include "artifact/writer.h"
#include "base/random.h"

namespace ingot::artifact {

// A directory that goes with the object.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ingot_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TempDir() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::vector<std::uint8_t> ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.is_open()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void WriteAll(const std::string& path, ByteSpan bytes) {
  // A new file each time: ext4 flushes one that is truncated and written again.
  std::filesystem::remove(path);
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(out.good()) << path;
}

// Bytes that no coder shrinks.
inline std::vector<std::uint8_t> Noise(std::size_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::uint8_t> bytes(n);
  for (auto& b : bytes) b = static_cast<std::uint8_t>(random.Next());
  return bytes;
}

// Symbols 0..15, low ones likelier: what rANS is for.
inline std::vector<std::uint8_t> Skewed(std::size_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::uint8_t> bytes(n);
  for (auto& b : bytes) b = static_cast<std::uint8_t>(random.Below(1 + random.Below(16)));
  return bytes;
}

// Text that zstd halves.
inline std::vector<std::uint8_t> Repetitive(std::size_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::uint8_t> bytes(n);
  for (std::size_t i = 0; i < n; ++i)
    bytes[i] =
        i >= 64 && random.Below(8) != 0 ? bytes[i - 64] : static_cast<std::uint8_t>(random.Next());
  return bytes;
}

using Streams = std::vector<std::vector<std::vector<std::uint8_t>>>;  // [plane][stream]

// A plan with the data for all its slabs: data[tensor][slab].
struct Sample {
  ArtifactPlan plan;
  std::vector<std::vector<Streams>> data;
};

// `scale` multiplies stream lengths. Three tensors: one raw plane; two levels with an entropy-coded
// and an empty stream, in three slabs; one small general-coded plane.
inline Sample MakeSample(std::size_t scale) {
  Sample sample;
  sample.plan.manifest.config = {{"model_type", "llama"}, {"hidden_size", 64}};
  sample.plan.manifest.provenance = {{"tool", "ingot test"}, {"seed", 7}};
  sample.plan.assets = {{"tokenizer.json", std::string(400 * scale, 'x') + "{}"},
                        {"empty.txt", ""}};
  sample.plan.fingerprint = "sample " + std::to_string(scale);
  const auto tensor = [](std::string name, std::vector<PlaneRecord> planes,
                         std::vector<std::vector<CodingHint>> hints, std::uint32_t slabs) {
    TensorPlan plan;
    plan.record.name = std::move(name);
    plan.record.shape = {64, 64};
    plan.record.dtype = "bf16";
    plan.record.codec = "int4_rtn";
    plan.record.role = "linear";
    plan.record.layer = 0;
    plan.record.planes = std::move(planes);
    plan.hints = std::move(hints);
    plan.slab_count = slabs;
    return plan;
  };
  const auto stream = [](std::string name) {
    StreamRecord record;
    record.name = std::move(name);
    return record;
  };
  sample.plan.tensors.push_back(tensor(
      "embed", {{"raw", {{"dtype", "bf16"}}, 0, {stream("values")}}}, {{CodingHint::kRaw}}, 2));
  sample.plan.tensors.push_back(tensor(
      "layers.0.q",
      {{"int", {{"bits", 4}, {"group", 32}}, 0, {stream("codes"), stream("scales")}},
       {"sparse", Json::object(), 0, {stream("index")}},
       {"int", {{"bits", 2}}, 1, {stream("codes")}}},
      {{CodingHint::kEntropy, CodingHint::kRaw}, {CodingHint::kGeneral}, {CodingHint::kRaw}}, 3));
  sample.plan.tensors.push_back(tensor("norm", {{"raw", Json::object(), 0, {stream("values")}}},
                                       {{CodingHint::kGeneral}}, 1));
  sample.data.resize(3);
  for (std::size_t s = 0; s < 2; ++s) sample.data[0].push_back({{Noise(200 * scale, 10 + s)}});
  for (std::size_t s = 0; s < 3; ++s)
    sample.data[1].push_back({{Skewed(900 * scale, 20 + s), Noise(30 * scale, 30 + s)},
                              {std::vector<std::uint8_t>()},
                              {Noise(150 * scale, 40 + s)}});
  sample.data[2].push_back({{Repetitive(600 * scale, 50)}});
  return sample;
}

inline Status AddSlab(ArtifactWriter& writer, const Sample& sample, std::size_t t,
                      std::uint32_t s) {
  std::vector<std::vector<ByteSpan>> views;
  for (const auto& plane : sample.data[t][s]) {
    views.emplace_back();
    for (const auto& stream : plane) views.back().push_back(stream);
  }
  return writer.AddSlab(t, s, views, {{"slab", s}});
}

inline Status AddAll(ArtifactWriter& writer, const Sample& sample) {
  for (std::size_t t = 0; t < sample.data.size(); ++t)
    for (std::uint32_t s = 0; s < sample.data[t].size(); ++s)
      if (!writer.HasSlab(t, s)) INGOT_TRY(AddSlab(writer, sample, t, s));
  return OkStatus();
}

// Packs a sample; the file's bytes.
inline std::vector<std::uint8_t> Pack(const std::string& path, const Sample& sample,
                                      const SigningKey* key = nullptr) {
  auto writer = ArtifactWriter::Open(path, sample.plan, true);
  EXPECT_TRUE(writer.ok()) << writer.status().message();
  if (!writer.ok()) return {};
  const Status added = AddAll(**writer, sample);
  EXPECT_TRUE(added.ok()) << added.message();
  const auto finished = (*writer)->Finish(key, nullptr);
  EXPECT_TRUE(finished.ok()) << finished.status().message();
  return ReadAll(path);
}

// Opens and reads every stream and asset: the first error, or OK. What a hostile file goes through.
inline Status ReadEverything(const ArtifactReader& reader) {
  for (const auto& asset : reader.manifest().assets)
    INGOT_TRY(reader.ReadAsset(asset.name).status());
  for (const auto& tensor : reader.manifest().tensors)
    for (const auto& plane : tensor.planes)
      for (const auto& stream : plane.streams)
        INGOT_TRY(reader.ReadStream(stream).status().At("tensor " + tensor.name));
  return OkStatus();
}

}  // namespace ingot::artifact
