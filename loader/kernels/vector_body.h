// The vector kernels' one body, compiled once per instruction set: the including file includes that
// set's primitives (vec_avx2.h, vec_avx512.h) and vec_math.h first. Everything here has internal
// linkage and uses no std containers, so that no code with wider instructions leaks into the rest.

// tanh(x): a series near zero, where 1 - 2 / (e^2x + 1) would cancel.
static inline Vec Tanh(Vec x) {
  const Vec far = Splat(1.0f) - Splat(2.0f) / (Exp(x + x) + Splat(1.0f));
  const Vec s = x * x;
  Vec near = Fma(s, Splat(-17.0f / 315.0f), Splat(2.0f / 15.0f));
  near = Fma(near, s, Splat(-1.0f / 3.0f));
  near = Fma(near * s, x, x);
  return Select(Less(s, Splat(0.02f)), near, far);
}

static inline Vec Sigmoid(Vec x) { return Splat(1.0f) / (Splat(1.0f) + Exp(Splat(0.0f) - x)); }

static inline Vec Silu(Vec x) { return x / (Splat(1.0f) + Exp(Splat(0.0f) - x)); }

static inline Vec GeluTanh(Vec x) {
  const Vec inner = Splat(0.79788456080286535588f) * Fma(Splat(0.044715f) * x * x, x, x);
  return Splat(0.5f) * x * (Splat(1.0f) + Tanh(inner));
}

// Exact GELU, lane by lane: no LLaMA-family model gates with it.
static inline float GeluErf(float x) {
  return 0.5f * x * (1.0f + __builtin_erff(x * 0.70710678118654752440f));
}

// Calls f on every full vector of [0, n), then on the tail through a padded copy.
template <typename F>
static inline void ForEachVec(float* x, const float* y, std::size_t n, F f) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(x + i, f(Load(x + i), y ? Load(y + i) : Splat(1.0f)));
  if (i == n) return;
  float xs[kLanes] = {}, ys[kLanes];
  for (std::size_t k = 0; k < kLanes; ++k) ys[k] = 1.0f;
  for (std::size_t k = 0; i + k < n; ++k) {
    xs[k] = x[i + k];
    if (y) ys[k] = y[i + k];
  }
  Store(xs, f(Load(xs), Load(ys)));
  for (std::size_t k = 0; i + k < n; ++k) x[i + k] = xs[k];
}

static float SumSquares(const float* x, float center, std::size_t n) {
  const Vec c = Splat(center);
  Vec s0 = Splat(0.0f), s1 = s0;
  std::size_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const Vec a = Load(x + i) - c, b = Load(x + i + kLanes) - c;
    s0 = Fma(a, a, s0);
    s1 = Fma(b, b, s1);
  }
  float sum = Sum(s0 + s1);
  for (; i < n; ++i) sum += (x[i] - center) * (x[i] - center);
  return sum;
}

static float SumOf(const float* x, std::size_t n) {
  Vec s = Splat(0.0f);
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) s = s + Load(x + i);
  float sum = Sum(s);
  for (; i < n; ++i) sum += x[i];
  return sum;
}

static void RmsNorm(const float* x, const float* weight, float offset, float eps, std::size_t n,
                    float* y) {
  const float r = 1.0f / __builtin_sqrtf(SumSquares(x, 0.0f, n) / static_cast<float>(n) + eps);
  for (std::size_t i = 0; i < n; ++i) y[i] = x[i] * r * (offset + weight[i]);
}

static void LayerNorm(const float* x, const float* weight, const float* bias, float offset,
                      float eps, std::size_t n, float* y) {
  const float mean = SumOf(x, n) / static_cast<float>(n);
  const float r = 1.0f / __builtin_sqrtf(SumSquares(x, mean, n) / static_cast<float>(n) + eps);
  for (std::size_t i = 0; i < n; ++i)
    y[i] = (x[i] - mean) * r * (offset + weight[i]) + (bias ? bias[i] : 0.0f);
}

