// Early exit: score rows, split a batch into those that stay and those that leave, put the latter
// where they belong.
//
// Limits: any number of rows (2^31 - 1) and any row length; bottleneck 1 to 65535 x 16. f32, f16,
// bf16.
//
// norm_route, f16 and bf16: a block takes 8 kTokens rows and 16 kOutputs of the bottleneck; its
// warps cut the columns, and their sums meet in shared memory, one warp after another:
//
//   down  16 kOutputs x cols  |w0   |w1   | ... |w7   |    each warp: blocks of 64 columns of its
//   x      8 kTokens x cols   |w0   |w1   | ... |w7   |    part, fragments straight from memory
//
// The norm's weights are multiplied into x on the way, its 1 / rms into the sums after: one pass.
// Few rows: kOutputs = 1 spreads the bottleneck over blocks, and the last of them (a ticket) adds
// their parts in order. Many rows: one block has all of the bottleneck's 128.
//
// batch_compact: rows are counted in tiles of 1024; then a block of 8 warps knows how many stay
// before its 8 rows from the tiles before, the rows before it in its tile and its own ballot, and
// each warp copies a row.
//
//   tiles  |1024      |1024      |..    counts of rows that stay (launched from 1025 rows on)
//   rows    ........|8|                 this block: sum of tiles before + rows before in the tile
//
// Floor: bytes moved over the copy bandwidth: rows x (x + indices) twice for compact, scatter and
// projection, once for norm_route.
// Bench: build/release/bin/cuda_bench --filter exit
#include "loader/cuda/kernels/dense_rows.h"
#include "loader/cuda/kernels/exit_kernels.h"
#include "loader/cuda/launch.h"

namespace ingot::cuda {
namespace {

constexpr int kBlockWarps = 8;

INGOT_DEVICE float Sigmoid(float v) { return 1.0f / (1.0f + Exp(-v)); }

INGOT_BOTH unsigned Blocks(std::int64_t items, int of_block) {
  return static_cast<unsigned>((items + of_block - 1) / of_block);
}

// ---- norm and router -----------------------------------------------------------------------

template <class T, int kTokens, int kOutputs>
struct NormRouteTile {
  using Args = NormRouteArgs;
  static constexpr int kThreads = kBlockWarps * kLanes;
  static constexpr int kRows = 8 * kTokens, kWide = 16 * kOutputs;

  static Shape ShapeOf(const Args& args) {
    return {.x = Blocks(args.rows, kRows),
            .y = Blocks(args.bottleneck, kWide),
            .threads = kThreads,
            .shared_bytes = sizeof(float) * (kRows * kWide + kRows + kBlockWarps) + 16};
  }

  struct Sums {
    float products[kOutputs][kTokens][4] = {};
    float squares[kTokens] = {};
  };

  static INGOT_DEVICE void Run(const Args& args) {
    const Shared<float> sums = SharedAt<float>(0, kRows * kWide);
    const Shared<float> squares = SharedAt<float>(sizeof(float) * kRows * kWide, kRows);
    const Shared<int> last = SharedAt<int>(sizeof(float) * (kRows * kWide + kRows), kBlockWarps);
    Sums own;
    Accumulate(args, own);
    for (int w = 0; w < kBlockWarps; ++w) {
      if (Warp() == w) AddTo(own, w == 0, sums, squares);
      Sync();
    }
    float part = 0;
    const int row = static_cast<int>(BlockX()) * kRows + static_cast<int>(ThreadX());
    const bool scores = static_cast<int>(ThreadX()) < kRows && row < args.rows;
    if (scores) part = Score(args, sums, squares);
    if (BlocksY() == 1) {
      if (scores) args.scores[row] = args.sigmoid ? Sigmoid(part) : part;
      return;
    }
    Meet(args, scores, row, part, last);
  }

