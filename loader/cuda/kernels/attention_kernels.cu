// Keys and values into pages, pages into codes, attention over pages.
//
// Limits: heads of up to 256, for pages of codes multiples of 64 of them; heads a multiple of
// kv_heads; positions below 2^31. Page layouts: loader/kernels/packed_page.h for codes; f32 and
// f16:
//
//   keys    head_dim x 64     a channel's 64 positions side by side
//   values  64 x stride       a position's channels, stride = head_dim up to a multiple of 16
//
// attend: a block has one row, up to 4 of the query heads that share a kv head, and one of `splits`
// parts of the row's pages; its 4 warps take pages in turn, each with a running softmax (Milakov,
// Gimelshein, 2018) of its own. In a page a lane has two positions while it meets keys, and
// 2 of every 64 channels while it adds values:
//
//   scores[head][lane's two] = sum over d of q[head][d] keys[d][lane's two]     a line a load
//   out[head][lane's two of 64] += sum over positions of weight values[...]     a line a load
//
// Warps' results meet in shared memory, parts' in `scratch` (merge), in order. So a row's bits
// depend on its positions and `splits`, on nothing else in the launch. A prompt's rows read pages
// each for itself: right, and not at the roof.
//
// Floor: bytes of the pages that rows see over the copy bandwidth.
// Bench: build/release/bin/cuda_bench --filter attend
#include "loader/cuda/kernels/attention_kernels.h"
#include "loader/cuda/kernels/page_readers.h"
#include "loader/cuda/launch.h"

namespace ingot::cuda {
namespace {

constexpr float kLowest = -3.0e38f;

// ---- writing -------------------------------------------------------------------------------

template <class T>
struct WriteKeys {
  using Args = WriteKeysArgs;
  static constexpr int kThreads = 128;
  static Shape ShapeOf(const Args& args) {
    return {.x = static_cast<unsigned>(args.rows), .threads = kThreads};
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t row = BlockX();
    const int dim = args.head_dim, width = args.kv_heads * dim, slot = args.slots[row];
    const int head_numbers = kPageTokens * (dim + ValueStride(dim));
    T* page = static_cast<T*>(args.pages[row]);
    for (int i = static_cast<int>(ThreadX()); i < width; i += kThreads) {
      T* head = page + static_cast<std::int64_t>(i / dim) * head_numbers;
      const int d = i % dim;
      head[d * kPageTokens + slot] = FromFloat<T>(args.keys[row * width + i]);
      head[dim * kPageTokens + slot * ValueStride(dim) + d] =
          FromFloat<T>(args.values[row * width + i]);
    }
  }
};

// A warp has a line of numbers: a key's channel, or 32 of a value. The same roundings as the
// processor's (loader/cpu/packed_page_writer.cc).
template <int kBits>
struct PackPages {
  using Args = PackPagesArgs;
  using Page = loader::PackedPage<kBits>;
  static constexpr int kThreads = 256;
  static Shape ShapeOf(const Args& args) {
    return {.x = static_cast<unsigned>(args.pages),
            .y = static_cast<unsigned>(args.kv_heads),
            .threads = kThreads};
  }

  static INGOT_DEVICE void Run(const Args& args) {
    const int dim = args.head_dim, groups = static_cast<int>(Page::Groups(dim));
    const std::int64_t head = BlockY();
    const F16* from = static_cast<const F16*>(args.from[BlockX()]) +
                      head * kPageTokens * (dim + ValueStride(dim));
    std::uint8_t* to = static_cast<std::uint8_t*>(args.to[BlockX()]) +
                       head * static_cast<std::int64_t>(Page::Bytes(dim));
    for (int d = Warp(); d < dim; d += Warps()) PackKeys(from + d * kPageTokens, dim, d, to);
    for (int i = Warp(); i < kPageTokens * groups; i += Warps())
      PackValues(from + dim * kPageTokens + i / groups * ValueStride(dim) +
                     i % groups * static_cast<int>(loader::kValueGroup),
                 dim, i, to);
  }

 private:
  struct Line {
    float minimum, scale;
    INGOT_DEVICE std::uint8_t CodeOf(float x) const {
      const float code = Round((x - minimum) / scale);
      if (!(scale > 0) || !(code > 0)) return 0;  // NaN, too
      return static_cast<std::uint8_t>(Min(code, static_cast<float>((1 << kBits) - 1)));
    }
  };

