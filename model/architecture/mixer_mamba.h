// State-space mixers as data: Mamba (Gu and Dao, 2023, arXiv 2312.00752) and Mamba-2 (Dao and Gu,
// 2024, arXiv 2405.21060). Projections are matrices like any others; the parameters of convolution
// and scan are small and stay as the checkpoint has them.
//
// Thread rule: values.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/status.h"
#include "model/architecture/layer_parts.h"
#include "model/architecture/part_visitor.h"

namespace ingot::model {

// Depthwise convolution over time: y[t][c] = activation(b[c] + sum over k of w[c][k] x[t - K + 1 +
// k][c]), with zeros before the sequence.
struct CausalConvSpec {
  std::uint64_t channels = 0;
  std::uint64_t kernel = 0;  // K; a sequence carries K - 1 inputs on
  std::string weight;        // channels x 1 x K
  std::string bias;          // empty: none
  Activation activation = Activation::kSilu;
};

// h[c][n] = exp(dt[c] A[c][n]) h[c][n] + dt[c] B[n] x[c];  y[c] = sum over n of C[n] h[c][n] + D[c]
// x[c], with A = -exp(a_log) and dt = softplus(time_step(...)).
struct MambaSpec {
  std::uint64_t inner = 0;  // channels
  std::uint64_t state = 0;  // numbers a channel keeps
  LinearRef x, z;           // hidden -> inner: rows of in_proj
  CausalConvSpec conv;
  LinearRef dt, b, c;                // inner -> rank, state, state: rows of x_proj
  NormSpec dt_norm, b_norm, c_norm;  // Jamba, FalconMamba
  LinearRef time_step;               // rank -> inner, with its bias: dt_proj
  std::string a_log;                 // inner x state
  std::string d;                     // inner
  LinearRef out;                     // inner -> hidden
  static constexpr std::string_view kName = "Mamba";
  Status Check(const MixerContext& context) const;
  void VisitParts(const MixerContext& context, PartVisitor& visitor) const;
  double kept_floats(double /*context*/) const { return static_cast<double>(inner * state); }
};

// As above with one A, D and dt a head, and B and C shared by the heads of a group:
// dt = clamp(softplus(dt + dt_bias), time_step_min, time_step_max).
struct Mamba2Spec {
  std::uint64_t heads = 0;
  std::uint64_t head_dim = 0;
  std::uint64_t groups = 0;
  std::uint64_t state = 0;
  LinearRef z, xbc, dt;           // hidden -> inner, conv.channels, heads: rows of in_proj
  CausalConvSpec conv;            // over x, B and C side by side: inner + 2 groups * state channels
  std::string a_log, d, dt_bias;  // heads each
  double time_step_min = 0;
  double time_step_max = std::numeric_limits<double>::infinity();
  NormSpec norm;                  // of y * activation(z); its weight spans all heads
  std::uint64_t norm_groups = 1;  // equal parts of a row that are normalized each for itself
  LinearRef out;                  // inner -> hidden
  std::uint64_t inner() const { return heads * head_dim; }
  static constexpr std::string_view kName = "Mamba-2";
  Status Check(const MixerContext& context) const;
  void VisitParts(const MixerContext& context, PartVisitor& visitor) const;
  double kept_floats(double context) const { return static_cast<double>(heads) * context; }
};

}  // namespace ingot::model