 private:
  // This warp's blocks of 64 columns.
  static INGOT_DEVICE void Accumulate(const Args& args, Sums& own) {
    const T* x = static_cast<const T*>(args.x);
    const T* down = static_cast<const T*>(args.down);
    const int group = Lane() / 4, quad = Lane() % 4;
    const int first_row = static_cast<int>(BlockX()) * kRows;
    const int first_output = static_cast<int>(BlockY()) * kWide;
    const bool aligned =
        IsAligned(x, 2ll * args.cols) && IsAligned(down, 0) && IsAligned(args.norm, 0);
    for (int at = kFragmentBlock * Warp(); at < args.cols; at += kFragmentBlock * kBlockWarps) {
      const int column = at + kFragmentNumbers * quad;
      std::uint32_t norm[8], rows[kTokens][8];
      LoadFragment(static_cast<const T*>(args.norm), column, args.cols, aligned, norm);
      INGOT_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        const int row = Least(first_row + 8 * t + group, args.rows - 1);
        LoadFragment(x + static_cast<std::int64_t>(row) * args.cols, column, args.cols, aligned,
                     rows[t]);
        INGOT_UNROLL
        for (int i = 0; i < 8; ++i) {
          const float low = Half<T>(rows[t][i], 0), high = Half<T>(rows[t][i], 1);
          own.squares[t] = Fma(low, low, Fma(high, high, own.squares[t]));
          rows[t][i] = Pair<T>(low * Half<T>(norm[i], 0), high * Half<T>(norm[i], 1));
        }
      }
      INGOT_UNROLL
      for (int o = 0; o < kOutputs; ++o) {
        std::uint32_t low[8], high[8];  // outputs group and group + 8
        const int output = first_output + 16 * o + group;
        const int last = args.bottleneck - 1;
        LoadFragment(down + static_cast<std::int64_t>(Least(output, last)) * args.cols, column,
                     args.cols, aligned, low);
        LoadFragment(down + static_cast<std::int64_t>(Least(output + 8, last)) * args.cols, column,
                     args.cols, aligned, high);
        INGOT_UNROLL
        for (int step = 0; step < 4; ++step) {
          const std::uint32_t a[4] = {low[2 * step], high[2 * step], low[2 * step + 1],
                                      high[2 * step + 1]};
          INGOT_UNROLL
          for (int t = 0; t < kTokens; ++t) {
            const std::uint32_t b[2] = {rows[t][2 * step], rows[t][2 * step + 1]};
            Multiply(own.products[o][t], a, b, T{});
          }
        }
      }
    }
  }

  // sums[token][output], squares[token].
  static INGOT_DEVICE void AddTo(const Sums& own, bool first, const Shared<float>& sums,
                                 const Shared<float>& squares) {
    const int group = Lane() / 4, quad = Lane() % 4;
    const auto add = [&](const Shared<float>& to, int i, float v) {
      to.Set(i, first ? v : to.Get(i) + v);
    };
    INGOT_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      float square = own.squares[t];
      square += ShuffleXor(square, 1);
      square += ShuffleXor(square, 2);
      if (quad == 0) add(squares, 8 * t + group, square);
      INGOT_UNROLL
      for (int o = 0; o < kOutputs; ++o) INGOT_UNROLL
      for (int r = 0; r < 4; ++r)
        add(sums, (8 * t + 2 * quad + r % 2) * kWide + 16 * o + group + 8 * (r / 2),
            own.products[o][t][r]);
    }
  }

  // This thread's row, over this block's outputs.
  static INGOT_DEVICE float Score(const Args& args, const Shared<float>& sums,
                                  const Shared<float>& squares) {
    const int token = static_cast<int>(ThreadX());
    const int first_output = static_cast<int>(BlockY()) * kWide;
    const float mean = squares.Get(token) / static_cast<float>(args.cols);
    const float scale = 1.0f / Sqrt(mean + args.eps);
    float part = 0;
    for (int o = 0; o < kWide && first_output + o < args.bottleneck; ++o) {
      const float h = sums.Get(token * kWide + o) * scale;
      part += h * Sigmoid(h) * args.up[first_output + o];
    }
    return part;
  }

  // Blocks of the same rows leave their parts, and the last one adds them.
  static INGOT_DEVICE void Meet(const Args& args, bool scores, int row, float part,
                                const Shared<int>& last) {
    const int groups = static_cast<int>(BlocksY());
    auto* tickets = static_cast<unsigned*>(args.scratch);
    float* parts = reinterpret_cast<float*>(tickets + (args.rows + 7) / 8);
    if (scores) parts[static_cast<std::int64_t>(row) * groups + BlockY()] = part;
    Fence();
    Sync();
    if (ThreadX() == 0)
      last.Set(0, AtomicAdd(tickets + BlockX(), 1u) + 1 == static_cast<unsigned>(groups));
    Sync();
    if (last.Get(0) == 0) return;
    Fence();
    if (ThreadX() == 0) tickets[BlockX()] = 0;
    if (!scores) return;
    float sum = 0;
    for (int g = 0; g < groups; ++g) sum += parts[static_cast<std::int64_t>(row) * groups + g];
    args.scores[row] = args.sigmoid ? Sigmoid(sum) : sum;
  }
};

