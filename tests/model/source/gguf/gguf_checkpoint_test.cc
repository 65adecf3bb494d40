#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "base/float_formats.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"
#include "model/source/safetensors.h"
#include "model/source/tokenizer_status.h"
#include "tests/model/source_builders.h"

namespace ingot::model {
namespace {

constexpr const char* kFixtures = INGOT_SOURCE_DIR "/tests/fixtures/model/";

std::vector<float> ToFloats(DType dtype, const std::string& bytes) {
  std::vector<float> values(bytes.size() / DTypeBytes(dtype));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF32) {
      values[i] = LoadLe<float>(bytes.data() + 4 * i);
      continue;
    }
    const auto half = LoadLe<std::uint16_t>(bytes.data() + 2 * i);
    values[i] = dtype == DType::kF16 ? FromFp16(half) : FromBf16(half);
  }
  return values;
}

std::string Rows(const Checkpoint& checkpoint, const TensorInfo& tensor, std::uint64_t begin,
                 std::uint64_t end) {
  std::string bytes((end - begin) * tensor.cols() * DTypeBytes(tensor.dtype), '\0');
  const Status status = checkpoint.ReadRows(
      tensor, begin, end, {reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()});
  EXPECT_TRUE(status.ok()) << status.message();
  return bytes;
}

std::vector<float> Values(const Checkpoint& checkpoint, std::string_view name) {
  const TensorInfo* tensor = checkpoint.Find(name);
  EXPECT_NE(tensor, nullptr) << name;
  if (tensor == nullptr) return {};
  return ToFloats(tensor->dtype, Rows(checkpoint, *tensor, 0, tensor->rows()));
}

Status Check(const Checkpoint& checkpoint) {
  INGOT_ASSIGN(const Architecture architecture,
               BuildArchitecture(checkpoint.config(), [&](std::string_view name) {
                 return checkpoint.Find(name) != nullptr;
               }));
  return CheckTensors(architecture, checkpoint.tensors(), false);
}

// The file was written by gguf-py as llama.cpp's converter would, with seven tensor types.
TEST(GgufCheckpoint, EqualsTheModelItWasMadeFrom) {
  const auto opened = Checkpoint::Open(std::string(kFixtures) + "tiny_llama.gguf");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const Checkpoint& checkpoint = **opened;
  EXPECT_EQ(checkpoint.format(), "gguf");
  const Status status = Check(checkpoint);
  EXPECT_TRUE(status.ok()) << status.message();
  const std::string expected = ReadAll(std::string(kFixtures) + "tiny_llama_expected.safetensors");
  const auto entries = ParseSafetensors(AsBytes(expected));
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), checkpoint.tensors().size());
  for (const SafetensorsEntry& entry : *entries) {
    const TensorInfo* tensor = checkpoint.Find(entry.name);
    ASSERT_NE(tensor, nullptr) << entry.name;
    EXPECT_EQ(tensor->shape, entry.shape) << entry.name;
    const DType dtype = entry.dtype == "F16" ? DType::kF16 : DType::kF32;
    EXPECT_EQ(Values(checkpoint, entry.name),
              ToFloats(dtype, expected.substr(entry.offset, entry.bytes)))
        << entry.name;
    const ByteSpan mapped = checkpoint.Mapped(*tensor);
    EXPECT_TRUE(mapped.empty() || AsText(mapped) == Rows(checkpoint, *tensor, 0, tensor->rows()))
        << entry.name;
  }
  EXPECT_FALSE(checkpoint.Mapped(*checkpoint.Find("lm_head.weight")).empty());
  EXPECT_TRUE(
      checkpoint.Mapped(*checkpoint.Find("model.layers.0.self_attn.k_proj.weight")).empty());
}

TEST(GgufCheckpoint, RowRangesOfPermutedTensors) {
  const auto opened = Checkpoint::Open(std::string(kFixtures) + "tiny_llama.gguf");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  for (const char* name :
       {"model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.down_proj.weight"}) {
    const TensorInfo* tensor = (*opened)->Find(name);
    ASSERT_NE(tensor, nullptr);
    const std::string all = Rows(**opened, *tensor, 0, tensor->rows());
    const std::uint64_t row_bytes = all.size() / tensor->rows();
    for (std::uint64_t begin = 0; begin <= tensor->rows(); begin += 3)
      for (std::uint64_t end = begin; end <= tensor->rows(); end += 5)
        EXPECT_EQ(Rows(**opened, *tensor, begin, end),
                  all.substr(begin * row_bytes, (end - begin) * row_bytes))
            << name << " " << begin << " " << end;
  }
}

