#include "codecs/rounding/lowrank_fit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "base/random.h"
#include "codecs/rounding/scale_range.h"

namespace ingot::codecs {
namespace {

constexpr float kLargestHalf = 65504.0f;
// Directions beyond the rank, and passes: what is left of the optimum's gain is below a percent.
constexpr std::uint64_t kMoreDirections = 8;
constexpr int kPasses = 4;
// A direction that loses so much of itself to those before it is one of them.
constexpr double kDependent = 1e-6;
constexpr std::size_t kGrain = 16;
constexpr std::uint64_t kSeed = 1;

// n x r numbers, a line of r for each input.
struct Tall {
  std::uint64_t n, r;
  std::vector<float> of;
  Tall(std::uint64_t lines, std::uint64_t width) : n(lines), r(width), of(lines * width) {}
  float* line(std::uint64_t i) { return of.data() + i * r; }
  const float* line(std::uint64_t i) const { return of.data() + i * r; }
};

void AddTimes(float factor, const float* from, std::uint64_t count, float* to) {
  for (std::uint64_t k = 0; k < count; ++k) to[k] += factor * from[k];
}

// Gram-Schmidt, twice, in the order of the columns; dependent ones become 0.
void Orthonormalize(Tall& q) {
  for (std::uint64_t c = 0; c < q.r; ++c) {
    double before = 0, norm = 0;
    for (std::uint64_t i = 0; i < q.n; ++i) {
      const double x = q.line(i)[c];
      before += x * x;
    }
    for (int twice = 0; twice < 2; ++twice)
      for (std::uint64_t k = 0; k < c; ++k) {
        double dot = 0;
        for (std::uint64_t i = 0; i < q.n; ++i)
          dot += static_cast<double>(q.line(i)[k]) * q.line(i)[c];
        for (std::uint64_t i = 0; i < q.n; ++i)
          q.line(i)[c] -= static_cast<float>(dot * q.line(i)[k]);
      }
    for (std::uint64_t i = 0; i < q.n; ++i) {
      const double x = q.line(i)[c];
      norm += x * x;
    }
    const bool keep = norm > kDependent * kDependent * before && norm > 0;
    const double scale = keep ? 1 / std::sqrt(norm) : 0;
    for (std::uint64_t i = 0; i < q.n; ++i) q.line(i)[c] = static_cast<float>(q.line(i)[c] * scale);
  }
}

// Eigenvalues, greatest first, and eigenvectors (columns of `vectors`) of a symmetric matrix, by
// Jacobi's rotations.
std::vector<double> Eigen(std::uint64_t n, std::vector<double> a, std::vector<double>& vectors) {
  constexpr int kSweeps = 30;
  std::vector<double> v(n * n);
  for (std::uint64_t i = 0; i < n; ++i) v[i * n + i] = 1;
  for (int sweep = 0; sweep < kSweeps; ++sweep)
    for (std::uint64_t p = 0; p < n; ++p)
      for (std::uint64_t q = p + 1; q < n; ++q) {
        const double off = a[p * n + q];
        if (std::fabs(off) <= 1e-15 * std::sqrt(std::fabs(a[p * n + p] * a[q * n + q]))) continue;
        const double theta = (a[q * n + q] - a[p * n + p]) / (2 * off);
        const double t = (theta < 0 ? -1 : 1) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (std::uint64_t k = 0; k < n; ++k) {
          const double x = a[k * n + p], y = a[k * n + q];
          a[k * n + p] = c * x - s * y;
          a[k * n + q] = s * x + c * y;
        }
        for (std::uint64_t k = 0; k < n; ++k) {
          const double x = a[p * n + k], y = a[q * n + k];
          a[p * n + k] = c * x - s * y;
          a[q * n + k] = s * x + c * y;
        }
        for (std::uint64_t k = 0; k < n; ++k) {
          const double x = v[k * n + p], y = v[k * n + q];
          v[k * n + p] = c * x - s * y;
          v[k * n + q] = s * x + c * y;
        }
      }
  std::vector<std::uint64_t> order(n);
  std::iota(order.begin(), order.end(), std::uint64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint64_t i, std::uint64_t j) { return a[i * n + i] > a[j * n + j]; });
  std::vector<double> values;
  vectors.assign(n * n, 0);
  for (std::uint64_t k = 0; k < n; ++k) {
    values.push_back(std::max(0.0, a[order[k] * n + order[k]]));
    for (std::uint64_t i = 0; i < n; ++i) vectors[i * n + k] = v[i * n + order[k]];
  }
  return values;
}

// H = L Lᵀ of the compensation: L = M sqrt(D) in rounding order. Lines of the matrices here are in
// that order, too.
class Root {
 public:
  explicit Root(const Compensation& compensation) : c_(compensation) {
    for (std::uint64_t p = 0; p < c_.cols(); ++p)
      roots_.push_back(std::sqrt(std::max(c_.weights()[p], 0.0f)));
  }

