// Tuning: derivatives against differences, codes that stay, what spoiled scales gain, and that
// neither threads nor memory change a byte.
#include "calibration/torch/tune.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <list>
#include <map>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "base/random.h"
#include "calibration/torch/tune_tensor.h"
#include "codecs/recipe.h"
#include "tests/calibration_torch/model_and_text.h"

namespace ingot::calibration {
namespace {

namespace fs = std::filesystem;

PackedTensor Pack(const codecs::RecipeOptions& options, const codecs::WeightSlab& slab) {
  const auto encoder = codecs::MakeEncoder(options, slab.cols, slab.dtype);
  EXPECT_TRUE(encoder.ok()) << encoder.status().message();
  const auto encoded = (*encoder)->EncodeSlab(slab);
  EXPECT_TRUE(encoded.ok()) << encoded.status().message();
  const auto owner = std::make_shared<codecs::EncodedSlab>(*encoded);
  PackedTensor packed{slab.rows, slab.cols, (*encoder)->planes(), {}, owner};
  for (const auto& plane : owner->planes) packed.streams.emplace_back(plane.begin(), plane.end());
  return packed;
}

codecs::RecipeOptions Recipe(const std::string& codec, std::int64_t group = 0,
                             const std::string& levels = "", const std::string& scales = "",
                             const std::string& transform = "") {
  codecs::RecipeOptions options;
  options.codec = codec;
  options.group = group;
  options.levels = levels;
  options.scales = scales;
  options.transform = transform;
  return options;
}

class TuneTensorTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kRows = 150, kCols = 96;

