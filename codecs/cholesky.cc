#include "codecs/cholesky.h"

#include <cmath>

#include "base/parallel.h"

namespace ingot::codecs {
namespace {

constexpr std::size_t kBlock = 128;       // rows that are finished before the rest is updated
constexpr std::size_t kChunkRows = 64;    // rows of the rest that a task updates
constexpr std::size_t kChunkPanels = 16;  // panels that a task solves

std::size_t RoundUp(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// One block of rows [first, first + depth) of the factor, and its copy in panels of 16 columns from
// `first` on: panel p, row k at packed[(p * kBlock + k) * 16].
class Block {
 public:
  Block(FactorMatrix& a, double* packed, const CompensateKernels& kernels)
      : a_(a), packed_(packed), kernels_(kernels) {}

  bool Finish(std::size_t first, double least) {
    first_ = first;
    depth_ = std::min(kBlock, a_.padded - first);
    const std::size_t panels = (a_.padded - first) / kFactorColumns;
    for (std::size_t i = 0; i < depth_; i += kFactorRows) {
      const std::size_t own = i / kFactorColumns;
      if (!Diagonal(i, own, least)) return false;
      ParallelFor(panels - own - 1, kChunkPanels, [&](std::size_t begin, std::size_t end) {
        for (std::size_t p = own + 1 + begin; p < own + 1 + end; ++p) Solve(i, p);
      });
    }
    return true;
  }

  // Takes the block's share off every later row.
  void UpdateRest() {
    const std::size_t begin = first_ + depth_;
    const std::size_t chunks = (a_.padded - begin + kChunkRows - 1) / kChunkRows;
    ParallelFor(chunks, 1, [&](std::size_t from, std::size_t to) {
      for (std::size_t chunk = from; chunk < to; ++chunk)
        UpdateRows(begin + chunk * kChunkRows,
                   std::min(begin + (chunk + 1) * kChunkRows, a_.padded));
    });
  }

 private:
  double* Panel(std::size_t p) { return packed_ + p * kBlock * kFactorColumns; }
  // The eight factors of rows 0 ... of the block at column first + i.
  const double* Left(std::size_t i) { return Panel(i / kFactorColumns) + i % kFactorColumns; }
  double* Tile(std::size_t i, std::size_t p) {
    return a_.row(first_ + i) + first_ + p * kFactorColumns;
  }

  void Copy(std::size_t i, std::size_t p) {
    for (std::size_t a = 0; a < kFactorRows; ++a)
      std::copy_n(Tile(i, p) + a * a_.stride, kFactorColumns, Panel(p) + (i + a) * kFactorColumns);
  }

  void Solve(std::size_t i, std::size_t p) {
    kernels_.factor_update(Left(i), Panel(p), i, Tile(i, p), a_.stride);
    kernels_.factor_solve(a_.row(first_ + i) + first_ + i, Tile(i, p), a_.stride);
    Copy(i, p);
  }

  // The tile of rows i ... i + 7 that holds the diagonal.
  bool Diagonal(std::size_t i, std::size_t p, double least) {
    double* tile = Tile(i, p);
    kernels_.factor_update(Left(i), Panel(p), i, tile, a_.stride);
    const std::size_t at = i % kFactorColumns;
    for (std::size_t a = 0; a < kFactorRows; ++a) {
      double* row = tile + a * a_.stride;
      const double pivot = row[at + a];
      if (!(pivot >= least) || !std::isfinite(pivot)) return false;
      const double root = std::sqrt(pivot);
      row[at + a] = root;
      for (std::size_t c = at + a + 1; c < kFactorColumns; ++c) row[c] /= root;
      for (std::size_t b = a + 1; b < kFactorRows; ++b)
        for (std::size_t c = at + b; c < kFactorColumns; ++c)
          tile[b * a_.stride + c] = std::fma(-row[at + b], row[c], tile[b * a_.stride + c]);
      std::fill(row, row + at + a, 0.0);
    }
    Copy(i, p);
    return true;
  }

  void UpdateRows(std::size_t begin, std::size_t end) {
    for (std::size_t p = (begin - first_) / kFactorColumns; p * kFactorColumns < a_.padded - first_;
         ++p)
      for (std::size_t i = begin - first_; i < end - first_; i += kFactorRows)
        if (i < (p + 1) * kFactorColumns)
          kernels_.factor_update(Left(i), Panel(p), depth_, Tile(i, p), a_.stride);
  }

  FactorMatrix& a_;
  double* packed_;
  const CompensateKernels& kernels_;
  std::size_t first_ = 0, depth_ = 0;
};

}  // namespace

FactorMatrix::FactorMatrix(std::size_t size)
    : n(size),
      padded(RoundUp(size, kFactorColumns)),
      stride(padded + kFactorColumns),
      values(padded * stride) {
  for (std::size_t i = n; i < padded; ++i) row(i)[i] = 1;
}

std::size_t FactorMatrix::Bytes(std::size_t size) {
  const std::size_t padded = RoundUp(size, kFactorColumns);
  return padded * (padded + kFactorColumns + kBlock) * sizeof(double);
}

bool CholeskyInPlace(FactorMatrix& a, double least, const CompensateKernels& kernels) {
  AlignedArray<double> packed(a.padded * kBlock);
  Block block(a, packed.data(), kernels);
  for (std::size_t first = 0; first < a.padded; first += kBlock) {
    if (!block.Finish(first, least)) return false;
    block.UpdateRest();
  }
  return true;
}

}  // namespace ingot::codecs
