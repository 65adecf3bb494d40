// The vector kernels' one body, compiled once per instruction set: the including file includes that
// set's header of base/simd/ and vec_math.h first. Everything here has internal
// linkage and uses no std containers, so that no code with wider instructions leaks into the rest.

// tanh(x): a series near zero, where 1 - 2 / (e^2x + 1) would cancel.
static inline F Tanh(F x) {
  const F far = F::Set(1.0f) - F::Set(2.0f) / (Exp(x + x) + F::Set(1.0f));
  const F s = x * x;
  F near = F::MulAdd(s, F::Set(-17.0f / 315.0f), F::Set(2.0f / 15.0f));
  near = F::MulAdd(near, s, F::Set(-1.0f / 3.0f));
  near = F::MulAdd(near * s, x, x);
  return F::IfGreater(F::Set(0.02f), s, near, far);
}

static inline F Sigmoid(F x) { return F::Set(1.0f) / (F::Set(1.0f) + Exp(F::Set(0.0f) - x)); }

static inline F Silu(F x) { return x / (F::Set(1.0f) + Exp(F::Set(0.0f) - x)); }

static inline F GeluTanh(F x) {
  const F inner = F::Set(0.79788456080286535588f) * F::MulAdd(F::Set(0.044715f) * x * x, x, x);
  return F::Set(0.5f) * x * (F::Set(1.0f) + Tanh(inner));
}

// Exact GELU, lane by lane: no LLaMA-family model gates with it.
static inline float GeluErf(float x) {
  return 0.5f * x * (1.0f + __builtin_erff(x * 0.70710678118654752440f));
}

// Calls f on every full vector of [0, n), then on the tail through a padded copy.
template <typename Each>
static inline void ForEachVec(float* x, const float* y, std::size_t n, Each f) {
  std::size_t i = 0;
  for (; i + F::kLanes <= n; i += F::kLanes)
    f(F::Load(x + i), y ? F::Load(y + i) : F::Set(1.0f)).Store(x + i);
  if (i == n) return;
  float xs[F::kLanes] = {}, ys[F::kLanes];
  for (std::size_t k = 0; k < F::kLanes; ++k) ys[k] = 1.0f;
  for (std::size_t k = 0; i + k < n; ++k) {
    xs[k] = x[i + k];
    if (y) ys[k] = y[i + k];
  }
  f(F::Load(xs), F::Load(ys)).Store(xs);
  for (std::size_t k = 0; i + k < n; ++k) x[i + k] = xs[k];
}

static float SumSquares(const float* x, float center, std::size_t n) {
  const F c = F::Set(center);
  F s0 = F::Set(0.0f), s1 = s0;
  std::size_t i = 0;
  for (; i + 2 * F::kLanes <= n; i += 2 * F::kLanes) {
    const F a = F::Load(x + i) - c, b = F::Load(x + i + F::kLanes) - c;
    s0 = F::MulAdd(a, a, s0);
    s1 = F::MulAdd(b, b, s1);
  }
  float sum = (s0 + s1).Sum();
  for (; i < n; ++i) sum += (x[i] - center) * (x[i] - center);
  return sum;
}

static float SumOf(const float* x, std::size_t n) {
  F s = F::Set(0.0f);
  std::size_t i = 0;
  for (; i + F::kLanes <= n; i += F::kLanes) s = s + F::Load(x + i);
  float sum = s.Sum();
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
      return ForEachVec(gate, up, n, [](F g, F u) { return Silu(g) * u; });
    case VectorActivation::kGeluTanh:
      return ForEachVec(gate, up, n, [](F g, F u) { return GeluTanh(g) * u; });
    case VectorActivation::kRelu:
      return ForEachVec(gate, up, n, [](F g, F u) { return F::Max(F::Set(0.0f), g) * u; });
    case VectorActivation::kSquaredRelu:
      return ForEachVec(gate, up, n, [](F g, F u) {
        const F r = F::Max(F::Set(0.0f), g);
        return r * r * u;
      });
    case VectorActivation::kSigmoid:
      return ForEachVec(gate, up, n, [](F g, F u) { return Sigmoid(g) * u; });
    case VectorActivation::kTanh:
      return ForEachVec(gate, up, n, [](F g, F u) { return Tanh(g) * u; });
    case VectorActivation::kIdentity:
      return ForEachVec(gate, up, n, [](F g, F u) { return g * u; });
    case VectorActivation::kGelu:
      for (std::size_t i = 0; i < n; ++i) gate[i] = GeluErf(gate[i]) * (up ? up[i] : 1.0f);
      return;
  }
}