// float32: a block takes four rows, its warps outputs in turn.
struct NormRouteF32 {
  using Args = NormRouteArgs;
  static constexpr int kThreads = kBlockWarps * kLanes;
  static constexpr int kRows = 4;

  static Shape ShapeOf(const Args& args) {
    return {.x = Blocks(args.rows, kRows),
            .threads = kThreads,
            .shared_bytes = sizeof(float) * 2 * kRows * kBlockWarps};
  }

  static INGOT_DEVICE void Run(const Args& args) {
    const Shared<float> squares = SharedAt<float>(0, kRows * kBlockWarps);
    const Shared<float> parts =
        SharedAt<float>(sizeof(float) * kRows * kBlockWarps, kRows * kBlockWarps);
    const float* rows[kRows];
    float scales[kRows];
    for (int r = 0; r < kRows; ++r) {
      const int row = Least(static_cast<int>(BlockX()) * kRows + r, args.rows - 1);
      rows[r] = static_cast<const float*>(args.x) + static_cast<std::int64_t>(row) * args.cols;
      float square = 0;
      for (int c = static_cast<int>(ThreadX()); c < args.cols; c += kThreads)
        square = Fma(rows[r][c], rows[r][c], square);
      square = WarpSum(square);
      if (Lane() == 0) squares.Set(r * kBlockWarps + Warp(), square);
    }
    Sync();
    for (int r = 0; r < kRows; ++r) {
      float sum = 0;
      for (int w = 0; w < kBlockWarps; ++w) sum += squares.Get(r * kBlockWarps + w);
      scales[r] = 1.0f / Sqrt(sum / static_cast<float>(args.cols) + args.eps);
    }
    float sums[kRows] = {};
    for (int o = Warp(); o < args.bottleneck; o += kBlockWarps)
      AddOutput(args, rows, scales, o, sums);
    if (Lane() == 0)
      for (int r = 0; r < kRows; ++r) parts.Set(r * kBlockWarps + Warp(), sums[r]);
    Sync();
    const int r = static_cast<int>(ThreadX());
    const int row = static_cast<int>(BlockX()) * kRows + r;
    if (r >= kRows || row >= args.rows) return;
    float sum = 0;
    for (int w = 0; w < kBlockWarps; ++w) sum += parts.Get(r * kBlockWarps + w);
    args.scores[row] = args.sigmoid ? Sigmoid(sum) : sum;
  }

 private:
  static INGOT_DEVICE void AddOutput(const Args& args, const float* const (&rows)[kRows],
                                     const float (&scales)[kRows], int output,
                                     float (&sums)[kRows]) {
    const float* norm = static_cast<const float*>(args.norm);
    const float* down =
        static_cast<const float*>(args.down) + static_cast<std::int64_t>(output) * args.cols;
    float products[kRows] = {};
    for (int c = Lane(); c < args.cols; c += kLanes) {
      const float weight = norm[c] * down[c];
      for (int r = 0; r < kRows; ++r) products[r] = Fma(rows[r][c], weight, products[r]);
    }
    for (int r = 0; r < kRows; ++r) {
      const float h = WarpSum(products[r]) * scales[r];
      sums[r] += h * Sigmoid(h) * args.up[output];
    }
  }
};

// ---- compaction ----------------------------------------------------------------------------

// How many rows of each tile stay.
struct CountKept {
  using Args = CompactArgs;
  static constexpr int kThreads = 256;
  static Shape ShapeOf(const Args& args) {
    return {.x = Blocks(args.rows, kCompactTile),
            .threads = kThreads,
            .shared_bytes = sizeof(int) * kThreads / kLanes};
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const Shared<int> scratch = SharedAt<int>(0, kThreads / kLanes);
    const int first = static_cast<int>(BlockX()) * kCompactTile;
    const int end = args.rows - first < kCompactTile ? args.rows : first + kCompactTile;
    int kept = 0;
    for (int i = first + static_cast<int>(ThreadX()); i < end; i += kThreads)
      kept += args.exits[i] == 0;
    kept = BlockSum(kept, scratch);
    if (ThreadX() == 0) args.scratch[BlockX()] = kept;
  }
};