static void Activate(VectorActivation activation, float* gate, const float* up, std::size_t n) {
  switch (activation) {
    case VectorActivation::kSilu:
      return ForEachVec(gate, up, n, [](Vec g, Vec u) { return Silu(g) * u; });
    case VectorActivation::kGeluTanh:
      return ForEachVec(gate, up, n, [](Vec g, Vec u) { return GeluTanh(g) * u; });
    case VectorActivation::kRelu:
      return ForEachVec(gate, up, n, [](Vec g, Vec u) { return Max(Splat(0.0f), g) * u; });
    case VectorActivation::kSquaredRelu:
      return ForEachVec(gate, up, n, [](Vec g, Vec u) {
        const Vec r = Max(Splat(0.0f), g);
        return r * r * u;
      });
    case VectorActivation::kSigmoid:
      return ForEachVec(gate, up, n, [](Vec g, Vec u) { return Sigmoid(g) * u; });
    case VectorActivation::kTanh:
      return ForEachVec(gate, up, n, [](Vec g, Vec u) { return Tanh(g) * u; });
    case VectorActivation::kIdentity:
      return ForEachVec(gate, up, n, [](Vec g, Vec u) { return g * u; });
    case VectorActivation::kGelu:
      for (std::size_t i = 0; i < n; ++i) gate[i] = GeluErf(gate[i]) * (up ? up[i] : 1.0f);
      return;
  }
}

static inline Vec Capped(Vec x, float cap) { return Splat(cap) * Tanh(x / Splat(cap)); }

static void Softcap(float* x, float cap, std::size_t n) {
  ForEachVec(x, nullptr, n, [cap](Vec v, Vec) { return Capped(v, cap); });
}

static void AddScaled(float* x, const float* y, float scale, std::size_t n) {
  const Vec s = Splat(scale);
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(x + i, Load(x + i) + s * Load(y + i));
  for (; i < n; ++i) x[i] += scale * y[i];
}

// ---- attention ----

static inline Vec LoadKv(const float* p) { return Load(p); }
static inline Vec LoadKv(const std::uint16_t* p) { return LoadHalf(p); }

constexpr std::size_t kChunkVecs = kLanes == 16 ? 4 : 2;  // accumulators a row in one pass
constexpr std::size_t kChunk = kChunkVecs * kLanes;

// out[r][0, kChunk) = sum over k < count of a[r * a_stride + k] * b[k * b_stride + lane], added to
// what is there when `add`. The inner product of both halves of attention.
template <std::size_t kRows, typename T>
static inline void RowsTimesPanel(const float* a, std::size_t a_stride, const T* b,
                                  std::size_t b_stride, std::size_t count, float* out,
                                  std::size_t out_stride, bool add) {
  Vec acc[kRows][kChunkVecs];
  for (std::size_t r = 0; r < kRows; ++r)
    for (std::size_t v = 0; v < kChunkVecs; ++v)
      acc[r][v] = add ? Load(out + r * out_stride + v * kLanes) : Splat(0.0f);
  for (std::size_t k = 0; k < count; ++k) {
    Vec row[kChunkVecs];
    for (std::size_t v = 0; v < kChunkVecs; ++v) row[v] = LoadKv(b + k * b_stride + v * kLanes);
    for (std::size_t r = 0; r < kRows; ++r) {
      const Vec w = Splat(a[r * a_stride + k]);
      for (std::size_t v = 0; v < kChunkVecs; ++v) acc[r][v] = Fma(w, row[v], acc[r][v]);
    }
  }
  for (std::size_t r = 0; r < kRows; ++r)
    for (std::size_t v = 0; v < kChunkVecs; ++v)
      Store(out + r * out_stride + v * kLanes, acc[r][v]);
}

