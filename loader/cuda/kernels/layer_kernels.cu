// Norms, rotary positions, activations and sums, rows, input transforms.
//
// Limits: rows, columns and counts below 2^31 (pointwise: 2^39); a Hadamard block up to 20000
// columns, both of its copies in shared memory.
//
//   norm       a block a row: |thread 0|1|..|127|0|1|..   sums by warps, then over shared memory
//   hadamard   a block a (row, block of columns): signs, DCT over the odd factor, butterflies
//                x[j][b]  j < odd, b < chunk  ->  u[i][b] = sum over j of M[i][j] s x[j][b]
//                u[i][b], u[i][b + stride]    ->  their sum and difference, stride = 1, 2, 4, ...
//              products and sums in the order of docs/codecs.md
//   others     a thread a number
//
// Floor: bytes read and written over the copy bandwidth.
// Bench: build/release/bin/cuda_bench --filter layer
#include "loader/cuda/kernels/layer_kernels.h"
#include "loader/cuda/kernels/activations.h"
#include "loader/cuda/launch.h"

namespace ingot::cuda {
namespace {

constexpr int kThreadsOfRow = 128;

INGOT_BOTH unsigned Blocks(std::int64_t items, int of_block) {
  return static_cast<unsigned>((items + of_block - 1) / of_block);
}

INGOT_DEVICE void Put(void* to, std::int64_t i, float v, FloatType type) {
  if (type == FloatType::kF32)
    static_cast<float*>(to)[i] = v;
  else
    static_cast<Bf16*>(to)[i] = FromFloat<Bf16>(v);
}

struct NormRows {
  using Args = NormArgs;
  static constexpr int kThreads = kThreadsOfRow;
  static Shape ShapeOf(const Args& args) {
    return {.x = static_cast<unsigned>(args.rows),
            .threads = kThreads,
            .shared_bytes = 2 * 16 * sizeof(float)};
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t row = BlockX();
    const float* x = args.x + row * args.cols;
    const int from = static_cast<int>(ThreadX());
    const float count = static_cast<float>(args.cols);
    float mean = 0;
    if (args.subtracts_mean != 0) {
      for (int c = from; c < args.cols; c += kThreads) mean += x[c];
      mean = BlockSum(mean, SharedAt<float>(0, 16)) / count;
    }
    float square = 0;
    for (int c = from; c < args.cols; c += kThreads) square = Fma(x[c] - mean, x[c] - mean, square);
    square = BlockSum(square, SharedAt<float>(16 * sizeof(float), 16)) / count;
    const float scale = 1.0f / Sqrt(square + args.eps);
    const std::int64_t weights = row % args.weight_rows * args.cols;
    for (int c = from; c < args.cols; c += kThreads) {
      float y = (x[c] - mean) * scale * (args.offset + args.weight[weights + c]);
      if (args.bias != nullptr) y += args.bias[weights + c];
      if (args.scales != nullptr) y *= args.scales[c];
      Put(args.y, row * args.cols + c, y, args.type);
    }
  }
};

struct RotateRows {
  using Args = RopeArgs;
  static constexpr int kThreads = kThreadsOfRow;
  static Shape ShapeOf(const Args& args) {
    return {.x = static_cast<unsigned>(args.rows), .threads = kThreads};
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t row = BlockX();
    const int half = args.dims / 2;
    const float* cosine = args.table + row * args.dims;
    const int step = args.interleaved != 0 ? 2 : 1, partner = args.interleaved != 0 ? 1 : half;
    float* x = args.x + row * args.heads * args.head_dim;
    for (int i = static_cast<int>(ThreadX()); i < args.heads * half; i += kThreads) {
      const int d = i % half;
      float* a = x + i / half * args.head_dim + d * step;
      float* b = a + partner;
      const float rotated = *a * cosine[d] - *b * cosine[half + d];
      *b = *b * cosine[d] + *a * cosine[half + d];
      *a = rotated;
    }
  }
};

struct EachNumber {
  using Args = PointwiseArgs;
  static constexpr int kThreads = 256;
  static Shape ShapeOf(const Args& args) {
    return {.x = Blocks(args.count, kThreads), .threads = kThreads};
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t i = static_cast<std::int64_t>(BlockX()) * kThreads + ThreadX();
    if (i < args.count) Put(args.y, i, Value(args, i), args.type);
  }