struct CompactRows {
  using Args = CompactArgs;
  static constexpr int kThreads = kBlockWarps * kLanes;
  // Without rows there still is a count.
  static Shape ShapeOf(const Args& args) {
    return {.x = args.rows == 0 ? 1 : Blocks(args.rows, kBlockWarps),
            .threads = kThreads,
            .shared_bytes = sizeof(int) * kBlockWarps};
  }

  static INGOT_DEVICE void Run(const Args& args) {
    const Shared<int> scratch = SharedAt<int>(0, kBlockWarps);
    const int first = static_cast<int>(BlockX()) * kBlockWarps;
    const int before = KeptBefore(args, first, scratch);
    const int own = first + Lane();
    const bool there = Lane() < kBlockWarps && own < args.rows;
    const unsigned stays = Ballot(there && args.exits[there ? own : 0] == 0);
    if (first + kBlockWarps >= args.rows && ThreadX() == 0)
      *args.keep_count = before + Popcount(stays);
    const int row = first + Warp();
    if (row >= args.rows) return;
    const int rank = before + Popcount(stays & ((1u << Warp()) - 1u));
    const bool stay = (stays >> Warp() & 1u) != 0;
    const std::int64_t place = stay ? rank : row - rank;
    auto* to = static_cast<unsigned char*>(stay ? args.kept : args.exited);
    const auto* from = static_cast<const unsigned char*>(args.x);
    if (Lane() == 0) (stay ? args.keep_index : args.exit_index)[place] = row;
    CopyRow(from + row * args.row_bytes, to + place * args.row_bytes, args.row_bytes,
            IsAligned(from, args.row_bytes) && IsAligned(to, args.row_bytes));
  }

 private:
  static INGOT_DEVICE int KeptBefore(const Args& args, int first, const Shared<int>& scratch) {
    const int tile = first / kCompactTile;
    int kept = 0;
    for (int i = static_cast<int>(ThreadX()); i < tile; i += kThreads) kept += args.scratch[i];
    for (int i = tile * kCompactTile + static_cast<int>(ThreadX()); i < first; i += kThreads)
      kept += args.exits[i] == 0;
    return BlockSum(kept, scratch);
  }
};

// ---- the way back --------------------------------------------------------------------------

struct ScatterRows {
  using Args = ScatterArgs;
  static constexpr int kThreads = kBlockWarps * kLanes;
  static Shape ShapeOf(const Args& args) {
    return {.x = Blocks(args.rows, kBlockWarps), .threads = kThreads};
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t row = static_cast<std::int64_t>(BlockX()) * kBlockWarps + Warp();
    if (row >= args.rows) return;
    const std::int64_t place = args.places[row];
    if (place < 0 || place >= args.out_rows) return;
    const auto* from = static_cast<const unsigned char*>(args.exited);
    auto* to = static_cast<unsigned char*>(args.out);
    CopyRow(from + row * args.row_bytes, to + place * args.row_bytes, args.row_bytes,
            IsAligned(from, args.row_bytes) && IsAligned(to, args.row_bytes));
  }
};