TEST(GgufCheckpoint, VocabularyBecomesTokenizerJson) {
  const auto opened = Checkpoint::Open(std::string(kFixtures) + "tiny_llama.gguf");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const Json tokenizer = Json::parse((*opened)->assets().at("tokenizer.json"));
  EXPECT_EQ(tokenizer["model"]["merges"],
            Json::parse(ReadAll(std::string(kFixtures) + "tiny_llama_merges.json")));
  EXPECT_EQ(tokenizer["model"]["vocab"]["abc"], 7);
  EXPECT_EQ(tokenizer["model"]["unk_token"], "<unk>");
  EXPECT_TRUE(tokenizer["model"]["byte_fallback"]);
  EXPECT_EQ(tokenizer["added_tokens"].size(), 3u);
  EXPECT_EQ(tokenizer["added_tokens"][1]["content"], "<s>");
  EXPECT_EQ(tokenizer["normalizer"]["normalizers"].size(), 2u);
  EXPECT_EQ(tokenizer["post_processor"]["special_tokens"]["<s>"]["ids"], Json::array({1}));
  const Json config = Json::parse((*opened)->assets().at("tokenizer_config.json"));
  EXPECT_EQ(config["bos_token"], "<s>");
  EXPECT_TRUE(config["add_bos_token"]);
  const Json generation = Json::parse((*opened)->assets().at("generation_config.json"));
  EXPECT_EQ(generation["eos_token_id"], 2);
}

GgufBuilder Sized(const std::string& architecture) {
  GgufBuilder builder;
  builder.Text("general.architecture", architecture);
  builder.Count(architecture + ".embedding_length", 16);
  builder.Count(architecture + ".block_count", 1);
  builder.Count(architecture + ".feed_forward_length", 8);
  builder.Count(architecture + ".attention.head_count", 2);
  builder.Count(architecture + ".context_length", 64);
  builder.Number(architecture + ".attention.layer_norm_rms_epsilon", 1e-6f);
  return builder;
}

std::string Ones(std::size_t n) { return BytesOfValues(std::vector<float>(n, 1.5f)); }

Result<std::unique_ptr<Checkpoint>> OpenBytes(const TestDirectory& dir, const std::string& bytes) {
  return Checkpoint::Open(dir.Write("m.gguf", bytes));
}

TEST(GgufCheckpoint, GemmaNormsLoseTheirOne) {
  const TestDirectory dir;
  GgufBuilder b = Sized("gemma3");
  b.Count("gemma3.attention.sliding_window", 32).Number("gemma3.rope.freq_base", 1e6f);
  b.Tensor("token_embd.weight", {12, 16}, 0, Ones(12 * 16));
  for (const char* norm : {"attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"})
    b.Tensor(std::string("blk.0.") + norm + ".weight", {16}, 0, Ones(16));
  b.Tensor("blk.0.attn_q_norm.weight", {8}, 0, Ones(8));
  b.Tensor("blk.0.attn_k_norm.weight", {8}, 1, std::string(16, '\x3c'));
  for (const char* p : {"attn_q", "attn_k", "attn_v", "attn_output"})
    b.Tensor(std::string("blk.0.") + p + ".weight", {16, 16}, 0, Ones(256));
  b.Tensor("blk.0.ffn_gate.weight", {8, 16}, 0, Ones(128));
  b.Tensor("blk.0.ffn_up.weight", {8, 16}, 0, Ones(128));
  b.Tensor("blk.0.ffn_down.weight", {16, 8}, 0, Ones(128));
  b.Tensor("output_norm.weight", {16}, 0, Ones(16));
  const auto opened = OpenBytes(dir, b.Bytes());
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const Status status = Check(**opened);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(Values(**opened, "model.norm.weight"), std::vector<float>(16, 0.5f));
  EXPECT_EQ(Values(**opened, "model.layers.0.pre_feedforward_layernorm.weight")[0], 0.5f);
  EXPECT_EQ((*opened)->Find("model.layers.0.self_attn.k_norm.weight")->dtype, DType::kF32);
  EXPECT_EQ(Values(**opened, "model.layers.0.self_attn.k_norm.weight")[0], FromFp16(0x3c3c) - 1.0f);
  EXPECT_EQ(Values(**opened, "model.embed_tokens.weight")[0], 1.5f);
  const Json& config = (*opened)->config();
  EXPECT_EQ(config["model_type"], "gemma3_text");
  EXPECT_EQ(config["query_pre_attn_scalar"], 8);
  EXPECT_EQ(config["sliding_window"], 32);
  EXPECT_EQ(config["rms_norm_eps"], 1e-6);
  EXPECT_EQ(config["tie_word_embeddings"], true);
}

