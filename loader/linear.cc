#include "loader/linear.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "loader/kernels/kernel_registry.h"
#include "loader/panel_decode.h"
#include "loader/prepared_plane.h"

namespace ingot::loader {
namespace {

// Decoded rows that one task keeps in its core's second-level cache.
constexpr std::size_t kPanelBytes = 256 << 10;
// Tokens whose packed activations are alive together.
constexpr std::size_t kTokenBlock = 512;
// Weights below which a task is not worth another thread.
constexpr std::size_t kTaskWeights = 256 << 10;

// A buffer of this thread, taken out while in use: a task that waits may run another one that needs
// such a buffer too.
class Scratch {
 public:
  explicit Scratch(std::size_t floats) : buffer_(std::move(Spare())) {
    if (buffer_.size() < floats) buffer_ = AlignedBuffer<float>(floats);
  }
  ~Scratch() {
    if (Spare().size() < buffer_.size()) Spare() = std::move(buffer_);
  }
  float* data() { return buffer_.data(); }

 private:
  static AlignedBuffer<float>& Spare() {
    thread_local AlignedBuffer<float> spare;
    return spare;
  }
  AlignedBuffer<float> buffer_;
};

// A run of rows of one job.
struct Task {
  const LinearJob* job;
  std::uint64_t begin;
  std::uint64_t end;
};

std::vector<Task> CutRows(std::span<const LinearJob> jobs, std::size_t cols) {
  const std::uint64_t rows_per_task =
      AlignUp(std::max<std::uint64_t>(kTaskWeights / std::max<std::size_t>(cols, 1), 1), 4);
  std::vector<Task> tasks;
  for (const LinearJob& job : jobs)
    for (std::uint64_t begin = 0; begin < job.rows; begin += rows_per_task)
      tasks.push_back({&job, begin, std::min(job.rows, begin + rows_per_task)});
  return tasks;
}

void FillStart(const Task& task, std::size_t tokens) {
  const LinearJob& job = *task.job;
  if (job.accumulate && job.bias == nullptr) return;
  for (std::size_t t = 0; t < tokens; ++t) {
    float* y = job.y + t * job.y_stride;
    for (std::uint64_t r = task.begin; r < task.end; ++r)
      y[r] = (job.accumulate ? y[r] : 0.0f) + (job.bias != nullptr ? job.bias[r] : 0.0f);
  }
}

// The float path: decode a panel of rows into this core's cache, multiply it with every token.
void RunTaskFloat(const Task& task, const float* packed, std::size_t tokens, std::size_t cols) {
  const LinearJob& job = *task.job;
  const PlaneRange planes = LivePlanes(*job.matrix, job.plane_count);
  const std::size_t stride = DotStride(cols);
  const std::uint64_t panel_rows =
      std::max<std::uint64_t>(kPanelBytes / sizeof(float) / stride & ~std::uint64_t{3}, 4);
  Scratch panel(panel_rows * stride);
  for (std::uint64_t begin = task.begin; begin < task.end; begin += panel_rows) {
    const std::size_t rows = std::min(panel_rows, task.end - begin);
    DecodePanel(*job.matrix, planes, job.row_begin + begin, rows, panel.data(), stride,
                stride - kDotLanes);
    BestPanelDot().run({.w = panel.data(),
                        .w_stride = stride,
                        .rows = rows,
                        .x = packed,
                        .x_stride = stride,
                        .tokens = tokens,
                        .padded_cols = stride - kDotLanes,
                        .y = job.y + begin,
                        .y_stride = job.y_stride});
  }
}

void PackTokens(const float* x, std::size_t x_stride, std::size_t tokens, std::size_t cols,
                float* packed) {
  const std::size_t stride = DotStride(cols);
  for (std::size_t t = 0; t < tokens; ++t) {
    std::copy_n(x + t * x_stride, cols, packed + t * stride);
    std::fill(packed + t * stride + cols, packed + (t + 1) * stride, 0.0f);
  }
}

}  // namespace

void RunLinear(std::span<const LinearJob> jobs, const float* x, std::size_t x_stride,
               std::size_t tokens, std::size_t cols, Compute compute) {
  (void)compute;
  const std::vector<Task> tasks = CutRows(jobs, cols);
  const std::size_t stride = DotStride(cols);
  Scratch packed(std::min(tokens, kTokenBlock) * stride);
  for (std::size_t first = 0; first < tokens; first += kTokenBlock) {
    const std::size_t count = std::min(kTokenBlock, tokens - first);
    PackTokens(x + first * x_stride, x_stride, count, cols, packed.data());
    ParallelFor(tasks.size(), 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        LinearJob job = *tasks[i].job;
        job.y += first * job.y_stride;
        const Task task{&job, tasks[i].begin, tasks[i].end};
        FillStart(task, count);
        RunTaskFloat(task, packed.data(), count, cols);
      }
    });
  }
}

void GatherRows(const ResidentMatrix& matrix, std::span<const std::int32_t> ids, float* out) {
  const PlaneRange planes = LivePlanes(matrix, SIZE_MAX);
  const std::size_t grain =
      std::max<std::size_t>(1, 65536 / std::max<std::uint64_t>(matrix.cols, 1));
  ParallelFor(ids.size(), grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      DecodePanel(matrix, planes, static_cast<std::uint64_t>(ids[i]), 1, out + i * matrix.cols,
                  matrix.cols, matrix.cols);
  });
}

}  // namespace ingot::loader
