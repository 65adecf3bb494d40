// Runs without LibTorch on small models of every family: what they measure against a float64 op set
// of its own, that neither threads nor a kill changes a byte, and what is refused.
#include "calibration/cpu/forward_calibration.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/parallel.h"
#include "base/random.h"
#include "calibration/statistics.h"
#include "model/architecture/walk.h"
#include "tests/model/model_fixtures.h"
#include "tests/model/naive_model.h"

namespace ingot::calibration {
namespace {

namespace fs = std::filesystem;

// As a caller's own: no code of this library.
const Status kStopped{StatusCode{64}, "stopped"};

class ForwardCalibration : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::replace(name.begin(), name.end(), '/', '_');
    directory_ = fs::path(testing::TempDir()) /
                 ("ingot_forward_" + name + std::to_string(::getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override {
    SetThreads(0);
    fs::remove_all(directory_);
  }
  std::string Path(const std::string& name) const { return (directory_ / name).string(); }

  void Open(const std::string& path, std::size_t context, std::size_t windows) {
    naive_ = NaiveModel::Open(path);
    ASSERT_NE(naive_, nullptr);
    Random random(7);
    text_.context = context;
    text_.windows.assign(windows, {});
    for (auto& window : text_.windows)
      for (std::size_t i = 0; i < context; ++i)
        window.push_back(
            static_cast<model::TokenId>(random.Below(naive_->architecture().vocab_size)));
  }
  CalibrateOptions Options(const std::string& output) const {
    CalibrateOptions options;
    options.output = Path(output);
    options.seed = 3;
    options.probe_tokens = 16;
    return options;
  }
  Status Run(const CalibrateOptions& options) {
    return CalibrateForward(naive_->checkpoint(), naive_->architecture(), text_, options);
  }
  std::string Bytes(const std::string& output) {
    const Status status = Run(Options(output));
    EXPECT_TRUE(status.ok()) << status.message();
    const auto bytes = ReadFileToString(Path(output));
    return bytes.ok() ? *bytes : std::string();
  }

  fs::path directory_;
  std::unique_ptr<NaiveModel> naive_;
  TokenWindows text_;
};

// Sums what every matrix is fed, each by its own name.
class SummingOps : public NaiveOps {
 public:
  using NaiveOps::NaiveOps;
  struct Sum {
    std::vector<double> outer, magnitude;
    double tokens = 0;
  };
  std::vector<Tensor> Linear(std::initializer_list<const model::LinearRef*> refs, const Tensor& x) {
    for (const model::LinearRef* ref : refs) {
      Sum& sum = (*sums)[ref->weight];  // rows of one matrix may be used apart
      sum.outer.resize(x.cols * x.cols);
      sum.magnitude.resize(x.cols);
      sum.tokens += static_cast<double>(x.rows);
      for (std::size_t t = 0; t < x.rows; ++t)
        for (std::size_t i = 0; i < x.cols; ++i) {
          sum.magnitude[i] += std::abs(x[t][i]);
          for (std::size_t j = 0; j < x.cols; ++j) sum.outer[i * x.cols + j] += x[t][i] * x[t][j];
        }
    }
    return NaiveOps::Linear(refs, x);
  }
  std::map<std::string, Sum>* sums = nullptr;
};

TEST_P(ForwardCalibration, InputsAreThoseOfTheNaiveModel) {
  Open(FixturePath(GetParam()), 12, 3);
  std::map<std::string, SummingOps::Sum> sums;
  for (const auto& window : text_.windows) {
    SummingOps ops(naive_->architecture(), naive_->weights());
    ops.sums = &sums;
    naive_->Run(ops, window);
  }
  CalibrateOptions options = Options("s.safetensors");
  options.probe_tokens = 0;
  const Status status = Run(options);
  ASSERT_TRUE(status.ok()) << status.message();
  const auto statistics = Statistics::Open(Path("s.safetensors"));
  ASSERT_TRUE(statistics.ok()) << statistics.status().message();
  EXPECT_TRUE((*statistics)->CheckModel(naive_->checkpoint()).ok());
  const std::string notes = (*statistics)->metadata().value("notes", "");
  std::size_t checked = 0;
  for (const auto& [weight, sum] : sums) {
    const std::size_t n = sum.magnitude.size();
    // Rows of the matrix: any, the guide's shape is of its columns.
    const auto guide = (*statistics)->Guide(weight, 1, n);
    ASSERT_TRUE(guide.ok()) << guide.status().message();
    ASSERT_EQ(guide->hessian.size(), n * n) << weight;
    if ((*statistics)->InputOf(weight).starts_with("pooled/")) continue;
    // A poor expert's gate and up take the layer's input.
    if (notes.find("pooled") != std::string::npos && weight.find("expert") != std::string::npos &&
        static_cast<double>((*statistics)->TokensOf(weight)) != sum.tokens)
      continue;
    double largest = 0;
    for (const double value : sum.outer) largest = std::max(largest, std::abs(value) / sum.tokens);
    // A hundredth of the mean diagonal may have been added where it would not factor.
    for (std::size_t i = 0; i < n; ++i) {
      EXPECT_NEAR(guide->mean_abs[i], sum.magnitude[i] / sum.tokens,
                  1e-4 * std::sqrt(largest) + 1e-6)
          << weight << " " << i;
      for (std::size_t j = 0; j < n; ++j)
        ASSERT_NEAR(guide->hessian[i * n + j], sum.outer[i * n + j] / sum.tokens,
                    (i == j ? 1.1e-2 : 2e-4) * largest + 1e-9)
            << weight << " " << i << " " << j;
    }
    ++checked;
  }
  EXPECT_GT(checked, 2u);
}

INSTANTIATE_TEST_SUITE_P(Families, ForwardCalibration, testing::ValuesIn(FixtureNames()),
                         FixtureTestName());

using ForwardRun = ForwardCalibration;

TEST_F(ForwardRun, ThreadsDoNotChangeAByte) {
  for (const std::string name : {"llama", "mixtral", "rwkv7-pth"}) {
    Open(FixturePath(name), 24, 6);
    SetThreads(1);
    const std::string one = Bytes("one.safetensors");
    ASSERT_FALSE(one.empty());
    for (const std::size_t threads : {2, 5}) {
      SetThreads(threads);
      EXPECT_EQ(Bytes("more.safetensors"), one) << name << " on " << threads << " threads";
    }
    EXPECT_FALSE(fs::exists(Path("more.safetensors.work")));
  }
}

TEST_F(ForwardRun, GoesOnWhereItWasStopped) {
  for (const std::string name : {"mixtral", "rwkv7-pth"}) {
    Open(FixturePath(name), 24, 6);
    const std::string whole = Bytes("whole.safetensors");
    CalibrateOptions options = Options("stopped.safetensors");
    std::size_t stops = 0;
    bool resumed = false;
    options.on_plan = [&](const CalibrationCost&, const Concurrency&, double, bool on) {
      resumed = resumed || on;
    };
    for (bool done = false; !done; ++stops) {
      ASSERT_LT(stops, 200u);
      std::size_t steps = 0;
      options.on_progress = [&](const PassProgress&) {
        // A stage is the least that is kept: each run may do more than the one before.
        return ++steps == 31 + 10 * stops ? kStopped : OkStatus();
      };
      const Status status = Run(options);
      done = status.ok();
      if (!done) {
        EXPECT_EQ(status.code(), kStopped.code()) << status.message();
      }
      EXPECT_EQ(done, fs::exists(options.output));
    }
    EXPECT_GT(stops, 1u) << name;
    EXPECT_TRUE(resumed);
    EXPECT_EQ(*ReadFileToString(options.output), whole);
    EXPECT_FALSE(fs::exists(options.output + ".work"));
    fs::remove(options.output);
  }
}

// Disturbs one matrix's output with noise of the given size.
class NoisyOps : public NaiveOps {
 public:
  using NaiveOps::NaiveOps;
  std::vector<Tensor> Linear(std::initializer_list<const model::LinearRef*> refs, const Tensor& x) {
    std::vector<Tensor> out = NaiveOps::Linear(refs, x);
    std::size_t i = 0;
    for (const model::LinearRef* ref : refs) {
      Tensor& y = out[i++];
      if (ref->weight != weight) continue;
      for (double& value : y.values) value += sigma * random.Normal();
    }
    return out;
  }
  std::string weight;
  double sigma = 0;
  Random random{11};
};

double MeanKl(const std::vector<double>& a, const std::vector<double>& b, std::size_t vocab) {
  double sum = 0;
  for (std::size_t row = 0; row < a.size(); row += vocab) {
    double za = 0, zb = 0;
    for (std::size_t i = 0; i < vocab; ++i) {
      za += std::exp(a[row + i]);
      zb += std::exp(b[row + i]);
    }
    for (std::size_t i = 0; i < vocab; ++i)
      sum += std::exp(a[row + i]) / za *
             (a[row + i] - b[row + i] - std::log(za) + std::log(zb));
  }
  return sum / static_cast<double>(a.size() / vocab);
}

// What a file says a matrix's noise costs, against noise in the naive model.
TEST_F(ForwardRun, ProbesPredictWhatNoiseCosts) {
  Open(FixturePath("llama"), 24, 16);
  CalibrateOptions options = Options("s.safetensors");
  options.probe_tokens = 24;
  ASSERT_TRUE(Run(options).ok());
  const auto statistics = Statistics::Open(Path("s.safetensors"));
  ASSERT_TRUE(statistics.ok());
  EXPECT_EQ((*statistics)->metadata().value("probe_tokens", ""), "24");
  EXPECT_EQ((*statistics)->metadata().value("backward_tokens", ""), "0");
  const model::Architecture& a = naive_->architecture();
  double predicted_all = 0, measured_all = 0;
  for (const model::LayerSpec& layer : a.layers)
    for (const model::LinearRef* ref :
         {&layer.attention.q, &layer.attention.v, &layer.attention.o, &layer.mlp.gate,
          &layer.mlp.down}) {
      const auto guide = (*statistics)->Guide(ref->weight, ref->rows, ref->cols);
      ASSERT_TRUE(guide.ok());
      ASSERT_EQ(guide->row_fisher.size(), ref->rows);
      NoisyOps ops(a, naive_->weights());
      ops.weight = ref->weight;
      ops.sigma = 0.02;
      double measured = 0;
      for (const auto& window : text_.windows)
        measured += MeanKl(naive_->Logits(window), naive_->Run(ops, window), a.vocab_size) / 16;
      double predicted = 0;
      for (const float f : guide->row_fisher) predicted += 0.5 * f * 0.02 * 0.02;
      // One window of 24 tokens was disturbed by noise of another size.
      EXPECT_GT(predicted, measured / 4) << ref->weight;
      EXPECT_LT(predicted, measured * 4) << ref->weight;
      predicted_all += predicted;
      measured_all += measured;
    }
  EXPECT_NEAR(predicted_all / measured_all, 1, 0.4);
}

TEST_F(ForwardRun, ExpertsAreCountedAndPoorOnesFallBack) {
  Open(FixturePath("mixtral"), 24, 1);
  text_.windows.assign(1, std::vector<model::TokenId>(text_.context, 5));
  const model::MlpSpec& mlp = naive_->architecture().layers[0].mlp;
  std::vector<std::string> notes;
  CalibrateOptions options = Options("poor.safetensors");
  options.on_note = [&](const std::string& note) { notes.push_back(note); };
  ASSERT_TRUE(Run(options).ok());
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
  const std::string name = "layer 0: expert " + std::to_string(e) + " saw 0 tokens";
  EXPECT_TRUE(std::any_of(notes.begin(), notes.end(),
                          [&](const std::string& note) { return note.starts_with(name); }));
}

TEST_F(ForwardRun, WhatItCannotDoIsRefused) {
  Open(FixturePath("llama"), 24, 2);
  CalibrateOptions options = Options("s.safetensors");
  options.backward_windows = 1;
  EXPECT_EQ(Run(options).code(), StatusCode::kUnsupported);
  EXPECT_NE(Run(options).message().find("tools/setup --torch"), std::string::npos);
  options.backward_windows = 0;
  options.memory_bytes = 1 << 20;
  EXPECT_EQ(Run(options).code(), StatusCode::kLimit);
  options.memory_bytes = 0;
  text_.windows[1][3] = static_cast<model::TokenId>(naive_->architecture().vocab_size);
  EXPECT_EQ(Run(options).code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(fs::exists(options.output));
}

}  // namespace
}  // namespace ingot::calibration
