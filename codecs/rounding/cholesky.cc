#include "codecs/rounding/cholesky.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"

namespace ingot::codecs {
namespace {

// Rows that are finished together: what lies above them is read once for all of them.
constexpr std::size_t kBlock = 128;
constexpr std::size_t kDepth = 512;  // rows whose products are summed in float32
constexpr std::size_t kStep = 32;    // rows of a block whose products are summed in double
// A panel's columns are worked on as doubles in kParts panels of kFactorColumns.
constexpr std::size_t kParts = kTileRows / kFactorColumns;
constexpr std::size_t kPart = kBlock * kFactorColumns;
static_assert(kBlock % kTileRows == 0 && kStep % kFactorRows == 0);

std::size_t RoundUp(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// The block's rows of one panel in double: row i, column c at [c / 16][i][c % 16].
struct PanelRows {
  PanelRows() : values(kParts * kPart) {}
  double* part(std::size_t p) { return values.data() + p * kPart; }
  double& at(std::size_t i, std::size_t c) {
    return part(c / kFactorColumns)[i * kFactorColumns + c % kFactorColumns];
  }
  AlignedArray<double> values;
};

// Rows [first, first + depth) of the factor.
class Block {
 public:
  Block(FactorMatrix& a, const CholeskyOptions& options, const CompensateKernels& kernels)
      : a_(a),
        options_(options),
        kernels_(kernels),
        left_(kBlock * (a.padded + kPanelColumns)),
        triangle_(kBlock / kTileRows) {}

  bool Finish(std::size_t first, std::vector<double>& pivots) {
    first_ = first;
    depth_ = std::min(kBlock, a_.padded - first);
    const std::size_t own = first / kTileRows, after = own + depth_ / kTileRows;
    const std::size_t panels = a_.padded / kTileRows;
    PackLeft(0, first);
    ParallelFor(after - own, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t t = begin; t < end; ++t) TakeOffRowsAbove(own + t, triangle_[t]);
    });
    if (!FactorTriangle(pivots)) return false;
    for (std::size_t t = 0; t < after - own; ++t)
      StoreRows(own + t, 0, RowsOf(own + t), triangle_[t]);
    PackLeft(first, first + depth_);
    ParallelFor(panels - after, 1, [&](std::size_t begin, std::size_t end) {
      PanelRows rows;
      for (std::size_t q = after + begin; q < after + end; ++q) {
        TakeOffRowsAbove(q, rows);
        Solve(q, rows);
      }
    });
    return true;
  }

 private:
  // The block's rows that panel q has: it ends with the last row of its diagonal.
  std::size_t RowsOf(std::size_t q) const { return std::min(depth_, (q + 1) * kTileRows - first_); }

  // Rows [from, to) of the block's columns in eights: row k of the t-th eight at [t][k][8].
  float* Left(std::size_t i, std::size_t k) {
    return left_.data() + (i / kPanelColumns * a_.padded + k) * kPanelColumns;
  }
  void PackLeft(std::size_t from, std::size_t to) {
    ParallelFor(depth_ / kPanelColumns, 2, [&](std::size_t begin, std::size_t end) {
      for (std::size_t t = begin; t < end; ++t) {
        const std::size_t column = first_ + t * kPanelColumns;
        const std::size_t q = column / kTileRows;
        const float* source = a_.panel(q) + column % kTileRows;
        for (std::size_t k = from; k < std::min(to, (q + 1) * kTileRows); ++k)
          std::copy_n(source + k * kTileRows, kPanelColumns, Left(t * kPanelColumns, k));
      }
    });
  }

  // Rows [from, to) of the matrix off rows [begin, end) of the block.
  void TakeOff(std::size_t q, std::size_t from, std::size_t to, std::size_t begin, std::size_t end,
               PanelRows& rows) {
    alignas(64) float sums[kPanelColumns * kTileRows];
    for (std::size_t k = from; k < to; k += kDepth)
      for (std::size_t i = begin; i < end; i += kPanelColumns) {
        std::fill_n(sums, kPanelColumns * kTileRows, 0.0f);
        kernels_.feed_back(a_.panel(q) + k * kTileRows, Left(i, k), std::min(kDepth, to - k), sums,
                           Left(i + kPanelColumns < end ? i + kPanelColumns : begin, k));
        kernels_.factor_subtract(sums, rows.values.data() + i * kFactorColumns, kPart);
      }
  }

  void TakeOffRowsAbove(std::size_t q, PanelRows& rows) {
    const float* source = a_.panel(q) + first_ * kTileRows;
    const std::size_t count = RowsOf(q);
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t c = 0; c < kTileRows; ++c)
        rows.at(i, c) = static_cast<double>(source[i * kTileRows + c]) / options_.unit;
    const std::size_t diagonal = q * kTileRows - first_;  // the panel's first row on the diagonal
    for (std::size_t c = 0; c < kTileRows && diagonal + c < depth_; ++c)
      rows.at(diagonal + c, c) += options_.damping;
    TakeOff(q, 0, first_, 0, count, rows);
  }

