#include "loader/planes/resident_dependent.h"

#include <algorithm>
#include <cstdlib>

#include "base/parallel.h"
#include "codecs/planes/dependent_plane.h"
#include "loader/planes/resident_kind.h"

namespace ingot::loader {
namespace {

// Levels beyond 8 bits, of all, for which sparse planes still take less than a second plane, and
// little time.
constexpr double kSparseShare = 0.003;
// Of two planes the first counts these, the second what is left, from -64 to 63.
constexpr int kHighBits = 7;
constexpr std::int32_t kHigh = 1 << kHighBits;
constexpr std::int32_t kMostHigh = 127, kLeastHigh = -128;
// Times a factor of 7 bits it is exact in float32, and so are the sums of its parts.
constexpr std::int32_t kMostLevel = 1 << 16;

struct Turn {
  const codecs::PlaneView& plane;
  codecs::DependentLayout layout;
  bool two = false;
  std::uint8_t* low = nullptr;           // codes, rows x cols
  std::uint8_t* high = nullptr;          // of the first plane, where there are two
  std::vector<std::vector<Rest>> rests;  // of each row
};

// Codes outside [-32, 31], whose levels 8 bits do not hold.
std::uint64_t CountWide(ByteSpan codes) {
  std::uint64_t total = 0;
  while (!codes.empty()) {
    const std::size_t n = std::min<std::size_t>(codes.size(), 1 << 16);
    std::uint32_t wide = 0;
    for (std::size_t i = 0; i < n; ++i) wide += static_cast<std::uint8_t>(codes[i] - 96) > 63;
    total += wide;
    codes = codes.subspan(n);
  }
  return total;
}

// to[p] = from[p] + 128, cut to a byte; whether any was.
bool ToBytes(const std::int16_t* __restrict from, std::uint64_t count,
             std::uint8_t* __restrict to) {
  std::uint16_t cut = 0;
  for (std::uint64_t p = 0; p < count; ++p) {
    const auto byte = static_cast<std::uint16_t>(from[p] + 128);
    cut |= byte;
    to[p] = static_cast<std::uint8_t>(byte);
  }
  return cut > 255;
}

// The parts of each level in two planes, 128 up. REQUIRES: levels are within +-16000.
void ToTwo(const std::int16_t* __restrict from, std::uint64_t count, std::uint8_t* __restrict high,
           std::uint8_t* __restrict low) {
  for (std::uint64_t p = 0; p < count; ++p) {
    const auto part = static_cast<std::int16_t>((from[p] + kHigh / 2) >> kHighBits);
    high[p] = static_cast<std::uint8_t>(part + 128);
    low[p] = static_cast<std::uint8_t>(from[p] - part * kHigh + 128);
  }
}

// Writes the rows of one run of them that begins with fresh states.
class RowTurner {
 public:
  explicit RowTurner(Turn& turn)
      : turn_(turn), bytes_(turn.plane.cols), high_(turn.two ? turn.plane.cols : 0) {}

  // False where a level is beyond what planes hold.
  bool Run(const codecs::EntropyBand& band, codecs::DependentReader& reader) {
    row_ = reader.row();
    factor_ = codecs::EntropyFactor(band.row_record(row_));
    order_ = band.order().data();
    reader.Next();
    if (!(turn_.two ? PutAllTwo(reader) : PutAllOne(reader))) return false;
    std::vector<Rest>& rests = turn_.rests[row_];
    std::sort(rests.begin(), rests.end(),
              [](const Rest& a, const Rest& b) { return a.column < b.column; });
    return true;
  }

 private:
  static constexpr std::size_t kCutBlock = 64;

  // All levels as bytes, then again those that bytes do not hold.
  bool PutAllOne(const codecs::DependentReader& reader) {
    const std::span<const std::int16_t> levels = reader.levels();
    const bool cut = ToBytes(levels.data(), levels.size(), bytes_.data());
    ScatterBytes(bytes_.data(), order_, levels.size(), turn_.low + row_ * levels.size());
    if (cut && !PutCut(levels, reader.far())) return false;
    for (const codecs::DependentReader::Far& far : reader.far())
      if (!PutOne(far.place, far.level)) return false;
    return true;
  }
  bool PutCut(std::span<const std::int16_t> levels,
              std::span<const codecs::DependentReader::Far> far) {
    for (std::size_t begin = 0; begin < levels.size(); begin += kCutBlock) {
      const std::span<const std::int16_t> block =
          levels.subspan(begin, std::min(kCutBlock, levels.size() - begin));
      if (!ToBytes(block.data(), block.size(), bytes_.data())) continue;
      for (std::size_t p = begin; p < begin + block.size(); ++p) {
        while (!far.empty() && far.front().place < p) far = far.subspan(1);
        if (!far.empty() && far.front().place == p) continue;
        if ((levels[p] < -128 || levels[p] > 127) && !PutOne(p, levels[p])) return false;
      }
    }
    return true;
  }
  // Levels of bytes are within +-511, which two planes hold.
  bool PutAllTwo(const codecs::DependentReader& reader) {
    const std::span<const std::int16_t> levels = reader.levels();
    ToTwo(levels.data(), levels.size(), high_.data(), bytes_.data());
    ScatterBytes(high_.data(), order_, levels.size(), turn_.high + row_ * levels.size());
    ScatterBytes(bytes_.data(), order_, levels.size(), turn_.low + row_ * levels.size());
    for (const codecs::DependentReader::Far& far : reader.far())
      if (!PutTwo(far.place, far.level)) return false;
    return true;
  }