static inline F Capped(F x, float cap) { return F::Set(cap) * Tanh(x / F::Set(cap)); }

static void Softcap(float* x, float cap, std::size_t n) {
  ForEachVec(x, nullptr, n, [cap](F v, F) { return Capped(v, cap); });
}

static void AddScaled(float* x, const float* y, float scale, std::size_t n) {
  const F s = F::Set(scale);
  std::size_t i = 0;
  for (; i + F::kLanes <= n; i += F::kLanes) (F::Load(x + i) + s * F::Load(y + i)).Store(x + i);
  for (; i < n; ++i) x[i] += scale * y[i];
}

// ---- attention ----

static inline F LoadKv(const float* p) { return F::Load(p); }
static inline F LoadKv(const std::uint16_t* p) { return F::LoadHalf(p); }

constexpr std::size_t kChunkVecs = F::kLanes == 16 ? 4 : 2;  // accumulators a row in one pass
constexpr std::size_t kChunk = kChunkVecs * F::kLanes;
constexpr std::size_t kPanelRows = 6;  // of them, for one conversion of a row of keys or values

// Rows of numbers as they are.
template <typename T>
struct PlainRows {
  const T* base;
  std::size_t stride;
  F At(std::size_t k, std::size_t lane) const { return LoadKv(base + k * stride + lane); }
};

// out[r][0, kChunk) = sum over k < count of a[r * a_stride + k] * b.At(k, from + lane), added to
// what is there when `add`. The inner product of both halves of attention.
template <std::size_t kRows, typename Rows>
static inline void RowsTimesPanel(const float* a, std::size_t a_stride, const Rows& b,
                                  std::size_t from, std::size_t count, float* out,
                                  std::size_t out_stride, bool add) {
  F acc[kRows][kChunkVecs];
  for (std::size_t r = 0; r < kRows; ++r)
    for (std::size_t v = 0; v < kChunkVecs; ++v)
      acc[r][v] = add ? F::Load(out + r * out_stride + v * F::kLanes) : F::Set(0.0f);
  for (std::size_t k = 0; k < count; ++k) {
    F row[kChunkVecs];
    for (std::size_t v = 0; v < kChunkVecs; ++v) row[v] = b.At(k, from + v * F::kLanes);
    for (std::size_t r = 0; r < kRows; ++r) {
      const F w = F::Set(a[r * a_stride + k]);
      for (std::size_t v = 0; v < kChunkVecs; ++v) acc[r][v] = F::MulAdd(w, row[v], acc[r][v]);
    }
  }
  for (std::size_t r = 0; r < kRows; ++r)
    for (std::size_t v = 0; v < kChunkVecs; ++v)
      acc[r][v].Store(out + r * out_stride + v * F::kLanes);
}

// The columns that are left when the width is not a multiple of kChunk: one vector at a time.
template <typename Rows>
static inline void RowTimesVec(const float* a, const Rows& b, std::size_t from, std::size_t count,
                               float* out, bool add) {
  F acc = add ? F::Load(out) : F::Set(0.0f);
  for (std::size_t k = 0; k < count; ++k) acc = F::MulAdd(F::Set(a[k]), b.At(k, from), acc);
  acc.Store(out);
}

