#include "codecs/rounding/codebook.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "codecs/rounding/codebook_kernels.h"

namespace ingot::codecs {
namespace {

constexpr float kLargestWord = 65504.0f;
// Lloyd's iterations after each doubling of the words, and when all are there.
constexpr int kGrowing = 3, kSettling = 12;
// Gains below this share of the cost end an iteration.
constexpr double kGain = 1e-3;
// Vectors of a parallel task.
constexpr std::size_t kGrain = 4;

using Vector = std::array<double, kMaxVqDimension>;
using Square = std::array<Vector, kMaxVqDimension>;

// What the vectors of one word ask for: normal(v) v = moment at the least cost.
struct WordSums {
  Square normal{};
  Vector moment{}, spread{}, mass{};
  double weight = 0, cost = 0;
};

// a x = b by Cholesky; dimensions without a pivot of their own become 0.
Vector Solve(Square a, Vector b, std::size_t n) {
  double largest = 0;
  for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, a[i][i]);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      for (std::size_t j = i; j < n; ++j) a[i][j] -= a[k][i] * a[k][j];
      b[i] -= a[k][i] * b[k];
    }
    const double pivot = a[i][i] > 1e-12 * largest ? 1 / std::sqrt(a[i][i]) : 0;
    for (std::size_t j = i; j < n; ++j) a[i][j] *= pivot;
    b[i] *= pivot;
  }
  Vector x{};
  for (std::size_t i = n; i-- > 0;) {
    double sum = b[i];
    for (std::size_t j = i + 1; j < n; ++j) sum -= a[i][j] * x[j];
    x[i] = a[i][i] > 0 ? sum / a[i][i] : 0;
  }
  return x;
}

class Fit {
 public:
  Fit(const VqLayout& layout, std::span<const VectorMetric> metrics, const CodebookSample& sample)
      : layout_(layout),
        metrics_(metrics),
        sample_(sample),
        nearest_(sample.tiles * layout.vectors * kTileRows) {}

  std::vector<float> Run() {
    words_.assign(1, Vector{});
    Lloyd(1);
    while (words_.size() < layout_.words()) {
      Split();
      Lloyd(words_.size() < layout_.words() ? kGrowing : kSettling);
    }
    std::vector<float> codebook;
    for (std::size_t w = 0; w < words_.size(); ++w)
      for (std::size_t k = 0; k < layout_.dimension; ++k)
        codebook.push_back(sums_[w].weight > 0 ? Rounded(words_[w][k]) : 0.0f);
    return codebook;
  }

 private:
  static float Rounded(double value) {
    return FromFp16(ToFp16(std::clamp(static_cast<float>(value), -kLargestWord, kLargestWord)));
  }
  const float* Targets(std::size_t tile, std::size_t vector) const {
    return sample_.targets.data() +
           (tile * layout_.vectors + vector) * layout_.dimension * kTileRows;
  }
  const float* Weights(std::size_t tile, std::size_t vector) const {
    const std::size_t group = vector * layout_.dimension / layout_.group;
    return sample_.weights.data() + (tile * layout_.groups + group) * kTileRows;
  }
  float* NearestOf(std::size_t tile, std::size_t vector) {
    return nearest_.data() + (tile * layout_.vectors + vector) * kTileRows;
  }

  void Assign() {
    std::vector<float> codebook;
    for (const Vector& word : words_)
      for (std::size_t k = 0; k < layout_.dimension; ++k)
        codebook.push_back(static_cast<float>(word[k]));
    ParallelFor(layout_.vectors, kGrain, [&](std::size_t begin, std::size_t end) {
      WordTable table(layout_);
      alignas(64) float targets[kMaxVqDimension * kTileRows];
      for (std::size_t v = begin; v < end; ++v) {
        table.Set(codebook.data(), words_.size(), metrics_[v]);
        for (std::size_t t = 0; t < sample_.tiles; ++t) {
          for (std::size_t k = 0; k < layout_.dimension; ++k)
            for (std::size_t l = 0; l < kTileRows; ++l)
              targets[k * kTileRows + l] = Targets(t, v)[k * kTileRows + l] * metrics_[v].roots[k];
          table.Nearest(targets, NearestOf(t, v));
        }
      }
    });
  }

