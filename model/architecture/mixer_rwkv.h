// RWKV's two mixers as data, versions 4 (Peng et al., 2023, arXiv 2305.13048), 5 and 6 (2024, arXiv
// 2404.05892) and 7 (2025, arXiv 2503.14456). Both see a token and the one before it: time mixing
// carries a state along the sequence in place of keys and values, channel mixing is the MLP.
//
// Projections are matrices like any others; mixing vectors, decays and bonuses are small and stay
// as the checkpoint has them.
//
// Thread rule: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "model/architecture/layer_parts.h"
#include "model/architecture/part_visitor.h"

namespace ingot::model {

enum class RwkvVersion { k4 = 4, k5 = 5, k6 = 6, k7 = 7 };

// out(activation(in(x))): how versions 6 and 7 make a vector from a token.
struct LowRank {
  LinearRef in, out;
  bool present() const { return in.present(); }
};

// The input of one projection: x[t] + (x[t - 1] - x[t]) * m, x[-1] = 0. Versions 4 and 5 name the
// share of x[t] instead: m = 1 - vector. Version 6 adds to the vector what `low` makes of a token.
struct RwkvMix {
  std::string vector;  // hidden values
  bool of_current = false;
  LowRank low;
  bool present() const { return !vector.empty(); }
};

// With N = head_dim, per head (version 4: per channel, N = 1), S a matrix of keys by values:
//   4    y = (a + e^(u + k) v) / (b + e^(u + k)); a = e^-w a + e^k v, b = e^-w b + e^k; w = e^decay
//   5, 6 y = r (S + u k^T v);  S = diag(w) S + k^T v;  w = e^-e^decay
//   7    S = S (diag(w) - kk^T (kk * rate)) + v^T k;  y = S r;  w = e^(-e^(-1/2) sigmoid(decay)),
//        kk = k * key_scale normalized, k *= 1 + (rate - 1) * key_rate, and after the norm
//        y += (sum of r k bonus) v
struct RwkvSpec {
  RwkvVersion version = RwkvVersion::k4;
  std::uint64_t heads = 0;
  std::uint64_t head_dim = 0;
  RwkvMix receptance_mix, key_mix, value_mix;
  RwkvMix gate_mix;       // 5.1 on
  RwkvMix decay_mix;      // 6, 7
  RwkvMix rate_mix;       // 7
  std::string first_mix;  // 6: how the input of every mix's `low` is mixed
  LinearRef receptance, key, value, out;
  LinearRef gate;               // 5.1 to 6: silu(gate(x)) times the norm's output
  std::string decay;            // 4, 5: inner() values, with decay_per_head one a head
  bool decay_per_head = false;  // 5.0, 5.1; the bonus too
  LowRank decay_low;            // 6, 7: its out has the static part as bias
  std::string bonus;            // u; of version 7 as above
  bool bonus_is_log = false;    // 5.0, 5.1: u is its exponential
  LowRank rate_low, gate_low;   // 7
  LowRank value_low;  // 7, but for the first layer: its sigmoid blends v with that layer's v
  std::string key_scale, key_rate;  // 7
  NormSpec norm;                    // 5 on: each head for itself, weights span all
  std::uint64_t inner() const { return heads * head_dim; }
  static constexpr std::string_view kName = "RWKV time mixing";
  Status Check(const MixerContext& context) const;
  void VisitParts(const MixerContext& context, PartVisitor& visitor) const;
  double kept_floats(double /*context*/) const { return static_cast<double>(inner() * head_dim); }
};

// value(max(key(mix x), 0)^2), up to version 6 times sigmoid(receptance(mix x)).
struct RwkvChannelMixSpec {
  RwkvMix key_mix, receptance_mix;
  LinearRef key, value, receptance;

  Status Check() const;
  void VisitParts(const MixerContext& context, PartVisitor& visitor) const;
};

}  // namespace ingot::model