TEST(GgufCheckpoint, Phi3NamesAndLongRope) {
  const TestDirectory dir;
  GgufBuilder b = Sized("phi3");
  b.Count("phi3.rope.scaling.original_context_length", 32);
  b.Number("phi3.rope.scaling.attn_factor", 1.25f);
  b.Tensor("token_embd.weight", {12, 16}, 0, Ones(12 * 16));
  b.Tensor("output.weight", {12, 16}, 0, Ones(12 * 16));
  b.Tensor("rope_factors_long.weight", {4}, 0, BytesOfValues<float>({1, 2, 3, 4}));
  b.Tensor("rope_factors_short.weight", {4}, 0, BytesOfValues<float>({1, 1.1f, 1.2f, 1.3f}));
  b.Tensor("blk.0.attn_norm.weight", {16}, 0, Ones(16));
  b.Tensor("blk.0.ffn_norm.weight", {16}, 0, Ones(16));
  b.Tensor("blk.0.attn_qkv.weight", {48, 16}, 0, Ones(48 * 16));
  b.Tensor("blk.0.attn_output.weight", {16, 16}, 0, Ones(256));
  b.Tensor("blk.0.ffn_up.weight", {16, 16}, 0, Ones(256));
  b.Tensor("blk.0.ffn_down.weight", {16, 8}, 0, Ones(128));
  b.Tensor("output_norm.weight", {16}, 0, Ones(16));
  const auto opened = OpenBytes(dir, b.Bytes());
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const Status status = Check(**opened);
  EXPECT_TRUE(status.ok()) << status.message();
  const Json& scaling = (*opened)->config()["rope_scaling"];
  EXPECT_EQ(scaling["short_factor"][1], 1.1);
  EXPECT_EQ(scaling["attention_factor"], 1.25);
  EXPECT_EQ((*opened)->config()["original_max_position_embeddings"], 32);
}

TEST(GgufCheckpoint, StackedExpertsBecomeSingleOnes) {
  const TestDirectory dir;
  GgufBuilder b = Sized("llama");
  b.Count("llama.expert_count", 2).Count("llama.expert_used_count", 1);
  b.Tensor("token_embd.weight", {12, 16}, 0, Ones(12 * 16));
  std::vector<float> stacked(2 * 8 * 16);
  for (std::size_t i = 0; i < stacked.size(); ++i) stacked[i] = static_cast<float>(i);
  b.Tensor("blk.0.ffn_gate_exps.weight", {2, 8, 16}, 0, BytesOfValues(stacked));
  b.Tensor("blk.0.ffn_up_exps.weight", {2, 8, 16}, 0, BytesOfValues(stacked));
  b.Tensor("blk.0.ffn_down_exps.weight", {2, 16, 8}, 0, BytesOfValues(stacked));
  b.Tensor("blk.0.ffn_gate_inp.weight", {2, 16}, 0, Ones(32));
  for (const char* p : {"attn_q", "attn_k", "attn_v", "attn_output"})
    b.Tensor(std::string("blk.0.") + p + ".weight", {16, 16}, 0, Ones(256));
  b.Tensor("blk.0.attn_norm.weight", {16}, 0, Ones(16));
  b.Tensor("blk.0.ffn_norm.weight", {16}, 0, Ones(16));
  b.Tensor("output_norm.weight", {16}, 0, Ones(16));
  const auto opened = OpenBytes(dir, b.Bytes());
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const Status status = Check(**opened);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ((*opened)->config()["model_type"], "mixtral");
  const std::vector<float> second =
      Values(**opened, "model.layers.0.block_sparse_moe.experts.1.w1.weight");
  ASSERT_EQ(second.size(), 128u);
  EXPECT_EQ(second[0], 128.0f);
  EXPECT_EQ(second[127], 255.0f);
}

