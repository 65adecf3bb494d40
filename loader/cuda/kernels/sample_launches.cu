// Draws of next tokens: filters and the race of loader/sampler.cc without a sort.
//
// Limits: a vocabulary below 2^20, so that sums of weights stay below 2^64.
//
// A block a row. Tokens are ordered by one key, all different:
//
//   |logit, as an integer that orders alike: 32 bits|not the id: 32 bits|     likeliest first, then
//                                                                             the lower id
//
// Top-k and top-p are a least key each, found a byte at a time from the top: how many tokens, or
// how much weight, fall to each value of the byte (256 bins in shared memory, by atomics). Weights
// are doubles as the processor has them; their sums are of whole multiples of 2^-43, so that no
// order of additions shows. What is kept races: the least -log(u) / weight wins, u made of the
// seed, the draw's number and the token.
//
// Floor: logits once over the copy bandwidth; with filters weights 17 times, from the cache.
// Bench: build/release/bin/cuda_bench --filter sample
#include "loader/cuda/kernels/sample_launches.h"
#include "loader/cuda/launch.h"

namespace ingot::cuda {
namespace {

using Wide = unsigned long long;  // as atomics have it

constexpr int kMostVocab = 1 << 20;
constexpr double kUnits = 8796093022208.0;  // 2^43, of a weight of 1
constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15u;

// splitmix64's step and its finalizer.
INGOT_DEVICE std::uint64_t MixBits(std::uint64_t z) {
  z += kGolden;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

struct DrawTokens {
  using Args = SampleArgs;
  static constexpr int kThreads = 256;
  static constexpr int kBins = 256, kMostWarps = kThreads / kLanes;
  // Bins, found digit and what lies above it, an entry a warp.
  static constexpr std::size_t kFoundAt = sizeof(Wide) * kBins;
  static constexpr std::size_t kScratchAt = kFoundAt + sizeof(Wide) * 2;
  static Shape ShapeOf(const Args& args) {
    return {.x = static_cast<unsigned>(args.rows),
            .threads = kThreads,
            .shared_bytes = kScratchAt + sizeof(Wide) * kMostWarps};
  }

  static INGOT_DEVICE void Run(const Args& args) {
    const Wide best = Best(args);
    const int likeliest = IdOf(best);
    const float max = ToFloat32(best);
    // A NaN is the largest key; infinities do not equal themselves less themselves.
    const bool finite = max - max == 0.0f;
    if (!finite || args.temperature == 0) {
      if (ThreadX() == 0) args.ids[BlockX()] = finite ? likeliest : -1;
      return;
    }
    Weigh(args, max);
    Wide least = 0;
    if (args.top_k > 0 && args.top_k < args.vocab) least = LeastOfCount(args);
    if (args.top_p < 1) least = LeastOfWeight(args, least);
    Race(args, least);
  }

 private:
  static INGOT_DEVICE std::int64_t RowAt(const Args& args) {
    return static_cast<std::int64_t>(BlockX()) * args.vocab;
  }
  static INGOT_DEVICE float LogitOf(const Args& args, int id) {
    float logit = args.logits[RowAt(args) + id];
    if (args.seen != nullptr) {
      const std::int64_t words = static_cast<std::int64_t>(SeenWords(args.vocab));
      if ((args.seen[BlockX() * words + id / 32] >> (id % 32) & 1) != 0)
        logit = logit > 0 ? logit / args.penalty : logit * args.penalty;
    }
    return logit + 0.0f;  // -0 is 0
  }
  static INGOT_DEVICE Wide KeyOf(const Args& args, int id) {
    const float logit = LogitOf(args, id);
    const std::uint32_t bits = BitsOf(logit);
    std::uint32_t ordered = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
    if (logit != logit) ordered = 0xffffffffu;
    return static_cast<Wide>(ordered) << 32 | ~static_cast<std::uint32_t>(id);
  }
  static INGOT_DEVICE int IdOf(Wide key) {
    return static_cast<int>(~static_cast<std::uint32_t>(key));
  }
  static INGOT_DEVICE float ToFloat32(Wide key) {
    const auto ordered = static_cast<std::uint32_t>(key >> 32);
    return FloatOf((ordered >> 31) != 0 ? ordered & 0x7fffffffu : ~ordered);
  }
  static INGOT_DEVICE double WeightOf(const Args& args, int id) {
    return args.weights[RowAt(args) + id];
  }
  static INGOT_DEVICE Wide UnitsOf(const Args& args, int id) {
    return static_cast<Wide>(WeightOf(args, id) * kUnits);
  }

  // The largest of the block's values, for every thread.
  static INGOT_DEVICE Wide Largest(Wide v) {
    for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) {
      const Wide other = ShuffleXor(v, lanes);
      v = other > v ? other : v;
    }
    const Shared<Wide> scratch = SharedAt<Wide>(kScratchAt, kMostWarps);
    Sync();  // what was there is read
    if (Lane() == 0) scratch.Set(Warp(), v);
    Sync();
    for (int w = 0; w < Warps(); ++w) v = scratch.Get(w) > v ? scratch.Get(w) : v;
    return v;
  }

  static INGOT_DEVICE Wide Best(const Args& args) {
    Wide best = 0;
    for (int id = static_cast<int>(ThreadX()); id < args.vocab; id += kThreads) {
      const Wide key = KeyOf(args, id);
      best = key > best ? key : best;
    }
    return Largest(best);
  }

  // A thread reads the weights that it wrote.
  static INGOT_DEVICE void Weigh(const Args& args, float max) {
    const double inverse = 1.0 / args.temperature;
    for (int id = static_cast<int>(ThreadX()); id < args.vocab; id += kThreads)
      args.weights[RowAt(args) + id] =
          Exp((static_cast<double>(LogitOf(args, id)) - static_cast<double>(max)) * inverse);
  }

  // The greatest key such that keys from it on have `of` that adds up to what `reached` asks; 0
  // where all of them do not. of(id): of keys that are at least `least`.
  template <class Of, class Reached>
  static INGOT_DEVICE Wide Descend(const Args& args, Wide least, Of of, Reached reached) {
    const Shared<Wide> bins = SharedAt<Wide>(0, kBins), found = SharedAt<Wide>(kFoundAt, 2);
    Wide prefix = 0, above = 0;
    for (int shift = 56; shift >= 0; shift -= 8) {
      Sync();
      bins.Set(static_cast<int>(ThreadX()), 0);
      Sync();
      for (int id = static_cast<int>(ThreadX()); id < args.vocab; id += kThreads) {
        const Wide key = KeyOf(args, id);
        if (key < least || (shift < 56 && key >> (shift + 8) != prefix)) continue;
        bins.Add(static_cast<int>(key >> shift & 255), of(id));
      }
      Sync();
      if (ThreadX() == 0) FindBin(bins, above, reached, found);
      Sync();
      if (found.Get(0) == kBins) return 0;
      prefix = prefix << 8 | found.Get(0);
      above = found.Get(1);
    }
    return prefix;
  }
  // found: the bin from the top at which the sum is reached, and the sum above it.
  template <class Reached>
  static INGOT_DEVICE void FindBin(const Shared<Wide>& bins, Wide above, Reached reached,
                                   const Shared<Wide>& found) {
    int bin = kBins - 1;
    while (bin >= 0 && !reached(above + bins.Get(bin))) above += bins.Get(bin--);
    found.Set(0, bin < 0 ? kBins : bin);
    found.Set(1, above);
  }

  static INGOT_DEVICE Wide LeastOfCount(const Args& args) {
    const Wide wanted = static_cast<Wide>(args.top_k);
    return Descend(
        args, 0, [](int) { return Wide{1}; }, [&](Wide count) { return count >= wanted; });
  }

  // Of those from `least` on.
  static INGOT_DEVICE Wide LeastOfWeight(const Args& args, Wide least) {
    Wide sum = 0;
    for (int id = static_cast<int>(ThreadX()); id < args.vocab; id += kThreads)
      if (KeyOf(args, id) >= least) sum += UnitsOf(args, id);
    Sync();
    sum = BlockSum(sum, SharedAt<Wide>(kScratchAt, kMostWarps));
    const double wanted = args.top_p * static_cast<double>(sum);
    const Wide found = Descend(
        args, least, [&](int id) { return UnitsOf(args, id); },
        [&](Wide kept) { return static_cast<double>(kept) >= wanted; });
    return found > least ? found : least;
  }

  static INGOT_DEVICE void Race(const Args& args, Wide least) {
    const RowDraw draw = args.draws[BlockX()];
    const std::uint64_t key = MixBits(draw.seed ^ MixBits(draw.number + 1));
    double best = 0;
    int winner = -1;
    for (int id = static_cast<int>(ThreadX()); id < args.vocab; id += kThreads) {
      const double weight = WeightOf(args, id);
      if (KeyOf(args, id) < least || weight < args.min_p || !(weight > 0)) continue;
      const std::uint64_t bits = MixBits(key + static_cast<std::uint64_t>(id) * kGolden) >> 11;
      const double time = -Log(static_cast<double>(bits + 1) * 1.1102230246251565e-16) / weight;
      if (winner >= 0 && !(time < best)) continue;
      best = time;
      winner = id;
    }
    // Times are not negative: their bits order as they do. Then the lowest id of the least time.
    const Wide time = winner < 0 ? 0 : ~static_cast<Wide>(BitsOf(best + 0.0));
    const Wide first = Largest(time);
    const bool won = winner >= 0 && time == first;
    const Wide id = Largest(won ? ~static_cast<Wide>(winner) : 0);
    if (ThreadX() == 0) args.ids[BlockX()] = static_cast<int>(~id);
  }
};

}  // namespace

extern "C" int launch_sample(const SampleArgs* args, void* stream) {
  if (args->rows < 0 || args->vocab <= 0 || args->vocab > kMostVocab || !(args->temperature >= 0) ||
      args->top_k < 0 || !(args->top_p > 0) || !(args->min_p >= 0) ||
      (args->temperature > 0 && (args->weights == nullptr || args->draws == nullptr)))
    return kBadArguments;
  return Launch<DrawTokens>(*args, stream);
}

}  // namespace ingot::cuda
