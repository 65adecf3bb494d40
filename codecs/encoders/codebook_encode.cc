#include "codecs/encoders/codebook_encode.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "codecs/encoders/guided_slab.h"
#include "codecs/encoders/slab_rows.h"
#include "codecs/planes/int_plane.h"
#include "codecs/planes/lowrank_plane.h"
#include "codecs/planes/transform.h"
#include "codecs/planes/transform_plane.h"
#include "codecs/planes/vq_plane.h"
#include "codecs/rounding/codebook.h"
#include "codecs/rounding/lowrank_fit.h"
#include "codecs/rounding/scale_range.h"
#include "codecs/rounding/vq_tile.h"

namespace ingot::codecs {
namespace {

// Weights that a codebook is fitted to.
constexpr std::uint64_t kSampleWeights = 256 << 10;
// Weights that a pass over a matrix has in memory at a time.
constexpr std::uint64_t kChunkWeights = 1 << 20;
// Of a row's root mean square, about, the step of 4 bits for what a low rank and a codebook leave.
constexpr double kFinestShare = 1.0 / 32;
// Roundings again with scales by least squares.
constexpr int kRounds = 1;

// Where a recipe's planes stand in its list.
struct Places {
  std::optional<std::size_t> lowrank, residual;
  std::size_t vq = 0;
};

struct CodebookTensor : PreparedTensor {
  std::shared_ptr<const Compensation> compensation;
  bool known = false;  // whether anything was known of its inputs
  std::vector<VectorMetric> metrics;
  std::vector<float> codebook;
  std::optional<LowRankTensor> lowrank;
  std::vector<TensorStream> own;
  std::span<const TensorStream> streams() const override { return own; }
};

// Rows of the sample, a tile of them, rounded in turns with codebooks fitted to what they met.
struct SampleTile {
  std::uint64_t rows = 0;
  std::vector<float> x;
  float fisher[kTileRows] = {};
};

std::uint64_t SampleRows(std::uint64_t rows, std::uint64_t cols) {
  return std::min(
      rows, std::max<std::uint64_t>(1, CeilDiv(kSampleWeights, cols * kTileRows)) * kTileRows);
}

class CodebookEncoder final : public TensorEncoder {
 public:
  CodebookEncoder(std::vector<PlaneSpec> specs, RoundingEffort effort, std::uint64_t cols,
                  DType dtype)
      : specs_(std::move(specs)), effort_(effort), cols_(cols), dtype_(dtype) {}

  Status Init() {
    for (std::size_t i = 0; i < specs_.size(); ++i) {
      const PlaneSpec& spec = specs_[i];
      if (spec.kind == kVqKind) {
        INGOT_ASSIGN(vq_, VqLayout::Parse(spec, cols_));
        places_.vq = i;
      } else if (spec.kind == kLowRankKind) {
        INGOT_ASSIGN(lowrank_, LowRankLayout::Parse(spec, cols_));
        places_.lowrank = i;
      } else if (spec.kind == kIntKind) {
        INGOT_ASSIGN(residual_, IntLayout::Parse(spec, cols_));
        places_.residual = i;
      } else {
        INGOT_ASSIGN(rotation_, MakeHadamard(spec, cols_));
      }
    }
    if (vq_.groups == 1 || vq_.group % vq_.dimension == 0) return OkStatus();
    return InvalidArgument("group " + std::to_string(vq_.group) + " cuts vectors of " +
                           std::to_string(vq_.dimension) + " weights: give a multiple");
  }

  const std::vector<PlaneSpec>& planes() const override { return specs_; }
  std::uint64_t cols() const override { return cols_; }
  bool takes_guide() const override { return true; }
  bool fits_tensor() const override { return true; }
  std::uint64_t guide_bytes() const override {
    const std::uint64_t rotated = rotation_ ? cols_ * cols_ * sizeof(float) : 0;
    const std::uint64_t rows = SampleRows(UINT64_MAX, cols_);
    const std::uint64_t sample =
        rows * cols_ * 12 + CeilDiv(rows, kTileRows) * CompensatedTile::Bytes(cols_);
    const std::uint64_t fit = places_.lowrank ? LowRankFitBytes(lowrank_, ChunkRows()) : 0;
    return Compensation::MakingBytes(cols_, descends()) + rotated + std::max(sample, fit) +
           vq_.vectors * sizeof(VectorMetric);
  }
  std::uint64_t scratch_bytes(std::uint64_t) const override {
    std::uint64_t tile =
        4 * CompensatedTile::Bytes(cols_) + 2 * VqTile::Bytes(vq_) + 16 * kTileRows * cols_;
    if (places_.residual) tile += 2 * IntTile::Bytes(residual_);
    return Threads() * tile + (std::uint64_t{1} << 20);
  }

  Result<EncodedSlab> EncodeSlab(const WeightSlab& slab) const override {
    INGOT_TRY(CheckSlab(slab, cols_, dtype_));
    return EncodeWhole(*this, slab);
  }