TEST(GgufCheckpoint, Llama3FactorsBecomeRopeScaling) {
  // The divisors that llama.cpp's converter writes for LLaMA 3.1 (head_dim 8 here), in float32.
  std::vector<float> factors;
  for (int i = 0; i < 4; ++i) {
    const double wavelength = 2 * M_PI * std::pow(500000.0, i / 4.0);
    const double smooth = (8192 / wavelength - 1) / 3;
    factors.push_back(wavelength < 2048   ? 1.0f
                      : wavelength > 8192 ? 8.0f
                                          : static_cast<float>(1 / ((1 - smooth) / 8 + smooth)));
  }
  for (const bool released : {true, false}) {
    const TestDirectory dir;
    GgufBuilder b = Sized("llama");
    b.Number("llama.rope.freq_base", 500000);
    if (!released) factors[1] = 3;
    b.Tensor("rope_freqs.weight", {4}, 0, BytesOfValues(factors));
    b.Tensor("token_embd.weight", {12, 16}, 0, Ones(12 * 16));
    const auto opened = OpenBytes(dir, b.Bytes());
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    const Json& config = (*opened)->config();
    EXPECT_EQ(config["rope_scaling"]["rope_type"], released ? "llama3" : "longrope");
    const auto architecture = BuildArchitecture(config, [](std::string_view) { return true; });
    ASSERT_TRUE(architecture.ok()) << architecture.status().message();
    const RopeSpec& rope = architecture->ropes[0];
    EXPECT_EQ(rope.attention_factor, 1);
    for (int i = 0; i < 4; ++i)
      EXPECT_NEAR(rope.inv_freq[i] * std::pow(500000.0, i / 4.0) * factors[i], 1, 1e-6) << i;
  }
}

struct BadCase {
  std::string file;
  StatusCode code;
  const char* message;
};

TEST(GgufCheckpoint, NamesWhatIsWrong) {
  const TestDirectory dir;
  const std::string path = dir.path() + "/m.gguf: ";
  const auto vocabulary = [](const char* model) {
    GgufBuilder b = Sized("llama");
    b.Text("tokenizer.ggml.model", model).Texts("tokenizer.ggml.tokens", {"a", "b", "ab"});
    return b;
  };
  const BadCase cases[] = {
      {GgufBuilder().Bytes(), StatusCode::kCorruption,
       "metadata key 'general.architecture' is missing"},
      {GgufBuilder().Text("general.architecture", "clip").Bytes(), StatusCode::kUnsupported,
       "GGUF architecture 'clip' is not supported (known: llama, mistral, qwen2, qwen2moe, qwen3, "
       "qwen3moe, phi3, gemma, gemma2, gemma3, granite, olmo, olmo2, olmoe, stablelm, phi2, gpt2, "
       "gptneox, bloom, falcon, mamba, mamba2, jamba, starcoder2, bert, rwkv6, rwkv7)"},
      {GgufBuilder().Text("general.architecture", "llama").Bytes(), StatusCode::kCorruption,
       "metadata key 'llama.embedding_length' is missing"},
      {Sized("llama").Count("split.count", 3).Bytes(), StatusCode::kNotFound,
       "is one of 3 parts, but not called so; the others are looked for under names that end in "
       "-00001-of-00003.gguf"},
      {Sized("qwen2").Text("qwen2.rope.scaling.type", "spiral").Bytes(), StatusCode::kUnsupported,
       "metadata key 'qwen2.rope.scaling.type' is 'spiral' (known: none, linear, yarn, longrope "
       "tables)"},
      {Sized("llama").Text("llama.rope.freq_base", "x").Bytes(), StatusCode::kCorruption,
       "metadata key 'llama.rope.freq_base' is not a number"},
      {Sized("llama").Counts("llama.attention.head_count_kv", {1, 2}).Bytes(),
       StatusCode::kUnsupported,
       "metadata key 'llama.attention.head_count_kv' differs between layers"},
      {Sized("llama").Tensor("blk.0.nothing.weight", {1}, 0, Ones(1)).Bytes(),
       StatusCode::kUnsupported,
       "tensor 'blk.0.nothing.weight' has no known place in architecture 'llama'"},
      {Sized("llama").Tensor("blk.0.attn_q.weight", {9, 16}, 0, Ones(144)).Bytes(),
       StatusCode::kCorruption,
       "tensor 'blk.0.attn_q.weight': 9 rows are no whole heads of 8 rows"},
      {vocabulary("plamo2").Bytes(), StatusCode::kUnsupported,
       "tokenizer model 'plamo2' is not supported (known: gpt2, gemma4, whitespace, llama, bert, "
       "t5, rwkv)"},
      {vocabulary("llama").Bytes(), StatusCode::kCorruption, "0 token scores for 3 tokens"},
      {vocabulary("gpt2").Bytes(), StatusCode::kCorruption,
       "metadata key 'tokenizer.ggml.merges' is missing"},
      {vocabulary("gpt2").Texts("tokenizer.ggml.merges", {"a c"}).Bytes(), StatusCode::kCorruption,
       "merge 0 ('a c') is of tokens that do not exist"},
      {vocabulary("gpt2").Texts("tokenizer.ggml.merges", {"ab"}).Bytes(), StatusCode::kCorruption,
       "merge 0 is not two tokens"},
      {vocabulary("gpt2")
           .Texts("tokenizer.ggml.merges", {"a b"})
           .Text("tokenizer.ggml.pre", "klingon")
           .Bytes(),
       StatusCode::kUnsupported, "pre-tokenizer 'klingon' (tokenizer.ggml.pre) is not supported"},
      {vocabulary("gpt2").Counts("tokenizer.ggml.token_type", {1}).Bytes(), StatusCode::kCorruption,
       "1 token types for 3 tokens"},
  };
  for (const BadCase& c : cases) {
    const auto opened = OpenBytes(dir, c.file);
    // A vocabulary that is not understood leaves the weights readable.
    const Status status =
        opened.ok() ? TokenizerStatus(**opened).At(dir.path() + "/m.gguf") : opened.status();
    ASSERT_FALSE(status.ok()) << c.message;
    EXPECT_EQ(status.code(), c.code) << c.message;
    EXPECT_EQ(status.message(), path + c.message);
  }
}