  void SetUp() override {
    Random random(5);
    values_.resize(kRows * kCols);
    for (float& v : values_) v = static_cast<float>(random.Normal() * 0.05);
  }
  std::unique_ptr<TuneTensor> Make(const codecs::RecipeOptions& options) {
    auto tensor =
        TuneTensor::Make(Pack(options, {DType::kF32, kRows, kCols, BytesOf(std::span(values_))}),
                         TuneTensor::Use::kMatrix);
    EXPECT_TRUE(tensor.ok()) << tensor.status().message();
    return *std::move(tensor);
  }
  std::vector<float> values_;
};

// Along a random direction: (L(d) - L(-d)) / 2 of a linear L has no term of second order, and
// rounding averages out over thousands of parameters.
TEST_F(TuneTensorTest, GradientsAreDifferences) {
  codecs::RecipeOptions entropy = Recipe("entropy_v1");
  entropy.rate = 4;
  codecs::RecipeOptions dependent = Recipe("entropy_v2");
  dependent.rate = 4;
  for (const codecs::RecipeOptions& options :
       {Recipe("int4_rtn", 16), Recipe("int4_rtn", 32, "asymmetric"),
        Recipe("int4_rtn", 16, "", "q8"), Recipe("int4_rtn", 40, "asymmetric", "q8"),
        Recipe("int4_rtn", 16, "", "", "hadamard"), Recipe("int4_awq_v1", 32), entropy,
        dependent}) {
    const auto tensor = Make(options);
    ASSERT_GT(tensor->parameters(), 0u) << options.codec;
    Random random(11);
    std::vector<float> weights(values_.size()), deltas(tensor->parameters()), decoded(weights);
    std::vector<float> gradient(tensor->parameters()), base(tensor->parameters());
    // Away from the largest byte, where a scale cannot grow, and off every grid.
    for (float& b : base) b = static_cast<float>(-0.25 + 0.1 * random.Uniform());
    for (float& d : deltas)
      d = static_cast<float>((random.Uniform() < 0.5 ? -1 : 1) * (0.03 + 0.04 * random.Uniform()));
    // dL/dW from the direction itself, so that the sum is not one of noise.
    const auto decode = [&](float sign) {
      std::vector<float> moved = base;
      for (std::size_t k = 0; k < moved.size(); ++k) moved[k] += deltas[k] * sign;
      tensor->Set(moved);
      std::vector<float> out(values_.size());
      tensor->Decode(out.data());
      return out;
    };
    const std::vector<float> up = decode(1), down = decode(-1);
    for (std::size_t i = 0; i < weights.size(); ++i)
      weights[i] = up[i] - down[i] + static_cast<float>(random.Normal() * 1e-3);
    double difference = 0, product = 0;
    for (std::size_t i = 0; i < weights.size(); ++i)
      difference += static_cast<double>(weights[i]) * (up[i] - down[i]) / 2;
    tensor->Set(base);
    EXPECT_FALSE(tensor->Changed().empty());
    tensor->Gradient(weights.data(), gradient);
    for (std::size_t k = 0; k < deltas.size(); ++k)
      product += static_cast<double>(gradient[k]) * deltas[k];
    EXPECT_NEAR(product / difference, 1, 0.02) << options.codec << " " << options.levels << " "
                                               << options.scales << " " << options.transform;
    tensor->Set(std::vector<float>(deltas.size()));
    EXPECT_TRUE(tensor->Changed().empty());
  }
}

TEST_F(TuneTensorTest, CodesTransformsAndOutliersStay) {
  const auto tensor = Make(Recipe("int4_awq_v1", 32));
  tensor->Set(std::vector<float>(tensor->parameters(), 0.05f));
  for (const NewStream& stream : tensor->Changed()) {
    EXPECT_EQ(stream.plane, 0u);   // int; the sparse plane and the column scales stay
    EXPECT_NE(stream.stream, 0u);  // codes
  }
}

TEST_F(TuneTensorTest, RefinedExactAndUnknownTensorsStay) {
  for (const char* codec : {"int4_residual_v1", "nested_v1", "lossless_v1", "fp8_hybrid_v1", "raw"})
    EXPECT_EQ(Make(Recipe(codec))->parameters(), 0u) << codec;
}

TEST_F(TuneTensorTest, StreamsThatDoNotFitAreRefused) {
  PackedTensor packed =
      Pack(Recipe("int4_rtn", 16), {DType::kF32, kRows, kCols, BytesOf(std::span(values_))});
  packed.streams[0][1] = packed.streams[0][1].first(packed.streams[0][1].size() - 1);
  const auto tensor = TuneTensor::Make(packed, TuneTensor::Use::kMatrix);
  ASSERT_FALSE(tensor.ok());
  EXPECT_EQ(tensor.status().code(), StatusCode::kCorruption);
  EXPECT_NE(tensor.status().message().find("plane 0 (int)"), std::string::npos);
}

// A checkpoint packed in memory; `spoil` multiplies the scales of what it names.
class MemoryModel : public PackedModel {
 public:
  MemoryModel(const model::Checkpoint& checkpoint, const model::Architecture& architecture,
              const std::string& codec, const std::string& spoil = "") {
    for (const model::TensorUse& use : model::TensorUses(architecture)) {
      const model::TensorInfo& info = *checkpoint.Find(use.name);
      std::vector<std::uint8_t> bytes(info.elements() * DTypeBytes(info.dtype));
      EXPECT_TRUE(checkpoint.ReadRows(info, 0, info.rows(), bytes).ok());
      const bool packs = use.role == model::TensorRole::kLinear;
      codecs::RecipeOptions options = Recipe(packs ? codec : "raw");
      if (packs && codec == "int4_rtn") options.group = 16;
      if (packs && !spoil.empty()) options.bits = 8;  // what is spoiled outweighs the rounding
      std::uint64_t rows = info.rows(), cols = info.cols();
      if (use.transposed) {
        bytes = Transposed(bytes, rows, cols, DTypeBytes(info.dtype));
        std::swap(rows, cols);
      }
      PackedTensor tensor = Pack(options, {info.dtype, rows, cols, bytes});
      if (!spoil.empty() && use.name.find(spoil) != std::string::npos) Spoil(tensor);
      tensors_[use.name] = std::move(tensor);
    }
  }
  Result<PackedTensor> Read(const std::string& name) const override {
    const auto it = tensors_.find(name);
    if (it == tensors_.end()) return NotFound("tensor '" + name + "' is absent");
    return it->second;
  }
  void Remove(const std::string& name) { tensors_.erase(name); }

 private:
  static std::vector<std::uint8_t> Transposed(const std::vector<std::uint8_t>& in,
                                              std::uint64_t rows, std::uint64_t cols,
                                              std::size_t size) {
    std::vector<std::uint8_t> out(in.size());
    for (std::uint64_t r = 0; r < rows; ++r)
      for (std::uint64_t c = 0; c < cols; ++c)
        std::copy_n(&in[(r * cols + c) * size], size, &out[(c * rows + r) * size]);
    return out;
  }
  void Spoil(PackedTensor& tensor) {
    auto& scales = spoiled_.emplace_back(tensor.streams[0][1].begin(), tensor.streams[0][1].end());
    for (std::size_t i = 0; 2 * i < scales.size(); ++i)
      StoreLe(scales.data() + 2 * i,
              ToFp16(FromFp16(LoadLe<std::uint16_t>(scales.data() + 2 * i)) * 1.2f));
    tensor.streams[0][1] = scales;
  }
  std::map<std::string, PackedTensor> tensors_;
  std::list<std::vector<std::uint8_t>> spoiled_;
};

class TuneTest : public ModelAndTextTest {
 protected:
  void SetUp() override {
    options_.work =
        (fs::path(testing::TempDir()) / ("ingot_tune_" + std::to_string(::getpid()))).string();
  }
  void TearDown() override {
    SetThreads(0);
    EXPECT_FALSE(fs::exists(options_.work));
  }

