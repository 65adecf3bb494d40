// RWKV against what its own project and transformers compute: the tiny trained models of rwkv.cpp
// with the logits that come with them, bare .pth files of every version, states that go back.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <span>

#include "base/file.h"
#include "base/random.h"
#include "loader/kernels/rwkv_kernels.h"
#include "loader/session.h"

namespace ingot::loader {
namespace {

using model::TokenId;

constexpr char kPrompt[] = "\"in";  // of rwkv.cpp's tests; these models' tokens are bytes

std::vector<float> Floats(const std::string& path) {
  const std::string bytes = *ReadFileToString(path);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::string Fixture(const std::string& name) {
  return std::string(INGOT_SOURCE_DIR) + "/tests/fixtures/models/" + name;
}

double LargestDifference(std::span<const float> got, std::span<const float> want) {
  double largest = got.size() == want.size() ? 0 : HUGE_VAL;
  for (std::size_t i = 0; i < want.size() && i < got.size(); ++i)
    largest = std::isnan(got[i])
                  ? HUGE_VAL
                  : std::max(largest, std::abs(static_cast<double>(got[i]) - want[i]));
  return largest;
}

// The model's last logits after the prompt, prefilled at once or token by token.
void ExpectPublishedLogits(const std::string& path, const std::string& logits) {
  const auto model = Model::Open(path);
  ASSERT_TRUE(model.ok()) << model.status().message();
  std::vector<TokenId> ids;
  for (const char* c = kPrompt; *c != '\0'; ++c) ids.push_back(static_cast<unsigned char>(*c));
  const std::vector<float> want = Floats(logits);
  Session whole(*model), steps(*model);
  const auto got = whole.Prefill(ids);
  ASSERT_TRUE(got.ok()) << got.status().message();
  EXPECT_LE(LargestDifference(*got, want), 1e-3);
  for (const TokenId id : ids) ASSERT_TRUE(steps.Decode(id).ok());
  steps.Truncate(ids.size() - 1);
  const auto step = steps.Decode(ids.back());
  ASSERT_TRUE(step.ok());
  EXPECT_LE(LargestDifference(*step, want), 1e-3);
}

class PublishedRwkvTest : public testing::TestWithParam<const char*> {};

TEST_P(PublishedRwkvTest, LogitsAreThoseOfItsProject) {
  const std::string shared = std::string(INGOT_SHARED_DIR) + "/models/rwkv-tiny-raw/";
  const std::string name = GetParam();
  if (!std::filesystem::exists(shared)) GTEST_SKIP() << shared << " is not there";
  ExpectPublishedLogits(shared + "tiny-rwkv-" + name + "-FP32.bin",
                        shared + "expected-logits-" + name + ".bin");
}

INSTANTIATE_TEST_SUITE_P(Versions, PublishedRwkvTest,
                         testing::Values("4v0-660K", "5v1-730K", "5v2-730K", "7v0-834K"),
                         [](const auto& info) { return std::string(info.param).substr(0, 3); });

TEST(RwkvTest, TransformersLayoutGivesTheSameLogits) {
  const std::string shared = std::string(INGOT_SHARED_DIR) + "/models/";
  if (!std::filesystem::exists(shared)) GTEST_SKIP() << shared << " is not there";
  ExpectPublishedLogits(shared + "rwkv4-tiny-660K",
                        shared + "rwkv-tiny-raw/expected-logits-4v0-660K.bin");
}

// All head sizes and token counts that a vector's tail can meet.
struct ScanInput {
  std::size_t tokens, dim, stride;
  std::vector<float> r, k, v, w, u, removal, replacement, state, scratch, out;
  ScanInput(std::size_t tokens, std::size_t dim) : tokens(tokens), dim(dim), stride(dim + 3) {
    Random random(tokens * 1000 + dim);
    const auto fill = [&](std::vector<float>& x, std::size_t n, float low, float high) {
      x.resize(n);
      for (float& value : x) value = low + (high - low) * static_cast<float>(random.Uniform());
    };
    for (std::vector<float>* x : {&r, &k, &v, &removal, &replacement})
      fill(*x, tokens * stride, -1, 1);
    fill(w, tokens * stride, 0.2f, 1);
    fill(u, dim, -1, 1);
    fill(state, dim * dim, -1, 1);
    scratch.resize(dim);
    out.assign(tokens * stride, 77);
  }
  RwkvHeadTask Task() {
    RwkvHeadTask task;
    task.tokens = tokens;
    task.dim = dim;
    task.stride = task.decay_stride = stride;
    task.receptance = r.data();
    task.key = k.data();
    task.value = v.data();
    task.decay = w.data();
    task.bonus = u.data();
    task.removal = removal.data();
    task.replacement = replacement.data();
    task.state = state.data();
    task.scratch = scratch.data();
    task.out = out.data();
    return task;
  }
};

// The formulas in double, matrices whole.
void PlainScan(bool is7, ScanInput& in, std::vector<double>& out, std::vector<double>& state) {
  const std::size_t n = in.dim;
  state.assign(in.state.begin(), in.state.end());
  out.assign(in.out.begin(), in.out.end());
  for (std::size_t t = 0; t < in.tokens; ++t) {
    const std::size_t at = t * in.stride;
    std::vector<double> removed(n, 0), y(n, 0), next(n * n);
    for (std::size_t j = 0; j < n; ++j)
      for (std::size_t i = 0; i < n; ++i) removed[j] += in.removal[at + i] * state[i * n + j];
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        const double kv = static_cast<double>(in.k[at + i]) * in.v[at + j];
        next[i * n + j] =
            in.w[at + i] * state[i * n + j] + kv - (is7 ? in.replacement[at + i] * removed[j] : 0);
        y[j] += in.r[at + i] * (is7 ? next[i * n + j] : state[i * n + j] + in.u[i] * kv);
      }
    state = next;
    for (std::size_t j = 0; j < n; ++j) out[at + j] = y[j];
  }
}

void ExpectNear(const std::vector<float>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], 2e-4 * std::max(1.0, std::abs(want[i]))) << i;
}

