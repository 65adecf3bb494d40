// Recurrences of state-space and retention mixers.
//
// Limits: rows, columns and states below 2^31, runs up to 65535.
//
//   causal conv      a thread a channel of a run, token after token
//   selective scan   a thread a channel of a run; 16 of its states at a time stay in registers
//                    while it goes over the tokens (Mamba has 16)
//   linear scan      a block 32 columns of a head of a run. Its 4 warps share the states, a lane
//                    has a column; of 16 tokens at a time
//                      parts[warp][token][lane] = sum over the warp's n of c[n] h[n][lane]
//                    lie in shared memory, then y = parts of warp 0 + 1 + 2 + 3
//
// A prompt is run token after token, a run's channels beside each other: right, and for a single
// long sequence not at the roof.
//
// Floor: states read and written, activations once, over the copy bandwidth.
// Bench: build/release/bin/cuda_bench --filter scan
#include "loader/cuda/kernels/activations.h"
#include "loader/cuda/kernels/scan_launches.h"
#include "loader/cuda/launch.h"

namespace ingot::cuda {
namespace {

struct RunRows {
  std::int64_t begin, end;
};

// Of the block's run: blocks' y.
INGOT_DEVICE RunRows RowsOf(const ScanRuns& runs) {
  return {runs.begins[BlockY()], runs.begins[BlockY() + 1]};
}
INGOT_DEVICE float* StateOf(const ScanRuns& runs) { return runs.states[BlockY()] + runs.at; }

Shape ChannelsOfRuns(int channels, const ScanRuns& runs, int threads) {
  return {.x = static_cast<unsigned>((channels + threads - 1) / threads),
          .y = static_cast<unsigned>(runs.count),
          .threads = static_cast<unsigned>(threads)};
}

struct ConvolveRuns {
  using Args = CausalConvArgs;
  static constexpr int kThreads = 128;
  static Shape ShapeOf(const Args& args) {
    return ChannelsOfRuns(args.channels, args.runs, kThreads);
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t channels = args.channels;
    const std::int64_t channel = static_cast<std::int64_t>(BlockX()) * kThreads + ThreadX();
    if (channel >= channels) return;
    const RunRows rows = RowsOf(args.runs);
    float* state = StateOf(args.runs) + channel;
    const float* x = args.x + channel;
    const std::int64_t kept = args.kernel - 1;
    // Input i of the state and the rows after it.
    const auto input = [&](std::int64_t i) {
      return i < kept ? state[i * channels] : x[(rows.begin + i - kept) * channels];
    };
    const std::int64_t count = rows.end - rows.begin;
    for (std::int64_t t = 0; t < count; ++t) {
      float y = args.bias == nullptr ? 0.0f : args.bias[channel];
      for (std::int64_t k = 0; k <= kept; ++k)
        y += args.weight[k * channels + channel] * input(t + k);
      args.y[(rows.begin + t) * channels + channel] = Activated(args.activation, y);
    }
    for (std::int64_t i = 0; i < kept; ++i) state[i * channels] = input(i + count);
  }
};

struct SelectRuns {
  using Args = SelectiveScanArgs;
  static constexpr int kThreads = 128, kOwn = 16;
  static Shape ShapeOf(const Args& args) { return ChannelsOfRuns(args.inner, args.runs, kThreads); }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t channel = static_cast<std::int64_t>(BlockX()) * kThreads + ThreadX();
    if (channel >= args.inner) return;
    for (int first = 0; first < args.states; first += kOwn) Part(args, channel, first);
  }

 private:
  // Adds what states [first, first + kOwn) give of every row.
  static INGOT_DEVICE void Part(const Args& args, std::int64_t channel, int first) {
    float* state = StateOf(args.runs) + static_cast<std::int64_t>(first) * args.inner + channel;
    const float* decays = args.a + static_cast<std::int64_t>(first) * args.inner + channel;
    const int own = Least(kOwn, args.states - first);
    float h[kOwn], a[kOwn];
    INGOT_UNROLL
    for (int n = 0; n < kOwn; ++n) {
      const std::int64_t at = static_cast<std::int64_t>(n) * args.inner;
      h[n] = n < own ? state[at] : 0.0f;
      a[n] = n < own ? decays[at] : 0.0f;
    }
    const RunRows rows = RowsOf(args.runs);
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      const std::int64_t at = row * args.inner + channel;
      const float* b = args.b + row * args.states + first;
      const float* c = args.c + row * args.states + first;
      const float x = args.x[at], step = Softplus(args.step[at]), input = step * x;
      float y = first == 0 ? 0.0f : args.y[at];
      INGOT_UNROLL
      for (int n = 0; n < kOwn; ++n) {
        if (n >= own) continue;
        h[n] = Fma(Exp(step * a[n]), h[n], input * b[n]);
        y = Fma(c[n], h[n], y);
      }
      args.y[at] = first + own == args.states ? Fma(args.skip[channel], x, y) : y;
    }
    INGOT_UNROLL
    for (int n = 0; n < kOwn; ++n)
      if (n < own) state[static_cast<std::int64_t>(n) * args.inner] = h[n];
  }
};

struct LinearRuns {
  using Args = LinearScanArgs;
  static constexpr int kWarps = 4, kThreads = kWarps * kLanes;
  static constexpr int kTile = 16;  // tokens
  static constexpr int kOwn = 16;   // states in registers

  static INGOT_BOTH int ColumnBlocks(const Args& args) { return (args.dim + kLanes - 1) / kLanes; }
  static Shape ShapeOf(const Args& args) {
    return {.x = static_cast<unsigned>(args.heads * ColumnBlocks(args)),
            .y = static_cast<unsigned>(args.runs.count),
            .threads = kThreads,
            .shared_bytes = sizeof(float) * (2 * kTile + kThreads * kTile)};
  }