// out (rows x width) (+)= a (rows x count) * b (count x width). REQUIRES: width % F::kLanes == 0.
template <typename Rows>
static inline void RowsTimes(std::size_t rows, const float* a, std::size_t a_stride, const Rows& b,
                             std::size_t count, float* out, std::size_t out_stride,
                             std::size_t width, bool add) {
  std::size_t c = 0;
  for (; c + kChunk <= width; c += kChunk) {
    std::size_t r = 0;
    for (; r + kPanelRows <= rows; r += kPanelRows)
      RowsTimesPanel<kPanelRows>(a + r * a_stride, a_stride, b, c, count, out + r * out_stride + c,
                                 out_stride, add);
    switch (rows - r) {
      case 5:
        RowsTimesPanel<5>(a + r * a_stride, a_stride, b, c, count, out + r * out_stride + c,
                          out_stride, add);
        break;
      case 4:
        RowsTimesPanel<4>(a + r * a_stride, a_stride, b, c, count, out + r * out_stride + c,
                          out_stride, add);
        break;
      case 3:
        RowsTimesPanel<3>(a + r * a_stride, a_stride, b, c, count, out + r * out_stride + c,
                          out_stride, add);
        break;
      case 2:
        RowsTimesPanel<2>(a + r * a_stride, a_stride, b, c, count, out + r * out_stride + c,
                          out_stride, add);
        break;
      case 1:
        RowsTimesPanel<1>(a + r * a_stride, a_stride, b, c, count, out + r * out_stride + c,
                          out_stride, add);
        break;
      default:
        break;
    }
  }
  for (; c < width; c += F::kLanes)
    for (std::size_t r = 0; r < rows; ++r)
      RowTimesVec(a + r * a_stride, b, c, count, out + r * out_stride + c, add);
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
    for (std::size_t i = 0; i < kPageTokens; i += F::kLanes)
      Capped(F::Load(scores + i), tile.softcap).Store(scores + i);
  if (tile.alibi != nullptr)
    for (std::size_t i = lo; i < hi; ++i)
      scores[i] -= tile.alibi[row] * static_cast<float>(tile.end[row] - 1 - (page_begin + i));
  if (tile.bias != nullptr)
    for (std::size_t i = lo; i < hi; ++i) scores[i] += tile.bias[row][page_begin + i];
  const float lowest = -__builtin_inff();
  for (std::size_t i = 0; i < lo; ++i) scores[i] = lowest;
  for (std::size_t i = hi; i < kPageTokens; ++i) scores[i] = lowest;
  F top = F::Load(scores);
  for (std::size_t i = F::kLanes; i < kPageTokens; i += F::kLanes)
    top = F::Max(F::Load(scores + i), top);
  const float page_max = top.Greatest();
  const float max = page_max > state.max ? page_max : state.max;
  if (max > state.max) {
    float factor[F::kLanes];
    Exp(F::Set(state.max - max)).Store(factor);
    state.sum *= factor[0];
    const F f = F::Set(factor[0]);
    for (std::size_t i = 0; i < tile.value_stride; i += F::kLanes)
      (F::Load(out + i) * f).Store(out + i);
    state.max = max;
  }
  F sum = F::Set(0.0f);
  for (std::size_t i = 0; i < kPageTokens; i += F::kLanes) {
    const F e = Exp(F::Load(scores + i) - F::Set(state.max));
    e.Store(scores + i);
    sum = sum + e;
  }
  state.sum += sum.Sum();
}

// What a tile's rows have come to, and which positions any of them sees.
struct TileState {
  alignas(64) float scores[kTileRows * kPageTokens];
  RunningSoftmax softmax[kTileRows];
  std::uint64_t begin, end;
};

static void BeginTile(const AttentionTile& tile, TileState& state) {
  state.begin = tile.begin[0];
  state.end = tile.end[0];
  for (std::size_t r = 0; r < tile.rows; ++r) {
    state.softmax[r] = {-__builtin_inff(), 0.0f};
    state.begin = tile.begin[r] < state.begin ? tile.begin[r] : state.begin;
    state.end = tile.end[r] > state.end ? tile.end[r] : state.end;
    for (std::size_t i = 0; i < tile.value_stride; ++i) tile.out[r * tile.value_stride + i] = 0.0f;
  }
}

static void EndTile(const AttentionTile& tile, const TileState& state) {
  for (std::size_t r = 0; r < tile.rows; ++r) {
    const F inverse = F::Set(1.0f / state.softmax[r].sum);
    float* out = tile.out + r * tile.value_stride;
    for (std::size_t i = 0; i < tile.value_stride; i += F::kLanes)
      (F::Load(out + i) * inverse).Store(out + i);
  }
}