// The columns that are left when the width is not a multiple of kChunk: one vector at a time.
template <typename T>
static inline void RowTimesVec(const float* a, const T* b, std::size_t b_stride, std::size_t count,
                               float* out, bool add) {
  Vec acc = add ? Load(out) : Splat(0.0f);
  for (std::size_t k = 0; k < count; ++k) acc = Fma(Splat(a[k]), LoadKv(b + k * b_stride), acc);
  Store(out, acc);
}

// out (rows x width) (+)= a (rows x count) * b (count x width). REQUIRES: width % kLanes == 0.
template <typename T>
static void RowsTimes(std::size_t rows, const float* a, std::size_t a_stride, const T* b,
                      std::size_t b_stride, std::size_t count, float* out, std::size_t out_stride,
                      std::size_t width, bool add) {
  std::size_t c = 0;
  for (; c + kChunk <= width; c += kChunk) {
    std::size_t r = 0;
    for (; r + 4 <= rows; r += 4)
      RowsTimesPanel<4>(a + r * a_stride, a_stride, b + c, b_stride, count,
                        out + r * out_stride + c, out_stride, add);
    switch (rows - r) {
      case 3:
        RowsTimesPanel<3>(a + r * a_stride, a_stride, b + c, b_stride, count,
                          out + r * out_stride + c, out_stride, add);
        break;
      case 2:
        RowsTimesPanel<2>(a + r * a_stride, a_stride, b + c, b_stride, count,
                          out + r * out_stride + c, out_stride, add);
        break;
      case 1:
        RowsTimesPanel<1>(a + r * a_stride, a_stride, b + c, b_stride, count,
                          out + r * out_stride + c, out_stride, add);
        break;
      default:
        break;
    }
  }
  for (; c < width; c += kLanes)
    for (std::size_t r = 0; r < rows; ++r)
      RowTimesVec(a + r * a_stride, b + c, b_stride, count, out + r * out_stride + c, add);
}

// Running softmax of a row over pages (Milakov, Gimelshein, 2018).
struct RunningSoftmax {
  float max;
  float sum;
};

// Scores of one row in a page become weights; what was accumulated so far is rescaled.
static void SoftmaxPage(const AttentionTile& tile, std::size_t row, std::uint64_t page_begin,
                        float* scores, RunningSoftmax& state, float* out) {
  const std::uint64_t page_end = page_begin + kPageTokens;
  const std::uint64_t lo64 = tile.begin[row] > page_begin ? tile.begin[row] : page_begin;
  const std::uint64_t hi64 = tile.end[row] < page_end ? tile.end[row] : page_end;
  if (lo64 >= hi64) {
    for (std::size_t i = 0; i < kPageTokens; ++i) scores[i] = 0.0f;
    return;
  }
  const std::size_t lo = lo64 - page_begin, hi = hi64 - page_begin;
  if (tile.softcap > 0)
    for (std::size_t i = 0; i < kPageTokens; i += kLanes)
      Store(scores + i, Capped(Load(scores + i), tile.softcap));
  if (tile.alibi != nullptr)
    for (std::size_t i = lo; i < hi; ++i)
      scores[i] -= tile.alibi[row] * static_cast<float>(tile.end[row] - 1 - (page_begin + i));
  if (tile.bias != nullptr)
    for (std::size_t i = lo; i < hi; ++i) scores[i] += tile.bias[row][page_begin + i];
  const float lowest = -__builtin_inff();
  for (std::size_t i = 0; i < lo; ++i) scores[i] = lowest;
  for (std::size_t i = hi; i < kPageTokens; ++i) scores[i] = lowest;
  Vec top = Load(scores);
  for (std::size_t i = kLanes; i < kPageTokens; i += kLanes) top = Max(Load(scores + i), top);
  const float page_max = MaxOf(top);
  const float max = page_max > state.max ? page_max : state.max;
  if (max > state.max) {
    float factor[kLanes];
    Store(factor, Exp(Splat(state.max - max)));
    state.sum *= factor[0];
    const Vec f = Splat(factor[0]);
    for (std::size_t i = 0; i < tile.value_stride; i += kLanes) Store(out + i, Load(out + i) * f);
    state.max = max;
  }
  Vec sum = Splat(0.0f);
  for (std::size_t i = 0; i < kPageTokens; i += kLanes) {
    const Vec e = Exp(Load(scores + i) - Splat(state.max));
    Store(scores + i, e);
    sum = sum + e;
  }
  state.sum += Sum(sum);
}