  static INGOT_DEVICE void Store(std::uint8_t* at, F16 v) { *reinterpret_cast<F16*>(at) = v; }

  static INGOT_DEVICE Line LineOf(float low, float high, std::uint8_t* scale,
                                  std::uint8_t* minimum) {
    high = WarpMax(high);
    low = -WarpMax(-low);
    const F16 least = FromFloat<F16>(low);
    const F16 step =
        FromFloat<F16>(kBits == 8 ? Max(-low, high) / 127.0f
                                  : (high - low) / static_cast<float>((1 << kBits) - 1));
    if (Lane() == 0) {
      Store(scale, step);
      if (kBits == 4) Store(minimum, least);
    }
    const float rounded = ToFloat(step);
    return {kBits == 8 ? -loader::PackedPage<8>::kMiddle * rounded : ToFloat(least), rounded};
  }

  static INGOT_DEVICE void PackKeys(const F16* from, int dim, int d, std::uint8_t* to) {
    const float a = ToFloat(from[Lane()]), b = ToFloat(from[Lane() + 32]);
    const Line line = LineOf(Min(a, b), Max(a, b), to + Page::KeyScalesAt(dim) + 2 * d,
                             to + Page::KeyMinimaAt(dim) + 2 * d);
    std::uint8_t* codes = to + d * Page::KeyRow();
    if constexpr (kBits == 8) {
      codes[Lane()] = line.CodeOf(a);
      codes[Lane() + 32] = line.CodeOf(b);
    } else {
      codes[Lane()] = static_cast<std::uint8_t>(line.CodeOf(a) | line.CodeOf(b) << 4);
    }
  }

  // Group i of the page: position i / groups.
  static INGOT_DEVICE void PackValues(const F16* from, int dim, int i, std::uint8_t* to) {
    const float v = ToFloat(from[Lane()]);
    const Line line =
        LineOf(v, v, to + Page::ValueScalesAt(dim) + 2 * i, to + Page::ValueMinimaAt(dim) + 2 * i);
    const int code = line.CodeOf(v);
    std::uint8_t* codes = to + Page::ValuesAt(dim) + i * static_cast<int>(Page::ValueRow(32));
    const int above = Shuffle(code, (Lane() + 16) % kLanes);
    if constexpr (kBits == 8)
      codes[Lane()] = static_cast<std::uint8_t>(code);
    else if (Lane() < 16)
      codes[Lane()] = static_cast<std::uint8_t>(code | above << 4);
  }
};

// ---- attention -----------------------------------------------------------------------------

constexpr int kAttendWarps = 4, kHeads = 4;

struct Running {
  float max = kLowest, sum = 0;
};

// kBlocks: 64 channels each, as many as a head has.
template <PageForm kForm, int kBlocks>
struct AttendPages {
  using Args = AttendArgs;
  static constexpr int kThreads = kAttendWarps * kLanes;
  static constexpr int kDim = 64 * kBlocks;
  static constexpr bool kSpread = kForm == PageForm::kInt4;

  static INGOT_BOTH int HeadChunks(const Args& args) {
    return (args.heads / args.kv_heads + kHeads - 1) / kHeads;
  }
  static Shape ShapeOf(const Args& args) {
    return {.x = static_cast<unsigned>(args.rows),
            .y = static_cast<unsigned>(args.kv_heads * HeadChunks(args)),
            .z = static_cast<unsigned>(args.splits),
            .threads = kThreads,
            .shared_bytes = sizeof(float) * (kHeads * kDim + kAttendWarps * kHeads * kPageTokens +
                                             kAttendWarps * kHeads * (kDim + 2))};
  }

  // Of a warp.
  struct State {
    Running softmax[kHeads];
    float out[kHeads][kBlocks][2] = {};
  };
  struct Place {
    int row, kv_head, first_head, heads, begin, end;
  };