  // Sums in one order, whatever threads there are.
  double Sum() {
    const std::size_t n = layout_.dimension;
    sums_.assign(words_.size(), {});
    double cost = 0;
    for (std::size_t v = 0; v < layout_.vectors; ++v) {
      // e = roots (x - lower v), lower with ones on its diagonal.
      Square lower{}, normal{};
      const VectorMetric& metric = metrics_[v];
      for (std::size_t c = 0; c < n; ++c)
        for (std::size_t k = 0; k <= c; ++k)
          lower[c][k] = metric.roots[c] * (k == c ? 1.0 : metric.coupling[c][k]);
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = i; j < n; ++j)
          for (std::size_t c = j; c < n; ++c) normal[i][j] += lower[c][i] * lower[c][j];
      for (std::size_t t = 0; t < sample_.tiles; ++t)
        for (std::size_t l = 0; l < kTileRows; ++l) {
          const double weight = Weights(t, v)[l];
          if (!(weight > 0)) continue;
          const auto word = static_cast<std::size_t>(NearestOf(t, v)[l]);
          cost += Add(lower, normal, Targets(t, v) + l, metric, weight, words_[word], sums_[word]);
        }
    }
    return cost;
  }

  double Add(const Square& lower, const Square& normal, const float* targets,
             const VectorMetric& metric, double weight, const Vector& word, WordSums& sums) const {
    const std::size_t n = layout_.dimension;
    double cost = 0;
    for (std::size_t c = 0; c < n; ++c) {
      const double x = static_cast<double>(targets[c * kTileRows]);
      const double scaled = metric.roots[c] * x, off = x - word[c];
      double error = scaled;
      for (std::size_t k = 0; k <= c; ++k) {
        sums.moment[k] += weight * lower[c][k] * scaled;
        error -= lower[c][k] * word[k];
      }
      for (std::size_t j = c; j < n; ++j) sums.normal[c][j] += weight * normal[c][j];
      const double mass = weight * metric.roots[c] * metric.roots[c];
      sums.mass[c] += mass;
      sums.spread[c] += mass * off * off;
      cost += weight * error * error;
    }
    sums.weight += weight;
    sums.cost += cost;
    return cost;
  }

  void Lloyd(int iterations) {
    double before = 0;
    for (int i = 0; i < iterations; ++i) {
      Assign();
      const double cost = Sum();
      for (std::size_t w = 0; w < words_.size(); ++w)
        if (sums_[w].weight > 0)
          words_[w] = Solve(sums_[w].normal, sums_[w].moment, layout_.dimension);
      if (i > 0 && cost > (1 - kGain) * before) break;
      before = cost;
      if (i + 1 < iterations) Refill();
    }
  }

  // The step from a word to its halves: along the dimension in which its vectors spread most.
  Vector Step(const WordSums& sums) const {
    std::size_t widest = 0;
    for (std::size_t k = 1; k < layout_.dimension; ++k)
      if (sums.spread[k] > sums.spread[widest]) widest = k;
    Vector step{};
    if (sums.mass[widest] > 0)
      step[widest] = 0.7 * std::sqrt(sums.spread[widest] / sums.mass[widest]);
    return step;
  }

  void Halve(std::size_t from, Vector& other) {
    const Vector step = Step(sums_[from]);
    other = words_[from];
    for (std::size_t k = 0; k < layout_.dimension; ++k) {
      words_[from][k] -= step[k];
      other[k] += step[k];
    }
  }

  void Split() {
    const std::size_t count = words_.size();
    words_.resize(2 * count);
    for (std::size_t w = 0; w < count; ++w) Halve(w, words_[count + w]);
  }

  // Words without vectors become halves of those that cost most.
  void Refill() {
    std::vector<std::size_t> costly(words_.size());
    std::iota(costly.begin(), costly.end(), std::size_t{0});
    std::stable_sort(costly.begin(), costly.end(),
                     [&](std::size_t a, std::size_t b) { return sums_[a].cost > sums_[b].cost; });
    auto from = costly.begin();
    for (std::size_t w = 0; w < words_.size() && sums_[*from].cost > 0; ++w)
      if (!(sums_[w].weight > 0)) Halve(*from++, words_[w]);
  }

  const VqLayout& layout_;
  std::span<const VectorMetric> metrics_;
  const CodebookSample& sample_;
  AlignedArray<float> nearest_;
  std::vector<Vector> words_;
  std::vector<WordSums> sums_;
};

}  // namespace

std::vector<VectorMetric> VectorMetrics(const VqLayout& layout, const Compensation& compensation) {
  std::vector<VectorMetric> metrics(layout.vectors);
  for (std::uint64_t v = 0; v < layout.vectors; ++v) {
    const std::uint64_t first = v * layout.dimension;
    const std::uint64_t count = std::min(layout.dimension, layout.cols - first);
    const std::uint64_t p = compensation.ranks()[first];
    for (std::uint64_t c = 0; c < count; ++c) {
      metrics[v].roots[c] = std::sqrt(compensation.weights()[p + c]);
      for (std::uint64_t k = 0; k < c; ++k)
        metrics[v].coupling[c][k] = compensation.feedback(p + k, p + c);
    }
  }
  return metrics;
}

void WordTable::Set(const float* codebook, std::size_t count, const VectorMetric& metric) {
  count_ = count;
  std::fill_n(halves_.data(), count, 0.0f);
  for (std::size_t c = 0; c < dimension_; ++c) {
    float* out = words_.data() + c * count;
    for (std::size_t w = 0; w < count; ++w) {
      float value = codebook[w * dimension_ + c];
      for (std::size_t k = 0; k < c; ++k)
        value += metric.coupling[c][k] * codebook[w * dimension_ + k];
      out[w] = value * metric.roots[c];
      halves_[w] += 0.5f * (out[w] * out[w]);
    }
  }
}

void WordTable::Nearest(const float* targets, float* nearest) const {
  kCodebook.Best().nearest(targets, dimension_, words_.data(), halves_.data(), count_, nearest);
}

std::vector<float> FitCodebook(const VqLayout& layout, std::span<const VectorMetric> metrics,
                               const CodebookSample& sample) {
  return Fit(layout, metrics, sample).Run();
}

}  // namespace ingot::codecs