  void Open(const std::string& name) {
    OpenWithText(std::string(INGOT_SOURCE_DIR) + "/tests/fixtures/models/" + name, 16, 16);
  }
  Result<TuneResult> Run(const PackedModel& packed) const {
    return Tune(*checkpoint_, architecture_, packed, text_, options_);
  }
  void Refused(const PackedModel& packed, const std::string& what) const {
    const auto result = Run(packed);
    ASSERT_FALSE(result.ok()) << what;
    EXPECT_NE(result.status().message().find(what), std::string::npos) << result.status().message();
  }

  TuneOptions options_;
};

TEST_F(TuneTest, WhatIsKeptIsBetterOnHeldOutText) {
  for (const char* name : {"llama", "gemma2", "mixtral", "gpt2", "stablelm-2"}) {
    Open(name);
    const auto result = Run(MemoryModel(*checkpoint_, architecture_, "int4_rtn"));
    ASSERT_TRUE(result.ok()) << name << ": " << result.status().message();
    EXPECT_EQ(result->held_out, 4u);
    ASSERT_EQ(result->blocks.size(), architecture_.layers.size());
    bool any = false;
    for (const TunedBlock& block : result->blocks) {
      EXPECT_GT(block.parameters, 0u) << name;
      EXPECT_EQ(block.kept, block.after < block.before) << name;
      any = any || block.kept;
    }
    EXPECT_EQ(any, !result->streams.empty()) << name;
  }
}

TEST_F(TuneTest, SpoiledScalesAreMended) {
  Open("llama");
  options_.rate = 0.02;
  options_.epochs = 8;
  const std::string name = "model.layers.0.mlp.down_proj.weight";
  const auto mended = Run(MemoryModel(*checkpoint_, architecture_, "int4_rtn", name));
  ASSERT_TRUE(mended.ok()) << mended.status().message();
  EXPECT_LT(mended->blocks[0].after, 0.3 * mended->blocks[0].before);
  ASSERT_TRUE(mended->streams.contains(name));
  for (const auto& [tensor, streams] : mended->streams)
    for (const NewStream& stream : streams)
      EXPECT_TRUE(stream.stream != 0 || tensor.find("norm") != std::string::npos) << tensor;
}

// The next block is fed what the tuned one gives: an independent forward is `before` of layer 1.
TEST_F(TuneTest, ThreadsAndMemoryDoNotChangeAByte) {
  for (const char* codec : {"int4_rtn", "entropy_v1"}) {
    Open("llama");
    const MemoryModel packed(*checkpoint_, architecture_, codec);
    SetThreads(1);
    const auto one = Run(packed);
    ASSERT_TRUE(one.ok()) << one.status().message();
    SetThreads(3);
    const auto more = Run(packed);
    ASSERT_TRUE(more.ok());
    ASSERT_EQ(one->streams.size(), more->streams.size());
    ASSERT_FALSE(one->streams.empty()) << codec;
    for (const auto& [name, streams] : one->streams) {
      const auto& others = more->streams.at(name);
      ASSERT_EQ(streams.size(), others.size());
      for (std::size_t i = 0; i < streams.size(); ++i) EXPECT_EQ(streams[i].bytes, others[i].bytes);
    }
  }
}

// Its work is gone, as TearDown sees.
TEST_F(TuneTest, StopsBeforeAnyLayerItIsToldTo) {
  const Status stop{StatusCode{64}, "stopped"};  // as a caller's own: no code of this library
  Open("llama");
  const MemoryModel packed(*checkpoint_, architecture_, "int4_rtn");
  std::vector<std::size_t> told;
  options_.on_progress = [&](std::size_t layers, std::size_t total) {
    EXPECT_EQ(total, architecture_.layers.size());
    told.push_back(layers);
    return layers == 1 ? stop : OkStatus();
  };
  EXPECT_EQ(Run(packed).status().code(), stop.code());
  EXPECT_EQ(told, (std::vector<std::size_t>{0, 1}));
}

TEST_F(TuneTest, WhatCannotBeTunedIsRefused) {
  Open("llama");
  MemoryModel packed(*checkpoint_, architecture_, "int4_rtn");
  Refused(MemoryModel(*checkpoint_, architecture_, "raw"), "nothing to tune");
  Refused(MemoryModel(*checkpoint_, architecture_, "lossless_v1"), "nothing to tune");
  options_.memory_bytes = 1 << 20;
  Refused(packed, "MiB");
  options_.memory_bytes = 0;
  text_.windows[2][3] = 96;
  Refused(packed, "token 96 in a vocabulary of 96");
  text_.windows.resize(2);
  Refused(packed, "at least 4");
  Open("llama");
  packed.Remove("model.layers.1.self_attn.q_proj.weight");
  Refused(packed, "model.layers.1.self_attn.q_proj.weight");
}

}  // namespace
}  // namespace ingot::calibration