  Result<std::shared_ptr<const PreparedTensor>> Prepare(const TensorGuide& guide,
                                                        RowSource& rows) const override {
    INGOT_TRY(CheckGuideWidth(guide, cols_));
    auto made = std::make_shared<CodebookTensor>();
    made->known = guide.known();
    INGOT_ASSIGN(made->compensation,
                 RotatedCompensation(guide, rotation_.get(),
                                     {.damping = rotation_ ? kRotatedDamping : kGuidedDamping,
                                      .order = ColumnOrder::kFours,
                                      .descent = descends()}));
    made->metrics = VectorMetrics(vq_, *made->compensation);
    if (places_.lowrank) INGOT_TRY(PrepareLowRank(rows, *made));
    INGOT_TRY(PrepareCodebook(rows, *made));
    return std::shared_ptr<const PreparedTensor>(std::move(made));
  }

  Result<EncodedSlab> EncodeGuided(const WeightSlab& slab, std::uint64_t row_begin,
                                   const PreparedTensor& prepared) const override {
    INGOT_TRY(CheckSlab(slab, cols_, dtype_));
    const auto& tensor = static_cast<const CodebookTensor&>(prepared);
    EncodedSlab out;
    for (const PlaneSpec& spec : specs_)
      out.planes.push_back(AllocateStreams(spec, slab.rows, cols_));
    INGOT_TRY(EncodeTiles(
        slab, row_begin, *tensor.compensation,
        [&](SlabTile& tile) { return EncodeTile(tensor, tile, out); }, out));
    if (!tensor.known) out.predicted_loss = 0;
    return out;
  }

 private:
  bool descends() const { return places_.residual && effort_.turns > 0; }
  std::uint64_t ChunkRows() const { return std::max<std::uint64_t>(1, kChunkWeights / cols_); }

  // Rows as rounding sees them: finite, rotated.
  Status ReadRows(RowSource& source, std::uint64_t begin, std::uint64_t end, float* out) const {
    for (std::uint64_t first = begin, last; first < end; first = last) {
      last = std::min(end, first + std::max<std::uint64_t>(1, source.max_rows()));
      INGOT_ASSIGN(const WeightSlab slab, source.Read(first, last));
      EncodedSlab sums;
      float* to = out + (first - begin) * cols_;
      INGOT_TRY(ForRows(
          last - first, cols_,
          [&](std::uint64_t from, std::uint64_t until, RowSums*) -> Status {
            for (std::uint64_t r = from; r < until; ++r) {
              INGOT_TRY(FiniteRow(slab, r, to + r * cols_, first));
              if (rotation_) rotation_->EncodeRow(to + r * cols_);
            }
            return OkStatus();
          },
          sums));
    }
    return OkStatus();
  }

  Status PrepareLowRank(RowSource& rows, CodebookTensor& made) const {
    INGOT_ASSIGN(made.lowrank, FitLowRank(lowrank_, *made.compensation, rows.rows(), ChunkRows(),
                                          [&](std::uint64_t begin, std::uint64_t end, float* out) {
                                            return ReadRows(rows, begin, end, out);
                                          }));
    for (std::size_t s = 0; s < made.lowrank->streams.size(); ++s)
      made.own.push_back({*places_.lowrank, lowrank_.right_stream() + s, made.lowrank->streams[s]});
    return OkStatus();
  }

  // Rows evenly spread, what a low rank leaves of them.
  Result<std::vector<SampleTile>> TakeSample(RowSource& source, const CodebookTensor& made) const {
    const std::uint64_t all = source.rows(), count = SampleRows(all, cols_);
    std::vector<SampleTile> tiles(CeilDiv(count, kTileRows));
    Streams scratch;
    if (made.lowrank) scratch = AllocateStreams(specs_[*places_.lowrank], 1, cols_);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t r = (2 * i + 1) * all / (2 * count);
      SampleTile& tile = tiles[i / kTileRows];
      tile.x.resize((tile.rows + 1) * cols_);
      float* row = tile.x.data() + tile.rows * cols_;
      INGOT_TRY(ReadRows(source, r, r + 1, row));
      if (made.lowrank) made.lowrank->EncodeRow(0, row, scratch);
      tile.fisher[tile.rows++] = static_cast<float>(made.compensation->row_fisher(r));
    }
    return tiles;
  }

