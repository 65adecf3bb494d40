// Attention over pages, a part of vector_body.h, which includes it where F, Exp and Capped are
// known: scores of a page, weights by a softmax that runs over the pages, values; plain numbers or
// codes.

static inline F LoadKv(const float* p) { return F::Load(p); }
static inline F LoadKv(const std::uint16_t* p) { return F::LoadHalf(p); }

constexpr std::size_t kChunkVecs = F::kLanes == 16 ? 4 : 2;  // accumulators a row in one pass
constexpr std::size_t kChunk = kChunkVecs * F::kLanes;
constexpr std::size_t kPanelRows = 6;  // of them, for one conversion of a row of keys or values

// What is read after some rows: asked for while these are, so that memory is not waited for.
struct AfterRows {
  const void* at = nullptr;   // null: nothing is known
  std::size_t row_bytes = 0;  // of it, for each row
  // With row k.
  void Ask(std::size_t k) const {
    if (at == nullptr) return;
    for (std::size_t i = 0; i < row_bytes; i += 64)
      __builtin_prefetch(static_cast<const char*>(at) + k * row_bytes + i);
  }
};

// Rows of numbers as they are.
template <typename T>
struct PlainRows {
  const T* base;
  std::size_t stride;
  AfterRows after;
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
    if (from == 0) b.after.Ask(k);
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

// The keys after a page's values: of its next page, or of the next tile.
static inline const void* KeysAfter(const AttentionTile& tile, std::uint64_t page,
                                    const TileState& state) {
  return (page + 1) * kPageTokens < state.end ? tile.keys[page + 1] : tile.next_keys;
}

template <typename T>
static inline void AttendPage(const AttentionTile& tile, std::uint64_t page, TileState& state) {
  const auto* keys = static_cast<const T*>(tile.keys[page]);
  const auto* values = static_cast<const T*>(tile.values[page]);
  RowsTimes(tile.rows, tile.queries, tile.head_dim,
            PlainRows<T>{keys, kPageTokens, {values, kPageTokens * sizeof(T)}}, tile.head_dim,
            state.scores, kPageTokens, kPageTokens, false);
  FinishPage(
      tile, page,
      PlainRows<T>{
          values, tile.value_stride, {KeysAfter(tile, page, state), tile.value_stride * sizeof(T)}},
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
  AfterRows after;
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
  AfterRows after;
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
  RowsTimes(tile.rows, queries, dim,
            KeyCodes<kBits>{bytes, {bytes + Page::ValuesAt(dim), Page::KeyRow()}}, dim,
            state.scores, kPageTokens, kPageTokens, false);
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
             ValueCodes<kBits>{bytes + Page::ValuesAt(dim),
                               Page::ValueRow(dim),
                               groups,
                               value_scales,
                               value_minima,
                               {KeysAfter(tile, page, state), Page::ValueRow(dim)}},
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
  RowsTimes(tile.rows, tile.queries, tile.head_dim, PlainRows<std::uint16_t>{half, kPageTokens, {}},
            tile.head_dim, state.scores, kPageTokens, kPageTokens, false);
  FinishPage(tile, page,
             PlainRows<std::uint16_t>{half + tile.head_dim * kPageTokens, tile.value_stride, {}},
             state);
  EndTile(tile, state);
}
