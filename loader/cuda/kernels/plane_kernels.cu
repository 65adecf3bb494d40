// y = W x of a matrix that is a sum of planes: int codes of 1 to 8 bits (symmetric, asymmetric,
// normal or logarithmic levels, groups of any size), fp8, floats, sparse outliers.
//
// Limits: rows, cols and tokens below 2^31; up to 4 planes. Rows of codes that start at multiples
// of 16 bytes are read by vectors, others by bytes.
//
// Tensor cores (bf16 activations), 1 to 64 tokens a block, weights read once for them: A is the
// weights, 16 rows, B the tokens, 8 of them. A block has 16 kRowTiles rows; its 8 warps cut the
// columns by blocks of 128 and their sums meet in shared memory, one warp after another:
//
//             columns  0..127 |128..255| ...          lane = 4 group + quad
//   row  group         warp 0 | warp 1 | ... warp 7   quad's numbers of a segment of 64:
//   row  group + 8     warp 0 | warp 1 | ...            16 quad ... 16 quad + 15 (dense_rows.h)
//
// so a lane's codes are 16 neighbouring bytes of a row, no shuffles and no shared memory on the
// way. A code less its zero has at most 8 significant bits and is exact in bfloat16. The quick
// kernels (4 or 8 bits, equal steps or fp8, groups of whole segments) multiply a segment's sums by
// its scale in float32; all else is decoded to float32 and rounded. Tokens that take fewer planes
// meet the others with zeros.
//
// f32 activations: a warp has a row and up to 8 tokens, a lane 16 numbers at a time; sums in
// float32.
//
// Floor: bytes of the planes over the copy bandwidth (few tokens); operations over the library's
// bf16 rate (many).
// Bench: build/release/bin/cuda_bench --filter planes
#include "loader/cuda/kernels/plane_kernels.h"
#include "loader/cuda/kernels/plane_values.h"
#include "loader/cuda/launch.h"

namespace ingot::cuda {
namespace {

constexpr int kBlockWarps = 8;

INGOT_BOTH unsigned Blocks(std::int64_t items, int of_block) {
  return static_cast<unsigned>((items + of_block - 1) / of_block);
}

INGOT_DEVICE int PlanesOfToken(const std::int32_t* counts, int plane_count, int token) {
  return counts == nullptr ? plane_count : Least(counts[token], plane_count);
}

// What a sparse plane adds to one output. x: the token's row.
template <class T>
INGOT_DEVICE float SparseSum(const DevicePlane& plane, std::int64_t row, const T* x) {
  float sum = 0;
  for (std::uint32_t i = plane.row_begins[row]; i < plane.row_begins[row + 1]; ++i)
    sum = Fma(ToFloat(F16{plane.values[i]}), ToFloat(x[plane.columns[i]]), sum);
  return sum;
}

// ---- tensor cores --------------------------------------------------------------------------

template <int kBits, int kRowTiles, int kTokenTiles>
struct PlaneTile {
  using Args = PlaneProductArgs;
  static constexpr int kThreads = kBlockWarps * kLanes;
  static constexpr int kRows = 16 * kRowTiles, kTokens = 8 * kTokenTiles;
  static constexpr int kWarpColumns = 2 * kFragmentBlock;

  static Shape ShapeOf(const Args& args) {
    return {.x = Blocks(args.rows, kRows),
            .y = Blocks(args.tokens, kTokens),
            .threads = kThreads,
            .shared_bytes = sizeof(float) * kRows * kTokens};
  }

  struct Sums {
    float v[kRowTiles][kTokenTiles][4] = {};
  };

  static INGOT_DEVICE void Run(const Args& args) {
    const Shared<float> sums = SharedAt<float>(0, kRows * kTokens);
    Sums own;
    for (int p = 0; p < args.plane_count; ++p)
      if (args.planes[p].form != PlaneForm::kSparse) AddPlane(args, p, own);
    for (int w = 0; w < kBlockWarps; ++w) {
      if (Warp() == w) AddTo(own, w == 0, sums);
      Sync();
    }
    for (int i = static_cast<int>(ThreadX()); i < kRows * kTokens; i += kThreads) {
      const std::int64_t row = static_cast<std::int64_t>(BlockX()) * kRows + i % kRows;
      const std::int64_t token = static_cast<std::int64_t>(BlockY()) * kTokens + i / kRows;
      if (row >= args.rows || token >= args.tokens) continue;
      float y = sums.Get(i);
      const Bf16* x = static_cast<const Bf16*>(args.x) + token * args.cols;
      const int planes =
          PlanesOfToken(args.token_planes, args.plane_count, static_cast<int>(token));
      for (int p = 0; p < planes; ++p)
        if (args.planes[p].form == PlaneForm::kSparse) y += SparseSum(args.planes[p], row, x);
      if (args.bias != nullptr) y += args.bias[row];
      args.y[token * args.y_stride + row] = y;
    }
  }

