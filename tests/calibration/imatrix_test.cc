// llama.cpp's imatrix: names, a round trip through a real file, and damaged files.
#include "calibration/imatrix.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/file.h"
#include "calibration/statistics_writer.h"
#include "model/source/gguf/gguf.h"
#include "model/source/mapped_file.h"

namespace ingot::calibration {
namespace {

namespace fs = std::filesystem;

class ImatrixTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(testing::TempDir()) /
                 (std::string("ingot_imatrix_") +
                  testing::UnitTest::GetInstance()->current_test_info()->name() +
                  std::to_string(::getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::string Path(const std::string& name) const { return (directory_ / name).string(); }

  void Open(const std::string& fixture) {
    checkpoint_ = *model::Checkpoint::Open(std::string(INGOT_SOURCE_DIR) +
                                           "/tests/fixtures/models/" + fixture);
    architecture_ = *model::BuildArchitecture(checkpoint_->config(), [&](std::string_view tensor) {
      return checkpoint_->Find(tensor) != nullptr;
    });
  }

  // Statistics whose E[x_j²] is 1 + j for every matrix, with `tokens` tokens.
  std::shared_ptr<const Statistics> MakeStatistics(float tokens) {
    std::map<std::string, std::vector<float>> values;
    for (const model::TensorUse& use : model::TensorUses(architecture_)) {
      if (use.shape.size() != 2 || !ToLlamaCppName(use.name)) continue;
      const std::uint64_t n = use.shape[1];
      std::vector<float>& hessian = values[use.name];
      hessian.assign(n * n, 0.5f);
      for (std::uint64_t j = 0; j < n; ++j) hessian[j * n + j] = static_cast<float>(1 + j);
    }
    std::vector<StatisticsTensor> tensors;
    const std::vector<float> count = {tokens};
    for (const auto& [name, hessian] : values) {
      const auto n = static_cast<std::uint64_t>(std::sqrt(static_cast<double>(hessian.size())));
      tensors.push_back({"hessian/" + name, {n, n}, hessian});
      tensors.push_back({"tokens/" + name, {1}, count});
    }
    const Status written = WriteStatistics(Path("s"),
                                           {{"format", std::string(kStatisticsFormat)},
                                            {"model", *ModelFingerprint(*checkpoint_)},
                                            {"context", "8"},
                                            {"tokens", "80"},
                                            {"text", "a.txt"}},
                                           tensors);
    EXPECT_TRUE(written.ok()) << written.message();
    return *Statistics::Open(Path("s"));
  }

  fs::path directory_;
  std::unique_ptr<model::Checkpoint> checkpoint_;
  model::Architecture architecture_;
};

TEST(LlamaCppNameTest, TheFamilysNames) {
  EXPECT_EQ(ToLlamaCppName("model.layers.12.self_attn.q_proj.weight")->name,
            "blk.12.attn_q.weight");
  EXPECT_EQ(ToLlamaCppName("model.layers.0.mlp.down_proj.weight")->name, "blk.0.ffn_down.weight");
  EXPECT_EQ(ToLlamaCppName("lm_head.weight")->name, "output.weight");
  const auto expert = ToLlamaCppName("model.layers.3.block_sparse_moe.experts.7.w2.weight");
  EXPECT_EQ(expert->name, "blk.3.ffn_down_exps.weight");
  EXPECT_EQ(expert->expert, 7u);
  for (const char* none :
       {"", "model.layers.", "model.layers.x.mlp.down_proj.weight", "model.norm.weight",
        "model.layers.1.mlp.experts.down_proj.weight", "model.layers.1.self_attn.q_proj.bias",
        "transformer.h.0.attn.c_attn.weight", "model.layers.99999999999999999999.mlp.gate.weight"})
    EXPECT_FALSE(ToLlamaCppName(none).has_value()) << none;
}

TEST_F(ImatrixTest, ExportIsWhatLlamaQuantizeReads) {
  Open("mixtral");
  const auto statistics = MakeStatistics(80);
  const auto count = ExportImatrix(*statistics, *checkpoint_, architecture_, Path("i.gguf"));
  ASSERT_TRUE(count.ok()) << count.status().message();
  const model::MappedFile file = *model::MappedFile::Open(Path("i.gguf"));
  const auto gguf = model::ParseGguf(file.bytes());
  ASSERT_TRUE(gguf.ok()) << gguf.status().message();
  EXPECT_EQ(gguf->Find("general.type")->text, "imatrix");
  EXPECT_EQ(gguf->Find("imatrix.chunk_count")->Unsigned(), 10u);
  EXPECT_EQ(gguf->Find("imatrix.chunk_size")->Unsigned(), 8u);
  EXPECT_EQ(gguf->Find("imatrix.datasets")->texts[0], "a.txt");
  EXPECT_EQ(gguf->tensors.size(), 2 * *count);
  const std::uint64_t experts = architecture_.layers[0].mlp.experts.size();
  const std::uint64_t hidden = architecture_.hidden_size;
  bool sums = false, counts = false;
  for (const model::GgufTensor& tensor : gguf->tensors) {
    const auto* values = reinterpret_cast<const float*>(file.bytes().data() + tensor.offset);
    if (tensor.name == "blk.1.ffn_up_exps.weight.in_sum2") {
      sums = true;
      ASSERT_EQ(tensor.shape, (std::vector<std::uint64_t>{experts, hidden}));
      for (std::uint64_t i = 0; i < experts * hidden; ++i)
        ASSERT_EQ(values[i], 80 * static_cast<float>(1 + i % hidden));
    } else if (tensor.name == "blk.1.ffn_up_exps.weight.counts") {
      counts = true;
      ASSERT_EQ(tensor.shape, (std::vector<std::uint64_t>{experts, 1}));
      for (std::uint64_t e = 0; e < experts; ++e) ASSERT_EQ(values[e], 80);
    }
  }
  EXPECT_TRUE(sums && counts);
}

TEST_F(ImatrixTest, ImportGivesTheDiagonalsBack) {
  for (const std::string name : {"llama", "mixtral", "phi3"}) {
    Open(name);
    const auto statistics = MakeStatistics(64);
    const auto out = ExportImatrix(*statistics, *checkpoint_, architecture_, Path("i.gguf"));
    ASSERT_TRUE(out.ok()) << out.status().message();
    const auto in = ImportImatrix(Path("i.gguf"), *checkpoint_, architecture_, Path("back"));
    ASSERT_TRUE(in.ok()) << in.status().message();
    const auto back = Statistics::Open(Path("back"));
    ASSERT_TRUE(back.ok()) << back.status().message();
    EXPECT_TRUE((*back)->CheckModel(*checkpoint_).ok());
    std::size_t seen = 0;
    for (const model::TensorUse& use : model::TensorUses(architecture_)) {
      if (use.shape.size() != 2 || !ToLlamaCppName(use.name)) continue;
      ++seen;
      const auto guide = (*back)->Guide(use.name, use.shape[0], use.shape[1]);
      ASSERT_TRUE(guide.ok()) << guide.status().message();
      EXPECT_TRUE(guide->hessian.empty());
      ASSERT_EQ(guide->diagonal.size(), use.shape[1]);
      for (std::uint64_t j = 0; j < use.shape[1]; ++j)
        ASSERT_FLOAT_EQ(guide->diagonal[j], static_cast<float>(1 + j));
      EXPECT_EQ((*back)->TokensOf(use.name), 64u);
    }
    EXPECT_EQ(seen, *in);
  }
}

TEST_F(ImatrixTest, AnotherModelIsRefused) {
  Open("llama");
  const auto statistics = MakeStatistics(8);
  ASSERT_TRUE(ExportImatrix(*statistics, *checkpoint_, architecture_, Path("i.gguf")).ok());
  Open("gemma2");
  EXPECT_EQ(ExportImatrix(*statistics, *checkpoint_, architecture_, Path("x")).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_FALSE(ImportImatrix(Path("i.gguf"), *checkpoint_, architecture_, Path("x")).ok());
  EXPECT_FALSE(fs::exists(Path("x")));
}

TEST_F(ImatrixTest, DamagedFilesAreRefusedAtEveryLength) {
  Open("llama");
  const auto statistics = MakeStatistics(8);
  ASSERT_TRUE(ExportImatrix(*statistics, *checkpoint_, architecture_, Path("i.gguf")).ok());
  const std::string bytes = *ReadFileToString(Path("i.gguf"));
  const auto import = [&](const std::string& text) {
    std::ofstream(Path("d.gguf"), std::ios::binary) << text;
    return ImportImatrix(Path("d.gguf"), *checkpoint_, architecture_, Path("x")).status();
  };
  for (std::size_t length = 0; length < bytes.size(); length += length < 3000 ? 7 : 4099)
    ASSERT_FALSE(import(bytes.substr(0, length)).ok()) << length;
  // Every byte of the header and infos turned over: refused, or a file that still means something.
  for (std::size_t at = 0; at < 3000; at += 11) {
    std::string flipped = bytes;
    flipped[at] = static_cast<char>(flipped[at] ^ 0xff);
    (void)import(flipped);
  }
  std::string type = bytes;
  type.replace(type.find("imatrix", 40), 7, "imatriz");
  EXPECT_EQ(import(type).code(), StatusCode::kCorruption);
}

// imatrix.dat as llama.cpp wrote it: mean squares times calls, experts one after the other.
struct DatText {
  std::string bytes;
  void Number(std::int32_t value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void Entry(const std::string& name, std::int32_t calls, const std::vector<float>& values) {
    Number(static_cast<std::int32_t>(name.size()));
    bytes += name;
    Number(calls);
    Number(static_cast<std::int32_t>(values.size()));
    bytes += AsText(BytesOf(std::span(values)));
  }
};

// One for every matrix of the model: column j of expert e is 2 (1 + j + 100 e), of two calls.
std::string MakeDat(const model::Architecture& architecture, bool with_text) {
  std::map<std::string, std::vector<float>> entries;
  for (const model::TensorUse& use : model::TensorUses(architecture)) {
    const auto there = ToLlamaCppName(use.name);
    if (use.shape.size() != 2 || !there) continue;
    std::vector<float>& values = entries[there->name];
    const std::uint64_t expert = there->expert.value_or(0), columns = use.shape[1];
    values.resize(std::max<std::size_t>(values.size(), (expert + 1) * columns));
    for (std::uint64_t j = 0; j < columns; ++j)
      values[expert * columns + j] = 2 * static_cast<float>(1 + j + 100 * expert);
  }
  DatText out;
  out.Number(static_cast<std::int32_t>(entries.size()));
  for (const auto& [name, values] : entries) out.Entry(name, 2, values);
  if (with_text) {
    out.Number(2);
    out.Number(8);
    out.bytes += "wiki.txt";
  }
  return out.bytes;
}

TEST_F(ImatrixTest, ADatGivesItsDiagonals) {
  for (const std::string name : {"llama", "mixtral"}) {
    Open(name);
    for (const bool with_text : {false, true}) {
      std::ofstream(Path("i.dat"), std::ios::binary) << MakeDat(architecture_, with_text);
      const auto in = ImportImatrix(Path("i.dat"), *checkpoint_, architecture_, Path("s"));
      ASSERT_TRUE(in.ok()) << in.status().message();
      const auto back = Statistics::Open(Path("s"));
      ASSERT_TRUE(back.ok()) << back.status().message();
      EXPECT_TRUE((*back)->CheckModel(*checkpoint_).ok());
      std::size_t seen = 0;
      for (const model::TensorUse& use : model::TensorUses(architecture_)) {
        const auto there = ToLlamaCppName(use.name);
        if (use.shape.size() != 2 || !there) continue;
        ++seen;
        const auto guide = (*back)->Guide(use.name, use.shape[0], use.shape[1]);
        ASSERT_TRUE(guide.ok()) << guide.status().message();
        ASSERT_EQ(guide->diagonal.size(), use.shape[1]);
        for (std::uint64_t j = 0; j < use.shape[1]; ++j)
          ASSERT_EQ(guide->diagonal[j],
                    static_cast<float>(1 + j + 100 * there->expert.value_or(0)));
        EXPECT_EQ((*back)->TokensOf(use.name), 2u);
      }
      EXPECT_EQ(seen, *in);
    }
  }
}

TEST_F(ImatrixTest, ADamagedDatIsRefused) {
  Open("llama");
  const auto import = [&](const std::string& text) {
    std::ofstream(Path("d.dat"), std::ios::binary) << text;
    return ImportImatrix(Path("d.dat"), *checkpoint_, architecture_, Path("x")).status();
  };
  const std::string whole = MakeDat(architecture_, true);
  const std::size_t bare = MakeDat(architecture_, false).size();
  for (std::size_t length = 0; length < whole.size(); ++length)
    ASSERT_EQ(import(whole.substr(0, length)).ok(), length == bare) << length;
  fs::remove(Path("x"));
  EXPECT_EQ(import(whole + "x").code(), StatusCode::kCorruption);
  const auto one = [](const std::string& name, std::int32_t calls, std::vector<float> values) {
    DatText out;
    out.Number(1);
    out.Entry(name, calls, values);
    return out.bytes;
  };
  const std::string q = "blk.0.attn_q.weight";
  const std::vector<float> row(architecture_.hidden_size, 1.0f);
  EXPECT_TRUE(import(one(q, 1, row)).ok());
  fs::remove(Path("x"));
  std::vector<float> bad = row;
  bad[3] = -1;
  EXPECT_NE(import(one(q, 1, bad)).message().find("negative or not finite"), std::string::npos);
  bad[3] = std::nanf("");
  EXPECT_EQ(import(one(q, 1, bad)).code(), StatusCode::kCorruption);
  EXPECT_EQ(import(one(q, -1, row)).code(), StatusCode::kCorruption);
  EXPECT_EQ(import(one("", 1, row)).code(), StatusCode::kCorruption);
  EXPECT_EQ(import(one(q, 0, row)).code(), StatusCode::kNotFound);  // nothing was seen
  EXPECT_EQ(import(one("blk.0.other.weight", 1, row)).code(), StatusCode::kNotFound);
  const Status width = import(one(q, 1, std::vector<float>(row.size() - 1, 1.0f)));
  EXPECT_EQ(width.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(width.message().find("31 values"), std::string::npos) << width.message();
  EXPECT_EQ(import(one(q, 1, std::vector<float>(2 * row.size(), 1.0f))).code(),
            StatusCode::kInvalidArgument);  // a stack where the model has one matrix
  DatText twice;
  twice.Number(2);
  twice.Entry(q, 1, row);
  twice.Entry(q, 1, row);
  EXPECT_NE(import(twice.bytes).message().find("twice"), std::string::npos);
  DatText billion;
  billion.Number(1 << 30);
  billion.bytes.resize(64);
  EXPECT_NE(import(billion.bytes).message().find("the number of entries is 1073741824"),
            std::string::npos);
  EXPECT_FALSE(fs::exists(Path("x")));
}

}  // namespace
}  // namespace ingot::calibration
