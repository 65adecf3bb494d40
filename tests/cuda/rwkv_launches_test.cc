// RWKV's shifts, mixes and recurrences against float64.
#include "loader/cuda/kernels/rwkv_launches.h"

#include <algorithm>

#include "tests/cuda/scan_case.h"

namespace ingot::cuda {
namespace {

using RwkvKernels = ScanCase;

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

TEST_F(RwkvKernels, TokenShift) {
  const std::size_t cols = 140;
  const auto x = Normal(kRunRows * cols, 1, 1);
  DeviceArray<float> dx(x), delta(x.size());
  RunStates states(cols, 2);
  TokenShiftArgs args{.x = dx.data(), .delta = delta.data(), .cols = static_cast<int>(cols)};
  Check(
      states, delta,
      [&](const ScanRuns& runs) {
        args.runs = runs;
        return launch_token_shift(&args, stream_);
      },
      [&](std::vector<double>& before, std::size_t begin, std::size_t end) {
        std::vector<double> rows;
        for (std::size_t t = begin; t < end; ++t)
          for (std::size_t c = 0; c < cols; ++c) {
            rows.push_back(before[c] - x[t * cols + c]);
            before[c] = x[t * cols + c];
          }
        return rows;
      });
}

TEST_F(RwkvKernels, MixAndBlend) {
  const std::size_t rows = 3, cols = 150;
  const auto x = Normal(rows * cols, 1, 1), delta = Normal(rows * cols, 1, 2),
             low = Normal(rows * cols, 1, 3), share = Normal(cols, 1, 4);
  DeviceArray<float> dx(x), ddelta(delta), dlow(low), dshare(share), out(x.size());
  for (const int form : {0, 1, 2}) {
    const TokenMixArgs args{dx.data(),
                            ddelta.data(),
                            dshare.data(),
                            form == 2 ? dlow.data() : nullptr,
                            out.data(),
                            static_cast<int>(rows),
                            static_cast<int>(cols),
                            form == 1};
    std::vector<double> wanted;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double m = share[i % cols];
      wanted.push_back(x[i] + delta[i] * (form == 0 ? m : form == 1 ? 1 - m : m + low[i]));
    }
    EXPECT_LE(RelativeError(Result(out, [&] { return launch_token_mix(&args, stream_); }), wanted),
              1e-6);
  }
  const BlendArgs blend{dx.data(), ddelta.data(), dlow.data(), static_cast<std::int64_t>(x.size())};
  std::vector<double> wanted;
  for (std::size_t i = 0; i < x.size(); ++i)
    wanted.push_back(x[i] + (double{delta[i]} - x[i]) * Sigmoid(low[i]));
  EXPECT_LE(RelativeError(Result(
                              dx, [&] { return launch_blend(&blend, stream_); }, x),
                          wanted),
            1e-6);
}

TEST_F(RwkvKernels, Version4) {
  const std::size_t inner = 130;
  const auto key = Normal(kRunRows * inner, 3, 1), value = Normal(key.size(), 1, 2),
             bonus = Normal(inner, 1, 3);
  auto decay = Normal(inner, 1, 4);
  for (float& v : decay) v = -std::exp(v);
  DeviceArray<float> dkey(key), dvalue(value), dbonus(bonus), ddecay(decay), y(key.size());
  RunStates states(3 * inner, 5);
  Rwkv4Args args{.key = dkey.data(),
                 .value = dvalue.data(),
                 .decay = ddecay.data(),
                 .bonus = dbonus.data(),
                 .y = y.data(),
                 .inner = static_cast<int>(inner)};
  // From the first token on, and from states that tokens may leave: b is positive.
  for (const bool empty : {true, false}) {
    SCOPED_TRACE(empty);
    const auto launch = [&](const ScanRuns& runs) {
      args.runs = runs;
      return launch_rwkv4(&args, stream_);
    };
    const auto wanted = [&](std::vector<double>& state, std::size_t begin, std::size_t end) {
      std::vector<double> rows;
      double *a = state.data(), *b = a + inner, *p = b + inner;
      for (std::size_t t = begin; t < end; ++t)
        for (std::size_t c = 0; c < inner; ++c) {
          const double k = key[t * inner + c], v = value[t * inner + c];
          const double past = b[c] == 0 ? 0 : std::exp(p[c] - bonus[c] - k);
          rows.push_back((past * a[c] + v) / (past * b[c] + 1));
          const double kept = b[c] == 0 ? 0 : std::exp(p[c] + decay[c] - k);
          const double scale = std::max(kept, 1.0);
          a[c] = (kept * a[c] + v) / scale;
          b[c] = (kept * b[c] + 1) / scale;
          p[c] = b[c] == 0 ? k : k + std::log(scale);
        }
      return rows;
    };
    states.Fill([&](std::size_t i, float v) {
      if (empty) return 0.0f;
      return i / inner == 1 ? std::abs(v) + 0.1f : v;
    });
    Check(states, y, launch, wanted);
  }
}

TEST_F(RwkvKernels, Versions5To7) {
  struct Sample {
    std::size_t heads, dim;
    bool by_token, delta;
  };
  for (const Sample& s : {Sample{2, 20, false, false},
                          {3, 64, true, false},
                          {2, 20, true, true},
                          {1, 64, true, true}}) {
    SCOPED_TRACE(s.dim);
    const std::size_t inner = s.heads * s.dim, dim = s.dim;
    const auto r = Normal(kRunRows * inner, 1, 1), k = Normal(r.size(), 1, 2),
               v = Normal(r.size(), 1, 3), bonus = Normal(inner, 1, 4),
               key_scale = Normal(inner, 1, 5), key_rate = Normal(inner, 1, 6);
    auto decay = Normal(r.size(), 1, 7), rate = Normal(r.size(), 1, 8);
    for (float& x : rate) x = static_cast<float>(Sigmoid(x));
    if (!s.by_token)
      for (float& x : decay) x = static_cast<float>(Sigmoid(x));
    DeviceArray<float> dr(r), dk(k), dv(v), dbonus(bonus), dscale(key_scale), dkey_rate(key_rate),
        ddecay(decay), drate(rate), y(r.size());
    RunStates states(inner * dim, 9);
    RwkvScanArgs args{.receptance = dr.data(),
                      .key = dk.data(),
                      .value = dv.data(),
                      .decay = ddecay.data(),
                      .bonus = dbonus.data(),
                      .y = y.data(),
                      .heads = static_cast<int>(s.heads),
                      .dim = static_cast<int>(dim),
                      .by_token = s.by_token};
    if (s.delta) {
      args.rate = drate.data();
      args.key_scale = dscale.data();
      args.key_rate = dkey_rate.data();
    }
    // Of head h at token t, which starts at `at`.
    const auto token = [&](double* state, std::size_t at, std::size_t column,
                           std::vector<double>& rows) {
      std::vector<double> kk(dim), key(dim), w(dim);
      double squares = 0;
      for (std::size_t i = 0; i < dim; ++i) {
        kk[i] = double{k[at + i]} * key_scale[column + i];
        squares += kk[i] * kk[i];
        key[i] = k[at + i] * (s.delta ? 1 + (double{rate[at + i]} - 1) * key_rate[column + i] : 1);
        const double x = decay[s.by_token ? at + i : column + i];
        w[i] = !s.by_token ? x : std::exp(s.delta ? -std::exp(-0.5) * Sigmoid(x) : -std::exp(x));
      }
      for (std::size_t j = 0; j < dim; ++j) {
        double removed = 0, sum = 0;
        for (std::size_t i = 0; i < dim; ++i)
          removed += kk[i] / std::sqrt(squares) * state[i * dim + j];
        for (std::size_t i = 0; i < dim; ++i) {
          double& at_i = state[i * dim + j];
          const double kv = key[i] * v[at + j];
          if (!s.delta) sum += r[at + i] * (bonus[column + i] * kv + at_i);
          at_i = w[i] * at_i + kv;
          if (!s.delta) continue;
          at_i -= kk[i] / std::sqrt(squares) * rate[at + i] * removed;
          sum += r[at + i] * at_i;
        }
        rows.push_back(sum);
      }
    };
    Check(
        states, y,
        [&](const ScanRuns& runs) {
          args.runs = runs;
          return launch_rwkv_scan(&args, stream_);
        },
        [&](std::vector<double>& state, std::size_t begin, std::size_t end) {
          std::vector<double> rows;
          for (std::size_t t = begin; t < end; ++t)
            for (std::size_t h = 0; h < s.heads; ++h)
              token(state.data() + h * dim * dim, t * inner + h * dim, h * dim, rows);
          return rows;
        });
  }
}

TEST_F(RwkvKernels, Bonus) {
  const std::size_t rows = 3, heads = 3, dim = 40, size = rows * heads * dim;
  std::vector<std::vector<float>> in;
  for (unsigned i = 0; i < 7; ++i) in.push_back(Normal(i < 5 ? size : heads * dim, 1, i));
  const auto &r = in[0], &k = in[1], &v = in[2], &rate = in[3], &y = in[4];
  DeviceArray<float> dr(r), dk(k), dv(v), drate(rate), dy(y), dbonus(in[5]), dkey_rate(in[6]);
  const RwkvBonusArgs args{.receptance = dr.data(),
                           .key = dk.data(),
                           .value = dv.data(),
                           .rate = drate.data(),
                           .bonus = dbonus.data(),
                           .key_rate = dkey_rate.data(),
                           .y = dy.data(),
                           .rows = static_cast<int>(rows),
                           .heads = static_cast<int>(heads),
                           .dim = static_cast<int>(dim)};
  std::vector<double> wanted;
  for (std::size_t at = 0; at < size; at += dim) {
    double sum = 0;
    for (std::size_t i = 0; i < dim; ++i) {
      const std::size_t column = at % (heads * dim) + i;
      sum += r[at + i] * (k[at + i] * (1 + (double{rate[at + i]} - 1) * in[6][column])) *
             in[5][column];
    }
    for (std::size_t i = 0; i < dim; ++i) wanted.push_back(y[at + i] + sum * v[at + i]);
  }
  EXPECT_LE(RelativeError(Result(
                              dy, [&] { return launch_rwkv_bonus(&args, stream_); }, y),
                          wanted),
            1e-6);
}

TEST_F(RwkvKernels, RefuseWhatTheyDoNotTake) {
  TokenShiftArgs shift;
  EXPECT_EQ(launch_token_shift(&shift, stream_), kBadArguments);
  TokenMixArgs mix;
  EXPECT_EQ(launch_token_mix(&mix, stream_), kBadArguments);
  BlendArgs blend{.count = -1};
  EXPECT_EQ(launch_blend(&blend, stream_), kBadArguments);
  Rwkv4Args four;
  EXPECT_EQ(launch_rwkv4(&four, stream_), kBadArguments);
  float number = 0;
  RwkvScanArgs scan{.bonus = &number, .heads = 1, .dim = kMostRwkvDim + 1};
  EXPECT_EQ(launch_rwkv_scan(&scan, stream_), kBadArguments);
  RwkvBonusArgs bonus;
  EXPECT_EQ(launch_rwkv_bonus(&bonus, stream_), kBadArguments);
}

}  // namespace
}  // namespace ingot::cuda