  static INGOT_DEVICE void Run(const Args& args) {
    const Shared<float> queries = SharedAt<float>(0, kHeads * kDim);
    const Shared<float> weights =
        SharedAt<float>(sizeof(float) * kHeads * kDim, kAttendWarps * kHeads * kPageTokens);
    const Shared<float> results =
        SharedAt<float>(sizeof(float) * (kHeads * kDim + kAttendWarps * kHeads * kPageTokens),
                        kAttendWarps * kHeads * (kDim + 2));
    const Place place = PlaceOf(args);
    for (int i = static_cast<int>(ThreadX()); i < kHeads * kDim; i += kThreads) {
      const int head = i / kDim, d = i % kDim;
      const bool there = head < place.heads && d < args.head_dim;
      queries.Set(i, there ? args.scale * args.q[QueryAt(args, place, head) + d] : 0.0f);
    }
    Sync();
    const int first = place.begin / kPageTokens, pages = (place.end - 1) / kPageTokens + 1 - first;
    const int split = static_cast<int>(BlockZ());
    const int from = first + static_cast<int>(std::int64_t{pages} * split / args.splits);
    const int to = first + static_cast<int>(std::int64_t{pages} * (split + 1) / args.splits);
    State state;
    for (int page = from + Warp(); page < to; page += kAttendWarps)
      AddPage(args, place, page, queries, weights, state);
    Keep(state, results);
    Sync();
    Finish(args, place, results);
  }

 private:
  static INGOT_DEVICE Place PlaceOf(const Args& args) {
    const int group = args.heads / args.kv_heads, chunks = HeadChunks(args);
    Place place;
    place.row = static_cast<int>(BlockX());
    place.kv_head = static_cast<int>(BlockY()) / chunks;
    const int chunk = static_cast<int>(BlockY()) % chunks;
    place.first_head = place.kv_head * group + chunk * kHeads;
    place.heads = Least(kHeads, group - chunk * kHeads);
    place.begin = args.begins[place.row];
    place.end = args.ends[place.row];
    return place;
  }
  static INGOT_DEVICE std::int64_t QueryAt(const Args& args, const Place& place, int head) {
    return (static_cast<std::int64_t>(place.row) * args.heads + place.first_head + head) *
           args.head_dim;
  }

  static INGOT_DEVICE void AddPage(const Args& args, const Place& place, int page,
                                   const Shared<float>& queries, const Shared<float>& weights,
                                   State& state) {
    const std::int64_t at = std::int64_t{args.first_pages[place.row]} + page;
    const bool codes = kForm == PageForm::kInt8 || kForm == PageForm::kInt4;
    const int dim = args.head_dim;
    if constexpr (kForm == PageForm::kF32) {
      const auto* head = static_cast<const std::uint8_t*>(args.pages[at]) +
                         4ll * place.kv_head * kPageTokens * (dim + ValueStride(dim));
      Meet(args, place, page, FloatPage<float, kSpread>(head, dim), queries, weights, state);
    } else if (!codes || page == (place.end - 1) / kPageTokens) {
      const void* const* table = codes ? args.open_pages : args.pages;
      const auto* head = static_cast<const std::uint8_t*>(table[at]) +
                         2ll * place.kv_head * kPageTokens * (dim + ValueStride(dim));
      Meet(args, place, page, FloatPage<F16, kSpread>(head, dim), queries, weights, state);
    } else {
      using Reader = CodePage<kForm == PageForm::kInt8 ? 8 : 4>;
      const auto* head = static_cast<const std::uint8_t*>(args.pages[at]) +
                         static_cast<std::int64_t>(Reader::Page::Bytes(dim)) * place.kv_head;
      Meet(args, place, page, Reader(head, dim), queries, weights, state);
    }
  }

