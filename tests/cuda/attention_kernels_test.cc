// Pages and attention over them against float64: every form, grouped heads, windows, soft caps,
// ALiBi, rows of several sequences, positions cut into parts.
#include "loader/cuda/kernels/attention_kernels.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "loader/kernels/packed_page.h"
#include "tests/cuda/device_case.h"

namespace ingot::cuda {
namespace {

constexpr int kTokens = 64;

class AttentionKernels : public DeviceCase {};

bool HasCodes(PageForm form) { return form == PageForm::kInt8 || form == PageForm::kInt4; }

// Sequences of given lengths with random keys and values, written by the kernels.
class Cache {
 public:
  Cache(PageForm form, std::vector<int> lengths, int kv_heads, int dim, void* stream)
      : form_(form), lengths_(std::move(lengths)), kv_heads_(kv_heads), dim_(dim) {
    const PageForm open = HasCodes(form) ? PageForm::kF16 : form;
    open_bytes_ = PageHeadBytes(open, dim) * static_cast<std::size_t>(kv_heads);
    for (std::size_t s = 0; s < lengths_.size(); ++s) {
      first_pages_.push_back(static_cast<int>(open_.size()));
      for (int p = 0; p * kTokens < lengths_[s]; ++p) {
        open_.push_back(std::make_unique<DeviceArray<std::uint8_t>>(open_bytes_));
        open_.back()->Poison(
            0);  // slots beyond a sequence are memory, not NaN: kernels may read them
      }
    }
    Write(open, stream);
    if (HasCodes(form)) Pack(stream);
  }

  int first_page(int sequence) const { return first_pages_[static_cast<std::size_t>(sequence)]; }
  std::vector<const void*> pages() const { return Addresses(HasCodes(form_) ? closed_ : open_); }
  std::vector<const void*> open_pages() const { return Addresses(open_); }

  // As a row whose last position is `last` sees them.
  double Number(bool of_keys, int sequence, int position, int head, int d, int last) const {
    const std::size_t page = static_cast<std::size_t>(first_page(sequence) + position / kTokens);
    const int slot = position % kTokens;
    if (!HasCodes(form_) || position / kTokens == last / kTokens) {
      const std::size_t at =
          static_cast<std::size_t>(head * kTokens * (dim_ + Stride())) +
          static_cast<std::size_t>(of_keys ? d * kTokens + slot
                                           : dim_ * kTokens + slot * Stride() + d);
      return form_ == PageForm::kF32 ? Loaded(Slice(*open_[page], 4 * at, 4), FloatType::kF32)[0]
                                     : Half(*open_[page], 2 * at);
    }
    return form_ == PageForm::kInt8 ? Decoded<8>(of_keys, page, slot, head, d)
                                    : Decoded<4>(of_keys, page, slot, head, d);
  }

  // What was written.
  float Given(bool of_keys, int sequence, int position, int head, int d) const {
    int row = position;
    for (int s = 0; s < sequence; ++s) row += lengths_[static_cast<std::size_t>(s)];
    return (of_keys ? keys_
                    : values_)[static_cast<std::size_t>((row * kv_heads_ + head) * dim_ + d)];
  }

 private:
  using Pages = std::vector<std::unique_ptr<DeviceArray<std::uint8_t>>>;
  int Stride() const { return (dim_ + 15) / 16 * 16; }
  static std::vector<const void*> Addresses(const Pages& pages) {
    std::vector<const void*> addresses;
    for (const auto& page : pages) addresses.push_back(page->data());
    return addresses;
  }
  // The page's bytes on the host, read once.
  std::vector<std::uint8_t> Slice(const DeviceArray<std::uint8_t>& page, std::size_t at,
                                  std::size_t bytes) const {
    auto& read = read_[&page];
    if (read.empty()) read = page.Get();
    return {read.begin() + static_cast<std::ptrdiff_t>(at),
            read.begin() + static_cast<std::ptrdiff_t>(at + bytes)};
  }
  float Half(const DeviceArray<std::uint8_t>& page, std::size_t at) const {
    return Loaded(Slice(page, at, 2), FloatType::kF16)[0];
  }

