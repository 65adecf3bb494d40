#include "loader/planes/resident_entropy.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "base/parallel.h"
#include "codecs/planes/bit_fields.h"
#include "codecs/planes/entropy_plane.h"
#include "loader/planes/resident_kind.h"

namespace ingot::loader {
namespace {

// Rows that a task turns; more where they are short.
constexpr std::uint64_t kTaskRows = 16;
constexpr std::uint64_t kTaskWeights = 64 << 10;
// Codes beyond 4 bits, of all, for which a sparse plane still takes less than 8 bits a weight, and
// little time.
constexpr double kSparseShare = 0.003;

// Times a factor of 7 bits it is exact in float32, and so are the sums of its parts.
constexpr std::int32_t kMostCode = 1 << 16;

struct Turn {
  const codecs::PlaneView& plane;
  codecs::EntropyLayout layout;
  int bits = 8;
  std::uint8_t* codes = nullptr;
  std::uint8_t* scales = nullptr;
  std::vector<std::vector<Rest>> rests;  // of each row
};

// Bytes of codes outside [-8, 7].
std::uint64_t CountWide(ByteSpan codes) {
  std::uint64_t total = 0;
  while (!codes.empty()) {
    const std::size_t n = std::min<std::size_t>(codes.size(), 1 << 16);
    std::uint32_t wide = 0;
    for (std::size_t i = 0; i < n; ++i)
      wide += static_cast<std::uint8_t>(codes[i] - 120) > 15 ? 1 : 0;
    total += wide;
    codes = codes.subspan(n);
  }
  return total;
}

// One row of one band. `bytes` and `codes`: cols each.
class RowTurner {
 public:
  explicit RowTurner(Turn& turn) : turn_(turn), bytes_(turn.plane.cols), codes_(turn.plane.cols) {}

  bool Run(const codecs::EntropyBand& band, std::uint64_t row, codecs::EntropyCursors& cursors) {
    const std::uint64_t cols = turn_.plane.cols;
    const codecs::EntropyCursors before = cursors;
    band.ReadBytes(row, cursors, bytes_.data());
    const std::uint16_t record = band.row_record(row);
    StoreLe(turn_.scales + 2 * row, static_cast<std::uint16_t>((record & 0x7ffu) << 4));
    std::uint8_t* out = turn_.bits == 8 ? turn_.codes + row * cols : codes_.data();
    ScatterBytes(bytes_.data(), band.order().data(), cols, out);
    const bool clips = turn_.bits == 4
                           ? CountWide(bytes_) > 0
                           : band.has_escapes() && std::memchr(bytes_.data(), 0, cols) != nullptr;
    if (clips && !Clip(band, row, before, out)) return false;
    if (turn_.bits == 4) {
      for (std::uint64_t j = 0; j < cols; ++j) out[j] = static_cast<std::uint8_t>(out[j] - 120);
      codecs::PackCodes(out, 4, cols, turn_.codes + row * codecs::CodeRowBytes(4, cols));
    }
    return true;
  }

 private:
  // Brings codes into the plane's range; what they lose goes to the row's rests.
  bool Clip(const codecs::EntropyBand& band, std::uint64_t row,
            const codecs::EntropyCursors& before, std::uint8_t* out) {
    const int most = turn_.bits == 4 ? 7 : 127, least = turn_.bits == 4 ? -8 : -127;
    const double factor = codecs::EntropyFactor(band.row_record(row));
    for (std::uint64_t p = 0; p < bytes_.size(); ++p) {
      std::int32_t code = bytes_[p] - 128;
      if (code >= least && code <= most) continue;
      if (bytes_[p] == 0) code = band.Escape(row, before, p);
      const std::int32_t kept = std::clamp(code, least, most);
      Rest rest{band.order()[p], 0, 0};
      if (std::abs(code) > kMostCode || !SplitRest(factor * (code - kept), rest)) return false;
      out[rest.column] = static_cast<std::uint8_t>(kept + 128);
      turn_.rests[row].push_back(rest);
    }
    std::sort(turn_.rests[row].begin(), turn_.rests[row].end(),
              [](const Rest& a, const Rest& b) { return a.column < b.column; });
    return true;
  }

  Turn& turn_;
  std::vector<std::uint8_t> bytes_, codes_;
};

bool TurnRows(Turn& turn) {
  std::vector<codecs::EntropyBand> bands;
  for (std::uint64_t row = 0; row < turn.plane.rows; row = bands.back().row_end())
    bands.emplace_back(turn.plane, turn.layout, row);
  const std::uint64_t grain = std::max(kTaskRows, kTaskWeights / turn.plane.cols);
  std::vector<std::uint8_t> failed(CeilDiv(turn.plane.rows, grain));
  ParallelFor(failed.size(), 1, [&](std::size_t begin, std::size_t end) {
    RowTurner turner(turn);
    for (std::size_t task = begin; task < end; ++task) {
      std::uint64_t row = task * grain;
      const std::uint64_t stop = std::min(row + grain, turn.plane.rows);
      while (row < stop && failed[task] == 0) {
        const codecs::EntropyBand& band = bands[row / turn.layout.band];
        codecs::EntropyCursors cursors = band.Seek(row);
        for (; row < std::min(stop, band.row_end()) && failed[task] == 0; ++row)
          if (!turner.Run(band, row, cursors)) failed[task] = 1;
      }
    }
  });
  return std::all_of(failed.begin(), failed.end(), [](std::uint8_t f) { return f == 0; });
}

}  // namespace

std::optional<std::vector<OwnedPlane>> ResidentEntropy(const codecs::PlaneView& plane) {
  const Result<codecs::EntropyLayout> layout =
      codecs::EntropyLayout::Parse(*plane.spec, plane.cols);
  INGOT_CHECK(layout.ok());
  if (plane.rows == 0 || !ColumnsAgree(plane)) return std::nullopt;
  const ByteSpan codes = plane.streams[0];
  Turn turn{plane, *layout};
  const bool narrow =
      static_cast<double>(CountWide(codes)) <= kSparseShare * static_cast<double>(codes.size());
  turn.bits = narrow ? 4 : 8;
  turn.rests.resize(plane.rows);
  OwnedPlane base = RowScaled(plane, turn.bits);
  turn.codes = base.streams[0].data();
  turn.scales = base.streams[1].data();
  if (!TurnRows(turn)) return std::nullopt;
  std::vector<OwnedPlane> planes;
  planes.push_back(std::move(base));
  AddRests(turn.rests, plane, planes);
  planes.push_back(ColumnScaleOf(plane));
  return planes;
}

namespace {

void TurnPlane(stored::TensorPlanes& tensor, std::size_t plane) {
  if (tensor.planes.size() == 1) PutInPlace(ResidentEntropy(tensor.planes[plane]), tensor, plane);
}

}  // namespace

const ResidentKind kResidentEntropy = {
    .name = "entropy", .turn = TurnPlane, .prepare = PrepareAsStored, .decode_row = DecodeByCodec};

}  // namespace ingot::loader