 private:
  static INGOT_DEVICE void AddPlane(const Args& args, int p, Sums& own) {
    const DevicePlane& plane = args.planes[p];
    const int group = Lane() / 4, quad = Lane() % 4;
    const int first_row = static_cast<int>(BlockX()) * kRows;
    for (int block = kWarpColumns * Warp(); block < args.cols;
         block += kWarpColumns * kBlockWarps) {
      INGOT_UNROLL
      for (int segment = 0; segment < 2; ++segment) {
        const int begin = block + kFragmentBlock * segment;
        if (begin >= args.cols) break;
        const int at = begin + kFragmentNumbers * quad;
        std::uint32_t x[kTokenTiles][8];
        TakeTokens(args, p, at, x);
        INGOT_UNROLL
        for (int t = 0; t < kRowTiles; ++t) {
          const std::int64_t low = Least(first_row + 16 * t + group, args.rows - 1);
          const std::int64_t high = Least(first_row + 16 * t + group + 8, args.rows - 1);
          if constexpr (kBits == 0)
            AddValues(plane, low, high, at, args.cols, x, own.v[t]);
          else
            AddScaled(plane, low, high, begin, at, x, own.v[t]);
        }
      }
    }
  }

  // Of this lane's column of each token tile; zero where the token does not take the plane.
  static INGOT_DEVICE void TakeTokens(const Args& args, int p, int at,
                                      std::uint32_t (&x)[kTokenTiles][8]) {
    const bool aligned = IsAligned(args.x, 2ll * args.cols);
    INGOT_UNROLL
    for (int t = 0; t < kTokenTiles; ++t) {
      const int token = static_cast<int>(BlockY()) * kTokens + 8 * t + Lane() / 4;
      const int there = Least(token, args.tokens - 1);
      LoadFragment(static_cast<const Bf16*>(args.x) + static_cast<std::int64_t>(there) * args.cols,
                   at, args.cols, aligned, x[t]);
      if (p < PlanesOfToken(args.token_planes, args.plane_count, there)) continue;
      INGOT_UNROLL
      for (int i = 0; i < 8; ++i) x[t][i] = 0;
    }
  }

  static INGOT_DEVICE void AddProducts(const std::uint32_t (&low)[8],
                                       const std::uint32_t (&high)[8],
                                       const std::uint32_t (&x)[kTokenTiles][8],
                                       float (&sums)[kTokenTiles][4]) {
    INGOT_UNROLL
    for (int step = 0; step < 4; ++step) {
      const std::uint32_t a[4] = {low[2 * step], high[2 * step], low[2 * step + 1],
                                  high[2 * step + 1]};
      INGOT_UNROLL
      for (int t = 0; t < kTokenTiles; ++t) {
        const std::uint32_t b[2] = {x[t][2 * step], x[t][2 * step + 1]};
        MmaBf16(sums[t], a, b);
      }
    }
  }

  // Codes whose segment has one scale.
  static INGOT_DEVICE void AddScaled(const DevicePlane& plane, std::int64_t low, std::int64_t high,
                                     int begin, int at, const std::uint32_t (&x)[kTokenTiles][8],
                                     float (&sums)[kTokenTiles][4]) {
    const int group = begin / static_cast<int>(plane.operand.group);
    const float scales[2] = {ScaleOf(plane.operand, low, group),
                             ScaleOf(plane.operand, high, group)};
    std::uint32_t a_low[8], a_high[8];
    LevelFragment<kBits>(plane, low, at, ZeroOf(plane.operand, low, group), a_low);
    LevelFragment<kBits>(plane, high, at, ZeroOf(plane.operand, high, group), a_high);
    float parts[kTokenTiles][4] = {};
    AddProducts(a_low, a_high, x, parts);
    INGOT_UNROLL
    for (int t = 0; t < kTokenTiles; ++t) INGOT_UNROLL
    for (int r = 0; r < 4; ++r) sums[t][r] = Fma(scales[r / 2], parts[t][r], sums[t][r]);
  }