// Scores of a page are there: weights, then values.
template <typename Values>
static inline void FinishPage(const AttentionTile& tile, std::uint64_t page, const Values& values,
                              TileState& state) {
  const std::uint64_t first = page * kPageTokens;
  for (std::size_t r = 0; r < tile.rows; ++r)
    SoftmaxPage(tile, r, first, state.scores + r * kPageTokens, state.softmax[r],
                tile.out + r * tile.value_stride);
  const std::size_t filled = state.end - first < kPageTokens ? state.end - first : kPageTokens;
  RowsTimes(tile.rows, state.scores, kPageTokens, values, filled, tile.out, tile.value_stride,
            tile.value_stride, true);
}

template <typename T>
static inline void AttendPage(const AttentionTile& tile, std::uint64_t page, TileState& state) {
  RowsTimes(tile.rows, tile.queries, tile.head_dim,
            PlainRows<T>{static_cast<const T*>(tile.keys[page]), kPageTokens}, tile.head_dim,
            state.scores, kPageTokens, kPageTokens, false);
  FinishPage(tile, page, PlainRows<T>{static_cast<const T*>(tile.values[page]), tile.value_stride},
             state);
}

template <typename T>
static void Attend(const AttentionTile& tile) {
  TileState state;
  BeginTile(tile, state);
  for (std::uint64_t page = state.begin / kPageTokens; page * kPageTokens < state.end; ++page)
    AttendPage<T>(tile, page, state);
  EndTile(tile, state);
}

// Codes of a channel's keys: positions across.
template <int kBits>
struct KeyCodes {
  const std::uint8_t* base;
  F At(std::size_t k, std::size_t lane) const {
    const std::uint8_t* row = base + k * PackedPage<kBits>::KeyRow();
    if constexpr (kBits == 8) return F::LoadBytes(row + lane);
    return LoadNibbles(row + lane % (kPageTokens / 2), lane >= kPageTokens / 2);
  }
};

// Values of a token, from their codes.
template <int kBits>
struct ValueCodes {
  const std::uint8_t* base;
  std::size_t row_bytes;
  std::size_t groups;
  const float* scales;
  const float* minima;
  F At(std::size_t k, std::size_t lane) const {
    const std::uint8_t* row = base + k * row_bytes;
    const std::size_t group = k * groups + lane / kValueGroup;
    F codes;
    if constexpr (kBits == 8)
      codes = F::LoadBytes(row + lane);
    else
      codes = LoadNibbles(row + lane / kValueGroup * (kValueGroup / 2) + lane % (kValueGroup / 2),
                          lane % kValueGroup >= kValueGroup / 2);
    return F::MulAdd(codes, F::Set(scales[group]), F::Set(minima[group]));
  }
};

static inline void HalvesToFloats(const std::uint8_t* from, std::size_t n, float* to) {
  for (std::size_t i = 0; i < n; i += F::kLanes)
    F::LoadHalf(reinterpret_cast<const std::uint16_t*>(from + 2 * i)).Store(to + i);
}

// A full page as codes: scales of keys go into the queries, their minima into what a row's scores
// start from.
template <int kBits>
static void AttendPacked(const AttentionTile& tile, std::uint64_t page, TileState& state) {
  using Page = PackedPage<kBits>;
  const std::size_t dim = tile.head_dim, groups = Page::Groups(dim);
  const auto* bytes = static_cast<const std::uint8_t*>(tile.keys[page]);
  alignas(64) float scales[kMaxPackedHead], minima[kMaxPackedHead];
  HalvesToFloats(bytes + Page::KeyScalesAt(dim), dim, scales);
  if constexpr (Page::kMinima) HalvesToFloats(bytes + Page::KeyMinimaAt(dim), dim, minima);
  alignas(64) float queries[kTileRows * kMaxPackedHead];
  float starts[kTileRows];
  for (std::size_t r = 0; r < tile.rows; ++r) {
    F start = F::Set(0.0f);
    for (std::size_t d = 0; d < dim; d += F::kLanes) {
      const F query = F::Load(tile.queries + r * dim + d);
      const F scaled = query * F::Load(scales + d);
      scaled.Store(queries + r * dim + d);
      start = Page::kMinima ? F::MulAdd(query, F::Load(minima + d), start)
                            : F::MulAdd(scaled, F::Set(-Page::kMiddle), start);
    }
    starts[r] = start.Sum();
  }
  RowsTimes(tile.rows, queries, dim, KeyCodes<kBits>{bytes}, dim, state.scores, kPageTokens,
            kPageTokens, false);
  for (std::size_t r = 0; r < tile.rows; ++r)
    for (std::size_t i = 0; i < kPageTokens; i += F::kLanes) {
      float* at = state.scores + r * kPageTokens + i;
      (F::Load(at) + F::Set(starts[r])).Store(at);
    }
  alignas(64) float value_scales[kPageTokens * kMaxPackedHead / kValueGroup];
  alignas(64) float value_minima[kPageTokens * kMaxPackedHead / kValueGroup];
  HalvesToFloats(bytes + Page::ValueScalesAt(dim), kPageTokens * groups, value_scales);
  if constexpr (Page::kMinima)
    HalvesToFloats(bytes + Page::ValueMinimaAt(dim), kPageTokens * groups, value_minima);
  else
    for (std::size_t i = 0; i < kPageTokens * groups; i += F::kLanes)
      (F::Load(value_scales + i) * F::Set(-Page::kMiddle)).Store(value_minima + i);
  FinishPage(tile, page,
             ValueCodes<kBits>{bytes + Page::ValuesAt(dim), Page::ValueRow(dim), groups,
                               value_scales, value_minima},
             state);
}