TEST(RwkvKernelsTest, EveryRowFollowsTheFormulasAndGivesTheSameBits) {
  for (const bool is7 : {false, true})
    for (const std::size_t dim : {1, 3, 8, 12, 16, 17, 33, 64})
      for (const std::size_t tokens : {1, 2, 5}) {
        ScanInput plain(tokens, dim);
        std::vector<double> want_out, want_state;
        PlainScan(is7, plain, want_out, want_state);
        ScanInput first(tokens, dim);
        const RwkvHeadTask task = first.Task();
        (is7 ? kRwkvScalar.delta_scan : kRwkvScalar.scan)(task);
        ExpectNear(first.out, want_out);
        ExpectNear(first.state, want_state);
        for (const Isa isa : {Isa::kAvx2, Isa::kAvx512}) {
          if (!HasIsa(isa)) continue;
          ScanInput other(tokens, dim);
          const RwkvHeadTask same = other.Task();
          (is7 ? kRwkvKernels.For(isa).delta_scan : kRwkvKernels.For(isa).scan)(same);
          EXPECT_EQ(other.out, first.out) << IsaName(isa) << " " << dim << " " << tokens;
          EXPECT_EQ(other.state, first.state) << IsaName(isa) << " " << dim << " " << tokens;
        }
      }
}

TEST(RwkvTest, LongSequencesStayFinite) {
  for (const char* name : {"rwkv4-pth", "rwkv50-pth", "rwkv6-pth", "rwkv7-fla"}) {
    const auto model = Model::Open(Fixture(name));
    ASSERT_TRUE(model.ok()) << model.status().message();
    Session session(*model);
    std::vector<TokenId> ids(2000);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i * i % 61);
    const auto logits = session.Prefill(ids);
    ASSERT_TRUE(logits.ok());
    for (const float x : *logits) ASSERT_TRUE(std::isfinite(x)) << name;
    EXPECT_FALSE(session.beyond_trained_length());
  }
}

TEST(RwkvTest, TruncateGoesBackExactly) {
  for (const char* name : {"rwkv4-pth", "rwkv52-pth", "rwkv6-pth", "rwkv7-pth"}) {
    const auto model = Model::Open(Fixture(name));
    ASSERT_TRUE(model.ok()) << model.status().message();
    const std::vector<TokenId> ids = {3, 50, 7, 7, 21, 60, 0, 13};
    Session session(*model);
    const auto first = session.Prefill(std::span(ids).first(5));
    ASSERT_TRUE(first.ok());
    const std::vector<float> want(first->begin(), first->end());
    ASSERT_TRUE(session.Prefill(std::span(ids).subspan(5)).ok());
    session.Truncate(4);
    const auto again = session.Decode(ids[4]);
    ASSERT_TRUE(again.ok());
    EXPECT_LE(LargestDifference(*again, want), 1e-4) << name;
    session.Reset();
    const auto fresh = session.Prefill(std::span(ids).first(5));
    ASSERT_TRUE(fresh.ok());
    EXPECT_LE(LargestDifference(*fresh, want), 1e-6) << name;
  }
}

}  // namespace
}  // namespace ingot::loader