  bool PutOne(std::uint64_t p, std::int32_t level) {
    const std::int32_t kept = std::clamp(level, -128, 127);
    turn_.low[row_ * bytes_.size() + order_[p]] = static_cast<std::uint8_t>(kept + 128);
    return Leave(p, level, level - kept);
  }
  bool PutTwo(std::uint64_t p, std::int32_t level) {
    const std::uint64_t at = row_ * bytes_.size() + order_[p];
    const std::int32_t high = std::clamp((level + kHigh / 2) >> kHighBits, kLeastHigh, kMostHigh);
    const std::int32_t low = std::clamp(level - high * kHigh, -kHigh / 2, kHigh / 2 - 1);
    turn_.high[at] = static_cast<std::uint8_t>(high + 128);
    turn_.low[at] = static_cast<std::uint8_t>(low + 128);
    return Leave(p, level, level - high * kHigh - low);
  }
  // What of the level is left over goes to the row's rests.
  bool Leave(std::uint64_t p, std::int32_t level, std::int32_t rest) {
    if (rest == 0) return true;
    Rest entry{order_[p], 0, 0};
    if (std::abs(level) > kMostLevel || !SplitRest(factor_ * rest, entry)) return false;
    turn_.rests[row_].push_back(entry);
    return true;
  }

  std::uint64_t row_ = 0;
  double factor_ = 0;
  const std::uint32_t* order_ = nullptr;
  Turn& turn_;
  std::vector<std::uint8_t> bytes_, high_;
};

// Runs of rows whose states begin afresh are independent.
bool TurnRows(Turn& turn) {
  struct Task {
    std::size_t band;
    std::uint64_t begin, end;
  };
  std::vector<codecs::EntropyBand> bands;
  std::vector<Task> tasks;
  for (std::uint64_t row = 0; row < turn.plane.rows; row = bands.back().row_end()) {
    bands.emplace_back(turn.plane, turn.layout.entropy, row);
    for (std::uint64_t begin = row, end; begin < bands.back().row_end(); begin = end) {
      end = begin + std::min(turn.layout.restart, bands.back().row_end() - begin);
      tasks.push_back({bands.size() - 1, begin, end});
    }
  }
  std::vector<std::uint8_t> failed(tasks.size());
  ParallelFor(tasks.size(), 1, [&](std::size_t first, std::size_t last) {
    RowTurner turner(turn);
    for (std::size_t t = first; t < last; ++t) {
      const codecs::EntropyBand& band = bands[tasks[t].band];
      codecs::DependentReader reader(band, turn.layout, tasks[t].begin);
      while (reader.row() < tasks[t].end && failed[t] == 0)
        if (!turner.Run(band, reader)) failed[t] = 1;
    }
  });
  return std::all_of(failed.begin(), failed.end(), [](std::uint8_t f) { return f == 0; });
}

// The rows' factors, `times` a power of two; false where f16 does not hold one.
bool SetScales(const codecs::PlaneView& plane, int times, std::uint8_t* scales) {
  for (std::uint64_t r = 0; r < plane.rows; ++r) {
    const auto record = LoadLe<std::uint16_t>(plane.streams[1].data() + 2 * r);
    const float scale = codecs::EntropyFactor(record) * static_cast<float>(times);
    if (scale > 65504.0f) return false;
    StoreLe(scales + 2 * r, ToFp16(scale));
  }
  return true;
}

}  // namespace

std::optional<std::vector<OwnedPlane>> ResidentDependent(const codecs::PlaneView& plane) {
  const Result<codecs::DependentLayout> layout =
      codecs::DependentLayout::Parse(*plane.spec, plane.cols);
  INGOT_CHECK(layout.ok());
  if (plane.rows == 0 || !ColumnsAgree(plane)) return std::nullopt;
  const ByteSpan codes = plane.streams[0];
  Turn turn{plane, *layout};
  turn.two =
      static_cast<double>(CountWide(codes)) > kSparseShare * static_cast<double>(codes.size());
  turn.rests.resize(plane.rows);
  std::vector<OwnedPlane> planes;
  for (int i = 0; i < (turn.two ? 2 : 1); ++i) planes.push_back(RowScaled(plane, 8));
  turn.low = planes.back().streams[0].data();
  if (turn.two) {
    turn.high = planes[0].streams[0].data();
    if (!SetScales(plane, kHigh, planes[0].streams[1].data())) return std::nullopt;
  }
  SetScales(plane, 1, planes.back().streams[1].data());
  if (!TurnRows(turn)) return std::nullopt;
  AddRests(turn.rests, plane, planes);
  planes.push_back(ColumnScaleOf(plane));
  return planes;
}

namespace {

void TurnPlane(stored::TensorPlanes& tensor, std::size_t plane) {
  if (tensor.planes.size() == 1) PutInPlace(ResidentDependent(tensor.planes[plane]), tensor, plane);
}

}  // namespace

const ResidentKind kResidentDependent = {.name = "dependent",
                                         .turn = TurnPlane,
                                         .prepare = PrepareAsStored,
                                         .decode_row = DecodeByCodec};

}  // namespace ingot::loader
