// Export: values and formats of what it writes, and that it takes no tensor that the loader
// refuses.
#include "pack/export_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include "base/file.h"
#include "base/float_formats.h"
#include "codecs/plane_codec.h"
#include "stored/tensor_planes.h"
#include "tests/stored/crafted_artifact.h"

namespace ingot::pack {
namespace {

namespace fs = std::filesystem;
using stored::CraftedTensor;

// A safetensors file: its header and the bytes after it.
struct Weights {
  artifact::Json header;
  std::vector<std::uint8_t> bytes;

  explicit Weights(const std::string& path) {
    bytes = artifact::ReadAll(path);
    const auto size = LoadLe<std::uint64_t>(bytes.data());
    header = artifact::Json::parse(AsText(ByteSpan(bytes).subspan(8, size)));
    bytes.erase(bytes.begin(), bytes.begin() + 8 + static_cast<std::ptrdiff_t>(size));
  }
  ByteSpan of(const std::string& name) const {
    const auto begin = header[name]["data_offsets"][0].get<std::size_t>();
    const auto end = header[name]["data_offsets"][1].get<std::size_t>();
    return ByteSpan(bytes).subspan(begin, end - begin);
  }
};

std::vector<float> Decoded(const artifact::ArtifactReader& reader, std::size_t tensor) {
  const auto planes = stored::ReadTensor(reader, reader.manifest().tensors[tensor]);
  EXPECT_TRUE(planes.ok()) << planes.status().message();
  std::vector<float> values(planes->rows * planes->cols);
  codecs::ApplyPlanes(planes->planes, 0, planes->rows, values.data());
  return values;
}

class ExportModelTest : public testing::Test {
 protected:
  std::unique_ptr<artifact::ArtifactReader> Crafted(const stored::Bend& bend = {}) {
    stored::WriteCrafted(dir_ / "a.ingot", bend);
    return stored::OpenCrafted(dir_ / "a.ingot");
  }
  ExportOptions To(const std::string& name) {
    ExportOptions options;
    options.target = dir_ / name;
    return options;
  }
  std::size_t Entries() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(dir_.path()), fs::directory_iterator()));
  }
  artifact::TempDir dir_;
};

TEST_F(ExportModelTest, ValuesAreTheSumOfAllPlanes) {
  const auto reader = Crafted();
  const auto report = ExportModel(*reader, To("out"));
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->dtype, "f32");
  EXPECT_EQ(report->files, 1u);
  const Weights weights(dir_ / "out/model.safetensors");
  for (std::size_t t = 0; t < 3; ++t) {
    const std::string& name = reader->manifest().tensors[t].name;
    EXPECT_EQ(weights.header[name]["dtype"], "F32");
    const std::vector<float> want = Decoded(*reader, t);
    EXPECT_TRUE(std::ranges::equal(weights.of(name), BytesOf(std::span<const float>(want))));
  }
  const auto config = artifact::Json::parse(*ReadFileToString(dir_ / "out/config.json"));
  EXPECT_EQ(config["torch_dtype"], "float32");
  EXPECT_EQ(*ReadFileToString(dir_ / "out/tokenizer.json"), "{}");
}

TEST_F(ExportModelTest, AFormatThatIsAskedForIsRoundedTo) {
  const auto reader = Crafted();
  ExportOptions options = To("out");
  options.dtype = DType::kBf16;
  ASSERT_TRUE(ExportModel(*reader, options).ok());
  const Weights weights(dir_ / "out/model.safetensors");
  const std::vector<float> want = Decoded(*reader, 1);
  const ByteSpan got = weights.of("b");
  ASSERT_EQ(got.size(), 2 * want.size());
  for (std::size_t i = 0; i < want.size(); ++i)
    ASSERT_EQ(LoadLe<std::uint16_t>(got.data() + 2 * i), ToBf16(want[i]));
}

TEST_F(ExportModelTest, ATransposedMatrixIsTurnedBack) {
  const auto reader = Crafted([](CraftedTensor& t) { t.plan.record.extra["transposed"] = true; });
  ASSERT_TRUE(ExportModel(*reader, To("out")).ok());
  const Weights weights(dir_ / "out/model.safetensors");
  EXPECT_EQ(weights.header["b"]["shape"],
            artifact::Json::array({stored::kCraftedCols, stored::kCraftedRows}));
  const std::vector<float> want = Decoded(*reader, 1);
  for (std::uint64_t r = 0; r < stored::kCraftedRows; ++r)
    for (std::uint64_t c = 0; c < stored::kCraftedCols; ++c)
      ASSERT_EQ(LoadLe<float>(weights.of("b").data() + 4 * (c * stored::kCraftedRows + r)),
                want[r * stored::kCraftedCols + c]);
}

