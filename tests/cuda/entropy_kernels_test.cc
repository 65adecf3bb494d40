// rANS chunks against an encoder written from docs/FORMAT.md, damaged ones, and rows of entropy
// planes against the layout's definition.
#include "loader/cuda/kernels/entropy_kernels.h"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>

#include "tests/cuda/device_case.h"

namespace ingot::cuda {
namespace {

class EntropyKernels : public DeviceCase {};

using Bytes = std::vector<std::uint8_t>;

void PutVarint(std::uint32_t v, Bytes& out) {
  for (int shift = 28; shift > 0; shift -= 7)
    if (v >> shift != 0) out.push_back(static_cast<std::uint8_t>(0x80 | (v >> shift & 0x7f)));
  out.push_back(v & 0x7f);
}

// Frequencies that add up to `total`, each at least 1 for symbols that occur.
std::array<std::uint32_t, 256> Frequencies(const Bytes& raw, std::uint32_t total) {
  std::array<std::uint64_t, 256> counts{};
  for (const std::uint8_t b : raw) ++counts[b];
  std::array<std::uint32_t, 256> f{};
  std::uint32_t sum = 0;
  for (std::size_t s = 0; s < 256; ++s) {
    if (counts[s] == 0) continue;
    f[s] = std::max<std::uint32_t>(1, static_cast<std::uint32_t>(counts[s] * total / raw.size()));
    sum += f[s];
  }
  auto& most = *std::max_element(f.begin(), f.end());
  most = most + total - sum;
  return f;
}

Bytes Encoded(const Bytes& raw, std::uint32_t total = 4096) {
  auto f = Frequencies(raw, total);
  Bytes out{4};
  PutVarint(static_cast<std::uint32_t>(raw.size()), out);
  std::vector<int> symbols;
  for (int s = 0; s < 256; ++s)
    if (f[static_cast<std::size_t>(s)] > 0) symbols.push_back(s);
  out.push_back(static_cast<std::uint8_t>(symbols[0]));
  for (std::size_t i = 1; i < symbols.size(); ++i) {
    out.push_back(static_cast<std::uint8_t>(symbols[i]));
    if (symbols[i] != symbols[i - 1] + 1) continue;
    std::size_t run = 0;
    while (i + run + 1 < symbols.size() && symbols[i + run + 1] == symbols[i + run] + 1) ++run;
    out.push_back(static_cast<std::uint8_t>(run));
    i += run;
  }
  out.push_back(0);
  for (const int s : symbols) PutVarint(f[static_cast<std::size_t>(s)], out);
  std::array<std::uint32_t, 257> c{};
  for (std::size_t s = 0; s < 256; ++s) c[s + 1] = c[s] + (f[s] *= 4096 / total);
  std::array<std::uint32_t, 32> states;
  states.fill(1u << 15);
  std::vector<std::uint16_t> words;  // backwards
  for (std::size_t i = raw.size(); i-- > 0;) {
    std::uint32_t& state = states[i % 32];
    if (state >= (8u << 16) * std::uint64_t{f[raw[i]]}) {
      words.push_back(static_cast<std::uint16_t>(state));
      state >>= 16;
    }
    state = state / f[raw[i]] * 4096 + state % f[raw[i]] + c[raw[i]];
  }
  AppendBytes(std::vector<std::uint32_t>(states.begin(), states.end()), out);
  std::reverse(words.begin(), words.end());
  AppendBytes(words, out);
  return out;
}

Bytes Skewed(std::size_t count, unsigned seed, float width) {
  Bytes bytes;
  for (const float v : Normal(count, width, seed))
    bytes.push_back(static_cast<std::uint8_t>(std::clamp(std::lround(v) + 128, 0l, 255l)));
  return bytes;
}

struct Decoded {
  std::vector<Bytes> bytes;
  std::vector<std::int32_t> faults;
};

Decoded Decode(const std::vector<Bytes>& stored, const std::vector<std::size_t>& sizes,
               void* stream) {
  std::vector<std::unique_ptr<DeviceArray<std::uint8_t>>> in, out;
  std::vector<RansChunk> chunks;
  for (std::size_t i = 0; i < stored.size(); ++i) {
    in.push_back(std::make_unique<DeviceArray<std::uint8_t>>(stored[i]));
    out.push_back(std::make_unique<DeviceArray<std::uint8_t>>(sizes[i]));
    chunks.push_back({in[i]->data(), out[i]->data(), static_cast<std::uint32_t>(stored[i].size()),
                      static_cast<std::uint32_t>(sizes[i])});
  }
  DeviceArray<RansChunk> list(chunks);
  DeviceArray<std::int32_t> faults(stored.size());
  const RansArgs args{list.data(), faults.data(), static_cast<int>(stored.size())};
  const int error = launch_rans_chunks(&args, stream);
  EXPECT_EQ(error, 0) << ErrorText(error, stream);
  EXPECT_EQ(WaitStream(stream), 0) << ErrorText(1, stream);
  Decoded decoded;
  for (const auto& bytes : out) decoded.bytes.push_back(bytes->Get());
  decoded.faults = faults.Get();
  return decoded;
}

TEST_F(EntropyKernels, ChunksDecode) {
  std::vector<Bytes> raws, stored;
  std::vector<std::size_t> sizes;
  for (const std::size_t n : {1, 31, 32, 33, 1000, 5003}) {
    raws.push_back(Skewed(n, static_cast<unsigned>(n), 4));
    stored.push_back(Encoded(raws.back(), n > 2000 ? 4096 : 1024));
  }
  raws.push_back(Bytes(77, 9));  // one symbol
  stored.push_back(Encoded(raws.back()));
  Bytes all(3000);
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = static_cast<std::uint8_t>(i * 7);  // 0 and 255, too
  raws.push_back(all);
  stored.push_back(Encoded(all));
  for (const Bytes& raw : raws) sizes.push_back(raw.size());
  const Decoded decoded = Decode(stored, sizes, stream_);
  EXPECT_EQ(decoded.faults, std::vector<std::int32_t>(raws.size(), 0));
  EXPECT_EQ(decoded.bytes, raws);
}

// Under AddressSanitizer: cut at every length of the head and more, and with any byte changed.
TEST_F(EntropyKernels, DamagedChunksStayInside) {
  const Bytes raw = Skewed(300, 3, 2), whole = Encoded(raw);
  std::vector<Bytes> stored;
  for (std::size_t n = 0; n < whole.size(); n += n < 40 ? 1 : 7)
    stored.emplace_back(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
  const std::size_t cuts = stored.size();
  for (std::size_t i = 0; i < 60; ++i)
    for (const int change : {0x01, 0x80, 0xff}) {
      stored.push_back(whole);
      stored.back()[i] = static_cast<std::uint8_t>(stored.back()[i] ^ change);
    }
  const Decoded decoded =
      Decode(stored, std::vector<std::size_t>(stored.size(), raw.size()), stream_);
  for (std::size_t i = 0; i < cuts; ++i) EXPECT_NE(decoded.faults[i], 0) << "cut " << i;
  const auto fault_of = [&](std::size_t byte) {
    return static_cast<RansFault>(decoded.faults[cuts + 3 * byte]);
  };
  EXPECT_EQ(fault_of(0), RansFault::kHead);
  EXPECT_EQ(fault_of(1), RansFault::kLength);
}

TEST_F(EntropyKernels, RowsOfPlanes) {
  const int rows = 21, cols = 300, band = 8, bands = 3;
  std::mt19937 random(5);
  const Bytes values = Skewed(static_cast<std::size_t>(rows * cols), 9, 9);
  std::vector<std::uint16_t> records;
  for (int r = 0; r < rows; ++r)
    records.push_back(static_cast<std::uint16_t>((random() % 32) << 11 | (0x40 + random() % 1000)));
  std::vector<std::uint32_t> order, begins;
  Bytes codes;
  for (int b = 0; b < bands; ++b) {
    std::vector<int> line(cols);
    for (int& l : line) l = static_cast<int>(b == 1 ? 31 * (random() % 2) : random() % 32);
    std::vector<std::uint32_t> sorted(cols);
    std::iota(sorted.begin(), sorted.end(), 0u);
    std::ranges::stable_sort(sorted, {}, [&](std::uint32_t j) { return line[j]; });
    order.insert(order.end(), sorted.begin(), sorted.end());
    for (int l = 0; l <= 32; ++l)
      begins.push_back(
          static_cast<std::uint32_t>(std::ranges::count_if(line, [&](int k) { return k < l; })));
    // The plane's definition: by class, then row, then column.
    for (int k = 0; k < 63; ++k)
      for (int r = b * band; r < std::min(rows, (b + 1) * band); ++r)
        for (int j = 0; j < cols; ++j)
          if ((records[static_cast<std::size_t>(r)] >> 11) + line[static_cast<std::size_t>(j)] == k)
            codes.push_back(values[static_cast<std::size_t>(r * cols + j)]);
  }
  DeviceArray<std::uint8_t> dcodes(codes), out(values.size());
  DeviceArray<std::uint16_t> drecords(records), scales(static_cast<std::size_t>(rows));
  DeviceArray<std::uint32_t> dorder(order), dbegins(begins);
  DeviceArray<std::int32_t> escapes(1);
  const EntropyRowsArgs args{
      dcodes.data(), drecords.data(), dorder.data(), dbegins.data(), out.data(),
      scales.data(), escapes.data(),  rows,          cols,           band};
  Launch(
      [&] {
        escapes.Poison(0);
        return launch_entropy_rows(&args, stream_);
      },
      [&] { return out.Get(); });
  EXPECT_EQ(out.Get(), values);
  EXPECT_EQ(escapes.Get()[0], std::ranges::count(values, 0));
  for (int r = 0; r < rows; ++r)
    EXPECT_EQ(scales.Get()[static_cast<std::size_t>(r)],
              (records[static_cast<std::size_t>(r)] & 0x7ff) << 4);
}

TEST_F(EntropyKernels, RefusesWhatItDoesNotTake) {
  RansArgs chunks{.count = -1};
  EXPECT_EQ(launch_rans_chunks(&chunks, stream_), kBadArguments);
  EntropyRowsArgs rows{.rows = 1, .cols = 1 << 16, .band = 1 << 16};
  EXPECT_EQ(launch_entropy_rows(&rows, stream_), kBadArguments);
}

}  // namespace
}  // namespace ingot::cuda
