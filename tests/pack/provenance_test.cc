#include "pack/provenance.h"

#include <gtest/gtest.h>

#include "artifact/reader.h"
#include "base/bytes.h"
#include "pack/pipeline.h"
#include "tests/model/model_fixtures.h"
#include "tests/model/source_builders.h"

namespace ingot::pack {
namespace {

struct Source {
  std::unique_ptr<model::Checkpoint> checkpoint;
  PackPlan plan;
};

Source Open(const std::string& path, const std::string& recipe = "int4_rtn:group=16") {
  Source source;
  auto opened = model::Checkpoint::Open(path);
  EXPECT_TRUE(opened.ok()) << opened.status().message();
  source.checkpoint = *std::move(opened);
  PlanOptions options;
  options.preset = CodecPreset(*ParseRecipe(recipe));
  options.rules = {*ParseRule("*v_proj*=int8_rtn:group=16")};
  options.require_tokenizer = false;
  auto plan = MakePlan(*source.checkpoint, options);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  source.plan = *std::move(plan);
  return source;
}

std::string FingerprintOf(const Source& source, const std::string& tool = "test") {
  return *Fingerprint(*source.checkpoint, source.plan,
                      *MakeProvenance(*source.checkpoint, source.plan, tool));
}

TEST(Provenance, SaysWhatItWasMadeFromAndHow) {
  const Source source = Open(FixturePath("llama"));
  const auto provenance = MakeProvenance(*source.checkpoint, source.plan, "ingot 1.2.3");
  ASSERT_TRUE(provenance.ok());
  EXPECT_EQ((*provenance)["tool"], "ingot 1.2.3");
  EXPECT_EQ((*provenance)["recipe"]["linear"], "int4_rtn:group=16");
  EXPECT_EQ((*provenance)["recipe"]["rules"][0], "*v_proj*=int8_rtn:group=16");
  const Json& files = (*provenance)["source"]["files"];
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0]["name"], "model.safetensors");
  EXPECT_EQ(files[0]["bytes"], std::filesystem::file_size(FixturePath("llama/model.safetensors")));
  EXPECT_FALSE(provenance->contains("allocation"));
  EXPECT_FALSE(provenance->contains("calibration"));
}

TEST(Provenance, NothingOfItDependsOnWhereTheModelLies) {
  const model::TestDirectory elsewhere;
  const std::string copy = elsewhere.path() + "/copy";
  std::filesystem::copy(FixturePath("llama"), copy);
  for (const auto& entry : std::filesystem::directory_iterator(FixturePath("llama")))
    std::filesystem::last_write_time(copy + "/" + entry.path().filename().string(),
                                     std::filesystem::last_write_time(entry.path()));
  const Source here = Open(FixturePath("llama")), there = Open(copy);
  const auto a = MakeProvenance(*here.checkpoint, here.plan, "test");
  const auto b = MakeProvenance(*there.checkpoint, there.plan, "test");
  EXPECT_EQ(*a, *b);
  EXPECT_EQ(b->dump().find(elsewhere.path()), std::string::npos);
  EXPECT_EQ(FingerprintOf(here), FingerprintOf(there));
}

TEST(Provenance, TheFingerprintChangesWithEverythingThatDecidesTheBytes) {
  const model::TestDirectory work;
  const std::string path = work.path() + "/model";
  std::filesystem::copy(FixturePath("llama"), path);
  const std::string before = FingerprintOf(Open(path));
  EXPECT_EQ(FingerprintOf(Open(path)), before);
  EXPECT_NE(FingerprintOf(Open(path), "another tool"), before);
  EXPECT_NE(FingerprintOf(Open(path, "int4_rtn:group=8")), before);
  Source slabs = Open(path);
  slabs.plan.tensors[0].slab_rows += 1;
  EXPECT_NE(FingerprintOf(slabs), before);
  Source allocated = Open(path);
  allocated.plan.allocation = {{"budget", "bpw 4"}};
  EXPECT_NE(FingerprintOf(allocated), before);
  const std::string weights = path + "/model.safetensors";
  const auto written = std::filesystem::last_write_time(weights);
  std::filesystem::last_write_time(weights, written + std::chrono::nanoseconds(1000));
  EXPECT_NE(FingerprintOf(Open(path)), before);
  std::filesystem::last_write_time(weights, written);
  EXPECT_EQ(FingerprintOf(Open(path)), before);
  work.Write("model/tokenizer_config.json", "{}");
  EXPECT_NE(FingerprintOf(Open(path)), before);
}

// The digest as the header defines it, from nothing but the checkpoint's bytes.
TEST(Provenance, TheSourceDigestCanBeRecomputedFromAnyCopy) {
  const model::TestDirectory work;
  const Source source = Open(FixturePath("llama"));
  PackOptions options;
  options.target = work.path() + "/m.ingot";
  const auto report = Pack(*source.checkpoint, source.plan, options);
  ASSERT_TRUE(report.ok()) << report.status().message();
  std::string lines;
  for (const PlannedTensor& tensor : source.plan.tensors) {
    const std::uint64_t row = tensor.cols * DTypeBytes(tensor.source.dtype);
    ByteBuffer bytes(tensor.rows * row);
    ASSERT_TRUE(
        source.checkpoint->ReadRows(tensor.source, 0, tensor.source.rows(), bytes.span()).ok());
    lines += tensor.source.name + " " + std::string(DTypeName(tensor.source.dtype)) + " " +
             std::to_string(tensor.rows) + "x" + std::to_string(tensor.cols) + " " +
             std::to_string(tensor.slab_rows);
    for (std::uint64_t begin = 0; begin < tensor.rows; begin += tensor.slab_rows) {
      const std::uint64_t rows = std::min(tensor.slab_rows, tensor.rows - begin);
      lines += " " + HexOf(DigestOf(ByteSpan(bytes.span()).subspan(begin * row, rows * row)));
    }
    lines += "\n";
  }
  EXPECT_EQ(report->source_digest, "blake3:" + HexOf(DigestOf(AsBytes(lines))));
  const auto reader = artifact::ArtifactReader::Open(options.target, {});
  EXPECT_EQ((*reader)->manifest().provenance["source"]["digest"], report->source_digest);
}

}  // namespace
}  // namespace ingot::pack