  template <int kBits>
  double Decoded(bool of_keys, std::size_t page, int slot, int head, int d) const {
    using Page = loader::PackedPage<kBits>;
    const auto dim = static_cast<std::size_t>(dim_);
    const std::size_t base = static_cast<std::size_t>(head) * Page::Bytes(dim);
    const DeviceArray<std::uint8_t>& bytes = *closed_[page];
    const std::size_t group =
        static_cast<std::size_t>(slot) * (dim / 32) + static_cast<std::size_t>(d / 32);
    // Of codes: the row, the place in it, and how many places share its bytes.
    const std::size_t row =
        of_keys ? static_cast<std::size_t>(d) * Page::KeyRow()
                : Page::ValuesAt(dim) + static_cast<std::size_t>(slot) * Page::ValueRow(dim);
    const int place = of_keys ? slot : d, block = of_keys ? 64 : 32;
    int code;
    if (kBits == 8) {
      code = Slice(bytes, base + row + static_cast<std::size_t>(place), 1)[0];
    } else {
      const int in = place % block;
      const std::size_t at = static_cast<std::size_t>(place / block * block / 2 + in % (block / 2));
      code = Slice(bytes, base + row + at, 1)[0] >> (in < block / 2 ? 0 : 4) & 15;
    }
    const double scale =
        Half(bytes, base + (of_keys ? Page::KeyScalesAt(dim) + 2 * static_cast<std::size_t>(d)
                                    : Page::ValueScalesAt(dim) + 2 * group));
    if (kBits == 8) return scale * (code - 128);
    return scale * code +
           Half(bytes, base + (of_keys ? Page::KeyMinimaAt(dim) + 2 * static_cast<std::size_t>(d)
                                       : Page::ValueMinimaAt(dim) + 2 * group));
  }

  void Write(PageForm open, void* stream) {
    std::vector<void*> pages;
    std::vector<std::int32_t> slots;
    for (std::size_t s = 0; s < lengths_.size(); ++s)
      for (int position = 0; position < lengths_[s]; ++position) {
        pages.push_back(
            open_[static_cast<std::size_t>(first_pages_[s] + position / kTokens)]->data());
        slots.push_back(position % kTokens);
      }
    const std::size_t numbers = pages.size() * static_cast<std::size_t>(kv_heads_ * dim_);
    keys_ = Normal(numbers, 1, 21);
    values_ = Normal(numbers, 1, 22);
    DeviceArray<float> keys(keys_), values(values_);
    DeviceArray<void*> dpages(pages);
    DeviceArray<std::int32_t> dslots(slots);
    const WriteKeysArgs args{.keys = keys.data(),
                             .values = values.data(),
                             .pages = dpages.data(),
                             .slots = dslots.data(),
                             .rows = static_cast<int>(pages.size()),
                             .kv_heads = kv_heads_,
                             .head_dim = dim_,
                             .form = open};
    EXPECT_EQ(launch_write_keys(&args, stream), 0) << ErrorText(1, stream);
    EXPECT_EQ(WaitStream(stream), 0);
  }

  void Pack(void* stream) {
    for (std::size_t i = 0; i < open_.size(); ++i)
      closed_.push_back(std::make_unique<DeviceArray<std::uint8_t>>(
          PageHeadBytes(form_, dim_) * static_cast<std::size_t>(kv_heads_)));
    DeviceArray<const void*> from(Addresses(open_));
    std::vector<void*> targets;
    for (const auto& page : closed_) targets.push_back(page->data());
    DeviceArray<void*> to(targets);
    const PackPagesArgs args{.from = from.data(),
                             .to = to.data(),
                             .pages = static_cast<int>(targets.size()),
                             .kv_heads = kv_heads_,
                             .head_dim = dim_,
                             .form = form_};
    EXPECT_EQ(launch_pack_pages(&args, stream), 0);
    EXPECT_EQ(WaitStream(stream), 0) << ErrorText(1, stream);
  }