  static INGOT_DEVICE void AddValues(const DevicePlane& plane, std::int64_t low, std::int64_t high,
                                     int at, int cols, const std::uint32_t (&x)[kTokenTiles][8],
                                     float (&sums)[kTokenTiles][4]) {
    std::uint32_t a_low[8], a_high[8];
    Rounded(plane, low, at, cols, a_low);
    Rounded(plane, high, at, cols, a_high);
    AddProducts(a_low, a_high, x, sums);
  }

  static INGOT_DEVICE void Rounded(const DevicePlane& plane, std::int64_t row, int at, int cols,
                                   std::uint32_t (&pairs)[8]) {
    float v[16];
    PlaneValues(plane, row, at, cols, v);
    INGOT_UNROLL
    for (int i = 0; i < 8; ++i) pairs[i] = Pair<Bf16>(v[2 * i], v[2 * i + 1]);
  }

  // sums[token][row].
  static INGOT_DEVICE void AddTo(const Sums& own, bool first, const Shared<float>& sums) {
    const int group = Lane() / 4, quad = Lane() % 4;
    INGOT_UNROLL
    for (int t = 0; t < kRowTiles; ++t) INGOT_UNROLL
    for (int n = 0; n < kTokenTiles; ++n) INGOT_UNROLL
    for (int r = 0; r < 4; ++r) {
      const int i = (8 * n + 2 * quad + r % 2) * kRows + 16 * t + group + 8 * (r / 2);
      sums.Set(i, first ? own.v[t][n][r] : sums.Get(i) + own.v[t][n][r]);
    }
  }
};

// ---- float32 -------------------------------------------------------------------------------

struct PlaneRowF32 {
  using Args = PlaneProductArgs;
  static constexpr int kThreads = kBlockWarps * kLanes;
  static constexpr int kTokens = 8;

  static Shape ShapeOf(const Args& args) {
    return {.x = Blocks(args.rows, kBlockWarps),
            .y = Blocks(args.tokens, kTokens),
            .threads = kThreads};
  }

  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t row = static_cast<std::int64_t>(BlockX()) * kBlockWarps + Warp();
    if (row >= args.rows) return;
    const int first = static_cast<int>(BlockY()) * kTokens;
    const float* x = static_cast<const float*>(args.x);
    float sums[kTokens] = {};
    for (int at = kFragmentNumbers * Lane(); at < args.cols; at += kFragmentNumbers * kLanes) {
      float weights[16];
      for (int p = 0; p < args.plane_count; ++p) {
        if (args.planes[p].form == PlaneForm::kSparse) continue;
        PlaneValues(args.planes[p], row, at, args.cols, weights);
        INGOT_UNROLL
        for (int t = 0; t < kTokens; ++t) {
          const int token = first + t;
          if (token >= args.tokens ||
              p >= PlanesOfToken(args.token_planes, args.plane_count, token))
            continue;
          const float* inputs = x + static_cast<std::int64_t>(token) * args.cols + at;
          for (int i = 0; i < 16 && at + i < args.cols; ++i)
            sums[t] = Fma(weights[i], inputs[i], sums[t]);
        }
      }
    }
    INGOT_UNROLL
    for (int t = 0; t < kTokens; ++t) sums[t] = WarpSum(sums[t]);
    const int token = first + Lane();
    if (Lane() >= kTokens || token >= args.tokens) return;
    float y = 0;
    INGOT_UNROLL
    for (int t = 0; t < kTokens; ++t)
      if (Lane() == t) y = sums[t];
    const int planes = PlanesOfToken(args.token_planes, args.plane_count, token);
    for (int p = 0; p < planes; ++p)
      if (args.planes[p].form == PlaneForm::kSparse)
        y += SparseSum(args.planes[p], row, x + static_cast<std::int64_t>(token) * args.cols);
    if (args.bias != nullptr) y += args.bias[row];
    args.y[token * args.y_stride + row] = y;
  }
};

// ---- rows as floats ------------------------------------------------------------------------

template <class T>
struct DecodeRows {
  using Args = PlaneRowsArgs;
  static constexpr int kThreads = 128;

  static Shape ShapeOf(const Args& args) {
    return {.x = static_cast<unsigned>(args.count), .threads = kThreads};
  }