 private:
  static INGOT_DEVICE float Value(const Args& args, std::int64_t i) {
    const float x = args.x[i];
    switch (args.op) {
      case Pointwise::kAddScaled:
        return x + args.number * args.other[i];
      case Pointwise::kScale:
        return args.number * x;
      case Pointwise::kSoftcap:
        return args.number * Tanh(x / args.number);
      case Pointwise::kClamp:
        return Max(-args.number, Min(args.number, x));
      case Pointwise::kTimesRow:
        return x * args.other[i % args.cols];
      case Pointwise::kGateRow:
        return x * Sigmoid(args.other[i / args.cols]);
      default:
        return Activated(args.op, x) * (args.other == nullptr ? 1.0f : args.other[i]);
    }
  }
};

struct MoveRows {
  using Args = RowsArgs;
  static constexpr int kThreads = kThreadsOfRow;
  static Shape ShapeOf(const Args& args) {
    return {.x = static_cast<unsigned>(args.count), .threads = kThreads};
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t i = BlockX(), other = args.ids[i];
    const float* x = args.x + (args.weights == nullptr ? other : i) * args.cols;
    float* out = args.out + (args.weights == nullptr ? i : other) * args.cols;
    for (int c = static_cast<int>(ThreadX()); c < args.cols; c += kThreads)
      out[c] = args.weights == nullptr ? x[c] : out[c] + args.weights[i] * x[c];
  }
};

struct SliceRows {
  using Args = SliceArgs;
  static constexpr int kThreads = kThreadsOfRow;
  static Shape ShapeOf(const Args& args) {
    return {.x = static_cast<unsigned>(args.rows), .threads = kThreads};
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t row = BlockX();
    const int width = args.pieces * args.width;
    for (int c = static_cast<int>(ThreadX()); c < width; c += kThreads)
      args.out[row * width + c] =
          args.x[row * args.cols + args.begin + c / args.width * args.stride + c % args.width];
  }
};

struct HadamardRows {
  using Args = HadamardArgs;
  static constexpr int kThreads = 256;
  static Shape ShapeOf(const Args& args) {
    const int block = args.odd * args.chunk;
    return {.x = static_cast<unsigned>(args.rows),
            .y = static_cast<unsigned>(args.cols / block),
            .threads = kThreads,
            .shared_bytes = 2 * Aligned(block)};
  }
  static INGOT_BOTH std::size_t Aligned(int block) {
    return (sizeof(float) * static_cast<std::size_t>(block) + 15) / 16 * 16;
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const int block = args.odd * args.chunk, begin = static_cast<int>(BlockY()) * block;
    const std::int64_t at = static_cast<std::int64_t>(BlockX()) * args.cols + begin;
    const int from = static_cast<int>(ThreadX());
    const Shared<float> in = SharedAt<float>(0, static_cast<std::size_t>(block));
    const Shared<float> out = SharedAt<float>(Aligned(block), static_cast<std::size_t>(block));
    for (int i = from; i < block; i += kThreads) in.Set(i, args.x[at + i] * args.signs[begin + i]);
    Sync();
    for (int i = from; i < block; i += kThreads) {
      const float* matrix = args.matrix + static_cast<std::int64_t>(i / args.chunk) * args.odd;
      float sum = matrix[0] * in.Get(i % args.chunk);
      for (int j = 1; j < args.odd; ++j) sum += matrix[j] * in.Get(j * args.chunk + i % args.chunk);
      out.Set(i, sum);
    }
    Sync();
    for (int stride = 1; stride < args.chunk; stride *= 2) {
      for (int i = from; i < block / 2; i += kThreads) {
        const int low = i / stride * 2 * stride + i % stride;
        const float a = out.Get(low), b = out.Get(low + stride);
        out.Set(low, a + b);
        out.Set(low + stride, a - b);
      }
      Sync();
    }
    for (int i = from; i < block; i += kThreads) Put(args.y, at + i, out.Get(i), args.type);
  }
};

bool TakesOutput(FloatType type) { return type == FloatType::kF32 || type == FloatType::kBf16; }

}  // namespace

extern "C" int launch_norm(const NormArgs* args, void* stream) {
  if (args->rows < 0 || args->cols <= 0 || args->weight_rows <= 0 || !TakesOutput(args->type))
    return kBadArguments;
  return Launch<NormRows>(*args, stream);
}

extern "C" int launch_rope(const RopeArgs* args, void* stream) {
  if (args->rows < 0 || args->heads <= 0 || args->dims < 0 || args->dims % 2 != 0 ||
      args->dims > args->head_dim)
    return kBadArguments;
  return args->dims == 0 ? 0 : Launch<RotateRows>(*args, stream);
}

extern "C" int launch_pointwise(const PointwiseArgs* args, void* stream) {
  if (args->count < 0 || args->count >= std::int64_t{1} << 39 || args->cols <= 0 ||
      !TakesOutput(args->type) || (args->op >= Pointwise::kTimesRow && args->other == nullptr) ||
      (args->op == Pointwise::kAddScaled && args->other == nullptr))
    return kBadArguments;
  return Launch<EachNumber>(*args, stream);
}

extern "C" int launch_rows(const RowsArgs* args, void* stream) {
  if (args->count < 0 || args->cols <= 0) return kBadArguments;
  return Launch<MoveRows>(*args, stream);
}

extern "C" int launch_slice(const SliceArgs* args, void* stream) {
  if (args->rows < 0 || args->width <= 0 || args->pieces <= 0 || args->begin < 0 ||
      std::int64_t{args->begin} + std::int64_t{args->pieces - 1} * args->stride + args->width >
          args->cols)
    return kBadArguments;
  return Launch<SliceRows>(*args, stream);
}

extern "C" int launch_hadamard(const HadamardArgs* args, void* stream) {
  if (args->rows < 0 || args->odd <= 0 || args->chunk <= 0 || args->odd % 2 == 0 ||
      (args->chunk & (args->chunk - 1)) != 0 || !TakesOutput(args->type) ||
      std::int64_t{args->odd} * args->chunk > kMostHadamardBlock || args->cols <= 0 ||
      args->cols % (args->odd * args->chunk) != 0)
    return kBadArguments;
  return Launch<HadamardRows>(*args, stream);
}

}  // namespace ingot::cuda