template <class T>
struct ProjectRows {
  using Args = ProjectionArgs;
  static constexpr int kThreads = kBlockWarps * kLanes;
  static constexpr int kVector = 16 / sizeof(T);
  static Shape ShapeOf(const Args& args) {
    return {.x = Blocks(args.rows, kBlockWarps), .threads = kThreads};
  }

  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t row = static_cast<std::int64_t>(BlockX()) * kBlockWarps + Warp();
    if (row >= args.rows) return;
    const std::int64_t place = args.places[row];
    if (place < 0 || place >= args.out_rows) return;
    const T* from = static_cast<const T*>(args.exited) + row * args.cols;
    const T* norm = static_cast<const T*>(args.norm);
    T* to = static_cast<T*>(args.out) + place * args.cols;
    const std::int64_t bytes = static_cast<std::int64_t>(sizeof(T)) * args.cols;
    const bool aligned =
        IsAligned(args.exited, bytes) && IsAligned(args.out, bytes) && IsAligned(norm, bytes);
    // The row is read twice: the second time it is in the first-level cache.
    const float mean = WarpSum(Squares(from, args.cols, aligned)) / static_cast<float>(args.cols);
    Write(from, norm, args.cols, aligned, 1.0f / Sqrt(mean + args.eps), to);
  }

 private:
  static INGOT_DEVICE void Take(const T* from, float (&v)[kVector]) {
    const U4 bits = Load16(from);
    const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
    INGOT_UNROLL
    for (int i = 0; i < kVector; ++i) {
      if constexpr (sizeof(T) == 4)
        v[i] = FloatOf(words[i]);
      else
        v[i] = Half<T>(words[i / 2], i % 2);
    }
  }

  static INGOT_DEVICE void Put(T* to, const float (&v)[kVector]) {
    if constexpr (sizeof(T) == 4)
      Store16(to, {BitsOf(v[0]), BitsOf(v[1]), BitsOf(v[2]), BitsOf(v[3])});
    else
      Store16(to,
              {Pair<T>(v[0], v[1]), Pair<T>(v[2], v[3]), Pair<T>(v[4], v[5]), Pair<T>(v[6], v[7])});
  }

  static INGOT_DEVICE float Squares(const T* from, int cols, bool aligned) {
    float square = 0;
    if (!aligned) {
      for (int c = Lane(); c < cols; c += kLanes)
        square = Fma(ToFloat(from[c]), ToFloat(from[c]), square);
      return square;
    }
    for (int c = kVector * Lane(); c < cols; c += kVector * kLanes) {
      float v[kVector];
      Take(from + c, v);
      INGOT_UNROLL
      for (int i = 0; i < kVector; ++i) square = Fma(v[i], v[i], square);
    }
    return square;
  }

  static INGOT_DEVICE void Write(const T* from, const T* norm, int cols, bool aligned, float scale,
                                 T* to) {
    if (!aligned) {
      for (int c = Lane(); c < cols; c += kLanes)
        to[c] = FromFloat<T>(ToFloat(from[c]) * scale * ToFloat(norm[c]));
      return;
    }
    for (int c = kVector * Lane(); c < cols; c += kVector * kLanes) {
      float v[kVector], weights[kVector];
      Take(from + c, v);
      Take(norm + c, weights);
      INGOT_UNROLL
      for (int i = 0; i < kVector; ++i) v[i] *= scale * weights[i];
      Put(to + c, v);
    }
  }
};

template <class T>
int LaunchNormRoute(const NormRouteArgs& args, void* stream) {
  // Enough blocks for a large device from here on; fewer rows spread the bottleneck.
  constexpr int kManyRows = 1024;
  if (args.rows >= kManyRows) return Launch<NormRouteTile<T, 4, 8>>(args, stream);
  return Launch<NormRouteTile<T, 1, 1>>(args, stream);
}

}  // namespace

extern "C" int launch_norm_route(const NormRouteArgs* args, void* stream) {
  if (args->rows < 0 || args->cols <= 0 || args->bottleneck <= 0 || args->bottleneck > 16 * 65535)
    return kBadArguments;
  switch (args->type) {
    case FloatType::kF32:
      return Launch<NormRouteF32>(*args, stream);
    case FloatType::kF16:
      return LaunchNormRoute<F16>(*args, stream);
    case FloatType::kBf16:
      return LaunchNormRoute<Bf16>(*args, stream);
  }
  return kBadArguments;
}

extern "C" int launch_batch_compact(const CompactArgs* args, void* stream) {
  if (args->rows < 0 || args->row_bytes < 0) return kBadArguments;
  if (args->rows > kCompactTile)
    if (const int error = Launch<CountKept>(*args, stream); error != 0) return error;
  return Launch<CompactRows>(*args, stream);
}

extern "C" int launch_exit_scatter(const ScatterArgs* args, void* stream) {
  if (args->rows < 0 || args->row_bytes < 0) return kBadArguments;
  return Launch<ScatterRows>(*args, stream);
}

extern "C" int launch_exit_projection(const ProjectionArgs* args, void* stream) {
  if (args->rows < 0 || args->cols <= 0) return kBadArguments;
  switch (args->type) {
    case FloatType::kF32:
      return Launch<ProjectRows<float>>(*args, stream);
    case FloatType::kF16:
      return Launch<ProjectRows<F16>>(*args, stream);
    case FloatType::kBf16:
      return Launch<ProjectRows<Bf16>>(*args, stream);
  }
  return kBadArguments;
}

}  // namespace ingot::cuda
