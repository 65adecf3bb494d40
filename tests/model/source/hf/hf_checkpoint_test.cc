#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "base/float_formats.h"
#include "model/source/checkpoint.h"
#include "tests/model/source_builders.h"

namespace ingot::model {
namespace {

constexpr const char* kConfig = R"({"model_type":"llama"})";

std::string ErrorOf(const std::string& path, StatusCode code) {
  const auto checkpoint = Checkpoint::Open(path);
  if (checkpoint.ok()) return "(opened)";
  EXPECT_EQ(checkpoint.status().code(), code) << checkpoint.status().message();
  return checkpoint.status().message();
}

std::vector<float> Floats(const Checkpoint& checkpoint, const TensorInfo& tensor,
                          std::uint64_t begin, std::uint64_t end) {
  std::vector<float> values((end - begin) * tensor.cols());
  const Status status = checkpoint.ReadRows(
      tensor, begin, end,
      {reinterpret_cast<std::uint8_t*>(values.data()), values.size() * sizeof(float)});
  EXPECT_TRUE(status.ok()) << status.message();
  return values;
}

TEST(HfCheckpoint, ReadsRowsMapsAndAssets) {
  const TestDirectory dir;
  dir.Write("config.json", kConfig);
  dir.Write("tokenizer.json", "{\"t\":1}");
  dir.Write("README.md", "not an asset");
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  dir.Write("model.safetensors",
            SafetensorsFile({{"w", "F32", {3, 2}, BytesOfValues(values)},
                             {"h", "BF16", {2}, BytesOfValues<std::uint16_t>({0x3f80, 0x4000})}}));
  const auto opened = Checkpoint::Open(dir.path());
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const Checkpoint& checkpoint = **opened;
  EXPECT_EQ(checkpoint.format(), "safetensors");
  EXPECT_EQ(checkpoint.config()["model_type"], "llama");
  ASSERT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.Find("absent"), nullptr);
  const TensorInfo* w = checkpoint.Find("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->rows(), 3u);
  EXPECT_EQ(w->cols(), 2u);
  EXPECT_EQ(w->file, "model.safetensors");
  EXPECT_EQ(Floats(checkpoint, *w, 1, 3), (std::vector<float>{3, 4, 5, 6}));
  EXPECT_EQ(AsText(checkpoint.Mapped(*w)), BytesOfValues(values));
  const TensorInfo* h = checkpoint.Find("h");
  ASSERT_NE(h, nullptr);
  EXPECT_EQ(h->dtype, DType::kBf16);
  EXPECT_EQ(h->rows(), 1u);
  EXPECT_EQ(h->cols(), 2u);
  EXPECT_EQ(checkpoint.assets().size(), 1u);
  EXPECT_EQ(checkpoint.assets().at("tokenizer.json"), "{\"t\":1}");
  std::uint8_t small[4];
  EXPECT_EQ(checkpoint.ReadRows(*w, 0, 1, small).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(checkpoint.ReadRows(*w, 2, 4, small).code(), StatusCode::kInvalidArgument);
}

TEST(HfCheckpoint, NotAModelDirectory) {
  const TestDirectory dir;
  EXPECT_EQ(ErrorOf(dir.path() + "/absent", StatusCode::kNotFound),
            dir.path() + "/absent: no such file or directory");
  EXPECT_EQ(ErrorOf(dir.path(), StatusCode::kNotFound),
            dir.path() + ": no config.json there; not a Hugging Face model directory");
  dir.Write("config.json", "{");
  EXPECT_EQ(ErrorOf(dir.path(), StatusCode::kCorruption),
            dir.path() + "/config.json: not valid JSON at byte 2");
  dir.Write("config.json", "[]");
  EXPECT_EQ(ErrorOf(dir.path(), StatusCode::kCorruption),
            dir.path() + "/config.json: not a JSON object");
  dir.Write("config.json", kConfig);
  EXPECT_EQ(
      ErrorOf(dir.path(), StatusCode::kNotFound),
      dir.path() +
          ": no model.safetensors, no other *.safetensors and no pytorch_model.bin; a .pth file "
          "is given by its own path");
  dir.Write("pytorch_model.bin", "");
  EXPECT_EQ(
      ErrorOf(dir.path(), StatusCode::kCorruption),
      dir.path() +
          "/pytorch_model.bin: neither a zip archive nor a pickle: not a checkpoint of PyTorch");
  dir.Write("model.safetensors", "short");
  EXPECT_EQ(ErrorOf(dir.path(), StatusCode::kCorruption),
            dir.path() + "/model.safetensors: 5 bytes are too few for a safetensors file");
}

// Two shards and their index.
class ShardTest : public ::testing::Test {
 protected:
  ShardTest() {
    dir_.Write("config.json", kConfig);
    dir_.Write("one.safetensors", SafetensorsFile({{"a", "I8", {2}, "aa"}}));
    dir_.Write("two.safetensors", SafetensorsFile({{"b", "I8", {2}, "bb"}}));
    Index(R"({"a":"one.safetensors","b":"two.safetensors"})");
  }
  void Index(const std::string& map) {
    dir_.Write("model.safetensors.index.json", "{\"weight_map\":" + map + "}");
  }
  std::string At(const std::string& name) { return dir_.path() + "/" + name; }
  TestDirectory dir_;
};

TEST_F(ShardTest, OpensAllShards) {
  const auto opened = Checkpoint::Open(dir_.path());
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const TensorInfo* b = (*opened)->Find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->file, "two.safetensors");
  EXPECT_EQ(AsText((*opened)->Mapped(*b)), "bb");
}

TEST_F(ShardTest, MissingShardIsNamed) {
  std::filesystem::remove(At("two.safetensors"));
  EXPECT_EQ(ErrorOf(dir_.path(), StatusCode::kNotFound),
            dir_.path() + ": shard two.safetensors is missing (1 of 2 shards are there)");
}

TEST_F(ShardTest, IndexAndShardsMustAgree) {
  Index(R"({"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"})");
  EXPECT_EQ(ErrorOf(dir_.path(), StatusCode::kCorruption),
            At("two.safetensors") +
                ": tensor 'c' is not in it, though model.safetensors.index.json says so");
  Index(R"({"a":"one.safetensors","c":"two.safetensors"})");
  EXPECT_EQ(ErrorOf(dir_.path(), StatusCode::kCorruption),
            At("two.safetensors") + ": tensor 'b' is not listed in model.safetensors.index.json");
  Index(R"({"a":"two.safetensors","b":"one.safetensors"})");
  EXPECT_EQ(ErrorOf(dir_.path(), StatusCode::kCorruption),
            At("one.safetensors") +
                ": tensor 'a' is listed for another shard in model.safetensors.index.json");
}

TEST_F(ShardTest, IndexNamesPlainFilesOnly) {
  for (const char* name : {"../one.safetensors", "/etc/passwd", "", ".."}) {
    Index(nlohmann::json{{"a", name}}.dump());
    EXPECT_EQ(ErrorOf(dir_.path(), StatusCode::kCorruption),
              At("model.safetensors.index.json") + ": tensor 'a' is not mapped to a file name");
  }
}

TEST_F(ShardTest, SameTensorInTwoShardsWithoutIndex) {
  std::filesystem::remove(At("model.safetensors.index.json"));
  EXPECT_TRUE(Checkpoint::Open(dir_.path()).ok());
  dir_.Write("two.safetensors", SafetensorsFile({{"a", "I8", {2}, "bb"}}));
  EXPECT_EQ(ErrorOf(dir_.path(), StatusCode::kCorruption),
            At("two.safetensors") + ": tensor 'a' is also in one.safetensors");
}

namespace fs = std::filesystem;

// A model in `folder` whose files are links to those in `files`.
void LinkModel(const fs::path& files, const fs::path& folder, const fs::path& as) {
  fs::create_directories(folder);
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"})
    fs::create_symlink(as / name, folder / name);
  ASSERT_TRUE(fs::exists(files / "config.json"));
}

TEST(HfCheckpoint, LinksLeadNoFurtherThanTheFolderOrTheCache) {
  const TestDirectory dir;
  const fs::path root = dir.path();
  const fs::path blobs = root / "models--a--b" / "blobs";
  fs::create_directories(blobs);
  dir.Write("models--a--b/blobs/config.json", kConfig);
  dir.Write("models--a--b/blobs/tokenizer.json", "{}");
  dir.Write("models--a--b/blobs/model.safetensors",
            SafetensorsFile({{"w", "F32", {1}, BytesOfValues<float>({1})}}));
  dir.Write("secret", "{\"key\":1}");
  // As Hugging Face's cache has it, and as a user links to that.
  const fs::path snapshot = root / "models--a--b" / "snapshots" / "0123abc";
  LinkModel(blobs, snapshot, "../../blobs");
  fs::create_directory_symlink(snapshot, root / "model");
  for (const fs::path& path : {snapshot, root / "model"}) {
    const auto opened = Checkpoint::Open(path.string());
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    EXPECT_EQ((*opened)->assets().size(), 1u);
  }
  // The same links from a folder of no cache.
  LinkModel(blobs, root / "models--a--b" / "copies" / "0123abc", "../../blobs");
  EXPECT_NE(ErrorOf((root / "models--a--b/copies/0123abc").string(), StatusCode::kUnsupported)
                .find("link out of the model's folder"),
            std::string::npos);
  // Each file by itself, also from inside the cache.
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"}) {
    fs::remove(snapshot / name);
    fs::create_symlink(root / "secret", snapshot / name);
    EXPECT_NE(ErrorOf(snapshot.string(), StatusCode::kUnsupported).find(name), std::string::npos);
    fs::remove(snapshot / name);
    fs::create_symlink(fs::path("../../blobs") / name, snapshot / name);
  }
  // Links inside the folder are the folder's own.
  fs::create_symlink("config.json", snapshot / "special_tokens_map.json");
  EXPECT_TRUE(Checkpoint::Open(snapshot.string()).ok());
}

TEST(HfCheckpoint, PipesAndDevicesAreNoModelFiles) {
  const TestDirectory dir;
  dir.Write("config.json", kConfig);
  const std::string weights = dir.path() + "/model.safetensors";
  ASSERT_EQ(::mkfifo(weights.c_str(), 0600), 0);
  EXPECT_NE(ErrorOf(dir.path(), StatusCode::kInvalidArgument).find("is a pipe"), std::string::npos);
  EXPECT_NE(ErrorOf(weights, StatusCode::kInvalidArgument).find("is a pipe"), std::string::npos);
  fs::remove(weights);
  dir.Write("model.safetensors", SafetensorsFile({{"w", "F32", {1}, BytesOfValues<float>({1})}}));
  ASSERT_EQ(::mkfifo((dir.path() + "/tokenizer.json").c_str(), 0600), 0);
  EXPECT_NE(ErrorOf(dir.path(), StatusCode::kInvalidArgument).find("is a pipe"), std::string::npos);
  EXPECT_NE(ErrorOf("/dev/zero", StatusCode::kInvalidArgument).find("is a device"),
            std::string::npos);
}

TEST(HfCheckpoint, OddDtypesOnlyAsBuffers) {
  const TestDirectory dir;
  dir.Write("config.json", kConfig);
  const std::string eight(8, '\0');
  dir.Write("model.safetensors", SafetensorsFile({{"model.rotary_emb.inv_freq", "F64", {1}, eight},
                                                  {"h.0.attn.bias", "BOOL", {8}, eight},
                                                  {"w", "I8", {8}, eight}}));
  const auto opened = Checkpoint::Open(dir.path());
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_EQ((*opened)->tensors().size(), 1u);
  dir.Write("model.safetensors", SafetensorsFile({{"w.weight", "I64", {1}, eight}}));
  EXPECT_EQ(ErrorOf(dir.path(), StatusCode::kUnsupported),
            dir.path() +
                "/model.safetensors: tensor 'w.weight': weights of dtype I64 (known: F32, F16, "
                "BF16, F8_E4M3, I8; others with the scales of a quant_method)");
  dir.Write("model.safetensors", SafetensorsFile({{"w.weight", "I8", {8}, eight}}));
  EXPECT_EQ(ErrorOf(dir.path(), StatusCode::kUnsupported),
            dir.path() + ": tensor 'w.weight': weights of dtype I8 without 'w.weight_scale', "
                         "'w.weight_scale_inv' or 'w.SCB'");
}

TEST(HfCheckpoint, ScaledWeightsComeAsFloats) {
  const TestDirectory dir;
  dir.Write("config.json",
            R"({"model_type":"llama","quantization_config":{"weight_block_size":[2,3]}})");
  // 1.0, 2.0, -1.0, 0.5, 1.5, 448 in e4m3.
  const std::string codes = "\x38\x40\xb8\x30\x3c\x7e";
  const auto scales = [](const std::vector<float>& values) { return BytesOfValues(values); };
  dir.Write("model.safetensors",
            SafetensorsFile({{"one.weight", "F8_E4M3", {2, 3}, codes},
                             {"one.weight_scale", "F32", {}, scales({2})},
                             {"one.input_scale", "F32", {}, scales({7})},
                             {"row.weight", "F8_E4M3", {3, 2}, codes},
                             {"row.weight_scale",
                              "BF16",
                              {3, 1},
                              BytesOfValues<std::uint16_t>({0x3f80, 0x4000, 0x4040})},
                             {"block.weight", "F8_E4M3", {3, 2}, codes},
                             {"block.weight_scale_inv", "F32", {2, 1}, scales({1, 10})},
                             {"wide.weight", "F8_E4M3", {1, 6}, codes},
                             {"wide.weight_scale_inv", "F32", {1, 2}, scales({1, 10})},
                             {"int.weight", "I8", {2, 1}, std::string("\x7f\x81")},
                             {"int.SCB", "F32", {2}, scales({1, 2})},
                             {"int.weight_format", "U8", {}, std::string(1, '\0')},
                             {"bare.weight", "F8_E4M3", {6}, codes}}));
  const auto opened = Checkpoint::Open(dir.path());
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const Checkpoint& checkpoint = **opened;
  const auto all = [&](const char* name) {
    const TensorInfo* tensor = checkpoint.Find(name);
    EXPECT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->dtype, DType::kF32) << name;
    EXPECT_TRUE(checkpoint.Mapped(*tensor).empty()) << name;
    return Floats(checkpoint, *tensor, 0, tensor->rows());
  };
  EXPECT_EQ(all("one.weight"), (std::vector<float>{2, 4, -2, 1, 3, 896}));
  EXPECT_EQ(all("row.weight"), (std::vector<float>{1, 2, -2, 1, 4.5, 1344}));
  EXPECT_EQ(all("block.weight"), (std::vector<float>{1, 2, -1, 0.5, 15, 4480}));
  EXPECT_EQ(all("wide.weight"), (std::vector<float>{1, 2, -1, 5, 15, 4480}));
  const std::vector<float> ints = all("int.weight");
  EXPECT_FLOAT_EQ(ints[0], 1);
  EXPECT_FLOAT_EQ(ints[1], -2);
  const TensorInfo* row = checkpoint.Find("row.weight");
  EXPECT_EQ(Floats(checkpoint, *row, 1, 2), (std::vector<float>{-2, 1}));
  EXPECT_EQ(checkpoint.Find("bare.weight")->dtype, DType::kF8E4m3);
  EXPECT_EQ(checkpoint.tensors().size(), 7u);  // six weights, one.input_scale; no consumed scale

  dir.Write("model.safetensors", SafetensorsFile({{"x.weight", "F8_E4M3", {3, 2}, codes},
                                                  {"x.weight_scale", "F32", {2}, scales({1, 2})}}));
  EXPECT_EQ(ErrorOf(dir.path(), StatusCode::kCorruption),
            dir.path() +
                ": tensor 'x.weight': tensor 'x.weight_scale': scales of shape [2] do not fit 3 x 2 "
                "weights in blocks of 2 x 3");
}

}  // namespace
}  // namespace ingot::model