  template <class Reader>
  static INGOT_DEVICE void Meet(const Args& args, const Place& place, int page,
                                const Reader& reader, const Shared<float>& queries,
                                const Shared<float>& weights, State& state) {
    float scores[kHeads][2] = {};
    for (int d = 0; d < args.head_dim; ++d) {
      const Two keys = reader.Keys(d);
      INGOT_UNROLL
      for (int h = 0; h < kHeads; ++h) {
        const float q = queries.Get(h * kDim + d);
        scores[h][0] = Fma(q, keys.first, scores[h][0]);
        scores[h][1] = Fma(q, keys.second, scores[h][1]);
      }
    }
    const int own = Warp() * kHeads * kPageTokens;
    SyncWarp();  // the page before is read
    INGOT_UNROLL
    for (int h = 0; h < kHeads; ++h) {
      Soften<Reader>(args, place, page, h, scores[h], state);
      weights.Set(own + h * kPageTokens + Reader::Key(0), scores[h][0]);
      weights.Set(own + h * kPageTokens + Reader::Key(1), scores[h][1]);
    }
    SyncWarp();
    const int lowest = page * kPageTokens;
    const int begin = place.begin > lowest ? place.begin - lowest : 0;
    const int end = Least(place.end - lowest, kPageTokens);
    for (int position = begin; position < end; ++position) {
      INGOT_UNROLL
      for (int b = 0; b < kBlocks; ++b) {
        if (NumberOf<kSpread>(b, 1) >= ValueStride(args.head_dim)) continue;
        const Two values = reader.Values(position, b);
        INGOT_UNROLL
        for (int h = 0; h < kHeads; ++h) {
          const float weight = weights.Get(own + h * kPageTokens + position);
          state.out[h][b][0] = Fma(weight, values.first, state.out[h][b][0]);
          state.out[h][b][1] = Fma(weight, values.second, state.out[h][b][1]);
        }
      }
    }
  }

  static INGOT_DEVICE float Bias(const Args& args, float slope, int position, int end) {
    if (args.rounded_alibi == 0.0f) return -slope * static_cast<float>(end - 1 - position);
    const float rounded = ToFloat(FromFloat<Bf16>(static_cast<float>(position)));
    return args.rounded_alibi * ToFloat(FromFloat<Bf16>(slope * rounded));
  }

  // Scores become weights; what was accumulated so far is rescaled.
  template <class Reader>
  static INGOT_DEVICE void Soften(const Args& args, const Place& place, int page, int h,
                                  float (&scores)[2], State& state) {
    float max = kLowest;
    bool seen[2];
    INGOT_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int position = page * kPageTokens + Reader::Key(i);
      seen[i] = position >= place.begin && position < place.end;
      if (args.softcap > 0) scores[i] = args.softcap * Tanh(scores[i] / args.softcap);
      if (args.slopes != nullptr && h < place.heads)
        scores[i] += Bias(args, args.slopes[place.first_head + h], position, place.end);
      if (seen[i]) max = Max(max, scores[i]);
    }
    Running& running = state.softmax[h];
    max = Max(WarpMax(max), running.max);
    const float factor = Exp(running.max - max);
    float sum = 0;
    INGOT_UNROLL
    for (int i = 0; i < 2; ++i) {
      scores[i] = seen[i] ? Exp(scores[i] - max) : 0.0f;
      sum += scores[i];
    }
    running.sum = running.sum * factor + WarpSum(sum);
    running.max = max;
    INGOT_UNROLL
    for (int b = 0; b < kBlocks; ++b) {
      state.out[h][b][0] *= factor;
      state.out[h][b][1] *= factor;
    }
  }

  // results[warp][head]: max, sum, channels.
  static INGOT_DEVICE void Keep(const State& state, const Shared<float>& results) {
    INGOT_UNROLL
    for (int h = 0; h < kHeads; ++h) {
      const int at = (Warp() * kHeads + h) * (kDim + 2);
      if (Lane() == 0) {
        results.Set(at, state.softmax[h].max);
        results.Set(at + 1, state.softmax[h].sum);
      }
      INGOT_UNROLL
      for (int b = 0; b < kBlocks; ++b) {
        results.Set(at + 2 + NumberOf<kSpread>(b, 0), state.out[h][b][0]);
        results.Set(at + 2 + NumberOf<kSpread>(b, 1), state.out[h][b][1]);
      }
    }
  }

