// RWKV: token shift and mixing, the recurrences of versions 4 to 7.
//
// Limits: rows and columns below 2^31, runs up to 65535, heads of up to 128.
//
//   shift, version 4   a thread a channel of a run, token after token
//   mix, blend         a thread a number
//   versions 5 to 7    a block a head of a run, a thread a value's column j of its state, which
//                      lies in shared memory: S[i][j] at i * dim + j, no lane's bank another's.
//                      What a token brings of each i (r, k, w, ...) lies beside it:
//                        |S: dim x dim|sums: 16|r|k|w|u or kk|kk * rate|   dim each
//   bonus              a warp a head of a row
//
// Sums over i are in the processor's order (loader/kernels/rwkv_body.h). A prompt is run token
// after token: right, and not at the roof.
//
// Floor: states read and written, activations once, over the copy bandwidth.
// Bench: build/release/bin/cuda_bench --filter scan
#include "loader/cuda/kernels/activations.h"
#include "loader/cuda/kernels/rwkv_launches.h"
#include "loader/cuda/launch.h"

namespace ingot::cuda {
namespace {

constexpr float kSlowestDecay7 = 0.60653065971f;  // e^(-1/2)
constexpr float kNormFloor = 1e-12f;              // of version 7's keys, as torch's normalize

INGOT_BOTH unsigned BlocksOf(std::int64_t items, int of_block) {
  return static_cast<unsigned>((items + of_block - 1) / of_block);
}

// Runs are blocks' y.
INGOT_DEVICE std::int64_t FirstRow(const ScanRuns& runs) { return runs.begins[BlockY()]; }
INGOT_DEVICE std::int64_t EndRow(const ScanRuns& runs) { return runs.begins[BlockY() + 1]; }

struct ShiftRuns {
  using Args = TokenShiftArgs;
  static constexpr int kThreads = 128;
  static Shape ShapeOf(const Args& args) {
    return {.x = BlocksOf(args.cols, kThreads),
            .y = static_cast<unsigned>(args.runs.count),
            .threads = kThreads};
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t col = static_cast<std::int64_t>(BlockX()) * kThreads + ThreadX();
    if (col >= args.cols) return;
    float* state = args.runs.states[BlockY()] + args.runs.at + col;
    float before = *state;
    for (std::int64_t row = FirstRow(args.runs); row < EndRow(args.runs); ++row) {
      const float x = args.x[row * args.cols + col];
      args.delta[row * args.cols + col] = before - x;
      before = x;
    }
    *state = before;
  }
};

struct MixTokens {
  using Args = TokenMixArgs;
  static constexpr int kThreads = 128;
  static Shape ShapeOf(const Args& args) {
    return {.x = static_cast<unsigned>(args.rows), .threads = kThreads};
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t row = static_cast<std::int64_t>(BlockX()) * args.cols;
    for (int c = static_cast<int>(ThreadX()); c < args.cols; c += kThreads) {
      float share = args.of_current != 0 ? 1.0f - args.share[c] : args.share[c];
      if (args.low != nullptr) share += args.low[row + c];
      args.out[row + c] = args.x[row + c] + args.delta[row + c] * share;
    }
  }
};

struct BlendValues {
  using Args = BlendArgs;
  static constexpr int kThreads = 256;
  static Shape ShapeOf(const Args& args) {
    return {.x = BlocksOf(args.count, kThreads), .threads = kThreads};
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t i = static_cast<std::int64_t>(BlockX()) * kThreads + ThreadX();
    if (i < args.count) args.value[i] += (args.first[i] - args.value[i]) * Sigmoid(args.gate[i]);
  }
};

// In the form that keeps exponents from overflowing: a and b are held divided by e^p. b is 0 only
// before the first token.
struct Channels4 {
  using Args = Rwkv4Args;
  static constexpr int kThreads = 128;
  static Shape ShapeOf(const Args& args) {
    return {.x = BlocksOf(args.inner, kThreads),
            .y = static_cast<unsigned>(args.runs.count),
            .threads = kThreads};
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t channel = static_cast<std::int64_t>(BlockX()) * kThreads + ThreadX();
    if (channel >= args.inner) return;
    float* state = args.runs.states[BlockY()] + args.runs.at + channel;
    float a = state[0], b = state[args.inner], p = state[2 * std::int64_t{args.inner}];
    const float decay = args.decay[channel], bonus = args.bonus[channel];
    for (std::int64_t row = FirstRow(args.runs); row < EndRow(args.runs); ++row) {
      const std::int64_t at = row * args.inner + channel;
      const float k = args.key[at], v = args.value[at];
      const bool empty = b == 0.0f;
      float top = empty ? bonus + k : Max(p, bonus + k);
      float past = empty ? 0.0f : Exp(p - top), now = Exp(bonus + k - top);
      args.y[at] = (past * a + now * v) / (past * b + now);
      top = empty ? k : Max(decay + p, k);
      past = empty ? 0.0f : Exp(decay + p - top);
      now = Exp(k - top);
      a = past * a + now * v;
      b = past * b + now;
      p = top;
    }
    state[0] = a;
    state[args.inner] = b;
    state[2 * std::int64_t{args.inner}] = p;
  }
};

// kDelta: version 7.
template <bool kDelta>
struct HeadRuns {
  using Args = RwkvScanArgs;
  static constexpr int kThreads = kMostRwkvDim;
  static constexpr int kSums = 16;

