// Every row of the scan kernels against the scalar row on ragged lengths, and against themselves
// when a sequence is cut.
#include "loader/kernels/scan_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"

namespace ingot::loader {
namespace {

std::vector<float> Normal(std::size_t n, double scale, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(random.Normal() * scale);
  return x;
}

void ExpectClose(const std::vector<float>& got, const std::vector<float>& want) {
  ASSERT_EQ(got.size(), want.size());
  float largest = 0;
  for (const float v : want) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], 3e-6f * largest) << "at " << i;
}

// Arguments of either scan with rows of b and c wider than they need be.
struct Inputs {
  Inputs(std::size_t tokens_in, std::size_t states_in)
      : tokens(tokens_in),
        states(states_in),
        stride(states_in + 3),
        x(Normal(tokens * kScanLanes, 1, 1)),
        step(Normal(tokens * kScanLanes, 3, 2)),
        a(Normal(states * kScanLanes, 1, 3)),
        skip(Normal(kScanLanes, 1, 4)),
        b(Normal(tokens * stride, 1, 5)),
        c(Normal(tokens * stride, 1, 6)),
        decay(tokens),
        h(Normal(states * kScanLanes, 1, 7)),
        y(tokens * kScanLanes) {
    for (float& v : a) v = -std::exp(v);
    for (std::size_t t = 0; t < tokens; ++t) decay[t] = 1.0f - 1.0f / static_cast<float>(t % 9 + 2);
  }

  void Selective(const ScanKernels& kernels, std::size_t begin, std::size_t end) {
    SelectiveBlock scan;
    scan.tokens = end - begin;
    scan.states = states;
    scan.step = step.data() + begin * kScanLanes;
    scan.x = x.data() + begin * kScanLanes;
    scan.a = a.data();
    scan.a_stride = kScanLanes;
    scan.skip = skip.data();
    scan.b = b.data() + begin * stride;
    scan.c = c.data() + begin * stride;
    scan.b_stride = scan.c_stride = stride;
    scan.h = h.data();
    scan.y = y.data() + begin * kScanLanes;
    kernels.selective(scan);
  }

  void Linear(const ScanKernels& kernels, std::size_t begin, std::size_t end) {
    LinearBlock scan;
    scan.tokens = end - begin;
    scan.states = states;
    scan.decay = decay.data() + begin;
    scan.x = x.data() + begin * kScanLanes;
    scan.b = b.data() + begin * stride;
    scan.c = c.data() + begin * stride;
    scan.b_stride = scan.c_stride = stride;
    scan.h = h.data();
    scan.y = y.data() + begin * kScanLanes;
    kernels.linear(scan);
  }

  std::size_t tokens, states, stride;
  std::vector<float> x, step, a, skip, b, c, decay, h, y;
};

class ScanKernelsTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!HasIsa(GetParam())) GTEST_SKIP() << "no " << IsaName(GetParam()) << " here";
    kernels_ = &kScanKernels.For(GetParam());
  }
  const ScanKernels* kernels_ = nullptr;
};

constexpr std::size_t kTokens[] = {1, 3, 7, 8, 9, 64, 101};
constexpr std::size_t kStates[] = {1, 5, 16, 33};

TEST_P(ScanKernelsTest, EqualTheScalarRow) {
  for (const std::size_t tokens : kTokens) {
    for (const std::size_t states : kStates) {
      Inputs got(tokens, states), want(tokens, states);
      got.Selective(*kernels_, 0, tokens);
      want.Selective(kScanScalar, 0, tokens);
      ExpectClose(got.y, want.y);
      ExpectClose(got.h, want.h);
      Inputs linear(tokens, states), reference(tokens, states);
      linear.Linear(*kernels_, 0, tokens);
      reference.Linear(kScanScalar, 0, tokens);
      ExpectClose(linear.y, reference.y);
      ExpectClose(linear.h, reference.h);
    }
  }
}

TEST_P(ScanKernelsTest, CuttingASequenceChangesNoBit) {
  Inputs whole(101, 5), cut(101, 5), whole_linear(101, 5), cut_linear(101, 5);
  whole.Selective(*kernels_, 0, 101);
  whole_linear.Linear(*kernels_, 0, 101);
  for (std::size_t begin = 0, size = 1; begin < 101; begin += size, size = size % 11 + 1) {
    cut.Selective(*kernels_, begin, std::min<std::size_t>(begin + size, 101));
    cut_linear.Linear(*kernels_, begin, std::min<std::size_t>(begin + size, 101));
  }
  EXPECT_EQ(cut.y, whole.y);
  EXPECT_EQ(cut.h, whole.h);
  EXPECT_EQ(cut_linear.y, whole_linear.y);
  EXPECT_EQ(cut_linear.h, whole_linear.h);
}

// One state, B = C = x = 1, no state before and no skip: y is softplus(step).
TEST_P(ScanKernelsTest, StepsAreSoftplus) {
  for (const float step : {-200.0f, -90.0f, -20.0f, -1.0f, -1e-3f, 0.0f, 0.5f, 3.0f, 25.0f, 1e4f}) {
    Inputs in(1, 1);
    std::fill(in.step.begin(), in.step.end(), step);
    for (auto* ones : {&in.x, &in.b, &in.c}) std::fill(ones->begin(), ones->end(), 1.0f);
    for (auto* zeros : {&in.h, &in.skip}) std::fill(zeros->begin(), zeros->end(), 0.0f);
    in.Selective(*kernels_, 0, 1);
    const double want =
        std::max<double>(step, 0) + std::log1p(std::exp(-std::abs(static_cast<double>(step))));
    for (const float y : in.y) EXPECT_NEAR(y, want, 5e-7 * want + 1e-37) << step;
  }
}

TEST_P(ScanKernelsTest, NotANumberIsNotHidden) {
  Inputs selective(9, 3), linear(9, 3);
  selective.step[4 * kScanLanes + 2] = NAN;
  selective.Selective(*kernels_, 0, 9);
  linear.x[4 * kScanLanes + 2] = NAN;
  linear.Linear(*kernels_, 0, 9);
  for (const auto& y : {selective.y, linear.y}) {
    EXPECT_TRUE(std::isnan(y[8 * kScanLanes + 2]));
    EXPECT_FALSE(std::isnan(y[3 * kScanLanes + 2]));
    EXPECT_FALSE(std::isnan(y[8 * kScanLanes + 3]));
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, ScanKernelsTest,
                         testing::Values(Isa::kScalar, Isa::kAvx2, Isa::kAvx512),
                         [](const auto& info) { return std::string(IsaName(info.param)); });

}  // namespace
}  // namespace ingot::loader
