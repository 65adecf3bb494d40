// Quantized checkpoints against what their own libraries make of them
// (tools/fixtures/make_quantized_fixtures.py), bit for bit, and refusals of what is not known.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "model/source/checkpoint.h"
#include "tests/model/source_builders.h"

namespace ingot::model {
namespace {

namespace fs = std::filesystem;

const fs::path kFixtures = INGOT_SOURCE_DIR "/tests/fixtures/quantized";

std::vector<float> ReadAll(const Checkpoint& checkpoint, const TensorInfo& tensor,
                           std::uint64_t step) {
  std::vector<float> values(tensor.elements());
  for (std::uint64_t row = 0; row < tensor.rows(); row += step) {
    const std::uint64_t end = std::min(tensor.rows(), row + step);
    const MutableByteSpan out{reinterpret_cast<std::uint8_t*>(values.data() + row * tensor.cols()),
                              (end - row) * tensor.cols() * sizeof(float)};
    const Status status = checkpoint.ReadRows(tensor, row, end, out);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  return values;
}

// -0 counts as 0, as in the fixtures.
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

TEST(QuantizedCheckpoint, GivesTheBitsOfItsOwnLibrary) {
  int checkpoints = 0;
  for (const auto& entry : fs::directory_iterator(kFixtures)) {
    SCOPED_TRACE(entry.path().string());
    const auto opened = Checkpoint::Open(entry.path().string());
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    std::ifstream file(entry.path() / "expected.json");
    const nlohmann::json expected = nlohmann::json::parse(file);
    int weights = 0;
    for (const auto& [name, want] : expected.items()) {
      SCOPED_TRACE(name);
      const TensorInfo* tensor = (*opened)->Find(name);
      ASSERT_NE(tensor, nullptr);
      EXPECT_EQ(tensor->shape, want["shape"].get<std::vector<std::uint64_t>>());
      if (name.ends_with("bias")) continue;
      ++weights;
      const std::vector<float> all = ReadAll(**opened, *tensor, tensor->rows());
      for (std::size_t i = 0; i < want["first"].size(); ++i)
        EXPECT_EQ(all[i], want["first"][i].get<float>()) << i;
      EXPECT_EQ(Fnv1a(all), want["fnv1a"].get<std::string>());
      for (const std::uint64_t step : {1, 3, 5})
        EXPECT_TRUE(ReadAll(**opened, *tensor, step) == all) << step;
      EXPECT_TRUE((*opened)->Mapped(*tensor).empty());
    }
    EXPECT_GT(weights, 0);
    ++checkpoints;
  }
  EXPECT_EQ(checkpoints, 37);
}

// The numbers of coded rows, as base/coded_rows.h has them.
std::vector<float> ValuesOf(const CodedForm& form, const CodedRows& rows, std::uint64_t cols) {
  const std::uint64_t groups = CeilDiv(cols, form.group);
  std::vector<float> values;
  for (std::uint64_t i = 0; i < rows.codes.size(); ++i) {
    const std::uint64_t group = i / cols * groups + i % cols / form.group;
    const float zero = form.origin == CodedForm::Origin::kZero ? rows.offsets[group]
                                                               : std::ldexp(1.0f, form.bits - 1);
    EXPECT_LT(rows.codes[i], 1 << form.bits);
    values.push_back((static_cast<float>(rows.codes[i]) - zero) * rows.scales[group]);
  }
  return values;
}

// Integers under scales of groups of a row are there as codes; floats, columns out of order and
// tables are not.
TEST(QuantizedCheckpoint, IntegersAreThereAsCodes) {
  std::set<std::string> coded;
  for (const auto& entry : fs::directory_iterator(kFixtures)) {
    SCOPED_TRACE(entry.path().string());
    const auto opened = Checkpoint::Open(entry.path().string());
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    for (const TensorInfo& tensor : (*opened)->tensors()) {
      const auto form = (*opened)->Coded(tensor);
      if (!form) continue;
      coded.insert(entry.path().filename().string());
      const std::vector<float> want = ReadAll(**opened, tensor, tensor.rows());
      for (const std::uint64_t step : {std::uint64_t{3}, tensor.rows()})
        for (std::uint64_t row = 0; row < tensor.rows(); row += step) {
          const std::uint64_t end = std::min(tensor.rows(), row + step);
          const auto rows = (*opened)->ReadCoded(tensor, row, end);
          ASSERT_TRUE(rows.ok()) << rows.status().message();
          const std::vector<float> values = ValuesOf(*form, *rows, tensor.cols());
          ASSERT_EQ(values.size(), (end - row) * tensor.cols());
          for (std::size_t i = 0; i < values.size(); ++i)
            ASSERT_EQ(values[i], want[row * tensor.cols() + i]) << tensor.name << " " << i;
        }
    }
  }
  for (const char* integers :
       {"awq", "gptq_2bit", "gptq_3bit", "gptq_4bit", "gptq_4bit_v2", "gptq_8bit",
        "compressed_int8_channel_asym", "compressed_int8_channel_sym", "compressed_int8_group_asym",
        "compressed_int8_tensor_asym", "compressed_pack2_group", "compressed_pack3_group",
        "compressed_pack4_group", "compressed_pack4_symmetric", "compressed_pack8_group",
        "torchao_int4_group", "torchao_int8"})
    EXPECT_TRUE(coded.contains(integers)) << integers;
  for (const char* other :
       {"gptq_4bit_actorder", "compressed_pack4_actorder", "mxfp4", "fp8", "bitsandbytes_nf4",
        "bitsandbytes_int8", "modelopt_nvfp4", "compressed_fp8_channel", "torchao_int4_plain"})
    EXPECT_FALSE(coded.contains(other)) << other;
}

// A fixture whose config and tensors a test changes.
class Changed {
 public:
  explicit Changed(const std::string& fixture) {
    fs::copy(kFixtures / fixture, dir_.path(), fs::copy_options::recursive);
    std::ifstream file(fs::path(dir_.path()) / "config.json");
    config_ = nlohmann::json::parse(file);
  }
  nlohmann::json& quantization() { return config_["quantization_config"]; }
  void DropQuantization() { config_.erase("quantization_config"); }
  // Renames a tensor: `from` is missing, `to` is one more.
  void Rename(const std::string& from, const std::string& to) {
    const std::string path = dir_.path() + "/model.safetensors";
    std::ifstream in(path, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    std::uint64_t size;
    std::memcpy(&size, bytes.data(), 8);
    nlohmann::json header = nlohmann::json::parse(bytes.substr(8, size));
    ASSERT_TRUE(header.contains(from));
    header[to] = header[from];
    header.erase(from);
    dir_.Write("model.safetensors", SafetensorsFile(header.dump(), bytes.substr(8 + size)));
  }
  Result<std::unique_ptr<Checkpoint>> Open() {
    dir_.Write("config.json", config_.dump());
    return Checkpoint::Open(dir_.path());
  }
  std::string Error(StatusCode code) {
    const auto opened = Open();
    if (opened.ok()) return "no error";
    EXPECT_EQ(opened.status().code(), code) << opened.status().message();
    const std::string& message = opened.status().message();
    EXPECT_TRUE(message.starts_with(dir_.path() + ": ")) << message;
    return message.substr(dir_.path().size() + 2);
  }

 private:
  TestDirectory dir_;
  nlohmann::json config_;
};

TEST(QuantizedCheckpoint, RefusesMethodsAndFormatsByName) {
  Changed hqq("gptq_4bit");
  hqq.quantization()["quant_method"] = "hqq";
  EXPECT_TRUE(
      hqq.Error(StatusCode::kUnsupported)
          .starts_with("quantization_config: quant_method 'hqq' is not known (known: gptq"));

  Changed marlin("gptq_4bit");
  marlin.quantization()["checkpoint_format"] = "marlin";
  EXPECT_EQ(marlin.Error(StatusCode::kUnsupported),
            "quant_method 'gptq': quantization_config: format 'marlin' is not known (known: gptq, "
            "gptq_v2)");

  Changed gemv("awq");
  gemv.quantization()["version"] = "gemv";
  EXPECT_EQ(gemv.Error(StatusCode::kUnsupported),
            "quant_method 'awq': quantization_config: version 'gemv' is not known (known: gemm)");

  Changed sparse("compressed_pack4_group");
  sparse.quantization()["sparsity_config"] = {{"format", "sparse-24-bitmask"}};
  EXPECT_EQ(sparse.Error(StatusCode::kUnsupported),
            "quant_method 'compressed-tensors': sparsity_config: format 'sparse-24-bitmask' is not "
            "known (known: dense)");

  Changed rotated("compressed_pack4_group");
  rotated.quantization()["transform_config"] = {{"config_groups", {{"R1", "hadamard"}}}};
  EXPECT_EQ(rotated.Error(StatusCode::kUnsupported),
            "quant_method 'compressed-tensors': quantization_config: key 'transform_config' "
            "({\"config_groups\":{\"R1\":\"hadamard\"}}) is not supported");

  Changed algorithm("modelopt_nvfp4");
  algorithm.quantization()["quant_algo"] = "W4A8_AWQ";
  EXPECT_NE(algorithm.Error(StatusCode::kUnsupported).find("quant_algo 'W4A8_AWQ' is not known"),
            std::string::npos);
}

// No scale, zero point or order of groups is passed over in silence, whatever the config says.
TEST(QuantizedCheckpoint, RefusesPartsThatNothingReads) {
  const struct {
    const char *fixture, *from, *to;
  } kCases[] = {
      {"compressed_int8_channel_asym", "a.weight_zero_point", "a.weight_zeros"},
      {"compressed_int8_channel_sym", "a.weight_scale", "a.weight_scaling"},
      {"compressed_pack4_group", "a.weight_zero_point", "a.zero_point"},
      {"compressed_pack4_actorder", "a.weight_g_idx", "a.weight_permutation"},
      {"gptq_4bit", "a.qzeros", "a.zeros"},
      {"gptq_4bit_actorder", "a.g_idx", "b.g_idx"},
      {"fp8", "c.weight_scale", "c.weight_scales_of_rows"},
      {"bitsandbytes_int8", "a.SCB", "a.scb"},
      {"bitsandbytes_nf4", "a.weight.absmax", "a.weight.max"},
      {"bitsandbytes_nf4_nested", "a.weight.nested_absmax", "a.weight.nested"},
      {"awq", "a.scales", "a.scale"},
      {"mxfp4", "model.layers.0.mlp.experts.down_proj_scales", "model.scales"},
      {"torchao_int8", "0._weight_zero_point", "0._weight_zero"},
      {"torchao_int4_plain", "0._weight_zero_point", "0._weight_pre_scale"},
      {"modelopt_nvfp4", "a.weight_scale_2", "a.weight_scale_3"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(std::string(c.fixture) + " " + c.from);
    Changed changed(c.fixture);
    changed.Rename(c.from, c.to);
    const auto opened = changed.Open();
    ASSERT_FALSE(opened.ok());
    EXPECT_TRUE(opened.status().code() == StatusCode::kUnsupported ||
                opened.status().code() == StatusCode::kCorruption)
        << opened.status().message();
  }
  // Without a config, packed words say nothing of their order.
  for (const char* fixture : {"gptq_4bit", "awq", "compressed_pack4_group", "bitsandbytes_nf4"}) {
    Changed changed(fixture);
    changed.DropQuantization();
    EXPECT_NE(changed.Error(StatusCode::kUnsupported).find("no quant_method in config.json"),
              std::string::npos)
        << fixture;
  }
}

// What needs no config is read without one, zero points included.
TEST(QuantizedCheckpoint, ScaledBytesNeedNoConfig) {
  for (const char* fixture : {"compressed_int8_channel_asym", "compressed_int8_tensor_asym",
                              "compressed_int8_group_asym", "bitsandbytes_int8"}) {
    SCOPED_TRACE(fixture);
    Changed changed(fixture);
    changed.DropQuantization();
    const auto opened = changed.Open();
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    std::ifstream file(kFixtures / fixture / "expected.json");
    const nlohmann::json expected = nlohmann::json::parse(file);
    const TensorInfo* tensor = (*opened)->Find("a.weight");
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(Fnv1a(ReadAll(**opened, *tensor, 7)), expected["a.weight"]["fnv1a"]);
  }
}

TEST(QuantizedCheckpoint, DamagedPartsAreOneLine) {
  Changed bits("gptq_4bit");
  bits.quantization()["bits"] = 3;
  EXPECT_EQ(bits.Error(StatusCode::kCorruption),
            "quant_method 'gptq': 'a': its tensors hold 4 bits, quantization_config says 3");
  Changed group("gptq_4bit");
  group.quantization()["group_size"] = 16;
  EXPECT_EQ(group.Error(StatusCode::kCorruption),
            "quant_method 'gptq': 'a': 3 groups of scales for 96 inputs in groups of 16");
  Changed huge("gptq_4bit");
  huge.quantization()["group_size"] = 1e300;
  EXPECT_NE(huge.Error(StatusCode::kCorruption).find("'group_size' is 1e+300"), std::string::npos);

  // Shapes, indices and texts that no library writes.
  const TestDirectory dir;
  dir.Write("config.json", R"({"quantization_config": {"quant_method": "compressed-tensors",
      "config_groups": {"group_0": {"weights": {"num_bits": 4}}}}})");
  const auto error = [&](std::vector<TensorBytes> tensors) {
    dir.Write("model.safetensors", SafetensorsFile(tensors));
    const auto opened = Checkpoint::Open(dir.path());
    return opened.ok() ? std::string("no error") : opened.status().message();
  };
  const TensorBytes scale = {"a.weight_scale", "F32", {4, 1}, std::string(16, '\0')};
  const TensorBytes packed = {"a.weight_packed", "I32", {4, 1}, std::string(16, '\0')};
  const auto shape = [](std::int64_t rows, std::int64_t cols) {
    return TensorBytes{"a.weight_shape", "I64", {2}, BytesOfValues<std::int64_t>({rows, cols})};
  };
  EXPECT_EQ(error({packed, scale, shape(4, 8)}), "no error");
  EXPECT_NE(error({packed, scale, shape(5, 8)}).find("'a.weight_shape' says [5, 8]"),
            std::string::npos);
  EXPECT_NE(error({packed, scale, shape(4, -8)}).find("says [4, -8]"), std::string::npos);
  EXPECT_NE(error({packed, scale, shape(4, std::int64_t{1} << 62)}).find("says [4, 46116860"),
            std::string::npos);
  EXPECT_NE(error({packed, scale, shape(4, 30)}).find("1 words a row of 30 codes"),
            std::string::npos);
  EXPECT_NE(error({packed, scale}).find("'a.weight_shape' is missing"), std::string::npos);
  const TensorBytes index = {
      "a.weight_g_idx", "I32", {8}, BytesOfValues<std::int32_t>({0, 0, 0, 0, 0, 0, 0, 7})};
  EXPECT_NE(error({packed, scale, shape(4, 8), index}).find("names group 7 of 1"),
            std::string::npos);

  dir.Write("config.json", R"({"quantization_config": {"quant_method": "bitsandbytes"}})");
  const auto state = [&](const std::string& json) {
    return error({{"a.weight", "U8", {4, 1}, std::string(4, '\0')},
                  {"a.weight.absmax", "F32", {1}, std::string(4, '\0')},
                  {"a.weight.quant_map", "F32", {16}, std::string(64, '\0')},
                  {"a.weight.quant_state.bitsandbytes__nf4", "U8", {json.size()}, json}});
  };
  EXPECT_EQ(state(R"({"quant_type":"nf4","blocksize":64,"shape":[2,4]})"), "no error");
  EXPECT_NE(state(R"({"quant_type":"nf4","blocksize":0,"shape":[2,4]})").find("'blocksize' is 0"),
            std::string::npos);
  EXPECT_NE(
      state(R"({"quant_type":"nf4","blocksize":64,"shape":[2,5]})").find("for [2, 5] weights"),
      std::string::npos);
  EXPECT_NE(state(R"({"quant_type":"nf5","blocksize":64,"shape":[2,4]})").find("'nf5'"),
            std::string::npos);
  EXPECT_NE(state("[").find("quant_state"), std::string::npos);
  EXPECT_NE(state(R"({"quant_type":"nf4","blocksize":64,"shape":[2,4],"nested_blocksize":256})")
                .find("nested_offset"),
            std::string::npos);
}

}  // namespace
}  // namespace ingot::model