  // Part p of the block's own columns; rows of 16.
  double* Triangle(std::size_t p) { return triangle_[p / kParts].part(p % kParts); }

  bool FactorTriangle(std::vector<double>& pivots) {
    const std::size_t parts = depth_ / kFactorColumns;
    for (std::size_t i = 0; i < depth_; i += kFactorRows) {
      const std::size_t own = i / kFactorColumns;
      double* tile = Triangle(own) + i * kFactorColumns;
      const double* left = Triangle(own) + i % kFactorColumns;
      kernels_.factor_update(left, Triangle(own), i, tile, kFactorColumns);
      if (!FactorTile(i % kFactorColumns, tile, pivots)) return false;
      for (std::size_t p = own + 1; p < parts; ++p) {
        double* other = Triangle(p) + i * kFactorColumns;
        kernels_.factor_update(left, Triangle(p), i, other, kFactorColumns);
        kernels_.factor_solve(tile + i % kFactorColumns, other, kFactorColumns);
      }
    }
    return true;
  }

  // The tile of eight rows that holds the diagonal, from column `at` of its sixteen on.
  bool FactorTile(std::size_t at, double* tile, std::vector<double>& pivots) {
    for (std::size_t a = 0; a < kFactorRows; ++a) {
      double* row = tile + a * kFactorColumns;
      const double pivot = row[at + a];
      if (!(pivot >= options_.least) || !std::isfinite(pivot)) return false;
      if (pivots.size() < a_.n) pivots.push_back(pivot);
      const double root = std::sqrt(pivot);
      row[at + a] = root;
      for (std::size_t c = at + a + 1; c < kFactorColumns; ++c) row[c] /= root;
      for (std::size_t b = a + 1; b < kFactorRows; ++b)
        for (std::size_t c = at + b; c < kFactorColumns; ++c)
          tile[b * kFactorColumns + c] =
              std::fma(-row[at + b], row[c], tile[b * kFactorColumns + c]);
      std::fill(row, row + at + a, 0.0);
    }
    return true;
  }

  void StoreRows(std::size_t q, std::size_t begin, std::size_t end, PanelRows& rows) {
    float* to = a_.panel(q) + (first_ + begin) * kTileRows;
    for (std::size_t i = begin; i < end; ++i)
      for (std::size_t c = 0; c < kTileRows; ++c) *to++ = static_cast<float>(rows.at(i, c));
  }

  // A panel right of the block's own: the triangle's factor, transposed, is solved for.
  void Solve(std::size_t q, PanelRows& rows) {
    for (std::size_t s = 0; s < depth_; s += kStep) {
      if (s > 0) TakeOff(q, first_, first_ + s, s, s + kStep, rows);
      for (std::size_t i = s; i < s + kStep; i += kFactorRows) {
        const double* triangle = Triangle(i / kFactorColumns) + i % kFactorColumns;
        for (std::size_t p = 0; p < kParts; ++p) {
          double* part = rows.part(p);
          double* tile = part + i * kFactorColumns;
          kernels_.factor_update(triangle + s * kFactorColumns, part + s * kFactorColumns, i - s,
                                 tile, kFactorColumns);
          kernels_.factor_solve(triangle + i * kFactorColumns, tile, kFactorColumns);
        }
      }
      StoreRows(q, s, s + kStep, rows);
    }
  }

  FactorMatrix& a_;
  const CholeskyOptions& options_;
  const CompensateKernels& kernels_;
  AlignedArray<float> left_;
  std::vector<PanelRows> triangle_;  // of the block's own panels
  std::size_t first_ = 0, depth_ = 0;
};

}  // namespace

FactorMatrix::FactorMatrix(std::size_t size)
    : n(size), padded(RoundUp(size, kTileRows)), values(Offset(padded / kTileRows)) {
  for (std::size_t i = n; i < padded; ++i) at(i, i) = 1;
}

std::size_t FactorMatrix::Bytes(std::size_t size) {
  const std::size_t padded = RoundUp(size, kTileRows);
  const std::size_t working = kBlock * (padded + kPanelColumns);
  return (Offset(padded / kTileRows) + working) * sizeof(float) +
         (kBlock / kTileRows + Threads()) * kParts * kPart * sizeof(double);
}

bool CholeskyInPlace(FactorMatrix& a, const CholeskyOptions& options,
                     const CompensateKernels& kernels, std::vector<double>& pivots) {
  pivots.clear();
  Block block(a, options, kernels);
  for (std::size_t first = 0; first < a.padded; first += kBlock)
    if (!block.Finish(first, pivots)) return false;
  return true;
}

}  // namespace ingot::codecs
