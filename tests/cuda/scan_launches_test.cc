// Convolution over time and the scans against float64.
#include "loader/cuda/kernels/scan_launches.h"

#include <algorithm>

#include "tests/cuda/scan_case.h"

namespace ingot::cuda {
namespace {

using ScanKernels = ScanCase;

double Softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

TEST_F(ScanKernels, CausalConv) {
  struct Sample {
    std::size_t channels, kernel;
    bool bias;
  };
  for (const Sample& s : {Sample{150, 4, true}, {40, 1, false}, {33, 8, false}}) {
    SCOPED_TRACE(s.channels);
    const auto x = Normal(kRunRows * s.channels, 1, 1),
               weight = Normal(s.kernel * s.channels, 1, 2), bias = Normal(s.channels, 1, 3);
    DeviceArray<float> dx(x), dweight(weight), dbias(bias), y(x.size());
    const std::size_t kept = s.kernel - 1;
    RunStates states(kept * s.channels, 4);
    CausalConvArgs args{.x = dx.data(),
                        .weight = dweight.data(),
                        .bias = s.bias ? dbias.data() : nullptr,
                        .y = y.data(),
                        .channels = static_cast<int>(s.channels),
                        .kernel = static_cast<int>(s.kernel),
                        .activation = Pointwise::kSilu};
    const auto wanted = [&](std::vector<double>& state, std::size_t begin, std::size_t end) {
      std::vector<double> inputs = state, rows;
      inputs.insert(inputs.end(), x.begin() + static_cast<std::ptrdiff_t>(begin * s.channels),
                    x.begin() + static_cast<std::ptrdiff_t>(end * s.channels));
      for (std::size_t t = 0; t < end - begin; ++t)
        for (std::size_t c = 0; c < s.channels; ++c) {
          double v = s.bias ? bias[c] : 0;
          for (std::size_t k = 0; k <= kept; ++k)
            v += weight[k * s.channels + c] * inputs[(t + k) * s.channels + c];
          rows.push_back(v / (1 + std::exp(-v)));
        }
      std::copy(inputs.end() - static_cast<std::ptrdiff_t>(state.size()), inputs.end(),
                state.begin());
      return rows;
    };
    if (kept == 0) {  // no state to compare
      args.runs = states.Runs();
      std::vector<double> none;
      EXPECT_LE(RelativeError(Result(y, [&] { return launch_causal_conv(&args, stream_); }),
                              wanted(none, 0, kRunRows)),
                2e-6);
      continue;
    }
    Check(
        states, y,
        [&](const ScanRuns& runs) {
          args.runs = runs;
          return launch_causal_conv(&args, stream_);
        },
        wanted);
  }
}

TEST_F(ScanKernels, SelectiveScan) {
  for (const auto& [inner, states] : {std::pair<std::size_t, std::size_t>{130, 16}, {40, 21}}) {
    SCOPED_TRACE(inner);
    const auto x = Normal(kRunRows * inner, 1, 1), step = Normal(x.size(), 2, 2),
               skip = Normal(inner, 1, 3), b = Normal(kRunRows * states, 1, 4),
               c = Normal(b.size(), 1, 5);
    auto a = Normal(states * inner, 1, 6);
    for (float& v : a) v = -std::exp(v);
    DeviceArray<float> dx(x), dstep(step), dskip(skip), db(b), dc(c), da(a), y(x.size());
    RunStates of_runs(states * inner, 7);
    SelectiveScanArgs args{.x = dx.data(),
                           .step = dstep.data(),
                           .a = da.data(),
                           .skip = dskip.data(),
                           .b = db.data(),
                           .c = dc.data(),
                           .y = y.data(),
                           .inner = static_cast<int>(inner),
                           .states = static_cast<int>(states)};
    Check(
        of_runs, y,
        [&](const ScanRuns& runs) {
          args.runs = runs;
          return launch_selective_scan(&args, stream_);
        },
        [&, inner = inner, states = states](std::vector<double>& h, std::size_t begin,
                                            std::size_t end) {
          std::vector<double> rows;
          for (std::size_t t = begin; t < end; ++t)
            for (std::size_t i = 0; i < inner; ++i) {
              const double d = Softplus(step[t * inner + i]), in = x[t * inner + i];
              double v = skip[i] * in;
              for (std::size_t n = 0; n < states; ++n) {
                double& state = h[n * inner + i];
                state = std::exp(d * a[n * inner + i]) * state + d * in * b[t * states + n];
                v += c[t * states + n] * state;
              }
              rows.push_back(v);
            }
          return rows;
        });
  }
}

// As Mamba-2 has it (groups, steps, limits, skips) and as retention (a head's own decay and keys).
TEST_F(ScanKernels, LinearScan) {
  struct Sample {
    std::size_t heads, groups, dim, states;
    bool steps;
  };
  for (const Sample& s : {Sample{4, 2, 40, 70, true}, {2, 2, 16, 8, false}, {1, 1, 64, 3, true}}) {
    SCOPED_TRACE(s.dim);
    const std::size_t width = s.heads * s.dim, stride = width + 2 * s.groups * s.states;
    const auto xbc = Normal(kRunRows * stride, 1, 1), steps = Normal(kRunRows * s.heads, 2, 2),
               bias = Normal(s.heads, 1, 3), skips = Normal(s.heads, 1, 4);
    std::vector<float> a(s.heads, -0.7f), decays(s.heads, 0.9f);
    a.back() = -0.2f;
    decays.back() = 0.5f;
    DeviceArray<float> dx(xbc), dsteps(steps), dbias(bias), dskips(skips), da(a), ddecays(decays),
        y(kRunRows * width);
    RunStates of_runs(s.heads * s.states * s.dim, 5);
    LinearScanArgs args{.x = dx.data(),
                        .b = dx.data() + width,
                        .c = dx.data() + width + s.groups * s.states,
                        .y = y.data(),
                        .x_stride = static_cast<int>(stride),
                        .b_stride = static_cast<int>(stride),
                        .c_stride = static_cast<int>(stride),
                        .heads = static_cast<int>(s.heads),
                        .groups = static_cast<int>(s.groups),
                        .dim = static_cast<int>(s.dim),
                        .states = static_cast<int>(s.states),
                        .low = 0.3f,
                        .high = 1.5f,
                        .scale = 0.25f};
    if (s.steps) {
      args.steps = dsteps.data();
      args.step_bias = dbias.data();
      args.a = da.data();
      args.skips = dskips.data();
    } else {
      args.decays = ddecays.data();
    }
    Check(
        of_runs, y,
        [&](const ScanRuns& runs) {
          args.runs = runs;
          return launch_linear_scan(&args, stream_);
        },
        [&](std::vector<double>& state, std::size_t begin, std::size_t end) {
          std::vector<double> rows;
          for (std::size_t t = begin; t < end; ++t)
            for (std::size_t h = 0; h < s.heads; ++h) {
              double decay = decays[h], factor = 0.25;
              if (s.steps) {
                factor = std::clamp(Softplus(double{steps[t * s.heads + h]} + bias[h]),
                                    double{0.3f}, double{1.5f});
                decay = std::exp(factor * a[h]);
              }
              const float* x = xbc.data() + t * stride;
              const float* b = x + width + h / (s.heads / s.groups) * s.states;
              const float* c = b + s.groups * s.states;
              for (std::size_t d = 0; d < s.dim; ++d) {
                const double in = x[h * s.dim + d];
                double v = s.steps ? skips[h] * in : 0;
                for (std::size_t n = 0; n < s.states; ++n) {
                  double& at = state[(h * s.states + n) * s.dim + d];
                  at = decay * at + b[n] * factor * in;
                  v += c[n] * at;
                }
                rows.push_back(v);
              }
            }
          return rows;
        });
  }
}

TEST_F(ScanKernels, RefuseWhatTheyDoNotTake) {
  CausalConvArgs conv{.channels = 4, .kernel = 0};
  EXPECT_EQ(launch_causal_conv(&conv, stream_), kBadArguments);
  SelectiveScanArgs scan{.inner = 4, .states = 0};
  EXPECT_EQ(launch_selective_scan(&scan, stream_), kBadArguments);
  LinearScanArgs linear{.heads = 3, .groups = 2, .dim = 4, .states = 4};
  EXPECT_EQ(launch_linear_scan(&linear, stream_), kBadArguments);
  linear.groups = 3;  // neither steps nor decays
  EXPECT_EQ(launch_linear_scan(&linear, stream_), kBadArguments);
}

}  // namespace
}  // namespace ingot::cuda
