#include "codecs/rounding/entropy_pack.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ingot::codecs {
namespace {

constexpr double kClassesAnOctave = 4;
// What a rANS chunk takes beyond its symbols: form and length 4, states 128. Its entry in the chunk
// table counts when chunks are chosen, but is the index's, not the tensor's.
constexpr double kChunkBytes = 4 + 128;
constexpr double kEntryBytes = 64;
// A word half used, frequencies rounded to 12 bits.
constexpr double kCoderWaste = 1.001;
constexpr double kZstdBytes = 60;  // frame, block and Huffman table of a few hundred records
constexpr std::uint64_t kMaxChunkSymbols = std::uint64_t{1} << 22;  // the container's limit

std::uint8_t ByteOf(std::int32_t code) {
  const bool escape = code < -kEntropyCodeMax || code > kEntropyCodeMax;
  return static_cast<std::uint8_t>(escape ? 0 : code + 128);
}

// Classes of lines from the sums of squares of their codes over `count` codes each.
std::vector<std::uint8_t> ClassesOf(const std::vector<double>& squares, std::uint64_t count) {
  std::vector<int> levels(squares.size());
  int low = std::numeric_limits<int>::max(), high = std::numeric_limits<int>::min();
  for (std::size_t i = 0; i < squares.size(); ++i) {
    // A line of zeros is as one with a single 1.
    const double mean = std::max(squares[i], 1.0) / static_cast<double>(count);
    levels[i] = static_cast<int>(std::lround(kClassesAnOctave * 0.5 * std::log2(mean)));
    low = std::min(low, levels[i]);
    high = std::max(high, levels[i]);
  }
  const int base = std::max(low, high - (kEntropyLineClasses - 1));
  std::vector<std::uint8_t> classes(levels.size());
  for (std::size_t i = 0; i < levels.size(); ++i)
    classes[i] = static_cast<std::uint8_t>(std::max(0, levels[i] - base));
  return classes;
}

// n log2 n, 0 for 0.
double Information(double n) { return n > 0 ? n * std::log2(n) : 0; }

// Stored bytes of one chunk (or several, past the container's limit) of these symbols.
double ChunkBytes(const ByteCounts& counts) {
  double n = 0, bits = 0, table = 2;
  for (int s = 0; s < 256; ++s) {
    if (counts[s] == 0) continue;
    n += counts[s];
    bits -= Information(counts[s]);
    if (s == 0 || counts[s - 1] == 0) table += 2;
  }
  if (n == 0) return 0;
  for (const std::uint32_t c : counts)
    if (c > 0) table += c * 4096.0 / n < 128 ? 1 : 2;
  const double chunks = std::ceil(n / static_cast<double>(kMaxChunkSymbols));
  const double coded = (bits + Information(n)) / 8 * kCoderWaste + chunks * (kChunkBytes + table);
  return std::min(coded, n);
}

}  // namespace

LineClasses ClassifyLines(const EntropyCodes& band) {
  std::vector<double> rows(band.rows), columns(band.cols);
  for (std::uint64_t i = 0; i < band.rows; ++i) {
    const std::int32_t* codes = band.codes.data() + i * band.cols;
    for (std::uint64_t j = 0; j < band.cols; ++j) {
      const double square = static_cast<double>(codes[j]) * codes[j];
      rows[i] += square;
      columns[j] += square;
    }
  }
  return {ClassesOf(rows, band.cols), ClassesOf(columns, band.rows)};
}

ClassCounts CountClasses(const EntropyCodes& band, const LineClasses& classes) {
  ClassCounts counts(kEntropyClasses);
  for (std::uint64_t i = 0; i < band.rows; ++i) {
    const std::int32_t* codes = band.codes.data() + i * band.cols;
    ByteCounts* const row = &counts[classes.rows[i]];
    for (std::uint64_t j = 0; j < band.cols; ++j) ++row[classes.columns[j]][ByteOf(codes[j])];
  }
  return counts;
}