// The Hugging Face copy was made from the GGUF with a dither of half a step on the Q4_1 tensors
// (about 8 % of a weight, root mean square) and rounded to BF16; a row out of order would be 140 %.
TEST(GgufCheckpoint, SmolLm2IsItsHuggingFaceCopy) {
  const char* models = std::getenv("INGOT_MODELS");
  if (models == nullptr) GTEST_SKIP() << "INGOT_MODELS is not set";
  const std::string gguf_path = std::string(models) + "/smollm2-135m-q4_1.gguf";
  const std::string hf_path = std::string(models) + "/smollm2-135m";
  if (!std::filesystem::exists(gguf_path) || !std::filesystem::exists(hf_path))
    GTEST_SKIP() << "no smollm2-135m and its GGUF in " << models;
  const auto gguf = Checkpoint::Open(gguf_path);
  ASSERT_TRUE(gguf.ok()) << gguf.status().message();
  const auto hf = Checkpoint::Open(hf_path);
  ASSERT_TRUE(hf.ok()) << hf.status().message();
  const Status status = Check(**gguf);
  EXPECT_TRUE(status.ok()) << status.message();
  for (const char* key : {"hidden_size", "rope_theta", "rms_norm_eps", "num_key_value_heads",
                          "vocab_size", "tie_word_embeddings", "max_position_embeddings"})
    EXPECT_EQ((*gguf)->config()[key], (*hf)->config()[key]) << key;
  ASSERT_EQ((*gguf)->tensors().size(), (*hf)->tensors().size());
  for (const TensorInfo& tensor : (*hf)->tensors()) {
    const std::vector<float> ours = Values(**gguf, tensor.name);
    const std::vector<float> theirs = Values(**hf, tensor.name);
    ASSERT_EQ(ours.size(), theirs.size()) << tensor.name;
    const bool dithered = (*gguf)->Find(tensor.name)->stored_type == "Q4_1";
    double error = 0, power = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      const double d = dithered ? ours[i] - theirs[i] : FromBf16(ToBf16(ours[i])) - theirs[i];
      error += d * d;
      power += theirs[i] * theirs[i];
    }
    const double relative = std::sqrt(error / power);
    EXPECT_LE(relative, dithered ? 0.12 : 0) << tensor.name;
    EXPECT_GE(relative, dithered ? 0.04 : 0) << tensor.name;
  }
}

}  // namespace
}  // namespace ingot::model
