#include "codecs/planes/transform.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>
#include <numbers>
#include <string>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "codecs/planes/transform_kernels.h"
#include "codecs/planes/transform_plane.h"

namespace ingot::codecs {
namespace {

// Rotations kept although nobody holds them, for who decodes row by row.
constexpr std::size_t kRecentRotations = 8;
constexpr std::uint64_t kGrainWeights = 64 << 10;
constexpr std::uint64_t kTransposeTile = 32;

// A buffer of this thread. REQUIRES: not held across calls that may use it too.
float* ThreadScratch(std::size_t size) {
  thread_local AlignedBuffer<float> buffer;
  if (buffer.size() < size) buffer = AlignedBuffer<float>(size);
  return buffer.data();
}

// cos(pi t / (2 m)) for t < 4 m, with exact zeros and symmetries.
std::vector<long double> QuarterWaves(std::uint64_t m) {
  std::vector<long double> cosines(4 * m);
  for (std::uint64_t t = 0; t < 4 * m; ++t) {
    const std::uint64_t folded = t > 2 * m ? 4 * m - t : t;
    const std::uint64_t angle = folded > m ? 2 * m - folded : folded;
    const long double value =
        angle == m ? 0.0L
                   : std::cos(std::numbers::pi_v<long double> * static_cast<long double>(angle) /
                              static_cast<long double>(2 * m));
    cosines[t] = folded > m ? -value : value;
  }
  return cosines;
}

class Hadamard final : public InputTransform {
 public:
  Hadamard(const HadamardLayout& layout, std::uint64_t cols)
      : layout_(layout), cols_(cols), kernels_(kTransform.Best()) {
    const std::uint64_t m = layout.odd;
    matrix_ = AlignedBuffer<float>(m * m);
    turned_ = AlignedBuffer<float>(m * m);
    const std::vector<long double> cosines = QuarterWaves(m);
    const long double scale = 1 / std::sqrt(static_cast<long double>(layout.block));
    for (std::uint64_t i = 0; i < m; ++i)
      for (std::uint64_t j = 0; j < m; ++j) {
        const long double norm = i == 0 ? scale : scale * std::numbers::sqrt2_v<long double>;
        const auto value = static_cast<float>(norm * cosines[(2 * j + 1) * i % (4 * m)]);
        matrix_[i * m + j] = turned_[j * m + i] = value;
      }
    signs_ = AlignedBuffer<float>(cols);
    for (std::uint64_t j = 0; j < cols; ++j) signs_[j] = HadamardSign(layout.seed, j);
  }

  std::uint64_t cols() const override { return cols_; }
  std::uint64_t resident_bytes() const override {
    return sizeof(float) * (matrix_.size() + turned_.size() + signs_.size());
  }
  const HadamardLayout& layout() const { return layout_; }

  void Apply(const float* x, float* out) const override {
    if (x == out) {
      float* copy = ThreadScratch(cols_);
      std::copy_n(x, cols_, copy);
      x = copy;
    }
    for (std::uint64_t begin = 0; begin < cols_; begin += layout_.block) {
      kernels_.odd_factor({layout_.odd, layout_.chunk, matrix_.data(), turned_.data(),
                           signs_.data() + begin, x + begin, out + begin});
      WalshHadamard(out + begin);
    }
  }

  void Restore(float* row) const override {
    float* turned = ThreadScratch(layout_.block);
    for (std::uint64_t begin = 0; begin < cols_; begin += layout_.block) {
      WalshHadamard(row + begin);
      kernels_.odd_factor({layout_.odd, layout_.chunk, turned_.data(), matrix_.data(), nullptr,
                           row + begin, turned});
      kernels_.multiply(turned, signs_.data() + begin, layout_.block, row + begin);
    }
  }

  void EncodeRow(float* row) const override { Apply(row, row); }

  bool Same(const InputTransform& other) const override {
    if (this == &other) return true;
    const auto* same = dynamic_cast<const Hadamard*>(&other);
    return same != nullptr && same->cols_ == cols_ && same->layout_ == layout_;
  }

 private:
  void WalshHadamard(float* block) const {
    for (std::uint64_t i = 0; i < layout_.block; i += layout_.chunk)
      kernels_.walsh_hadamard(block + i, layout_.chunk);
  }

  HadamardLayout layout_;
  std::uint64_t cols_;
  const TransformKernels& kernels_;
  AlignedBuffer<float> matrix_, turned_;  // the DCT over sqrt(block): odd x odd, and transposed
  AlignedBuffer<float> signs_;
};

class ColumnScale final : public InputTransform {
 public:
  explicit ColumnScale(AlignedBuffer<float> scales)
      : scales_(std::move(scales)), kernels_(kTransform.Best()) {}

  std::uint64_t cols() const override { return scales_.size(); }
  std::uint64_t resident_bytes() const override { return sizeof(float) * scales_.size(); }
  void Apply(const float* x, float* out) const override {
    kernels_.multiply(x, scales_.data(), scales_.size(), out);
  }
  void Restore(float* row) const override { Apply(row, row); }
  void EncodeRow(float* row) const override {
    for (std::size_t j = 0; j < scales_.size(); ++j) row[j] /= scales_[j];
  }
  bool Same(const InputTransform& other) const override {
    if (this == &other) return true;
    const auto* same = dynamic_cast<const ColumnScale*>(&other);
    return same != nullptr && std::ranges::equal(same->scales_, scales_);
  }

