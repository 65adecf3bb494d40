// Whole runs on small models: what they measure against independent sums, that neither threads nor
// memory nor a kill changes a byte, and what is refused.
#include "calibration/torch/calibrate.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/parallel.h"
#include "base/random.h"
#include "calibration/statistics.h"
#include "calibration/torch/passes.h"
#include "loader/session.h"
#include "tests/calibration_torch/model_and_text.h"

namespace ingot::calibration {
namespace {

namespace fs = std::filesystem;

// As a caller's own: no code of this library.
const Status kStopped{StatusCode{64}, "stopped"};

std::string FixturePath(const std::string& name) {
  return std::string(INGOT_SOURCE_DIR) + "/tests/fixtures/models/" + name;
}

class CalibrateTest : public ModelAndTextTest {
 protected:
  void SetUp() override {
    directory_ = fs::path(testing::TempDir()) /
                 (std::string("ingot_calibrate_") +
                  testing::UnitTest::GetInstance()->current_test_info()->name() +
                  std::to_string(::getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override {
    SetThreads(0);
    fs::remove_all(directory_);
  }

  std::string Path(const std::string& name) const { return (directory_ / name).string(); }

  void Open(const std::string& path) { OpenWithText(path, 24, 12); }

  CalibrateOptions Options(const std::string& output) const {
    CalibrateOptions options;
    options.output = Path(output);
    options.backward_windows = 5;
    options.seed = 3;
    return options;
  }

  std::string Run(const std::string& output) {
    const Status status = Calibrate(*checkpoint_, architecture_, text_, Options(output));
    EXPECT_TRUE(status.ok()) << status.message();
    const auto bytes = ReadFileToString(Path(output));
    return bytes.ok() ? *bytes : std::string();
  }

  fs::path directory_;
};

TEST_F(CalibrateTest, ThreadsAndMemoryDoNotChangeAByte) {
  for (const std::string name : {"llama", "mixtral", "gemma2"}) {
    Open(FixturePath(name));
    SetThreads(1);
    const std::string one = Run("one.safetensors");
    ASSERT_FALSE(one.empty());
    for (const std::size_t threads : {2, 3, 7}) {
      SetThreads(threads);
      EXPECT_EQ(Run("more.safetensors"), one) << name << " on " << threads << " threads";
    }
    CalibrateOptions options = Options("less.safetensors");
    const CalibrationCost cost = EstimateCost(architecture_, {12, 5, text_.context});
    options.memory_bytes = cost.fixed_bytes + cost.window_bytes;
    const Status status = Calibrate(*checkpoint_, architecture_, text_, options);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(*ReadFileToString(options.output), one) << name << " in the least memory";
    EXPECT_FALSE(fs::exists(options.output + ".work"));
  }
}

TEST_F(CalibrateTest, GoesOnWhereItWasStopped) {
  Open(FixturePath("mixtral"));
  const std::string whole = Run("whole.safetensors");
  // Stopped again and again, each time some stages further.
  CalibrateOptions options = Options("stopped.safetensors");
  std::size_t stops = 0;
  bool resumed = false;
  options.on_plan = [&](const CalibrationCost&, const Concurrency&, double, bool on) {
    resumed = resumed || on;
  };
  for (bool done = false; !done; ++stops) {
    ASSERT_LT(stops, 200u);
    std::size_t steps = 0;
    options.on_progress = [&](const PassProgress&) { return ++steps == 7 ? kStopped : OkStatus(); };
    const Status status = Calibrate(*checkpoint_, architecture_, text_, options);
    done = status.ok();
    if (!done) {
      EXPECT_EQ(status.code(), kStopped.code()) << status.message();
    }
    EXPECT_EQ(done, fs::exists(options.output));
  }
  EXPECT_GT(stops, 3u);
  EXPECT_TRUE(resumed);
  EXPECT_EQ(*ReadFileToString(options.output), whole);
  EXPECT_FALSE(fs::exists(options.output + ".work"));
}

TEST_F(CalibrateTest, WorkOfOtherOptionsIsNotTakenUp) {
  Open(FixturePath("llama"));
  const std::string whole = Run("whole.safetensors");
  CalibrateOptions options = Options("other.safetensors");
  options.seed = 4;
  options.on_progress = [](const PassProgress& now) {
    return now.counted == "windows backward" && now.stage.starts_with("layer") ? kStopped
                                                                               : OkStatus();
  };
  EXPECT_EQ(Calibrate(*checkpoint_, architecture_, text_, options).code(), kStopped.code());
  EXPECT_TRUE(fs::exists(options.output + ".work"));
  EXPECT_EQ(Run("other.safetensors"), whole);
}

// E[xxᵀ] and E|x| of the head's input, from the loader's hidden states and a norm written out here.
TEST_F(CalibrateTest, TheHeadsInputIsWhatTheLoaderComputes) {
  Open(FixturePath("llama"));
  Run("s.safetensors");
  const auto statistics = Statistics::Open(Path("s.safetensors"));
  ASSERT_TRUE(statistics.ok()) << statistics.status().message();
  EXPECT_TRUE((*statistics)->CheckModel(*checkpoint_).ok());
  const std::uint64_t hidden = architecture_.hidden_size;
  const std::string& head = architecture_.head.weight;
  const auto guide = (*statistics)->Guide(head, architecture_.vocab_size, hidden);
  ASSERT_TRUE(guide.ok()) << guide.status().message();
  ASSERT_EQ(guide->hessian.size(), hidden * hidden);
  EXPECT_EQ((*statistics)->TokensOf(head), 12u * 24u);

  loader::ModelOptions options;
  options.compute = loader::Compute::kExact;
  const auto model = loader::Model::Open(FixturePath("llama"), options);
  ASSERT_TRUE(model.ok());
  const auto norm = StageWeights::Load(*checkpoint_, architecture_, StageCount(architecture_) - 1);
  ASSERT_TRUE(norm.ok());
  const float* weight = (*norm)->Of(architecture_.final_norm).weight.data_ptr<float>();
  std::vector<double> outer(hidden * hidden), magnitude(hidden), x(hidden);
  for (const auto& window : text_.windows) {
    loader::Session session(*model);
    const auto states = session.Hidden(window, 0);
    ASSERT_TRUE(states.ok());
    for (std::size_t t = 0; t < window.size(); ++t) {
      double square = 0;
      for (std::size_t j = 0; j < hidden; ++j)
        square += states->row(t)[j] * static_cast<double>(states->row(t)[j]);
      for (std::size_t j = 0; j < hidden; ++j)
        x[j] = states->row(t)[j] * weight[j] /
               std::sqrt(square / static_cast<double>(hidden) + architecture_.final_norm.eps);
      for (std::size_t j = 0; j < hidden; ++j) {
        magnitude[j] += std::abs(x[j]) / (12 * 24);
        for (std::size_t k = 0; k < hidden; ++k) outer[j * hidden + k] += x[j] * x[k] / (12 * 24);
      }
    }
  }
  double largest = 0;
  for (const double v : outer) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < outer.size(); ++i)
    ASSERT_NEAR(guide->hessian[i], outer[i], 1e-4 * largest) << i;
  for (std::size_t j = 0; j < hidden; ++j)
    EXPECT_NEAR(guide->mean_abs[j], magnitude[j], 1e-4 * std::sqrt(largest)) << j;
}

// Gradients handed down stage by stage against autograd through the whole model in one graph.
TEST_F(CalibrateTest, FisherEqualsAutogradThroughTheWholeModel) {
  for (const std::string name :
       {"llama", "mixtral", "gemma3", "phi3", "rwkv4-pth", "rwkv6-pth", "rwkv7-pth"}) {
    Open(FixturePath(name));
    Run(name + ".safetensors");
    const auto statistics = Statistics::Open(Path(name + ".safetensors"));
    ASSERT_TRUE(statistics.ok()) << statistics.status().message();
    std::map<std::string, at::Tensor> want;
    UseOneTorchThread();
    for (const std::size_t w : SpreadEvenly(text_.windows.size(), 5)) {
      std::vector<std::unique_ptr<StageWeights>> weights;
      std::vector<StageRecord> records(StageCount(architecture_));
      const auto rows = model::WholeSequences(1, text_.context);
      at::Tensor x;
      for (std::size_t stage = 0; stage < records.size(); ++stage) {
        weights.push_back(*StageWeights::Load(*checkpoint_, architecture_, stage));
        records[stage].keep_outputs = true;
        TorchOps ops(architecture_, *weights.back(), &records[stage]);
        x = RunStage(ops, architecture_, stage, x, {text_.windows[w], rows});
      }
      at::Tensor target = at::empty({static_cast<std::int64_t>(text_.context)}, at::kLong);
      const at::Tensor p = at::softmax(x.detach(), -1).contiguous();
      for (std::size_t t = 0; t < text_.context; ++t)
        target.data_ptr<std::int64_t>()[t] = static_cast<std::int64_t>(DrawToken(
            {p.data_ptr<float>() + t * architecture_.vocab_size, architecture_.vocab_size}, 3,
            w * text_.context + t));
      const at::Tensor loss = at::nll_loss(at::log_softmax(x, -1), target, {}, at::Reduction::Sum);
      std::vector<at::Tensor> outputs;
      std::vector<const model::LinearRef*> refs;
      for (const StageRecord& record : records)
        for (const StageRecord::Use& use : record.uses) {
          outputs.push_back(use.output);
          refs.push_back(use.ref);
        }
      const auto gradients = torch::autograd::grad({loss}, outputs, {}, false, false, true);
      for (std::size_t i = 0; i < refs.size(); ++i) {
        at::Tensor& rows = want[refs[i]->weight];
        const auto end = static_cast<std::int64_t>(refs[i]->row_begin + refs[i]->rows);
        if (!rows.defined()) rows = at::zeros({0}, at::kDouble);
        if (rows.size(0) < end)
          rows = at::cat({rows, at::zeros({end - rows.size(0)}, at::kDouble)});
        rows.narrow(0, static_cast<std::int64_t>(refs[i]->row_begin),
                    static_cast<std::int64_t>(refs[i]->rows))
            .add_(gradients[i].to(at::kDouble).square().sum(0) / (5.0 * text_.context));
      }
    }
    for (const auto& [weight, rows] : want) {
      const auto got = ReadPartTensor(Path(name + ".safetensors"), "fisher/" + weight);
      ASSERT_TRUE(got.ok()) << got.status().message();
      ASSERT_EQ(got->size(), static_cast<std::size_t>(rows.size(0)));
      const double largest = rows.max().item<double>();
      ASSERT_GT(largest, 0) << weight;
      for (std::size_t i = 0; i < got->size(); ++i)
        ASSERT_NEAR((*got)[i], rows.data_ptr<double>()[i], 1e-3 * largest) << weight << " " << i;
    }
  }
}

TEST_F(CalibrateTest, ExpertsAreCountedAndPoorOnesFallBack) {
  Open(FixturePath("mixtral"));
  const model::MlpSpec& mlp = architecture_.layers[0].mlp;
  Run("s.safetensors");
  const auto coverage = ReadPartTensor(Path("s.safetensors"), "coverage/" + mlp.router.weight);
  ASSERT_TRUE(coverage.ok()) << coverage.status().message();
  double sum = 0;
  for (const float tokens : *coverage) sum += tokens;
  EXPECT_EQ(sum, 12.0 * 24.0 * static_cast<double>(mlp.experts_per_token));

  // One window of one repeated token: experts beyond the chosen ones see nothing.
  text_.windows.assign(1, std::vector<model::TokenId>(text_.context, 5));
  std::vector<std::string> notes;
  CalibrateOptions options = Options("poor.safetensors");
  options.on_note = [&](const std::string& note) { notes.push_back(note); };
  ASSERT_TRUE(Calibrate(*checkpoint_, architecture_, text_, options).ok());
  const auto poor = ReadPartTensor(options.output, "coverage/" + mlp.router.weight);
  ASSERT_TRUE(poor.ok());
  const auto unseen = std::find(poor->begin(), poor->end(), 0.0f);
  ASSERT_NE(unseen, poor->end());
  const auto e = static_cast<std::size_t>(unseen - poor->begin());
  const auto statistics = Statistics::Open(options.output);
  ASSERT_TRUE(statistics.ok());
  const model::MlpSpec& expert = mlp.experts[e];
  EXPECT_EQ((*statistics)->InputOf(expert.gate.weight), mlp.router.weight);
  EXPECT_EQ((*statistics)->InputOf(expert.down.weight), "pooled/" + mlp.experts[0].down.weight);
  const auto guide = (*statistics)->Guide(expert.down.weight, expert.down.rows, expert.down.cols);
  ASSERT_TRUE(guide.ok());
  EXPECT_FALSE(guide->hessian.empty());
  const std::string name = "layer 0: expert " + std::to_string(e) + " saw 0 tokens";
  EXPECT_TRUE(std::any_of(notes.begin(), notes.end(), [&](const std::string& note) {
    return note.starts_with(name) && note.find("pooled") != std::string::npos;
  }));
}

// A copy of the llama fixture with one weight of a tensor replaced.
void CopyWith(const std::string& to, const std::string& tensor, float value) {
  fs::create_directories(to);
  fs::copy(FixturePath("llama"), to, fs::copy_options::recursive);
  const auto checkpoint = *model::Checkpoint::Open(to);
  const model::TensorInfo* info = checkpoint->Find(tensor);
  ASSERT_NE(info, nullptr);
  ASSERT_EQ(info->dtype, DType::kF32);
  const std::string file = to + "/" + info->file;
  std::string bytes = *ReadFileToString(file);
  std::string old(info->elements() * sizeof(float), 0);
  ASSERT_TRUE(checkpoint
                  ->ReadRows(*info, 0, info->rows(),
                             {reinterpret_cast<std::uint8_t*>(old.data()), old.size()})
                  .ok());
  const std::size_t at = bytes.find(old);
  ASSERT_NE(at, std::string::npos);
  std::memcpy(bytes.data() + at, &value, sizeof value);
  std::ofstream(file, std::ios::binary) << bytes;
}

TEST_F(CalibrateTest, DamagedWeightsAreNamedAndNothingIsWritten) {
  for (const float value : {NAN, HUGE_VALF}) {
    const std::string copy = Path("copy" + std::to_string(std::isnan(value)));
    CopyWith(copy, "model.layers.0.self_attn.v_proj.weight", value);
    Open(copy);
    const Status status = Calibrate(*checkpoint_, architecture_, text_, Options("n.safetensors"));
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("layer 0"), std::string::npos) << status.message();
    EXPECT_NE(status.message().find("self_attn.o_proj.weight"), std::string::npos)
        << status.message();
    EXPECT_FALSE(fs::exists(Path("n.safetensors")));
  }
}

// Names of a statistics file's tensors, from its header.
std::vector<std::string> TensorNames(const std::string& path) {
  const std::string bytes = *ReadFileToString(path);
  std::uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  const auto header = nlohmann::json::parse(bytes.substr(sizeof size, size));
  std::vector<std::string> names;
  for (const auto& [name, value] : header.items())
    if (name != "__metadata__") names.push_back(name);
  return names;
}

// Tensors that differ between two statistics files of the same names.
std::vector<std::string> Differences(const std::string& one, const std::string& other) {
  EXPECT_EQ(TensorNames(one), TensorNames(other));
  std::vector<std::string> names;
  for (const std::string& name : TensorNames(one))
    if (*ReadPartTensor(one, name) != *ReadPartTensor(other, name)) names.push_back(name);
  return names;
}

TEST_F(CalibrateTest, APrefixMakesTheInputsAndNotTheGradients) {
  Open(FixturePath("llama"));
  Run("plain");
  CalibrateOptions options = Options("same");
  options.prefix = checkpoint_.get();
  options.prefix_digest = "itself";
  Status status = Calibrate(*checkpoint_, architecture_, text_, options);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(Differences(Path("plain"), Path("same")), std::vector<std::string>());

  // Of a prefix that differs in layer 0's o_proj, the inputs of what follows it differ; what comes
  // before, and gradients, do not.
  CopyWith(Path("copy"), "model.layers.0.self_attn.o_proj.weight", 0.5f);
  const auto prefix = *model::Checkpoint::Open(Path("copy"));
  options = Options("other");
  options.prefix = prefix.get();
  options.prefix_digest = "a copy";
  status = Calibrate(*checkpoint_, architecture_, text_, options);
  ASSERT_TRUE(status.ok()) << status.message();
  const std::vector<std::string> differ = Differences(Path("plain"), Path("other"));
  const auto differs = [&](const std::string& name) {
    return std::find(differ.begin(), differ.end(), name) != differ.end();
  };
  const std::string layer0 = "hessian/model.layers.0.", layer1 = "hessian/model.layers.1.";
  EXPECT_FALSE(differs(layer0 + "self_attn.q_proj.weight"));
  EXPECT_FALSE(differs(layer0 + "self_attn.o_proj.weight"));
  EXPECT_TRUE(differs(layer0 + "mlp.gate_proj.weight"));
  EXPECT_TRUE(differs(layer0 + "mlp.down_proj.weight"));
  EXPECT_TRUE(differs(layer1 + "self_attn.q_proj.weight"));
  for (const std::string& name : differ)
    EXPECT_TRUE(name.starts_with("hessian/") || name.starts_with("mean_abs/")) << name;
}

TEST_F(CalibrateTest, APrefixOfAnotherModelIsRefused) {
  Open(FixturePath("llama"));
  const auto other = *model::Checkpoint::Open(FixturePath("mixtral"));
  CalibrateOptions options = Options("out");
  options.prefix = other.get();
  const Status status = Calibrate(*checkpoint_, architecture_, text_, options);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("the prefix is of another model: "), std::string::npos)
      << status.message();
  EXPECT_FALSE(fs::exists(Path("out.work")));
}

TEST_F(CalibrateTest, GradientsAreTakenOver) {
  Open(FixturePath("llama"));
  Run("plain");
  CalibrateOptions options = Options("taken");
  options.backward_windows = 0;
  options.gradients_from = Path("plain");
  Status status = Calibrate(*checkpoint_, architecture_, text_, options);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(Differences(Path("plain"), Path("taken")), std::vector<std::string>());
  EXPECT_EQ((*ReadPartMetadata(Path("taken")))["backward_tokens"], "120");

  // Neither those of another model nor none.
  options.output = Path("none");
  options.gradients_from.clear();
  ASSERT_TRUE(Calibrate(*checkpoint_, architecture_, text_, options).ok());
  options.output = Path("refused");
  options.gradients_from = Path("none");
  status = Calibrate(*checkpoint_, architecture_, text_, options);
  EXPECT_NE(status.message().find("has no gradients"), std::string::npos) << status.message();
  Open(FixturePath("mixtral"));
  options.gradients_from = Path("plain");
  status = Calibrate(*checkpoint_, architecture_, text_, options);
  EXPECT_NE(status.message().find("another model"), std::string::npos) << status.message();
}

TEST_F(CalibrateTest, DampingIsNamedAndMakesTheMatrixFactor) {
  Open(FixturePath("llama"));
  text_.windows.resize(1);  // 24 tokens for 32 columns or more
  std::vector<std::string> notes;
  CalibrateOptions options = Options("s.safetensors");
  options.on_note = [&](const std::string& note) { notes.push_back(note); };
  ASSERT_TRUE(Calibrate(*checkpoint_, architecture_, text_, options).ok());
  const std::string& down = architecture_.layers[1].mlp.down.weight;
  EXPECT_TRUE(std::any_of(notes.begin(), notes.end(), [&](const std::string& note) {
    return note.find(down) != std::string::npos &&
           note.find("positive definite") != std::string::npos;
  }));
  auto values = ReadPartTensor(options.output, "hessian/" + down);
  ASSERT_TRUE(values.ok());
  const auto n = static_cast<std::int64_t>(architecture_.layers[1].mlp.down.cols);
  const at::Tensor matrix = at::from_blob(values->data(), {n, n});
  EXPECT_EQ(std::get<1>(at::linalg_cholesky_ex(matrix)).item<int>(), 0);
  EXPECT_TRUE(at::equal(matrix, matrix.t()));
}

TEST_F(CalibrateTest, TablesOfTokensAreThere) {
  Open(FixturePath("llama"));
  Run("s.safetensors");
  const std::size_t layers = architecture_.layers.size();
  const auto cosine = ReadPartTensor(Path("s.safetensors"), "cosine/layers");
  ASSERT_TRUE(cosine.ok()) << cosine.status().message();
  ASSERT_EQ(cosine->size(), layers);
  EXPECT_NEAR(cosine->back(), 1, 1e-5);
  EXPECT_LT(cosine->front(), 0.9999);
  for (const char* name : {"attention", "hidden_norm", "gradient"})
    EXPECT_EQ(
        ReadPartTensor(Path("s.safetensors"), std::string("importance/position/") + name)->size(),
        layers * 10);
  const auto entropy = ReadPartTensor(Path("s.safetensors"), "importance/position/entropy");
  ASSERT_TRUE(entropy.ok());
  for (const float nats : *entropy) {
    EXPECT_GT(nats, 0);
    EXPECT_LE(nats, std::log(static_cast<double>(architecture_.vocab_size)) + 1e-4);
  }
}

TEST_F(CalibrateTest, WhatCannotBeIsRefused) {
  Open(FixturePath("llama"));
  CalibrateOptions options = Options("s.safetensors");
  options.memory_bytes = 1 << 20;
  const Status memory = Calibrate(*checkpoint_, architecture_, text_, options);
  EXPECT_EQ(memory.code(), StatusCode::kLimit);
  EXPECT_NE(memory.message().find("MiB"), std::string::npos);
  options.memory_bytes = 0;
  text_.windows[3][5] = static_cast<model::TokenId>(architecture_.vocab_size);
  EXPECT_EQ(Calibrate(*checkpoint_, architecture_, text_, options).code(),
            StatusCode::kInvalidArgument);
  text_.windows[3].resize(5);
  EXPECT_EQ(Calibrate(*checkpoint_, architecture_, text_, options).code(),
            StatusCode::kInvalidArgument);
  text_.windows.clear();
  EXPECT_EQ(Calibrate(*checkpoint_, architecture_, text_, options).code(),
            StatusCode::kInvalidArgument);
  EXPECT_FALSE(fs::exists(options.output + ".work"));
}

TEST_F(CalibrateTest, AForeignFolderInTheWayIsNotTouched) {
  Open(FixturePath("llama"));
  fs::create_directories(Path("s.safetensors.work"));
  std::ofstream(Path("s.safetensors.work/mine.txt")) << "mine";
  const Status status = Calibrate(*checkpoint_, architecture_, text_, Options("s.safetensors"));
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(fs::exists(Path("s.safetensors.work/mine.txt")));
}

}  // namespace
}  // namespace ingot::calibration