  static INGOT_DEVICE void Run(const Args& args) {
    const int i = static_cast<int>(BlockX());
    const std::int64_t row = args.ids == nullptr ? i : args.ids[i];
    T* out = static_cast<T*>(args.out) + static_cast<std::int64_t>(i) * args.cols;
    const bool there = row >= 0 && row < args.rows;
    const int planes = there ? PlanesOfToken(args.row_planes, args.plane_count, i) : 0;
    for (int at = kFragmentNumbers * static_cast<int>(ThreadX()); at < args.cols;
         at += kFragmentNumbers * kThreads) {
      float sums[16] = {};
      for (int p = 0; p < planes; ++p) AddPlane(args.planes[p], row, at, args.cols, sums);
      for (int k = 0; k < 16 && at + k < args.cols; ++k) out[at + k] = FromFloat<T>(sums[k]);
    }
  }

 private:
  static INGOT_DEVICE void AddPlane(const DevicePlane& plane, std::int64_t row, int at, int cols,
                                    float (&sums)[16]) {
    if (plane.form == PlaneForm::kSparse) {
      for (std::uint32_t e = plane.row_begins[row]; e < plane.row_begins[row + 1]; ++e) {
        const int column = static_cast<int>(plane.columns[e]) - at;
        INGOT_UNROLL
        for (int k = 0; k < 16; ++k)
          if (k == column) sums[k] += ToFloat(F16{plane.values[e]});
      }
      return;
    }
    float v[16];
    PlaneValues(plane, row, at, cols, v);
    INGOT_UNROLL
    for (int k = 0; k < 16; ++k) sums[k] += v[k];
  }
};

// Bits of the codes where one of the quick kernels takes all planes; else 0.
int QuickBits(const PlaneProductArgs& args) {
  int bits = 0;
  for (int p = 0; p < args.plane_count; ++p) {
    const DevicePlane& plane = args.planes[p];
    if (plane.form == PlaneForm::kSparse) continue;
    const bool quick = (plane.form == PlaneForm::kInt && plane.operand.linear_levels) ||
                       plane.form == PlaneForm::kFp8;
    if (!quick || !SharesScale(plane.operand)) return 0;
    if (bits != 0 && plane.operand.bits != bits) return 0;
    bits = plane.operand.bits;
  }
  return bits == 4 || bits == 8 ? bits : 0;
}

template <int kBits>
int LaunchTile(const PlaneProductArgs& args, void* stream) {
  if (args.tokens <= 8) return Launch<PlaneTile<kBits, 1, 1>>(args, stream);
  if (args.tokens <= 16) return Launch<PlaneTile<kBits, 1, 2>>(args, stream);
  if constexpr (kBits == 0)
    return Launch<PlaneTile<kBits, 1, 4>>(args, stream);
  else
    return Launch<PlaneTile<kBits, 2, 8>>(args, stream);
}

bool Takes(const DevicePlane* planes, int count, int cols) {
  if (count < 1 || count > kMostPlanes || cols <= 0) return false;
  for (int p = 0; p < count; ++p) {
    const bool codes = planes[p].form == PlaneForm::kInt || planes[p].form == PlaneForm::kFp8;
    const loader::PlaneOperand& operand = planes[p].operand;
    if (codes &&
        (operand.bits < 1 || operand.bits > 8 || operand.group == 0 ||
         operand.group > 0x7fffffffu || (planes[p].form == PlaneForm::kFp8 && operand.bits != 8) ||
         operand.cols != static_cast<unsigned>(cols)))
      return false;
  }
  return true;
}

}  // namespace

extern "C" int launch_plane_product(const PlaneProductArgs* args, void* stream) {
  if (!Takes(args->planes, args->plane_count, args->cols) || args->rows < 0 || args->tokens < 0 ||
      args->tokens > 64 * 65535)
    return kBadArguments;
  if (args->x_type == FloatType::kF32) return Launch<PlaneRowF32>(*args, stream);
  if (args->x_type != FloatType::kBf16) return kBadArguments;
  switch (QuickBits(*args)) {
    case 4:
      return LaunchTile<4>(*args, stream);
    case 8:
      return LaunchTile<8>(*args, stream);
    default:
      return LaunchTile<0>(*args, stream);
  }
}

extern "C" int launch_plane_rows(const PlaneRowsArgs* args, void* stream) {
  if (!Takes(args->planes, args->plane_count, args->cols) || args->count < 0) return kBadArguments;
  switch (args->type) {
    case FloatType::kF32:
      return Launch<DecodeRows<float>>(*args, stream);
    case FloatType::kF16:
      return Launch<DecodeRows<F16>>(*args, stream);
    case FloatType::kBf16:
      return Launch<DecodeRows<Bf16>>(*args, stream);
  }
  return kBadArguments;
}

}  // namespace ingot::cuda