 private:
  AlignedBuffer<float> scales_;
  const TransformKernels& kernels_;
};

// Rotations that somebody holds, and the last few that were asked for.
class Rotations {
 public:
  std::shared_ptr<const Hadamard> Get(const HadamardLayout& layout, std::uint64_t cols) {
    const std::scoped_lock lock(mutex_);
    std::shared_ptr<const Hadamard> rotation = Find(layout, cols);
    if (rotation == nullptr) {
      rotation = std::make_shared<const Hadamard>(layout, cols);
      std::erase_if(alive_, [](const auto& held) { return held.expired(); });
      alive_.push_back(rotation);
    }
    const auto it = std::find(recent_.begin(), recent_.end(), rotation);
    if (it != recent_.end()) {
      std::rotate(recent_.begin(), it, it + 1);
      return rotation;
    }
    recent_.insert(recent_.begin(), rotation);
    if (recent_.size() > kRecentRotations) recent_.pop_back();
    return rotation;
  }

 private:
  std::shared_ptr<const Hadamard> Find(const HadamardLayout& layout, std::uint64_t cols) const {
    for (const auto& rotation : recent_)
      if (rotation->cols() == cols && rotation->layout() == layout) return rotation;
    for (const auto& held : alive_) {
      const std::shared_ptr<const Hadamard> rotation = held.lock();
      if (rotation != nullptr && rotation->cols() == cols && rotation->layout() == layout)
        return rotation;
    }
    return nullptr;
  }

  std::mutex mutex_;
  std::vector<std::shared_ptr<const Hadamard>> recent_;  // the latest in front
  std::vector<std::weak_ptr<const Hadamard>> alive_;
};

Rotations& AllRotations() {
  static Rotations rotations;
  return rotations;
}

void Transpose(float* matrix, std::uint64_t n) {
  const std::uint64_t tiles = CeilDiv(n, kTransposeTile);
  ParallelFor(tiles, 4, [&](std::size_t from, std::size_t to) {
    for (std::uint64_t a = from * kTransposeTile; a < std::min(n, to * kTransposeTile);
         a += kTransposeTile)
      for (std::uint64_t b = a; b < n; b += kTransposeTile)
        for (std::uint64_t i = a; i < std::min(n, a + kTransposeTile); ++i)
          for (std::uint64_t j = std::max(b, i + 1); j < std::min(n, b + kTransposeTile); ++j)
            std::swap(matrix[i * n + j], matrix[j * n + i]);
  });
}

template <typename RowFn>
void ForEachRow(std::uint64_t rows, std::uint64_t cols, const RowFn& run) {
  ParallelFor(rows, std::max<std::uint64_t>(1, kGrainWeights / cols),
              [&](std::size_t begin, std::size_t end) {
                for (std::size_t r = begin; r < end; ++r) run(r);
              });
}

}  // namespace

std::size_t InsertTransform(std::vector<PlaneSpec>& planes, PlaneSpec transform) {
  std::size_t at = planes.size();
  while (at > 1 && planes[at - 1].level > 0) --at;
  planes.insert(planes.begin() + static_cast<std::ptrdiff_t>(at), std::move(transform));
  return at;
}

Result<std::shared_ptr<const InputTransform>> MakeHadamard(const PlaneSpec& spec,
                                                           std::uint64_t cols) {
  INGOT_ASSIGN(const HadamardLayout layout, HadamardLayout::Parse(spec, cols));
  return std::shared_ptr<const InputTransform>(AllRotations().Get(layout, cols));
}

Result<std::shared_ptr<const InputTransform>> MakeColumnScale(std::uint64_t cols, ByteSpan scales) {
  INGOT_TRY(CheckColumnScales(cols, scales));
  AlignedBuffer<float> values(cols);
  ConvertToFloat(DType::kF16, scales, values.span());
  return std::shared_ptr<const InputTransform>(
      std::make_shared<const ColumnScale>(std::move(values)));
}

std::vector<std::uint8_t> ColumnScaleStream(std::span<const float> scales) {
  std::vector<std::uint8_t> stream(2 * scales.size());
  for (std::size_t j = 0; j < scales.size(); ++j)
    StoreLe(stream.data() + 2 * j, ToFp16(std::clamp(scales[j], 0x1p-14f, 65504.0f)));
  return stream;
}

Result<std::shared_ptr<const InputTransform>> MakeTransform(const PlaneView& plane) {
  if (plane.spec->kind == kHadamardKind) return MakeHadamard(*plane.spec, plane.cols);
  if (plane.spec->kind == kColumnScaleKind && plane.streams.size() == 1)
    return MakeColumnScale(plane.cols, plane.streams[0]);
  return InvalidArgument(plane.spec->kind + " plane: is no transform");
}

void EncodeRows(const InputTransform& transform, float* rows, std::uint64_t count) {
  const std::uint64_t cols = transform.cols();
  ForEachRow(count, cols, [&](std::uint64_t r) { transform.EncodeRow(rows + r * cols); });
}

void TransformHessian(const InputTransform& transform, float* hessian) {
  const std::uint64_t n = transform.cols();
  const auto rows = [&] {
    ForEachRow(n, n, [&](std::uint64_t r) { transform.Apply(hessian + r * n, hessian + r * n); });
  };
  rows();
  Transpose(hessian, n);
  rows();
  ForEachRow(n, n, [&](std::uint64_t i) {
    for (std::uint64_t j = i + 1; j < n; ++j)
      hessian[i * n + j] = 0.5f * (hessian[i * n + j] + hessian[j * n + i]);
  });
  ForEachRow(n, n, [&](std::uint64_t i) {
    for (std::uint64_t j = 0; j < i; ++j) hessian[i * n + j] = hessian[j * n + i];
  });
}

}  // namespace ingot::codecs