  struct Place {
    int head, column;
    bool there;
    const float* x;  // of a row: + row * x_stride
    const float* b;
    const float* c;
    float* state;  // of column: states x dim
  };

  static INGOT_DEVICE void Run(const Args& args) {
    const Shared<float> factors = SharedAt<float>(0, 2 * kTile);
    const Shared<float> parts = SharedAt<float>(sizeof(float) * 2 * kTile, kThreads * kTile);
    const Place place = PlaceOf(args);
    const RunRows rows = RowsOf(args.runs);
    for (std::int64_t row = rows.begin; row < rows.end; row += kTile) {
      const int tokens = static_cast<int>(Least<std::int64_t>(kTile, rows.end - row));
      if (static_cast<int>(ThreadX()) < tokens) SetFactors(args, place, row, factors);
      Sync();
      for (int t = 0; t < tokens; ++t) parts.Set(PartAt(Warp(), t), 0.0f);
      const int share = (args.states + kWarps - 1) / kWarps;
      const int end = Least(args.states, (Warp() + 1) * share);
      for (int first = Warp() * share; first < end && place.there; first += kOwn)
        AddStates(args, place, row, tokens, first, Least(kOwn, end - first), factors, parts);
      Sync();
      for (int t = Warp(); t < tokens && place.there; t += kWarps) {
        float y = 0;
        for (int w = 0; w < kWarps; ++w) y += parts.Get(PartAt(w, t));
        if (args.skips != nullptr) y += args.skips[place.head] * place.x[(row + t) * args.x_stride];
        args.y[((row + t) * args.heads + place.head) * args.dim + place.column] = y;
      }
    }
  }

 private:
  static INGOT_DEVICE int PartAt(int warp, int token) {
    return (warp * kTile + token) * kLanes + Lane();
  }

  static INGOT_DEVICE Place PlaceOf(const Args& args) {
    Place place;
    const int blocks = ColumnBlocks(args);
    place.head = static_cast<int>(BlockX()) / blocks;
    place.column = static_cast<int>(BlockX()) % blocks * kLanes + Lane();
    place.there = place.column < args.dim;
    const std::int64_t group = place.head / (args.heads / args.groups);
    place.x = args.x + static_cast<std::int64_t>(place.head) * args.dim + place.column;
    place.b = args.b + group * args.states;
    place.c = args.c + group * args.states;
    place.state = StateOf(args.runs) +
                  static_cast<std::int64_t>(place.head) * args.states * args.dim + place.column;
    return place;
  }

  // Decay and factor of token ThreadX of a tile.
  static INGOT_DEVICE void SetFactors(const Args& args, const Place& place, std::int64_t row,
                                      const Shared<float>& factors) {
    const int t = static_cast<int>(ThreadX());
    float decay, factor = args.scale;
    if (args.steps == nullptr) {
      decay = args.decays[place.head];
    } else {
      const float step = args.steps[(row + t) * args.heads + place.head];
      factor = Max(args.low, Min(args.high, Softplus(step + args.step_bias[place.head])));
      decay = Exp(factor * args.a[place.head]);
    }
    factors.Set(2 * t, decay);
    factors.Set(2 * t + 1, factor);
  }

  // Carries `own` states from `first` on over the tile's tokens.
  static INGOT_DEVICE void AddStates(const Args& args, const Place& place, std::int64_t row,
                                     int tokens, int first, int own, const Shared<float>& factors,
                                     const Shared<float>& parts) {
    float* state = place.state + static_cast<std::int64_t>(first) * args.dim;
    float h[kOwn];
    INGOT_UNROLL
    for (int n = 0; n < kOwn; ++n)
      h[n] = n < own ? state[static_cast<std::int64_t>(n) * args.dim] : 0.0f;
    for (int t = 0; t < tokens; ++t) {
      const float* b = place.b + (row + t) * args.b_stride + first;
      const float* c = place.c + (row + t) * args.c_stride + first;
      const float decay = factors.Get(2 * t);
      const float x = place.x[(row + t) * args.x_stride] * factors.Get(2 * t + 1);
      float y = parts.Get(PartAt(Warp(), t));
      INGOT_UNROLL
      for (int n = 0; n < kOwn; ++n) {
        if (n >= own) continue;
        h[n] = Fma(b[n], x, decay * h[n]);
        y = Fma(c[n], h[n], y);
      }
      parts.Set(PartAt(Warp(), t), y);
    }
    INGOT_UNROLL
    for (int n = 0; n < kOwn; ++n)
      if (n < own) state[static_cast<std::int64_t>(n) * args.dim] = h[n];
  }
};

}  // namespace

extern "C" int launch_causal_conv(const CausalConvArgs* args, void* stream) {
  if (!TakesRuns(args->runs) || args->channels <= 0 || args->kernel <= 0) return kBadArguments;
  return Launch<ConvolveRuns>(*args, stream);
}

extern "C" int launch_selective_scan(const SelectiveScanArgs* args, void* stream) {
  if (!TakesRuns(args->runs) || args->inner <= 0 || args->states <= 0) return kBadArguments;
  return Launch<SelectRuns>(*args, stream);
}

extern "C" int launch_linear_scan(const LinearScanArgs* args, void* stream) {
  if (!TakesRuns(args->runs) || args->heads <= 0 || args->groups <= 0 ||
      args->heads % args->groups != 0 || args->dim <= 0 || args->states <= 0 ||
      (args->steps == nullptr) == (args->decays == nullptr))
    return kBadArguments;
  return Launch<LinearRuns>(*args, stream);
}

}  // namespace ingot::cuda