  PageForm form_;
  std::vector<int> lengths_;
  int kv_heads_, dim_;
  std::size_t open_bytes_ = 0;
  std::vector<float> keys_, values_;
  std::vector<int> first_pages_;
  Pages open_, closed_;
  mutable std::map<const void*, std::vector<std::uint8_t>> read_;
};

struct Sample {
  PageForm form;
  int heads, kv_heads, dim;
  std::vector<int> lengths;
  std::vector<std::pair<int, int>> rows;  // sequence, last position
  int window = 0;
  float softcap = 0;
  bool alibi = false;
  int splits = 1;
  float rounded = 0;  // AttendArgs::rounded_alibi
};

double Bias(const Sample& sample, float slope, int position, int last) {
  if (sample.rounded == 0) return -slope * (last - position);
  const float place = FromBf16(ToBf16(static_cast<float>(position)));
  return sample.rounded * FromBf16(ToBf16(FromBf16(ToBf16(slope)) * place));
}

std::vector<double> Attended(const Sample& sample, const Cache& cache, const std::vector<float>& q,
                             const std::vector<float>& slopes) {
  std::vector<double> out;
  for (std::size_t r = 0; r < sample.rows.size(); ++r) {
    const auto [sequence, last] = sample.rows[r];
    const int begin = sample.window > 0 ? std::max(0, last + 1 - sample.window) : 0;
    for (int h = 0; h < sample.heads; ++h) {
      const int kv = h / (sample.heads / sample.kv_heads);
      const float* query =
          q.data() + (r * static_cast<std::size_t>(sample.heads) + static_cast<std::size_t>(h)) *
                         static_cast<std::size_t>(sample.dim);
      std::vector<double> weights;
      double sum = 0;
      for (int position = begin; position <= last; ++position) {
        double score = 0;
        for (int d = 0; d < sample.dim; ++d)
          score += 0.3 * query[d] * cache.Number(true, sequence, position, kv, d, last);
        if (sample.softcap > 0) score = sample.softcap * std::tanh(score / sample.softcap);
        if (sample.alibi)
          score += Bias(sample, slopes[static_cast<std::size_t>(h)], position, last);
        weights.push_back(std::exp(score));
        sum += weights.back();
      }
      for (int d = 0; d < sample.dim; ++d) {
        double value = 0;
        for (int position = begin; position <= last; ++position)
          value += weights[static_cast<std::size_t>(position - begin)] *
                   cache.Number(false, sequence, position, kv, d, last);
        out.push_back(value / sum);
      }
    }
  }
  return out;
}

TEST_F(AttentionKernels, AttendsAsDefined) {
  using enum PageForm;
  const std::vector<Sample> samples = {
      {kF32, 2, 1, 20, {70, 3}, {{0, 69}, {1, 0}, {1, 2}, {0, 10}}},
      {kF16, 6, 1, 64, {200}, {{0, 199}, {0, 64}}, 0, 0, false, 3},
      {kF16, 4, 2, 80, {150}, {{0, 149}, {0, 70}}, 40, 5},
      {kF16, 2, 2, 200, {65}, {{0, 64}}, 0, 0, true, 2},
      {kF32, 2, 2, 16, {400}, {{0, 399}, {0, 20}}, 0, 0, true, 1, 0.25f},
      {kInt8, 4, 2, 64, {140}, {{0, 139}, {0, 63}, {0, 100}}, 0, 0, false, 1},
      {kInt4, 3, 1, 128, {150}, {{0, 149}, {0, 20}}, 0, 0, false, 4},
  };
  for (const Sample& sample : samples) {
    SCOPED_TRACE("sample " + std::to_string(&sample - samples.data()));
    const Cache cache(sample.form, sample.lengths, sample.kv_heads, sample.dim, stream_);
    const int rows = static_cast<int>(sample.rows.size());
    const auto q = Normal(static_cast<std::size_t>(rows * sample.heads * sample.dim), 1, 23);
    std::vector<float> slopes;
    for (int h = 0; h < sample.heads; ++h) {
      slopes.push_back(0.1f / static_cast<float>(1 + h));
      if (sample.rounded != 0) slopes.back() = FromBf16(ToBf16(slopes.back()));
    }
    std::vector<std::int32_t> firsts, begins, ends;
    for (const auto& [sequence, last] : sample.rows) {
      firsts.push_back(cache.first_page(sequence));
      begins.push_back(sample.window > 0 ? std::max(0, last + 1 - sample.window) : 0);
      ends.push_back(last + 1);
    }
    DeviceArray<float> dq(q), out(q.size()), dslopes(slopes);
    DeviceArray<const void*> pages(cache.pages()), open(cache.open_pages());
    DeviceArray<std::int32_t> dfirsts(firsts), dbegins(begins), dends(ends);
    DeviceArray<std::uint8_t> scratch(AttendScratch(rows, sample.heads, sample.dim, sample.splits));
    const AttendArgs args{.q = dq.data(),
                          .out = out.data(),
                          .pages = pages.data(),
                          .open_pages = open.data(),
                          .first_pages = dfirsts.data(),
                          .begins = dbegins.data(),
                          .ends = dends.data(),
                          .slopes = sample.alibi ? dslopes.data() : nullptr,
                          .rounded_alibi = sample.rounded,
                          .scratch = scratch.data(),
                          .rows = rows,
                          .heads = sample.heads,
                          .kv_heads = sample.kv_heads,
                          .head_dim = sample.dim,
                          .splits = sample.splits,
                          .scale = 0.3f,
                          .softcap = sample.softcap,
                          .form = sample.form};
    Launch([&] { return launch_attend(&args, stream_); },
           [&] {
             std::vector<std::uint8_t> bytes;
             AppendBytes(out.Get(), bytes);
             return bytes;
           });
    EXPECT_LE(RelativeError(out.Get(), Attended(sample, cache, q, slopes)), 2e-6);
  }
}

// What a page of codes says is within half a step of what was written.
TEST_F(AttentionKernels, CodesAreNear) {
  for (const PageForm form : {PageForm::kInt8, PageForm::kInt4}) {
    const Cache cache(form, {64}, 2, 64, stream_);
    for (const bool keys : {true, false}) {
      double worst = 0;
      for (int position = 0; position < 64; ++position)
        for (int head = 0; head < 2; ++head)
          for (int d = 0; d < 64; ++d)
            worst = std::max(worst, std::abs(cache.Number(keys, 0, position, head, d, 64) -
                                             cache.Given(keys, 0, position, head, d)));
      // Normal numbers within 4.5: a step is their range over 254 or 15.
      EXPECT_LE(worst, form == PageForm::kInt8 ? 0.5 * 9.0 / 254 + 0.003 : 0.5 * 9.0 / 15);
      EXPECT_GE(worst, form == PageForm::kInt8 ? 0.5 * 2.0 / 254 : 0.5 * 2.0 / 15);
    }
  }
}

TEST_F(AttentionKernels, RefusesWhatItDoesNotTake) {
  AttendArgs args{.rows = 1, .heads = 4, .kv_heads = 2, .head_dim = 512};
  EXPECT_EQ(launch_attend(&args, stream_), kBadArguments);
  args.head_dim = 80;
  args.form = PageForm::kInt4;
  EXPECT_EQ(launch_attend(&args, stream_), kBadArguments);
  args = {.rows = 1, .heads = 3, .kv_heads = 2, .head_dim = 64};
  EXPECT_EQ(launch_attend(&args, stream_), kBadArguments);
  WriteKeysArgs write{.rows = 1, .kv_heads = 1, .head_dim = 64, .form = PageForm::kInt8};
  EXPECT_EQ(launch_write_keys(&write, stream_), kBadArguments);
  PackPagesArgs pack{.pages = 1, .kv_heads = 1, .head_dim = 64, .form = PageForm::kF16};
  EXPECT_EQ(launch_pack_pages(&pack, stream_), kBadArguments);
}

}  // namespace
}  // namespace ingot::cuda
