#include "codecs/rounding/int_fit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"

namespace ingot::codecs {
namespace {

// Weights with a few that stand out, as rows of a model have.
std::vector<float> Weights(std::size_t n, float middle, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> x(n);
  for (float& v : x) {
    const float normal = static_cast<float>(random.Normal());
    v = 0.02f * normal * (normal > 2.2f ? 1.7f : 1.0f) + middle;
  }
  return x;
}

std::vector<GroupFit> Fits(const IntFitKernels& kernels, const std::vector<float>& x,
                           std::size_t group, int bits, bool asymmetric) {
  std::vector<GroupFit> fits((x.size() + group - 1) / group);
  kernels.fit_row(x.data(), x.size(), group, bits, asymmetric, fits.data());
  return fits;
}

// Squared error of a grid's nearest values, in double.
double Error(const float* x, std::size_t n, double scale, double zero, int bits, bool asymmetric) {
  const double low = asymmetric ? 0 : -std::exp2(bits - 1);
  double error = 0;
  for (std::size_t i = 0; i < n; ++i) {
    double q = scale != 0 ? std::nearbyint(x[i] / scale + zero) : 0;
    q = std::min(std::max(q, low), low + std::exp2(bits) - 1);
    const double e = x[i] - (q - zero) * scale;
    error += e * e;
  }
  return error;
}

// Groups that are searched in words and such that are not, whole and ragged.
TEST(IntFit, EveryInstructionSetFindsWhatTheScalarOneDoes) {
  for (const std::size_t group : {8u, 31u, 32u, 33u, 100u, 128u, 4096u, 5000u})
    for (const int bits : {1, 2, 3, 4, 5, 6, 8})
      for (const bool asymmetric : {false, true}) {
        const auto x = Weights(3 * group + 7, asymmetric ? 0.01f : 0.0f, group + bits);
        const auto expected = Fits(kIntFitScalar, x, group, bits, asymmetric);
        for (const Isa isa : kIsas) {
          if (!HasIsa(isa)) continue;
          const auto found = Fits(kIntFit.For(isa), x, group, bits, asymmetric);
          for (std::size_t g = 0; g < found.size(); ++g) {
            EXPECT_EQ(found[g].scale, expected[g].scale) << IsaName(isa) << " " << group;
            EXPECT_EQ(found[g].code_mean, expected[g].code_mean) << IsaName(isa) << " " << group;
            EXPECT_EQ(found[g].x_mean, expected[g].x_mean) << IsaName(isa) << " " << group;
          }
        }
      }
}

// Against a dense search in double of the clip range alone, whose 270 grids a group of few weights
// at 8 bits fits some by luck: the search has eight, refitted.
TEST(IntFit, TheGridIsNearTheBestOne) {
  for (const std::size_t group : {32u, 128u, 1024u})
    for (const int bits : {2, 3, 4, 8})
      for (const bool asymmetric : {false, true}) {
        const auto x = Weights(group * 16, asymmetric ? 0.01f : 0.0f, group * 9 + bits);
        const auto fits = Fits(kIntFit.Best(), x, group, bits, asymmetric);
        double found = 0, best = 0;
        for (std::size_t g = 0; g < fits.size(); ++g) {
          const float* w = x.data() + g * group;
          const double scale = fits[g].scale;
          const double zero = asymmetric ? fits[g].code_mean - fits[g].x_mean / scale : 0;
          found += Error(w, group, scale, zero, bits, asymmetric);
          float low = 0, high = 0, extreme = 0;
          for (std::size_t i = 0; i < group; ++i) {
            low = i == 0 ? w[i] : std::min(low, w[i]);
            high = i == 0 ? w[i] : std::max(high, w[i]);
            extreme = std::fabs(w[i]) > std::fabs(extreme) ? w[i] : extreme;
          }
          double least = -1;
          for (double ratio = 0.5; ratio < 2; ratio *= 1.005) {
            const double top = std::exp2(bits) - 1;
            const double s =
                asymmetric ? (high - low) / top / ratio : -extreme / std::exp2(bits - 1) / ratio;
            const double z = asymmetric ? top / 2 - 0.5 * (high + low) / s : 0;
            const double error = Error(w, group, s, z, bits, asymmetric);
            least = least < 0 || error < least ? error : least;
          }
          best += least;
        }
        EXPECT_LT(found, 1.2 * best) << group << " " << bits << " " << asymmetric;
        EXPECT_GT(found, 0.7 * best) << group << " " << bits << " " << asymmetric;
      }
}

TEST(IntFit, GroupsOfOneValueAndOfNothing) {
  for (const std::size_t n : {16u, 64u}) {
    const auto zeros = Fits(kIntFit.Best(), std::vector<float>(n, 0.0f), n, 4, false);
    EXPECT_EQ(zeros[0].scale, 0.0f);
    const auto same = Fits(kIntFit.Best(), std::vector<float>(n, 0.5f), n, 4, true);
    EXPECT_FLOAT_EQ(same[0].scale * 15, 0.5f);
    const auto one = Fits(kIntFit.Best(), std::vector<float>(n, -0.5f), n, 4, false);
    EXPECT_NEAR(Error(std::vector<float>(n, -0.5f).data(), n, one[0].scale, 0, 4, false), 0, 1e-6);
  }
}

}  // namespace
}  // namespace ingot::codecs
