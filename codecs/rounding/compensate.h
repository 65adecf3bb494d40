// Rounding with error compensation (GPTQ, arXiv 2210.17323; the same as LDLQ of QuIP, arXiv
// 2307.13304): columns are rounded one after the other, and the error that a column's rounding
// makes is fed to the columns that are still to come, in the way the Hessian says costs least.
//
// With the damped Hessian in rounding order H = M diag(D) Mᵀ, M upper triangular with ones on its
// diagonal, the target of column c is
//   t_c = w_c + sum_{k<c} (w_k - q_k) M_kc          (k in order, each term one fused multiply-add)
// and q_c is t_c rounded. The loss is then exactly
//   (w - q) H (w - q)ᵀ = sum_c D_c (t_c - q_c)²,
// so D_c (GPTQ's 1 / U_cc², H⁻¹ = UᵀU) is what a rounding error at column c costs.
//
// Every target is one chain of fused multiply-adds, whose order is that of the columns: blocking,
// threads and instruction sets do not change a bit.
//
// Thread rule: a Compensation is immutable; a tile belongs to one thread.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/status.h"
#include "codecs/rounding/aligned_array.h"
#include "codecs/rounding/cholesky.h"
#include "codecs/rounding/compensate_kernels.h"
#include "codecs/rounding/guide.h"

namespace ingot::codecs {

class CompensatedBand;

// InvalidArgument where shapes disagree or a value is NaN or infinite (named).
Status CheckGuide(const TensorGuide& guide);

enum class ColumnOrder {
  kActivation,  // descending diagonal of the Hessian: the costly columns while all others can help
  kNatural,
  kFours,  // whole fours of neighbouring columns, by the sum of their diagonals; fewer at the end
};

struct CompensationOptions {
  double damping = 0.01;  // of the mean diagonal, added to the diagonal
  ColumnOrder order = ColumnOrder::kActivation;
  bool descent = false;  // keep what CompensatedTile::Descend needs: the whole Hessian
};

// A Hessian, factored: what matrices of the same inputs share.
class HessianFactors {
 public:
  // Of the guide's Hessian. Without a whole one there is no feedback: weights are the guide's
  // diagonal, or ones. REQUIRES: CheckGuide(guide) was OK.
  static Result<std::shared_ptr<const HessianFactors>> Make(const TensorGuide& guide,
                                                            const CompensationOptions& options,
                                                            Isa isa);
  HessianFactors(std::uint64_t cols, Isa isa);  // of the identity

 private:
  friend class Compensation;
  void SetOrder(const TensorGuide& guide, ColumnOrder order);
  Status SetDiagonal(const TensorGuide& guide, double damping);
  Status Factor(const TensorGuide& guide, double damping, Isa isa);
  void TakeFeedback(const FactorMatrix& factor, const std::vector<double>& pivots);
  void KeepWhole(const TensorGuide& guide);

  std::uint64_t cols_;
  const CompensateKernels* kernels_;
  std::vector<std::uint32_t> order_, ranks_;
  std::vector<float> weights_, diagonal_;
  double unit_ = 1, damping_ = 0;
  AlignedArray<float> panels_, whole_;
};

// A matrix's statistics, factored.
class Compensation : public PreparedTensor {
 public:
  // Copies what it needs of `guide`; factors that guide.factors has already are shared. Without a
  // whole Hessian there is no feedback: weights are the guide's diagonal, or ones.
  // Damping grows tenfold until every pivot is safe; a column whose inputs were always zero gets
  // the damping alone, and is rounded to nearest. InvalidArgument where shapes disagree, a value is
  // NaN or infinite (named), or 100 times the mean diagonal is not damping enough.
  static Result<std::shared_ptr<const Compensation>> Make(const TensorGuide& guide,
                                                          const CompensationOptions& options,
                                                          Isa isa = BestIsa());
  // Of a guide whose factors were made by the caller, in another basis.
  Compensation(std::shared_ptr<const HessianFactors> factors, std::span<const float> row_fisher);
  // Rows x cols without statistics: identity Hessian, Fisher of ones.
  static std::shared_ptr<const Compensation> Identity(std::uint64_t cols);