  // L q.
  Tall Times(const Tall& q) const {
    Tall scaled = q, out(q.n, q.r);
    for (std::uint64_t p = 0; p < q.n; ++p)
      for (std::uint64_t k = 0; k < q.r; ++k) scaled.line(p)[k] *= roots_[p];
    ParallelFor(q.n, kGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t k = begin; k < end; ++k) {
        std::copy_n(scaled.line(k), q.r, out.line(k));
        if (!c_.feeds_back()) continue;
        for (std::uint64_t p = k + 1; p < q.n; ++p)
          AddTimes(c_.feedback(k, p), scaled.line(p), q.r, out.line(k));
      }
    });
    return out;
  }

  // Lᵀ z.
  Tall TransposeTimes(const Tall& z) const {
    Tall out(z.n, z.r);
    ParallelFor(z.n, kGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t p = begin; p < end; ++p) {
        std::copy_n(z.line(p), z.r, out.line(p));
        if (c_.feeds_back())
          for (std::uint64_t k = 0; k < p; ++k)
            AddTimes(c_.feedback(k, p), z.line(k), z.r, out.line(p));
        for (std::uint64_t k = 0; k < z.r; ++k) out.line(p)[k] *= roots_[p];
      }
    });
    return out;
  }

  // (qᵀ L⁻¹)ᵀ: v_p = q_p / sqrt(D_p) - sum_{k<p} M_kp v_k.
  Tall Solve(const Tall& q) const {
    Tall v(q.n, q.r);
    for (std::uint64_t p = 0; p < q.n; ++p) {
      for (std::uint64_t k = 0; k < q.r; ++k)
        v.line(p)[k] = roots_[p] > 0 ? q.line(p)[k] / roots_[p] : 0.0f;
      if (c_.feeds_back())
        for (std::uint64_t k = 0; k < p; ++k)
          AddTimes(-c_.feedback(k, p), v.line(k), q.r, v.line(p));
    }
    return v;
  }

 private:
  const Compensation& c_;
  std::vector<float> roots_;
};

// Passes over the rows of W, a chunk at a time.
class Passes {
 public:
  Passes(const Compensation& compensation, std::uint64_t rows, std::uint64_t chunk,
         const ReadRows& read)
      : c_(compensation), rows_(rows), chunk_(std::min(rows, chunk)), read_(read) {
    double sum = 0;
    for (std::uint64_t i = 0; i < rows; ++i) sum += c_.row_fisher(i);
    fisher_ = sum > 0 ? sum / static_cast<double>(rows) : 1;
    weights_.resize(chunk_ * c_.cols());
  }
  // The mean of the rows' Fisher, which counts as 1.
  double Fisher(std::uint64_t row) const { return c_.row_fisher(row) / fisher_; }

