// GGUF files as llama.cpp's converter makes them (tools/fixtures/make_gguf_fixtures.py) are the
// models that they were made from: every tensor bit for bit, and a config that needs them all.
#include "model/source/gguf/gguf_families.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"
#include "tests/model/source_builders.h"

namespace ingot::model {
namespace {

namespace fs = std::filesystem;

const fs::path kFixtures = INGOT_SOURCE_DIR "/tests/fixtures/gguf";

std::vector<float> Floats(const Checkpoint& checkpoint, const TensorInfo& tensor,
                          std::uint64_t step) {
  EXPECT_EQ(tensor.dtype, DType::kF32) << tensor.name;
  std::vector<float> values(tensor.elements());
  for (std::uint64_t row = 0; row < tensor.rows(); row += step) {
    const std::uint64_t end = std::min(tensor.rows(), row + step);
    const Status status =
        checkpoint.ReadRows(tensor, row, end,
                            {reinterpret_cast<std::uint8_t*>(values.data() + row * tensor.cols()),
                             (end - row) * tensor.cols() * sizeof(float)});
    EXPECT_TRUE(status.ok()) << status.message();
  }
  return values;
}

std::string Fnv1a(const std::vector<float>& values) {
  std::uint64_t digest = 0xcbf29ce484222325;
  for (const float value : values) {
    const float plus = value + 0.0f;
    std::uint8_t bytes[4];
    std::memcpy(bytes, &plus, 4);
    for (const std::uint8_t byte : bytes) digest = (digest ^ byte) * 0x100000001b3;
  }
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(digest));
  return text;
}

Status CheckModel(const Checkpoint& checkpoint) {
  INGOT_ASSIGN(const Architecture architecture,
               BuildArchitecture(checkpoint.config(), [&](std::string_view name) {
                 return checkpoint.Find(name) != nullptr;
               }));
  return CheckTensors(architecture, checkpoint.tensors(), false);
}

TEST(GgufFamilies, TensorsAreThoseOfTheModel) {
  std::ifstream file(kFixtures / "expected.json");
  const nlohmann::json all = nlohmann::json::parse(file);
  EXPECT_EQ(all.size(), 24u);
  for (const auto& [name, expected] : all.items()) {
    SCOPED_TRACE(name);
    const auto opened = Checkpoint::Open((kFixtures / (name + ".gguf")).string());
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    const Checkpoint& checkpoint = **opened;
    const Status status = CheckModel(checkpoint);
    if (name == "bert")  // such files have no head
      EXPECT_NE(status.message().find("without a masked-LM head"), std::string::npos);
    else
      EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(checkpoint.tensors().size(), expected.size());
    for (const auto& [tensor_name, want] : expected.items()) {
      SCOPED_TRACE(tensor_name);
      const TensorInfo* tensor = checkpoint.Find(tensor_name);
      ASSERT_NE(tensor, nullptr);
      EXPECT_EQ(tensor->shape, want["shape"].get<std::vector<std::uint64_t>>());
      const std::vector<float> values = Floats(checkpoint, *tensor, tensor->rows());
      // log(exp(a)) and (1 + w) - 1 are not the numbers that were.
      if (tensor_name.ends_with("A_log") || name == "gemma2")
        EXPECT_NEAR(values[0], want["first"].get<float>(), 1e-6);
      else
        EXPECT_EQ(Fnv1a(values), want["fnv1a"].get<std::string>());
      for (const std::uint64_t step : {1, 3})
        EXPECT_TRUE(Floats(checkpoint, *tensor, step) == values);
    }
  }
}

GgufBuilder Sized(const std::string& architecture) {
  GgufBuilder builder;
  builder.Text("general.architecture", architecture);
  for (const auto& [key, value] : {std::pair<const char*, std::uint32_t>{".embedding_length", 8},
                                   {".block_count", 1},
                                   {".feed_forward_length", 8},
                                   {".attention.head_count", 2},
                                   {".context_length", 64}})
    builder.Count(architecture + key, value);
  builder.Number(architecture + ".attention.layer_norm_rms_epsilon", 1e-6f);
  return builder;
}

std::string Ones(std::size_t n) { return BytesOfValues(std::vector<float>(n, 1.5f)); }

void AddLayer(GgufBuilder& b, const std::vector<std::string>& biases) {
  b.Tensor("token_embd.weight", {8, 8}, 0, Ones(64)).Tensor("output_norm.weight", {8}, 0, Ones(8));
  for (const char* norm : {"attn_norm", "ffn_norm"})
    b.Tensor(std::string("blk.0.") + norm + ".weight", {8}, 0, Ones(8));
  for (const char* m :
       {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"})
    b.Tensor(std::string("blk.0.") + m + ".weight", {8, 8}, 0, Ones(64));
  for (const std::string& m : biases) b.Tensor("blk.0." + m + ".bias", {8}, 0, Ones(8));
}

// What the file has is what config.json says, so that transformers reads an export as it is meant.
TEST(GgufFamilies, BiasesAreInTheConfig) {
  const struct {
    const char* architecture;
    std::vector<std::string> biases;
    const char* model_type;
    int attention, mlp;  // -1: no such key
    std::size_t tensors;
  } kCases[] = {
      {"llama", {}, "llama", -1, -1, 11},
      {"llama", {"attn_q", "attn_k", "attn_v"}, "qwen2", -1, -1, 14},
      {"llama", {"attn_q"}, "qwen2", -1, -1, 14},  // zeros for k and v
      {"llama", {"attn_q", "attn_k", "attn_v", "attn_output"}, "llama", 1, 0, 15},
      {"llama", {"attn_output"}, "llama", 1, 0, 15},
      {"llama", {"ffn_down"}, "llama", 0, 1, 14},
      {"llama", {"attn_q", "attn_k", "attn_v", "ffn_up"}, "llama", 1, 1, 18},
      {"granite", {"attn_q", "attn_k", "attn_v"}, "granite", 1, 0, 15},
      {"mistral", {"attn_q", "attn_output"}, "llama", 1, 0, 15},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.architecture + std::string(" ") + std::to_string(c.biases.size()) +
                 (c.biases.empty() ? "" : c.biases.back()));
    const TestDirectory dir;
    GgufBuilder b = Sized(c.architecture);
    AddLayer(b, c.biases);
    const auto opened = Checkpoint::Open(dir.Write("m.gguf", b.Bytes()));
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    const Json& config = (*opened)->config();
    EXPECT_EQ(config["model_type"], c.model_type);
    const auto flag = [&](const char* key) {
      return config.contains(key) ? static_cast<int>(config[key].get<bool>()) : -1;
    };
    EXPECT_EQ(flag("attention_bias"), c.attention);
    EXPECT_EQ(flag("mlp_bias"), c.mlp);
    EXPECT_EQ((*opened)->tensors().size(), c.tensors);
    const Status status = CheckModel(**opened);
    EXPECT_TRUE(status.ok()) << status.message();
    for (const TensorInfo& tensor : (*opened)->tensors()) {
      if (!tensor.name.ends_with(".bias")) continue;
      const std::vector<float> values = Floats(**opened, tensor, 1);
      EXPECT_EQ(values[3],
                (*opened)->Mapped(tensor).empty() && tensor.stored_bytes == 0 ? 0 : 1.5f);
    }
  }
}

// Weights of later layers, halved in the file, are whole again; what config.json says of layers is
// what the file's lists say.
TEST(GgufFamilies, WhatLayersHaveIsInTheConfig) {
  const auto config = [](const char* name) {
    const auto opened = Checkpoint::Open((kFixtures / name).string());
    EXPECT_TRUE(opened.ok()) << opened.status().message();
    return opened.ok() ? (*opened)->config() : Json();
  };
  const Json jamba = config("jamba.gguf");
  EXPECT_EQ(jamba["attn_layer_period"], 5);  // one layer alone: no other meets the rule
  EXPECT_EQ(jamba["attn_layer_offset"], 1);
  EXPECT_EQ(jamba["expert_layer_period"], 2);
  EXPECT_EQ(jamba["expert_layer_offset"], 1);
  EXPECT_EQ(jamba["num_key_value_heads"], 1);
  EXPECT_EQ(config("rwkv6.gguf")["rescale_every"], 1);
  EXPECT_EQ(config("rwkv7.gguf")["v_low_rank_dim"], 4);
  EXPECT_EQ(config("falcon_mamba.gguf")["model_type"], "falcon_mamba");
  EXPECT_EQ(config("mamba2.gguf")["head_dim"], 4);
}

// Layers that no rule of Jamba's config.json can name.
TEST(GgufFamilies, JambaOfIrregularLayersIsRefused) {
  const struct {
    std::vector<std::uint32_t> heads;
    const char* error;
  } kCases[] = {
      {{0, 1, 1, 0, 1}, "the layers with attention are not every so many from one on"},
      {{0, 1, 0, 2, 0}, "layers with different numbers of heads"},
      {{0, 1, 0}, "a whole number for each of 5 layers"},
  };
  for (const auto& c : kCases) {
    const TestDirectory dir;
    GgufBuilder b;
    b.Text("general.architecture", "jamba");
    for (const char* key :
         {".embedding_length", ".feed_forward_length", ".attention.head_count", ".context_length",
          ".ssm.conv_kernel", ".ssm.state_size", ".ssm.time_step_rank", ".ssm.inner_size"})
      b.Count(std::string("jamba") + key, 8);
    b.Count("jamba.block_count", 5).Counts("jamba.attention.head_count_kv", c.heads);
    b.Tensor("token_embd.weight", {8, 8}, 0, Ones(64));
    const auto opened = Checkpoint::Open(dir.Write("m.gguf", b.Bytes()));
    ASSERT_FALSE(opened.ok());
    EXPECT_NE(opened.status().message().find(c.error), std::string::npos)
        << opened.status().message();
  }
}

// It can be looked at, and is refused by name where it would have to be run.
TEST(GgufFamilies, AnUnknownArchitectureIsShown) {
  const TestDirectory dir;
  GgufBuilder b;
  b.Text("general.architecture", "opt").Tensor("blk.0.odd.weight", {8, 8}, 0, Ones(64));
  const auto opened = Checkpoint::Open(dir.Write("m.gguf", b.Bytes()));
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  ASSERT_EQ((*opened)->tensors().size(), 1u);
  EXPECT_EQ(Floats(**opened, (*opened)->tensors()[0], 3)[5], 1.5f);
  EXPECT_NE(CheckModel(**opened).message().find("architecture 'GGUF opt' is not supported"),
            std::string::npos);
}

TEST(GgufFamilies, SizesThatNoTensorHas) {
  const TestDirectory dir;
  GgufBuilder b;
  b.Text("general.architecture", "falcon");
  for (const auto& [key, value] :
       {std::pair<const char*, std::uint32_t>{"falcon.embedding_length", 8},
        {"falcon.block_count", 0x7fffffff},
        {"falcon.feed_forward_length", 8},
        {"falcon.attention.head_count", 0x7fffffff},
        {"falcon.attention.head_count_kv", 1},
        {"falcon.attention.key_length", 0x7fffffff},
        {"falcon.context_length", 64}})
    b.Count(key, value);
  b.Tensor("blk.0.attn_qkv.weight", {12, 8}, 0, Ones(96));
  const auto opened = Checkpoint::Open(dir.Write("m.gguf", b.Bytes()));
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.status().message().find("tensor 'blk.0.attn_qkv.weight': 12 rows are no"),
            std::string::npos)
      << opened.status().message();
}

// A model in parts: any of them names all.
TEST(GgufParts, AnyPartNamesThemAll) {
  const TestDirectory dir;
  const auto path = [&](int i) { return fmt::format("m-0000{}-of-00003.gguf", i); };
  const auto write = [&](int i, std::uint32_t no, std::uint32_t tensors) {
    GgufBuilder b = i == 1 ? Sized("llama") : GgufBuilder();
    b.Raw("split.no", 2, std::string(1, static_cast<char>(no)) + '\0');
    b.Raw("split.count", 2, std::string("\x03\0", 2));
    b.Count("split.tensors.count", tensors);
    if (i == 2) AddLayer(b, {});
    if (i == 3) b.Tensor("output.weight", {8, 8}, 0, Ones(64));
    return dir.Write(path(i), b.Bytes());
  };
  for (int i = 1; i <= 3; ++i) write(i, static_cast<std::uint32_t>(i - 1), 12);
  for (int i = 1; i <= 3; ++i) {
    const auto opened = Checkpoint::Open(dir.path() + "/" + path(i));
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    EXPECT_EQ((*opened)->tensors().size(), 12u);
    EXPECT_EQ((*opened)->Find("lm_head.weight")->file, path(3));
    EXPECT_EQ((*opened)->Find("model.norm.weight")->file, path(2));
    EXPECT_EQ(Floats(**opened, *(*opened)->Find("lm_head.weight"), 2)[7], 1.5f);
    EXPECT_TRUE(CheckModel(**opened).ok());
  }
  const auto error = [&](int named) {
    const auto opened = Checkpoint::Open(dir.path() + "/" + path(named));
    return opened.ok() ? std::string("no error") : opened.status().message();
  };
  write(3, 1, 12);
  EXPECT_NE(error(1).find("its name says part 3 of 3, its metadata part 2 of 3"), std::string::npos)
      << error(1);
  write(3, 2, 13);
  write(1, 0, 13);
  EXPECT_NE(error(2).find("12 tensors in all parts, its metadata says 13"), std::string::npos);
  fs::remove(dir.path() + "/" + path(2));
  EXPECT_NE(error(3).find("1 of 3 parts are missing: " + path(2)), std::string::npos) << error(3);
  fs::rename(dir.path() + "/" + path(1), dir.path() + "/alone.gguf");
  const auto alone = Checkpoint::Open(dir.path() + "/alone.gguf");
  ASSERT_FALSE(alone.ok());
  EXPECT_EQ(alone.status().code(), StatusCode::kNotFound);
  EXPECT_NE(alone.status().message().find("is one of 3 parts"), std::string::npos);
}

}  // namespace
}  // namespace ingot::model