  static INGOT_DEVICE void Finish(const Args& args, const Place& place,
                                  const Shared<float>& results) {
    for (int i = static_cast<int>(ThreadX()); i < place.heads * args.head_dim; i += kThreads) {
      const int h = i / args.head_dim, d = i % args.head_dim;
      const auto at = [&](int warp) { return (warp * kHeads + h) * (kDim + 2); };
      Running all;
      for (int w = 0; w < kAttendWarps; ++w) all.max = Max(all.max, results.Get(at(w)));
      float out = 0;
      for (int w = 0; w < kAttendWarps; ++w) {
        const float factor = Exp(results.Get(at(w)) - all.max);
        all.sum += factor * results.Get(at(w) + 1);
        out += factor * results.Get(at(w) + 2 + d);
      }
      if (args.splits == 1) {
        args.out[QueryAt(args, place, h) + d] = out / all.sum;
        continue;
      }
      const std::int64_t part =
          (static_cast<std::int64_t>(place.row) * args.heads + place.first_head + h) * args.splits +
          BlockZ();
      float* scratch = static_cast<float*>(args.scratch) + part * (args.head_dim + 2);
      scratch[2 + d] = out;
      if (d == 0) {
        scratch[0] = all.max;
        scratch[1] = all.sum;
      }
    }
  }
};

struct MergeParts {
  using Args = AttendArgs;
  static constexpr int kThreads = 64;
  static Shape ShapeOf(const Args& args) {
    return {.x = static_cast<unsigned>(args.rows),
            .y = static_cast<unsigned>(args.heads),
            .threads = kThreads};
  }
  static INGOT_DEVICE void Run(const Args& args) {
    const std::int64_t head = static_cast<std::int64_t>(BlockX()) * args.heads + BlockY();
    const int stride = args.head_dim + 2;
    const float* parts = static_cast<const float*>(args.scratch) + head * args.splits * stride;
    float max = kLowest, sum = 0;
    for (int s = 0; s < args.splits; ++s) max = Max(max, parts[s * stride]);
    for (int s = 0; s < args.splits; ++s)
      sum += Exp(parts[s * stride] - max) * parts[s * stride + 1];
    for (int d = static_cast<int>(ThreadX()); d < args.head_dim; d += kThreads) {
      float out = 0;
      for (int s = 0; s < args.splits; ++s)
        out += Exp(parts[s * stride] - max) * parts[s * stride + 2 + d];
      args.out[head * args.head_dim + d] = out / sum;
    }
  }
};

template <PageForm kForm>
int LaunchAttend(const AttendArgs& args, void* stream) {
  if (args.head_dim <= 64) return Launch<AttendPages<kForm, 1>>(args, stream);
  if (args.head_dim <= 128) return Launch<AttendPages<kForm, 2>>(args, stream);
  return Launch<AttendPages<kForm, 4>>(args, stream);
}

bool HasCodes(PageForm form) { return form == PageForm::kInt8 || form == PageForm::kInt4; }

bool TakesHeads(PageForm form, int kv_heads, int head_dim) {
  return kv_heads > 0 && kv_heads <= 65535 && head_dim > 0 && head_dim <= kMostHeadDim &&
         (!HasCodes(form) || head_dim % 64 == 0);
}

}  // namespace

extern "C" int launch_write_keys(const WriteKeysArgs* args, void* stream) {
  if (args->rows < 0 || !TakesHeads(args->form, args->kv_heads, args->head_dim))
    return kBadArguments;
  if (args->form == PageForm::kF32) return Launch<WriteKeys<float>>(*args, stream);
  if (args->form == PageForm::kF16) return Launch<WriteKeys<F16>>(*args, stream);
  return kBadArguments;
}

extern "C" int launch_pack_pages(const PackPagesArgs* args, void* stream) {
  if (args->pages < 0 || !HasCodes(args->form) ||
      !TakesHeads(args->form, args->kv_heads, args->head_dim))
    return kBadArguments;
  if (args->form == PageForm::kInt8) return Launch<PackPages<8>>(*args, stream);
  return Launch<PackPages<4>>(*args, stream);
}

extern "C" int launch_attend(const AttendArgs* args, void* stream) {
  if (args->rows < 0 || !TakesHeads(args->form, args->kv_heads, args->head_dim) ||
      args->heads <= 0 || args->heads % args->kv_heads != 0 || args->heads > 65535 ||
      args->splits < 1 || args->splits > kMostSplits)
    return kBadArguments;
  int error = kBadArguments;
  switch (args->form) {
    case PageForm::kF32:
      error = LaunchAttend<PageForm::kF32>(*args, stream);
      break;
    case PageForm::kF16:
      error = LaunchAttend<PageForm::kF16>(*args, stream);
      break;
    case PageForm::kInt8:
      error = LaunchAttend<PageForm::kInt8>(*args, stream);
      break;
    case PageForm::kInt4:
      error = LaunchAttend<PageForm::kInt4>(*args, stream);
      break;
  }
  if (error != 0 || args->splits == 1) return error;
  return Launch<MergeParts>(*args, stream);
}

}  // namespace ingot::cuda