  // sum_i G_i w_iᵀ (w_i p), lines in rounding order.
  Result<Tall> Normal(const Tall& p) {
    Tall z(p.n, p.r);
    const Tall stored = Stored(p);
    INGOT_TRY(Each([&](std::uint64_t first, std::uint64_t count) {
      const Tall y = Project(stored, first, count);
      ParallelFor(p.n, kGrain, [&](std::size_t begin, std::size_t end) {
        for (std::size_t j = begin; j < end; ++j) {
          const std::uint32_t column = c_.order()[j];
          for (std::uint64_t i = 0; i < count; ++i)
            AddTimes(weights_[i * p.n + column], y.line(i), p.r, z.line(j));
        }
      });
    }));
    return z;
  }

  // sum_i G_i (w_i p)ᵀ (w_i p), r x r.
  Result<std::vector<double>> Gram(const Tall& p) {
    std::vector<double> gram(p.r * p.r);
    const Tall stored = Stored(p);
    INGOT_TRY(Each([&](std::uint64_t first, std::uint64_t count) {
      // Once by the root of the Fisher would be simpler; y holds all of it.
      const Tall y = Project(stored, first, count);
      for (std::uint64_t i = 0; i < count; ++i) {
        const double g = Fisher(first + i);
        if (!(g > 0)) continue;
        for (std::uint64_t a = 0; a < p.r; ++a)
          for (std::uint64_t b = 0; b < p.r; ++b)
            gram[a * p.r + b] += static_cast<double>(y.line(i)[a]) * y.line(i)[b] / g;
      }
    }));
    return gram;
  }

  // Lines in the order of the columns instead of that of rounding.
  Tall Stored(const Tall& p) const {
    Tall out(p.n, p.r);
    for (std::uint64_t j = 0; j < p.n; ++j) std::copy_n(p.line(j), p.r, out.line(c_.order()[j]));
    return out;
  }

 private:
  // G_i w_i p for the rows of the chunk.
  Tall Project(const Tall& stored, std::uint64_t first, std::uint64_t count) const {
    Tall y(count, stored.r);
    ParallelFor(count, kGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        for (std::uint64_t j = 0; j < stored.n; ++j)
          AddTimes(weights_[i * stored.n + j], stored.line(j), stored.r, y.line(i));
        const auto g = static_cast<float>(Fisher(first + i));
        for (std::uint64_t k = 0; k < stored.r; ++k) y.line(i)[k] *= g;
      }
    });
    return y;
  }

  Status Each(const std::function<void(std::uint64_t first, std::uint64_t count)>& body) {
    for (std::uint64_t first = 0; first < rows_; first += chunk_) {
      const std::uint64_t count = std::min(chunk_, rows_ - first);
      INGOT_TRY(read_(first, first + count, weights_.data()));
      body(first, count);
    }
    return OkStatus();
  }

  const Compensation& c_;
  std::uint64_t rows_, chunk_;
  const ReadRows& read_;
  double fisher_ = 1;
  std::vector<float> weights_;
};

// A row of a factor as stored: f16, or i8 under a scale. `stored` receives what a decoder reads.
void StoreFactor(const float* row, std::uint64_t count, bool bytes, std::uint64_t r,
                 std::vector<std::uint8_t>& values, std::vector<std::uint8_t>* scales,
                 float* stored) {
  if (!bytes) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint16_t code = ToFp16(std::clamp(row[i], -kLargestHalf, kLargestHalf));
      StoreLe(values.data() + 2 * (r * count + i), code);
      stored[i] = FromFp16(code);
    }
    return;
  }
  float largest = 0;
  for (std::uint64_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(row[i]));
  const std::uint16_t code = RowScale(std::min(largest / 127.0f, kLargestHalf));
  const float scale = FromFp16(code), inverse = scale > 0 ? 1.0f / scale : 0.0f;
  StoreLe(scales->data() + 2 * r, code);
  for (std::uint64_t i = 0; i < count; ++i) {
    const float level = std::clamp(std::nearbyint(row[i] * inverse), -127.0f, 127.0f);
    values[r * count + i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(level));
    stored[i] = level * scale;
  }
}