ChunkPlan PlanChunks(const ClassCounts& counts) {
  std::vector<int> live;
  for (int k = 0; k < kEntropyClasses; ++k)
    if (std::any_of(counts[k].begin(), counts[k].end(), [](std::uint32_t c) { return c > 0; }))
      live.push_back(k);
  const std::size_t n = live.size();
  // best[i]: fewest bytes for live classes [0, i), whose last chunk begins at from[i].
  std::vector<double> best(n + 1, std::numeric_limits<double>::infinity());
  std::vector<std::size_t> from(n + 1);
  best[0] = 0;
  for (std::size_t begin = 0; begin < n; ++begin) {
    ByteCounts sum{};
    for (std::size_t end = begin + 1; end <= n; ++end) {
      for (int s = 0; s < 256; ++s) sum[s] += counts[live[end - 1]][s];
      const double bytes = best[begin] + ChunkBytes(sum) + kEntryBytes;
      if (bytes >= best[end]) continue;
      best[end] = bytes;
      from[end] = begin;
    }
  }
  ChunkPlan plan;
  for (std::size_t end = n; end > 0; end = from[end]) plan.borders.push_back(live[from[end]]);
  plan.bytes = best[n] - kEntryBytes * static_cast<double>(plan.borders.size());
  std::reverse(plan.borders.begin(), plan.borders.end());
  return plan;
}

EntropyStreamsOut PackEntropy(const EntropyCodes& band) {
  return PackEntropy(band, ClassifyLines(band));
}

EntropyStreamsOut PackEntropy(const EntropyCodes& band, const LineClasses& classes) {
  const ClassCounts counts = CountClasses(band, classes);
  EntropyCursors cursors{};
  for (int k = 0; k + 1 < kEntropyClasses; ++k) {
    std::uint64_t n = 0;
    for (const std::uint32_t c : counts[k]) n += c;
    cursors[k + 1] = cursors[k] + n;
  }
  EntropyStreamsOut out;
  for (const int border : PlanChunks(counts).borders)
    if (cursors[border] > 0) out.cuts.push_back(cursors[border]);

  std::vector<std::uint8_t> codes(band.rows * band.cols), rows(2 * band.rows),
      columns(2 * band.cols);
  std::vector<std::vector<std::int32_t>> escapes(kEntropyClasses);
  for (std::uint64_t i = 0; i < band.rows; ++i)
    for (std::uint64_t j = 0; j < band.cols; ++j) {
      const int k = classes.rows[i] + classes.columns[j];
      const std::int32_t code = band.codes[i * band.cols + j];
      codes[cursors[k]++] = ByteOf(code);
      if (ByteOf(code) == 0) escapes[k].push_back(code);
    }
  for (std::uint64_t i = 0; i < band.rows; ++i)
    StoreLe(rows.data() + 2 * i, EntropyRecord(band.row_factors[i], classes.rows[i]));
  for (std::uint64_t j = 0; j < band.cols; ++j)
    StoreLe(columns.data() + 2 * j, EntropyRecord(band.column_factors[j], classes.columns[j]));
  std::vector<std::uint8_t> escape_bytes;
  for (const auto& of_class : escapes)
    for (const std::int32_t code : of_class)
      for (int b = 0; b < 4; ++b)
        escape_bytes.push_back(
            static_cast<std::uint8_t>(static_cast<std::uint32_t>(code) >> (8 * b)));
  out.streams = {std::move(codes), std::move(rows), std::move(columns), std::move(escape_bytes)};
  return out;
}

double EntropyRecordBytes(std::span<const float> factors, std::span<const std::uint8_t> classes,
                          double count) {
  ByteCounts counts{};
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const std::uint16_t record = EntropyRecord(factors[i], classes[i]);
    ++counts[record & 0xffu];
    ++counts[record >> 8];
  }
  const auto bytes = 2.0 * static_cast<double>(factors.size());
  double bits = Information(bytes);
  for (const std::uint32_t c : counts) bits -= Information(c);
  return std::min(2 * count, bits / 8 * count / static_cast<double>(factors.size()) + kZstdBytes);
}

}  // namespace ingot::codecs
