// RWKV's checkpoints: what a bare .pth file says of itself, rwkv.cpp's files, and those that do not
// fit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "base/file.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"
#include "model/source/rwkv/rwkv_cpp_file.h"

namespace ingot::model {
namespace {

namespace fs = std::filesystem;

const std::string kModels = INGOT_SOURCE_DIR "/tests/fixtures/models/";

Result<Architecture> Build(const Checkpoint& checkpoint) {
  return BuildArchitecture(checkpoint.config(),
                           [&](std::string_view name) { return checkpoint.Find(name) != nullptr; });
}

std::string TemporaryFolder(const std::string& name) {
  const std::string path = testing::TempDir() + "/" + name;
  fs::remove_all(path);
  fs::create_directories(path);
  return path;
}

void Write(const std::string& path, const std::string& bytes) {
  ASSERT_TRUE(std::ofstream(path, std::ios::binary) << bytes);
}

TEST(RwkvCheckpointTest, BareFilesDescribeThemselves) {
  struct Row {
    const char* name;
    const char* type;
    RwkvVersion version;
    std::uint64_t heads, head_dim, hidden, ffn;
    bool per_head, gate;
  };
  const Row rows[] = {
      {"rwkv4-pth", "rwkv", RwkvVersion::k4, 36, 1, 36, 52, false, false},
      {"rwkv50-pth", "rwkv5", RwkvVersion::k5, 3, 12, 36, 44, true, false},
      {"rwkv51-pth", "rwkv5", RwkvVersion::k5, 5, 6, 30, 44, true, true},
      {"rwkv52-pth", "rwkv5", RwkvVersion::k5, 3, 12, 36, 52, false, true},
      {"rwkv6-pth", "rwkv6", RwkvVersion::k6, 3, 12, 36, 44, false, true},
      {"rwkv7-pth", "rwkv7", RwkvVersion::k7, 3, 12, 36, 60, false, false},
  };
  for (const Row& row : rows) {
    // The folder and the file in it are one.
    for (const std::string& path : {kModels + row.name, kModels + row.name + "/model.pth"}) {
      const auto checkpoint = Checkpoint::Open(path);
      ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
      EXPECT_EQ((*checkpoint)->config()["model_type"], row.type);
      const auto a = Build(**checkpoint);
      ASSERT_TRUE(a.ok()) << a.status().message();
      EXPECT_TRUE(CheckTensors(*a, (*checkpoint)->tensors(), false).ok())
          << CheckTensors(*a, (*checkpoint)->tensors(), false).message();
      EXPECT_EQ(a->vocab_size, 61u);
      EXPECT_EQ(a->hidden_size, row.hidden);
      const RwkvSpec& rwkv = a->layers.at(1).rwkv;
      EXPECT_EQ(rwkv.version, row.version) << row.name;
      EXPECT_EQ(rwkv.heads, row.heads) << row.name;
      EXPECT_EQ(rwkv.head_dim, row.head_dim) << row.name;
      EXPECT_EQ(rwkv.decay_per_head, row.per_head) << row.name;
      EXPECT_EQ(rwkv.gate.present(), row.gate) << row.name;
      EXPECT_EQ(a->layers[1].channel_mix.key.rows, row.ffn) << row.name;
      EXPECT_TRUE(a->embedding_norm.present());
    }
  }
}

TEST(RwkvCheckpointTest, StackedMatricesComeApartAndSmallTensorsAreFlat) {
  const auto checkpoint = Checkpoint::Open(kModels + "rwkv6-pth");
  ASSERT_TRUE(checkpoint.ok());
  const Checkpoint& c = **checkpoint;
  const auto plain = Checkpoint::Open(kModels + "rwkv6-hf");
  ASSERT_TRUE(plain.ok());
  for (const Checkpoint* source : {&c, static_cast<const Checkpoint*>(plain->get())}) {
    const std::string module = source == &c ? "blocks.0.att." : "rwkv.blocks.0.attention.";
    EXPECT_EQ(source->Find(module + "time_maa_w2"), nullptr);
    std::vector<float> before;
    for (int i = 0; i < 5; ++i) {
      const TensorInfo* part = source->Find(module + "time_maa_w2." + std::to_string(i));
      ASSERT_NE(part, nullptr);
      ASSERT_EQ(part->shape.size(), 2u);
      EXPECT_EQ(part->shape[0], 6u);
      const ByteSpan mapped = source->Mapped(*part);
      std::vector<float> rows(part->elements());
      MutableByteSpan bytes(reinterpret_cast<std::uint8_t*>(rows.data()), rows.size() * 4);
      ASSERT_TRUE(source->ReadRows(*part, 0, 6, bytes).ok());
      ASSERT_EQ(mapped.size(), bytes.size());
      EXPECT_EQ(std::memcmp(mapped.data(), bytes.data(), bytes.size()), 0);
      std::vector<float> two(2 * part->cols());
      ASSERT_TRUE(
          source
              ->ReadRows(*part, 3, 5, {reinterpret_cast<std::uint8_t*>(two.data()), two.size() * 4})
              .ok());
      EXPECT_EQ(std::memcmp(two.data(), rows.data() + 3 * part->cols(), two.size() * 4), 0);
      EXPECT_NE(rows, before);
      before = rows;
    }
    const TensorInfo* decay = source->Find(module + "time_decay");
    ASSERT_NE(decay, nullptr);
    EXPECT_EQ(decay->shape.size(), 1u);
    std::vector<float> values(decay->elements());
    EXPECT_TRUE(source
                    ->ReadRows(*decay, 0, 1,
                               {reinterpret_cast<std::uint8_t*>(values.data()), values.size() * 4})
                    .ok());
    EXPECT_EQ(source->ReadRows(*decay, 0, 2, {}).code(), StatusCode::kInvalidArgument);
  }
}

TEST(RwkvCheckpointTest, SeveralPthFilesNeedAPath) {
  const std::string folder = TemporaryFolder("rwkv_several");
  fs::copy(kModels + "rwkv4-pth/model.pth", folder + "/a.pth");
  EXPECT_TRUE(Checkpoint::Open(folder).ok());
  fs::copy(kModels + "rwkv4-pth/model.pth", folder + "/b.pth");
  const auto several = Checkpoint::Open(folder);
  EXPECT_EQ(several.status().code(), StatusCode::kNotFound);
  EXPECT_NE(several.status().message().find("several .pth files"), std::string::npos);
  EXPECT_TRUE(Checkpoint::Open(folder + "/b.pth").ok());
}

TEST(RwkvCheckpointTest, TheWorldVocabularyIsAnAsset) {
  const std::string folder = TemporaryFolder("rwkv_assets");
  fs::copy(kModels + "rwkv4-pth/model.pth", folder + "/a.pth");
  Write(folder + "/rwkv_vocab_x.txt", "1 'a' 1\n");
  const auto checkpoint = Checkpoint::Open(folder);
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ((*checkpoint)->assets().at("rwkv_vocab_x.txt"), "1 'a' 1\n");
}

TEST(RwkvConfigTest, NumbersThatDoNotFitAreNamed) {
  const auto checkpoint = Checkpoint::Open(kModels + "rwkv6-hf");
  ASSERT_TRUE(checkpoint.ok());
  const auto error = [&](const char* key, Json value) {
    Json config = (*checkpoint)->config();
    config[key] = std::move(value);
    const auto a = BuildArchitecture(
        config, [&](std::string_view name) { return (*checkpoint)->Find(name) != nullptr; });
    if (!a.ok()) return std::string(a.status().message());
    return std::string(CheckTensors(*a, (*checkpoint)->tensors(), false).message());
  };
  EXPECT_NE(error("head_size", 7).find("30 channels of time mixing do not divide into heads of 7"),
            std::string::npos);
  EXPECT_NE(error("head_size", 0).find("head_size"), std::string::npos);
  EXPECT_NE(error("hidden_size", 31).find("is 61 x 30, config.json asks for 61 x 31"),
            std::string::npos);
  EXPECT_NE(error("num_hidden_layers", 3).find("is missing"), std::string::npos);
  EXPECT_NE(error("num_hidden_layers", 1).find("has no use"), std::string::npos);
  EXPECT_NE(error("num_hidden_layers", 1u << 30).find("num_hidden_layers"), std::string::npos);
  EXPECT_NE(error("intermediate_size", 35).find("feed_forward.key"), std::string::npos);
  EXPECT_NE(error("time_mix_extra_dim", 7).find("time_maa_w"), std::string::npos);
  // The names of another version are missed, not misread.
  EXPECT_NE(error("model_type", "rwkv5").find("missing"), std::string::npos);
  const auto none =
      BuildArchitecture((*checkpoint)->config(), [](std::string_view) { return false; });
  EXPECT_EQ(none.status().code(), StatusCode::kNotFound);
}

// A file of rwkv.cpp.
struct FileBuilder {
  std::string bytes;
  explicit FileBuilder(std::uint32_t version = 101) {
    for (const std::uint32_t word : {kRwkvCppMagic, version, 4u, 4u, 1u, 0u}) Word(word);
  }
  void Word(std::uint32_t word) { bytes.append(reinterpret_cast<const char*>(&word), 4); }
  // Sizes innermost first, as the file has them.
  FileBuilder& Tensor(const std::string& name, const std::vector<std::uint32_t>& sizes,
                      const std::vector<float>& values, std::uint32_t type = 0) {
    Word(static_cast<std::uint32_t>(sizes.size()));
    Word(static_cast<std::uint32_t>(name.size()));
    Word(type);
    for (const std::uint32_t size : sizes) Word(size);
    bytes += name;
    bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * 4);
    return *this;
  }
};

std::vector<float> Values(const Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo* tensor = checkpoint.Find(name);
  if (tensor == nullptr) return {};
  std::vector<float> values(tensor->elements());
  const Status read =
      checkpoint.ReadRows(*tensor, 0, tensor->rows(),
                          {reinterpret_cast<std::uint8_t*>(values.data()), values.size() * 4});
  EXPECT_TRUE(read.ok()) << read.message();
  return values;
}

TEST(RwkvCppTest, TheConvertersChangesAreUndone) {
  const std::string path = TemporaryFolder("rwkv_cpp") + "/m.bin";
  FileBuilder builder;
  builder.Tensor("blocks.0.att.time_decay", {1, 1, 2}, {std::exp(-std::exp(-3.0f)), 1.0f})
      .Tensor("blocks.0.att.time_first", {1, 1, 2}, {std::exp(0.5f), 2.0f})
      .Tensor("blocks.0.att.w1", {3, 2}, {1, 2, 3, 4, 5, 6})
      .Tensor("blocks.0.att.x_rwkvag", {2, 1, 6}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  Write(path, builder.bytes);
  const auto opened = Checkpoint::Open(path);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const Checkpoint& c = **opened;
  EXPECT_EQ(c.format(), "rwkv.cpp");
  const std::vector<float> decay = Values(c, "blocks.0.att.time_decay");
  ASSERT_EQ(decay.size(), 2u);
  EXPECT_NEAR(decay[0], -3, 1e-5);
  EXPECT_EQ(std::exp(-std::exp(decay[1])), 1.0f);
  EXPECT_NEAR(Values(c, "blocks.0.att.time_first")[0], 0.5, 1e-6);
  EXPECT_EQ(c.Find("blocks.0.att.w1")->shape, (std::vector<std::uint64_t>{3, 2}));
  EXPECT_EQ(Values(c, "blocks.0.att.w1"), (std::vector<float>{1, 4, 2, 5, 3, 6}));
  // What is not the file's own bytes is not said to be mapped.
  EXPECT_TRUE(c.Mapped(*c.Find("blocks.0.att.w1")).empty());
  EXPECT_TRUE(c.Mapped(*c.Find("blocks.0.att.time_decay")).empty());
  EXPECT_EQ(Values(c, "blocks.0.att.x_v"), (std::vector<float>{6, 7}));
  EXPECT_EQ(Values(c, "blocks.0.att.x_g"), (std::vector<float>{10, 11}));
}

TEST(RwkvCppTest, EveryTruncationIsFound) {
  FileBuilder builder;
  builder.Tensor("emb.weight", {2, 4}, std::vector<float>(8, 1.0f));
  const std::size_t first = builder.bytes.size();
  builder.Tensor("head.weight", {2, 4}, std::vector<float>(8, 2.0f));
  for (std::size_t n = 0; n < builder.bytes.size(); ++n) {
    const auto read = ParseRwkvCppFile(AsBytes(std::string_view(builder.bytes).substr(0, n)));
    // A file that ends between tensors says nothing of the others: they are missed by name.
    EXPECT_EQ(read.ok(), n == 24 || n == first) << n;
    if (!read.ok()) {
      EXPECT_EQ(read.status().code(), StatusCode::kCorruption) << n;
    }
  }
}

TEST(RwkvCppTest, RefusesWhatItDoesNotRead) {
  const auto code = [](const FileBuilder& builder) {
    return ParseRwkvCppFile(AsBytes(builder.bytes)).status().code();
  };
  EXPECT_EQ(code(FileBuilder(99)), StatusCode::kUnsupported);
  EXPECT_EQ(code(FileBuilder().Tensor("a", {1}, {1.0f}, 2)), StatusCode::kUnsupported);
  EXPECT_EQ(code(FileBuilder().Tensor("a", {}, {1.0f})), StatusCode::kCorruption);
  EXPECT_EQ(code(FileBuilder().Tensor("a", {0}, {})), StatusCode::kCorruption);
  EXPECT_EQ(code(FileBuilder().Tensor("", {1}, {1.0f})), StatusCode::kCorruption);
  EXPECT_EQ(code(FileBuilder().Tensor("a\n", {1}, {1.0f})), StatusCode::kCorruption);
  EXPECT_EQ(code(FileBuilder().Tensor("a", {1, 1, 1, 1, 1}, {1.0f})), StatusCode::kCorruption);
  const std::uint32_t all = 0xFFFFFFFF;
  EXPECT_EQ(code(FileBuilder().Tensor("a", {all, all, all, all}, {1.0f})), StatusCode::kCorruption);
  const std::string path = TemporaryFolder("rwkv_twice") + "/m.bin";
  Write(path, FileBuilder().Tensor("a", {1}, {1.0f}).Tensor("a", {1}, {1.0f}).bytes);
  EXPECT_EQ(Checkpoint::Open(path).status().code(), StatusCode::kCorruption);
}

}  // namespace
}  // namespace ingot::model