// q turned so that its columns are the directions of most gain, the first `rank` of them.
Tall Turned(const Tall& q, const std::vector<double>& vectors, std::uint64_t rank) {
  Tall out(q.n, rank);
  for (std::uint64_t i = 0; i < q.n; ++i)
    for (std::uint64_t k = 0; k < rank; ++k) {
      double sum = 0;
      for (std::uint64_t c = 0; c < q.r; ++c) sum += q.line(i)[c] * vectors[c * q.r + k];
      out.line(i)[k] = static_cast<float>(sum);
    }
  return out;
}

}  // namespace

void LowRankTensor::EncodeRow(std::uint64_t r, float* w, Streams& plane) const {
  std::vector<float> u(layout.rank), stored(layout.rank), value(layout.cols);
  for (std::uint64_t j = 0; j < layout.cols; ++j)
    AddTimes(w[j], projection.data() + j * layout.rank, layout.rank, u.data());
  StoreFactor(u.data(), layout.rank, layout.bytes, r, plane[0], layout.bytes ? &plane[1] : nullptr,
              stored.data());
  LowRankRow(stored.data(), right.data(), layout.cols, layout.rank, layout.cols, value.data());
  for (std::uint64_t j = 0; j < layout.cols; ++j) w[j] -= value[j];
}

Result<LowRankTensor> FitLowRank(const LowRankLayout& layout, const Compensation& compensation,
                                 std::uint64_t rows, std::uint64_t chunk, const ReadRows& read) {
  const std::uint64_t n = layout.cols, rank = layout.rank;
  const Root root(compensation);
  Passes passes(compensation, rows, chunk, read);
  Tall q(n, std::min(n, rank + kMoreDirections));
  Random random(kSeed);
  for (float& x : q.of) x = static_cast<float>(random.Normal());
  Orthonormalize(q);
  for (int pass = 0; pass < kPasses; ++pass) {
    INGOT_ASSIGN(const Tall z, passes.Normal(root.Times(q)));
    q = root.TransposeTimes(z);
    Orthonormalize(q);
  }
  INGOT_ASSIGN(const std::vector<double> gram, passes.Gram(root.Times(q)));
  std::vector<double> vectors;
  const std::vector<double> values = Eigen(q.r, gram, vectors);
  q = Turned(q, vectors, rank);
  const Tall v = passes.Stored(root.Solve(q)), p = passes.Stored(root.Times(q));

  LowRankTensor tensor{layout, std::vector<float>(rank * n), std::vector<float>(n * rank), {}};
  tensor.streams.emplace_back((layout.bytes ? 1 : 2) * rank * n);
  if (layout.bytes) tensor.streams.emplace_back(2 * rank);
  std::vector<float> row(n);
  for (std::uint64_t k = 0; k < rank; ++k) {
    // Rows of V as large as what they stand for, so that those of U are alike.
    const double size = std::sqrt(values[k] / static_cast<double>(rows));
    const bool used = values[k] > kDependent * kDependent * values[0];
    for (std::uint64_t j = 0; j < n; ++j) {
      row[j] = used ? static_cast<float>(v.line(j)[k] * size) : 0.0f;
      tensor.projection[j * rank + k] = used ? static_cast<float>(p.line(j)[k] / size) : 0.0f;
    }
    StoreFactor(row.data(), n, layout.bytes, k, tensor.streams[0],
                layout.bytes ? &tensor.streams[1] : nullptr, tensor.right.data() + k * n);
  }
  return tensor;
}

std::uint64_t LowRankFitBytes(const LowRankLayout& layout, std::uint64_t chunk) {
  const std::uint64_t directions = layout.rank + kMoreDirections;
  return sizeof(float) * (chunk * (layout.cols + directions) + 8 * layout.cols * directions);
}

}  // namespace ingot::codecs