  std::uint64_t cols() const { return f_->cols_; }
  // Whether there is anything to feed back: false where the guide has no whole Hessian.
  bool feeds_back() const { return f_->panels_.size() > 0; }
  // order()[p] is the column that is rounded p-th, ranks()[column] its p.
  std::span<const std::uint32_t> order() const { return f_->order_; }
  std::span<const std::uint32_t> ranks() const { return f_->ranks_; }
  // D by p in units of unit(): cost(p) = unit() * weights()[p].
  std::span<const float> weights() const { return f_->weights_; }
  double unit() const { return f_->unit_; }
  // The damped Hessian's own diagonal, likewise.
  std::span<const float> diagonal() const { return f_->diagonal_; }
  // What was added to the Hessian's diagonal, and its ratio to the mean diagonal: above
  // options.damping where the Hessian was not positive definite enough.
  double damping() const { return f_->damping_ * f_->unit_; }
  double relative_damping() const { return f_->damping_; }
  // The row's Fisher, 1 where the guide has none.
  double row_fisher(std::uint64_t row) const {
    return row_fisher_.empty() ? 1.0 : row_fisher_[row];
  }
  // M_kc. REQUIRES: k, c < cols().
  float feedback(std::uint64_t k, std::uint64_t c) const;

  // Panel p of M: rows k < 8p + 8 of its columns 8p ... 8p + 7, k-major. REQUIRES: feeds_back().
  const float* panel(std::uint64_t p) const { return f_->panels_.data() + 32 * p * (p + 1); }
  // Panel p of N_kc = H_kc / H_cc of the damped Hessian in rounding order, 0 where k = c: all its
  // rows, k-major. REQUIRES: descends().
  const float* whole_panel(std::uint64_t p) const {
    return f_->whole_.data() + p * f_->cols_ * kPanelColumns;
  }
  bool descends() const { return f_->whole_.size() > 0; }
  const CompensateKernels& kernels() const { return *f_->kernels_; }
  const HessianFactors* factors() const { return f_.get(); }

  // Bytes of one, while it is made and after.
  static std::uint64_t MakingBytes(std::uint64_t cols, bool descent = false);
  static std::uint64_t Bytes(std::uint64_t cols, bool descent = false);

 private:
  std::shared_ptr<const HessianFactors> f_;
  std::vector<float> row_fisher_;
};

// `make`'s factors, or those that guide.factors has of the same `way` and options.
Result<std::shared_ptr<const HessianFactors>> FactorsOf(
    const TensorGuide& guide, const std::string& way, const CompensationOptions& options,
    const std::function<Result<std::shared_ptr<const HessianFactors>>()>& make);

// to = from in the lanes where take[l] is set, `positions` times kTileRows lanes.
template <typename T>
void SelectLanes(const T* from, const bool* take, std::uint64_t positions, T* to) {
  for (std::uint64_t p = 0; p < positions; ++p, from += kTileRows, to += kTileRows)
    for (std::size_t l = 0; l < kTileRows; ++l) to[l] = take[l] ? from[l] : to[l];
}

// Rounds the columns of one tile as they come.
class ColumnRounder {
 public:
  virtual ~ColumnRounder() = default;
  // values[l] = what targets[l] is rounded to, for the kTileRows lanes of the tile; lanes past its
  // last row may be anything finite.
  virtual void Round(std::uint32_t column, const float* targets, float* values) = 0;
};

// Up to kTileRows rows in rounding order, a lane a row. Order of calls: Load, then Round as often
// as wanted (each starts over), then what it left.
class CompensatedTile {
 public:
  // REQUIRES: the compensation outlives the tile.
  explicit CompensatedTile(const Compensation& compensation);
  static std::uint64_t Bytes(std::uint64_t cols);