  static Shape ShapeOf(const Args& args) {
    const int dim = args.dim;
    return {.x = static_cast<unsigned>(args.heads),
            .y = static_cast<unsigned>(args.runs.count),
            .threads = static_cast<unsigned>((dim + kLanes - 1) / kLanes * kLanes),
            .shared_bytes = sizeof(float) * (VectorsAt(dim) + 5 * VectorStride(dim))};
  }
  // Arrays begin at multiples of 16 bytes.
  static INGOT_BOTH std::size_t VectorStride(int dim) {
    return static_cast<std::size_t>((dim + 3) / 4 * 4);
  }
  static INGOT_BOTH std::size_t VectorsAt(int dim) {
    return (static_cast<std::size_t>(dim) * dim + 3) / 4 * 4 + kSums;
  }
  static INGOT_DEVICE Shared<float> Vector(int dim, int which) {
    return SharedAt<float>(sizeof(float) * (VectorsAt(dim) + which * VectorStride(dim)),
                           static_cast<std::size_t>(dim));
  }

  static INGOT_DEVICE void Run(const Args& args) {
    const int dim = args.dim, j = static_cast<int>(ThreadX());
    const bool there = j < dim;
    const Shared<float> s = SharedAt<float>(0, static_cast<std::size_t>(dim) * dim);
    float* state = args.runs.states[BlockY()] + args.runs.at +
                   static_cast<std::int64_t>(BlockX()) * dim * dim + j;
    for (int i = 0; i < dim && there; ++i) s.Set(i * dim + j, state[i * dim]);
    for (std::int64_t row = FirstRow(args.runs); row < EndRow(args.runs); ++row) {
      Sync();  // the token before is read
      Bring(args, row, there);
      Sync();
      if (there) Step(args, row, s);
    }
    for (int i = 0; i < dim && there; ++i) state[i * dim] = s.Get(i * dim + j);
  }

 private:
  static INGOT_DEVICE std::int64_t ColumnOf(const Args& args) {
    return static_cast<std::int64_t>(BlockX()) * args.dim + ThreadX();
  }
  static INGOT_DEVICE std::int64_t NumberOf(const Args& args, std::int64_t row) {
    return row * args.heads * args.dim + ColumnOf(args);
  }

  static INGOT_DEVICE float DecayOf(const Args& args, std::int64_t row) {
    if (args.by_token == 0) return args.decay[ColumnOf(args)];
    const float decay = args.decay[NumberOf(args, row)];
    return Exp(kDelta ? -kSlowestDecay7 * Sigmoid(decay) : -Exp(decay));
  }

  // What the token has of i = ThreadX.
  static INGOT_DEVICE void Bring(const Args& args, std::int64_t row, bool there) {
    const int dim = args.dim, i = static_cast<int>(ThreadX());
    const std::int64_t at = NumberOf(args, row), column = ColumnOf(args);
    float key = there ? args.key[at] : 0.0f, removal = 0;
    if constexpr (kDelta) {
      removal = there ? key * args.key_scale[column] : 0.0f;
      const float squares = BlockSum(
          removal * removal, SharedAt<float>(sizeof(float) * (VectorsAt(dim) - kSums), kSums));
      removal /= Max(Sqrt(squares), kNormFloor);
    }
    if (!there) return;
    Vector(dim, 0).Set(i, args.receptance[at]);
    Vector(dim, 2).Set(i, DecayOf(args, row));
    if constexpr (kDelta) {
      const float rate = args.rate[at];
      key *= 1.0f + (rate - 1.0f) * args.key_rate[column];
      Vector(dim, 3).Set(i, removal);
      Vector(dim, 4).Set(i, removal * rate);
    } else {
      Vector(dim, 3).Set(i, args.bonus[column]);
    }
    Vector(dim, 1).Set(i, key);
  }