TEST_F(ExportModelTest, NumbersThatAFormatDoesNotHoldAreRefused) {
  const struct {
    std::uint16_t scale, column;  // fp16
    const char* what;
  } kCases[] = {{0x7bff, 0x3c00, "above what f16 holds (65504)"},
                {0x0001, 0x2800, "below what f16 holds (1.2e-07)"}};
  for (const auto& c : kCases) {
    const auto reader = Crafted([&](CraftedTensor& t) {
      std::vector<std::uint8_t>& scales = t.streams[0][1];
      for (std::size_t i = 0; i < scales.size(); i += 2) StoreLe(scales.data() + i, c.scale);
      // Without the outlier, the column scales and the refinement.
      t.streams[1][0].assign(t.streams[1][0].size(), 0);
      t.streams[1][1].clear();
      t.streams[1][2].clear();
      for (const std::size_t p : {2, 3})
        for (std::size_t i = 0; i < t.streams[p].back().size(); i += 2)
          StoreLe<std::uint16_t>(t.streams[p].back().data() + i, p == 2 ? c.column : 0);
    });
    ExportOptions options = To("out");
    options.dtype = DType::kF16;
    const auto report = ExportModel(*reader, options);
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.status().code(), StatusCode::kInvalidArgument);
    EXPECT_TRUE(report.status().message().starts_with("b: row 0: ")) << report.status().message();
    EXPECT_NE(report.status().message().find(c.what), std::string::npos)
        << report.status().message();
    EXPECT_NE(report.status().message().find("--dtype bf16 or f32"), std::string::npos);
    EXPECT_FALSE(fs::exists(dir_ / "out"));
    options.dtype = DType::kBf16;
    EXPECT_TRUE(ExportModel(*reader, options).ok());
    fs::remove_all(dir_ / "out");
  }
}

// Transformers reads the bias of an encoder's output by a name that it ties to the other one.
TEST_F(ExportModelTest, AnEncodersOutputBiasHasBothItsNames) {
  for (const auto& [name, other] :
       {std::pair<std::string, std::string>{"cls.predictions.decoder.bias", "cls.predictions.bias"},
        {"lm_head.decoder.bias", "lm_head.bias"}}) {
    const auto reader = Crafted([n = name](CraftedTensor& t) { t.plan.record.name = n; });
    ASSERT_TRUE(ExportModel(*reader, To("out")).ok());
    const Weights weights(dir_ / "out/model.safetensors");
    EXPECT_EQ(weights.header.size(), 5u);  // and __metadata__
    ASSERT_TRUE(weights.header.contains(other));
    EXPECT_EQ(AsText(weights.of(other)), AsText(weights.of(name)));
    fs::remove_all(dir_ / "out");
  }
}

TEST_F(ExportModelTest, ShardsHoldWhatTheirIndexSays) {
  const auto reader = Crafted();
  ExportOptions options = To("out");
  options.shard_bytes = 4 * stored::kCraftedRows * stored::kCraftedCols;
  std::uint64_t last = 0;
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GT(done, last);
    EXPECT_LE(done, total);
    last = done;
    return OkStatus();
  };
  const auto report = ExportModel(*reader, options);
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->files, 3u);
  EXPECT_EQ(last, report->bytes);
  const auto index =
      artifact::Json::parse(*ReadFileToString(dir_ / "out/model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], report->bytes);
  for (const auto& [tensor, file] : index["weight_map"].items())
    EXPECT_TRUE(Weights(dir_ / ("out/" + file.get<std::string>())).header.contains(tensor));
}

TEST_F(ExportModelTest, ExactArtifactsKeepTheSourcesFormat) {
  const auto reader = Crafted();
  const auto mixed = ExportModel(*reader, To("mixed"));
  ASSERT_TRUE(mixed.ok());
  EXPECT_EQ(mixed->dtype, "f32");
  const std::string golden = std::string(INGOT_SOURCE_DIR) + "/tests/golden/planes_v1.ingot";
  const auto exact = stored::OpenCrafted(golden);
  ASSERT_NE(exact, nullptr);
  const bool all_exact =
      std::ranges::all_of(exact->manifest().tensors, [](const artifact::TensorRecord& record) {
        return std::ranges::any_of(record.planes, [](const artifact::PlaneRecord& plane) {
          return (*codecs::FindPlaneKind(plane.kind))->role == codecs::PlaneRole::kReplaces;
        });
      });
  const auto report = ExportModel(*exact, To("golden"));
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->dtype, all_exact ? "source" : "f32");
}

TEST_F(ExportModelTest, ATargetThatHoldsSomethingStays) {
  const auto reader = Crafted();
  fs::create_directory(dir_ / "out");
  ASSERT_TRUE(ExportModel(*reader, To("out")).ok());
  const auto again = ExportModel(*reader, To("out"));
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.status().code(), StatusCode::kInvalidArgument);
}

TEST_F(ExportModelTest, HostileTensorsAreRefusedAndLeaveNothing) {
  std::size_t number = 0;
  stored::ExpectRefused([&](const artifact::ArtifactReader& reader) {
    const std::size_t before = Entries();
    ExportOptions options = To("out" + std::to_string(number++));
    options.max_decoded_bytes = UINT64_MAX;  // what the tensor's own checks find
    const Status status = ExportModel(reader, options).status();
    EXPECT_EQ(Entries(), before);
    return status;
  });
}

}  // namespace
}  // namespace ingot::pack