  // Row-major weights, `rows` x cols. REQUIRES: rows <= kTileRows, all finite.
  void Load(const float* weights, std::uint64_t rows);
  void Round(ColumnRounder& rounder);
  // One sweep of coordinate descent (QuantEase, arXiv 2309.01885): in order, each column is rounded
  // again to what is best while all others, earlier and later, keep their errors. Afterwards only
  // errors() are true: SetLanes brings targets and losses up to them.
  // REQUIRES: Round or Set was called; compensation.descends().
  void Descend(ColumnRounder& rounder);
  // Sets the values instead of rounding (row-major, rows x cols): errors, targets and losses as if
  // a rounder had chosen them.
  void Set(const float* values);
  // The same, with values by p, kTileRows lanes each.
  void SetLanes(const float* values);
  // What `from`, a tile of the same weights, has for the lanes where take[l] is set.
  void TakeLanes(const CompensatedTile& from, const bool* take);

  std::uint64_t rows() const { return rows_; }
  // By p, kTileRows lanes each: the weights, what was rounded (t), and weight - value.
  const float* weights(std::uint64_t p) const { return weights_.data() + p * kTileRows; }
  const float* targets(std::uint64_t p) const { return targets_.data() + p * kTileRows; }
  const float* errors(std::uint64_t p) const { return errors_.data() + p * kTileRows; }
  // Row-major rows x cols: weight - value.
  void StoreErrors(float* out) const;
  // (w - q) H (w - q)ᵀ of a lane: of the damped Hessian, which rounding minimises, and of the
  // Hessian as it was, never below 0.
  double DampedLoss(std::uint64_t lane) const;
  double Loss(std::uint64_t lane) const;
  double SquaredError(std::uint64_t lane) const { return squared_errors_[lane]; }
  // (w - q)(H + damping) in units of compensation.unit(), by p, kTileRows lanes each.
  // REQUIRES: Round or Set was called; `out` has room for cols rounded up to 8 lanes-rows.
  void Gradient(float* out) const;

 private:
  friend class CompensatedBand;  // compensate_band.h

  void Start();
  void FeedBlock(std::uint64_t begin, std::uint64_t end);
  void Settle(std::uint64_t p, const float* values);
  // Takes several tiles through their columns together: choose(p) says what column p of all of them
  // is rounded to, kTileRows values a tile.
  template <typename Choose>
  static void Walk(std::span<CompensatedTile> tiles, Choose&& choose);

  const Compensation& compensation_;
  std::uint64_t rows_ = 0, padded_;
  AlignedArray<float> weights_, targets_, errors_;
  AlignedArray<double> losses_, squared_errors_;
};

// Columns that a tile finishes before it looks back again.
inline constexpr std::uint64_t kBlockColumns = 64;

template <typename Choose>
void CompensatedTile::Walk(std::span<CompensatedTile> tiles, Choose&& choose) {
  const Compensation& compensation = tiles.front().compensation_;
  const CompensateKernels& kernels = compensation.kernels();
  const std::uint64_t cols = compensation.cols(), padded = tiles.front().padded_;
  for (CompensatedTile& tile : tiles) tile.Start();
  for (std::uint64_t block = 0; block < cols; block += kBlockColumns) {
    const std::uint64_t end = std::min(block + kBlockColumns, padded);
    if (compensation.feeds_back())
      for (CompensatedTile& tile : tiles) tile.FeedBlock(block, end);
    for (std::uint64_t first = block; first < end; first += kPanelColumns) {
      const float* m =
          !compensation.feeds_back() ? nullptr : compensation.panel(first / kPanelColumns);
      for (CompensatedTile& tile : tiles)
        if (m != nullptr)
          kernels.feed_back(tile.errors_.data() + block * kTileRows, m + block * kPanelColumns,
                            first - block, tile.targets_.data() + first * kTileRows,
                            m + first * kPanelColumns);
      for (std::uint64_t p = first; p < std::min(first + kPanelColumns, cols); ++p) {
        const float* values = choose(p);
        for (CompensatedTile& tile : tiles) {
          tile.Settle(p, values);
          values += kTileRows;
          if (m != nullptr)
            kernels.feed_one(tile.errors(p), m + p * kPanelColumns, p - first + 1,
                             tile.targets_.data() + first * kTileRows);
        }
      }
    }
  }
}

}  // namespace ingot::codecs