  static INGOT_DEVICE void Step(const Args& args, std::int64_t row, const Shared<float>& s) {
    const int dim = args.dim, j = static_cast<int>(ThreadX());
    const std::int64_t at = NumberOf(args, row);
    const Shared<float> r = Vector(dim, 0), k = Vector(dim, 1), w = Vector(dim, 2);
    const Shared<float> u = Vector(dim, 3), replacement = Vector(dim, 4);
    const float v = args.value[at];
    float y = 0, removed = 0;
    if constexpr (kDelta)
      for (int i = 0; i < dim; ++i) removed += u.Get(i) * s.Get(i * dim + j);
    for (int i = 0; i < dim; ++i) {
      const float old = s.Get(i * dim + j), kv = k.Get(i) * v;
      if constexpr (kDelta) {
        const float now = w.Get(i) * old - replacement.Get(i) * removed + kv;
        s.Set(i * dim + j, now);
        y += r.Get(i) * now;
      } else {
        y += r.Get(i) * (u.Get(i) * kv + old);
        s.Set(i * dim + j, w.Get(i) * old + kv);
      }
    }
    args.y[at] = y;
  }
};

struct AddBonus {
  using Args = RwkvBonusArgs;
  static constexpr int kThreads = 128;
  static Shape ShapeOf(const Args& args) {
    return {.x = BlocksOf(std::int64_t{args.rows} * args.heads, kThreads / kLanes),
            .threads = kThreads};
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t head = static_cast<std::int64_t>(BlockX()) * Warps() + Warp();
    if (head >= std::int64_t{args.rows} * args.heads) return;
    const std::int64_t at = head * args.dim, column = head % args.heads * args.dim;
    float sum = 0;
    for (int i = Lane(); i < args.dim; i += kLanes) {
      const float key =
          args.key[at + i] * (1.0f + (args.rate[at + i] - 1.0f) * args.key_rate[column + i]);
      sum += args.receptance[at + i] * key * args.bonus[column + i];
    }
    sum = WarpSum(sum);
    for (int i = Lane(); i < args.dim; i += kLanes) args.y[at + i] += sum * args.value[at + i];
  }
};

}  // namespace

extern "C" int launch_token_shift(const TokenShiftArgs* args, void* stream) {
  if (!TakesRuns(args->runs) || args->cols <= 0) return kBadArguments;
  return Launch<ShiftRuns>(*args, stream);
}

extern "C" int launch_token_mix(const TokenMixArgs* args, void* stream) {
  if (args->rows < 0 || args->cols <= 0) return kBadArguments;
  return Launch<MixTokens>(*args, stream);
}

extern "C" int launch_blend(const BlendArgs* args, void* stream) {
  if (args->count < 0 || args->count >= std::int64_t{1} << 39) return kBadArguments;
  return Launch<BlendValues>(*args, stream);
}

extern "C" int launch_rwkv4(const Rwkv4Args* args, void* stream) {
  if (!TakesRuns(args->runs) || args->inner <= 0) return kBadArguments;
  return Launch<Channels4>(*args, stream);
}

extern "C" int launch_rwkv_scan(const RwkvScanArgs* args, void* stream) {
  const bool delta = args->key_scale != nullptr;
  if (!TakesRuns(args->runs) || args->heads <= 0 || args->dim <= 0 || args->dim > kMostRwkvDim ||
      (delta ? args->key_rate == nullptr || args->rate == nullptr : args->bonus == nullptr))
    return kBadArguments;
  if (delta) return Launch<HeadRuns<true>>(*args, stream);
  return Launch<HeadRuns<false>>(*args, stream);
}

extern "C" int launch_rwkv_bonus(const RwkvBonusArgs* args, void* stream) {
  if (args->rows < 0 || args->heads <= 0 || args->dim <= 0) return kBadArguments;
  return Launch<AddBonus>(*args, stream);
}

}  // namespace ingot::cuda