template <typename T>
static void Attend(const AttentionTile& tile) {
  alignas(64) float scores[kTileRows * kPageTokens];
  RunningSoftmax state[kTileRows];
  std::uint64_t begin = tile.begin[0], end = tile.end[0];
  for (std::size_t r = 0; r < tile.rows; ++r) {
    state[r] = {-__builtin_inff(), 0.0f};
    begin = tile.begin[r] < begin ? tile.begin[r] : begin;
    end = tile.end[r] > end ? tile.end[r] : end;
    for (std::size_t i = 0; i < tile.value_stride; ++i) tile.out[r * tile.value_stride + i] = 0.0f;
  }
  for (std::uint64_t page = begin / kPageTokens; page * kPageTokens < end; ++page) {
    const std::uint64_t first = page * kPageTokens;
    RowsTimes(tile.rows, tile.queries, tile.head_dim, static_cast<const T*>(tile.keys[page]),
              kPageTokens, tile.head_dim, scores, kPageTokens, kPageTokens, false);
    for (std::size_t r = 0; r < tile.rows; ++r)
      SoftmaxPage(tile, r, first, scores + r * kPageTokens, state[r],
                  tile.out + r * tile.value_stride);
    const std::size_t filled = end - first < kPageTokens ? end - first : kPageTokens;
    RowsTimes(tile.rows, scores, kPageTokens, static_cast<const T*>(tile.values[page]),
              tile.value_stride, filled, tile.out, tile.value_stride, tile.value_stride, true);
  }
  for (std::size_t r = 0; r < tile.rows; ++r) {
    const Vec inverse = Splat(1.0f / state[r].sum);
    float* out = tile.out + r * tile.value_stride;
    for (std::size_t i = 0; i < tile.value_stride; i += kLanes)
      Store(out + i, Load(out + i) * inverse);
  }
}

// ---- evaluation ----

static LogitStats Stats(const float* x, std::size_t n) {
  LogitStats stats;
  float max = x[0];
  std::size_t i = 0;
  if (n >= kLanes) {
    Vec top = Load(x);
    for (i = kLanes; i + kLanes <= n; i += kLanes) top = Max(Load(x + i), top);
    max = MaxOf(top);
  }
  for (; i < n; ++i) max = x[i] > max ? x[i] : max;
  std::size_t at = 0;
  while (at < n && x[at] != max) ++at;
  stats.max = max;
  stats.argmax = static_cast<std::uint32_t>(at < n ? at : 0);
  DoubleSum sum;
  for (i = 0; i + kLanes <= n; i += kLanes) sum.Add(Exp(Load(x + i) - Splat(max)));
  float tail[kLanes];
  for (std::size_t k = 0; k < kLanes; ++k) tail[k] = -__builtin_inff();
  for (std::size_t k = 0; i + k < n; ++k) tail[k] = x[i + k] - max;
  sum.Add(Exp(Load(tail)));
  stats.sum_exp = sum.Total();
  return stats;
}

static double WeightedDifference(const float* a, float max_a, const float* b, std::size_t n) {
  DoubleSum sum;
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec x = Load(a + i);
    sum.Add(Exp(x - Splat(max_a)) * (x - Load(b + i)));
  }
  float as[kLanes], ds[kLanes] = {};
  for (std::size_t k = 0; k < kLanes; ++k) as[k] = -__builtin_inff();
  for (std::size_t k = 0; i + k < n; ++k) {
    as[k] = a[i + k] - max_a;
    ds[k] = a[i + k] - b[i + k];
  }
  sum.Add(Exp(Load(as)) * Load(ds));
  return sum.Total();
}