  // A codebook for the weights, then one for the targets that rounding with it meets.
  Status PrepareCodebook(RowSource& source, CodebookTensor& made) const {
    INGOT_ASSIGN(const std::vector<SampleTile> tiles, TakeSample(source, made));
    CodebookSample sample{
        tiles.size(), AlignedArray<float>(tiles.size() * vq_.vectors * vq_.dimension * kTileRows),
        AlignedArray<float>(tiles.size() * vq_.groups * kTileRows)};
    made.codebook.resize(vq_.words() * vq_.dimension);
    for (const bool rounded : {false, true}) {
      if (rounded && !made.compensation->feeds_back()) break;
      std::vector<Status> status(tiles.size());
      ParallelFor(tiles.size(), 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t)
          status[t] = SampleOne(made, tiles[t], rounded, t, sample);
      });
      for (Status& s : status) INGOT_TRY(std::move(s));
      made.codebook = FitCodebook(vq_, made.metrics, sample);
    }
    std::vector<std::uint8_t> bytes(2 * made.codebook.size());
    for (std::size_t i = 0; i < made.codebook.size(); ++i)
      StoreLe(bytes.data() + 2 * i, ToFp16(made.codebook[i]));
    made.own.push_back({places_.vq, 2, std::move(bytes)});
    return OkStatus();
  }

  Status SampleOne(const CodebookTensor& made, const SampleTile& tile, bool rounded, std::size_t t,
                   CodebookSample& sample) const {
    CompensatedTile rows(*made.compensation);
    rows.Load(tile.x.data(), tile.rows);
    VqTile vq(vq_, made.metrics, made.codebook, *made.compensation, rows);
    // A row whose scale is lost is refused when it is encoded.
    INGOT_TRY(vq.FitScales(0, 0, true));
    if (rounded) rows.Round(vq);
    vq.Sample(rounded, tile.fisher,
              sample.targets.data() + t * vq_.vectors * vq_.dimension * kTileRows,
              sample.weights.data() + t * vq_.groups * kTileRows);
    return OkStatus();
  }

  Status EncodeTile(const CodebookTensor& tensor, SlabTile& tile, EncodedSlab& out) const {
    for (std::uint64_t l = 0; l < tile.rows; ++l) {
      float* row = tile.x.data() + l * cols_;
      if (rotation_) rotation_->EncodeRow(row);
      if (!tensor.lowrank) continue;
      INGOT_TRY(CheckRow(row).At("row " + std::to_string(tile.first + l)));
      tensor.lowrank->EncodeRow(tile.first + l, row, out.planes[*places_.lowrank]);
    }
    const Compensation& compensation = *tensor.compensation;
    CompensatedTile best(compensation), trial(compensation);
    best.Load(tile.x.data(), tile.rows);
    trial.Load(tile.x.data(), tile.rows);
    VqTile vq(vq_, tensor.metrics, tensor.codebook, compensation, best);
    VqTile other(vq_, tensor.metrics, tensor.codebook, compensation, trial);
    INGOT_TRY(vq.FitScales(tile.rows, tile.first, tensor.lowrank.has_value()));
    best.Round(vq);
    for (int round = 0; round < kRounds; ++round) {
      other.RefitScales(vq);
      trial.Round(other);
      bool take[kTileRows];
      for (std::size_t l = 0; l < kTileRows; ++l)
        take[l] = trial.DampedLoss(l) < best.DampedLoss(l);
      best.TakeLanes(trial, take);
      vq.TakeLanes(other, take);
    }
    vq.Store(tile.first, tile.rows, out.planes[places_.vq]);
    if (!places_.residual) {
      FillLosses(best, tile);
      return OkStatus();
    }
    best.StoreErrors(tile.x.data());
    PlaneRounding rounding(compensation, effort_);
    INGOT_TRY(rounding.Encode(residual_, tile.x.data(), tile.rows, tile.first,
                              out.planes[*places_.residual]));
    FillLosses(rounding.tile(), tile);
    return OkStatus();
  }

  // Refuses a row whose finest scales f16 would lose: those of what the first planes leave.
  Status CheckRow(const float* row) const {
    double squares = 0;
    for (std::uint64_t j = 0; j < cols_; ++j) squares += static_cast<double>(row[j]) * row[j];
    const double size = std::sqrt(squares / static_cast<double>(cols_));
    const auto finest = static_cast<float>(kFinestShare * size);
    if (LosesScale(finest, FromFp16(ToFp16(finest)))) return ScaleTooSmall(finest);
    return OkStatus();
  }

  std::vector<PlaneSpec> specs_;
  RoundingEffort effort_;
  std::uint64_t cols_;
  DType dtype_;
  Places places_;
  VqLayout vq_;
  LowRankLayout lowrank_;
  IntLayout residual_;
  std::shared_ptr<const InputTransform> rotation_;
};

}  // namespace

Result<std::unique_ptr<TensorEncoder>> MakeCodebookEncoder(std::vector<PlaneSpec> specs,
                                                           RoundingEffort effort,
                                                           std::uint64_t cols, DType dtype) {
  auto encoder = std::make_unique<CodebookEncoder>(std::move(specs), effort, cols, dtype);
  INGOT_TRY(encoder->Init());
  return std::unique_ptr<TensorEncoder>(std::move(encoder));
}

}  // namespace ingot::codecs