// Full pages as codes, and the last one, which is f16.
template <int kBits>
static void AttendCodes(const AttentionTile& tile) {
  TileState state;
  BeginTile(tile, state);
  std::uint64_t page = state.begin / kPageTokens;
  for (; (page + 1) * kPageTokens < state.end; ++page) AttendPacked<kBits>(tile, page, state);
  const auto* half = static_cast<const std::uint16_t*>(tile.values[page]);
  RowsTimes(tile.rows, tile.queries, tile.head_dim, PlainRows<std::uint16_t>{half, kPageTokens},
            tile.head_dim, state.scores, kPageTokens, kPageTokens, false);
  FinishPage(tile, page,
             PlainRows<std::uint16_t>{half + tile.head_dim * kPageTokens, tile.value_stride},
             state);
  EndTile(tile, state);
}

// ---- evaluation ----

static LogitStats Stats(const float* x, std::size_t n) {
  LogitStats stats;
  float max = x[0];
  std::size_t i = 0;
  if (n >= F::kLanes) {
    F top = F::Load(x);
    for (i = F::kLanes; i + F::kLanes <= n; i += F::kLanes) top = F::Max(F::Load(x + i), top);
    max = top.Greatest();
  }
  for (; i < n; ++i) max = x[i] > max ? x[i] : max;
  std::size_t at = 0;
  while (at < n && x[at] != max) ++at;
  stats.max = max;
  stats.argmax = static_cast<std::uint32_t>(at < n ? at : 0);
  DoubleSum sum;
  for (i = 0; i + F::kLanes <= n; i += F::kLanes) sum.Add(Exp(F::Load(x + i) - F::Set(max)));
  float tail[F::kLanes];
  for (std::size_t k = 0; k < F::kLanes; ++k) tail[k] = -__builtin_inff();
  for (std::size_t k = 0; i + k < n; ++k) tail[k] = x[i + k] - max;
  sum.Add(Exp(F::Load(tail)));
  stats.sum_exp = sum.Total();
  return stats;
}

static double WeightedDifference(const float* a, float max_a, const float* b, std::size_t n) {
  DoubleSum sum;
  std::size_t i = 0;
  for (; i + F::kLanes <= n; i += F::kLanes) {
    const F x = F::Load(a + i);
    sum.Add(Exp(x - F::Set(max_a)) * (x - F::Load(b + i)));
  }
  float as[F::kLanes], ds[F::kLanes] = {};
  for (std::size_t k = 0; k < F::kLanes; ++k) as[k] = -__builtin_inff();
  for (std::size_t k = 0; i + k < n; ++k) {
    as[k] = a[i + k] - max_a;
    ds[k] = a[i + k] - b[i + k];
  }
  sum.Add(Exp(F::Load(as)) * F::Load(ds));
  return sum.Total();
}

constexpr VectorKernels kRows = {RmsNorm,
                                 LayerNorm,
                                 Activate,
                                 Softcap,
                                 AddScaled,
                                 Attend<float>,
                                 Attend<std::uint16_t>,
                                 AttendCodes<8>,
                                 AttendCodes<4>,
                                 Stats,
                                 WeightedDifference};
