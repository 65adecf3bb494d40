#include "loader/linear.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "loader/kernels/kernel_registry.h"
#include "loader/kernels/sparse_matvec.h"
#include "loader/panel_decode.h"
#include "loader/prepared_plane.h"
#include "loader/scratch.h"

namespace ingot::loader {
namespace {

// Decoded rows that one task keeps in its core's second-level cache.
constexpr std::size_t kPanelBytes = 256 << 10;
// For a few tokens, in its first-level cache.
constexpr std::size_t kSmallPanelBytes = 16 << 10;
constexpr std::size_t kFewTokens = 8;
// Tokens whose packed activations are alive together.
constexpr std::size_t kTokenBlock = 512;
// Products (weights times tokens) below which a task is not worth another thread.
constexpr std::size_t kTaskProducts = 256 << 10;
constexpr std::size_t kTasksPerThread = 4;

// A run of rows of one job.
struct Task {
  const LinearJob* job;
  std::uint64_t begin;
  std::uint64_t end;
};

// What the activations of one block of tokens were turned into, once for all jobs.
struct Inputs {
  std::size_t tokens = 0;
  std::size_t cols = 0;
  const float* packed = nullptr;  // tokens x DotStride(cols); nullptr: no job needs them
  const InputRecord* records =
      nullptr;  // tokens x RecordsOfToken(cols); nullptr: no job needs them
};

// What jobs need of their inputs.
struct Needs {
  bool packed = false;
  bool records = false;
  unsigned parts = 0;  // as IntMatvecKernel::quantize takes them
};

// Whether planes with kernels of their own are taken one by one. Not where a plane's value depends
// on the sum before it, as a remainder's does.
bool TakesPlanes(const ResidentMatrix& matrix, PlaneRange planes, Compute compute) {
  if (compute == Compute::kExact) return false;
  for (std::size_t p = planes.first; p < planes.last; ++p)
    if (Prepared(matrix, p).operand.kind == OperandKind::kGeneric) return false;
  return true;
}

Needs NeedsOf(std::span<const LinearJob> jobs, Compute compute) {
  Needs needs;
  for (const LinearJob& job : jobs) {
    const PlaneRange planes = LivePlanes(*job.matrix, job.plane_count);
    const bool fast = TakesPlanes(*job.matrix, planes, compute);
    for (std::size_t p = planes.first; p < planes.last; ++p) {
      const PreparedPlane& plane = Prepared(*job.matrix, p);
      if (!fast || !plane.has_fields) {
        needs.packed = true;
        continue;
      }
      needs.records = true;
      for (int f = 0; f < plane.fields.count; ++f)
        needs.parts |= 8u / static_cast<unsigned>(plane.fields.field[f].width);
    }
  }
  return needs;
}

std::vector<Task> CutRows(std::span<const LinearJob> jobs, std::size_t tokens, std::size_t cols) {
  std::uint64_t rows = 0;
  for (const LinearJob& job : jobs) rows += job.rows;
  const std::uint64_t products_a_row = std::max<std::uint64_t>(cols * tokens, 1);
  const std::uint64_t aim =
      std::max(CeilDiv(rows, kTasksPerThread * Threads()), CeilDiv(kTaskProducts, products_a_row));
  std::vector<Task> tasks;
  for (const LinearJob& job : jobs) {
    if (job.rows == 0) continue;
    const std::uint64_t pieces = std::max<std::uint64_t>(1, job.rows / aim);
    const std::uint64_t step = AlignUp(CeilDiv(job.rows, pieces), kMatvecRows);
    for (std::uint64_t begin = 0; begin < job.rows; begin += step)
      tasks.push_back({&job, begin, std::min(job.rows, begin + step)});
  }
  return tasks;
}

void FillStart(const Task& task, float* y, std::size_t tokens) {
  const LinearJob& job = *task.job;
  if (job.accumulate && job.bias == nullptr) return;
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::uint64_t r = task.begin; r < task.end; ++r) {
      float& out = y[t * job.y_stride + r];
      out = (job.accumulate ? out : 0.0f) + (job.bias != nullptr ? job.bias[r] : 0.0f);
    }
}

// The float path: decode a panel of rows into this core's cache, multiply it with every token.
void RunFloat(const Task& task, PlaneRange planes, const Inputs& inputs, bool skip_fast, float* y) {
  const LinearJob& job = *task.job;
  const std::size_t stride = DotStride(inputs.cols);
  const std::size_t padded_cols = stride - kDotLanes;
  const std::size_t bytes = inputs.tokens <= kFewTokens ? kSmallPanelBytes : kPanelBytes;
  const std::uint64_t panel_rows =
      std::max<std::uint64_t>((bytes / sizeof(float) / stride) & ~std::uint64_t{3}, 4);
  Scratch<float> panel(panel_rows * stride);
  for (std::uint64_t begin = task.begin; begin < task.end; begin += panel_rows) {
    const std::size_t rows = std::min(panel_rows, task.end - begin);
    DecodePanel(*job.matrix, planes, job.row_begin + begin, rows, panel.data(), stride, padded_cols,
                skip_fast);
    BestPanelDot().run({.w = panel.data(),
                        .w_stride = stride,
                        .rows = rows,
                        .x = inputs.packed,
                        .x_stride = stride,
                        .tokens = inputs.tokens,
                        .padded_cols = padded_cols,
                        .y = y + begin,
                        .y_stride = job.y_stride});
  }
}

// The 8-bit path of one plane, and the sparse one.
void RunFastPlane(const Task& task, const PreparedPlane& plane, const Inputs& inputs, float* y) {
  const LinearJob& job = *task.job;
  const std::uint64_t row = job.row_begin + task.begin;
  const std::size_t rows = task.end - task.begin;
  if (!plane.has_fields)
    return SparseMatvec(plane.operand, row, rows, inputs.packed, DotStride(inputs.cols),
                        inputs.tokens, y + task.begin, job.y_stride);
  Scratch<float> scratch(MatvecScratch(plane.operand));
  BestIntMatvec().run({.plane = &plane.operand,
                       .fields = &plane.fields,
                       .row_begin = row,
                       .rows = rows,
                       .x = inputs.records,
                       .record_stride = RecordsOfToken(inputs.cols),
                       .tokens = inputs.tokens,
                       .scratch = scratch.data(),
                       .y = y + task.begin,
                       .y_stride = job.y_stride});
}

// REQUIRES: y is the job's output for the first token of the block.
void RunTask(const Task& task, const Inputs& inputs, Compute compute, float* y) {
  const ResidentMatrix& matrix = *task.job->matrix;
  const PlaneRange planes = LivePlanes(matrix, task.job->plane_count);
  const bool fast = TakesPlanes(matrix, planes, compute);
  FillStart(task, y, inputs.tokens);
  bool any_float = false;
  for (std::size_t p = planes.first; p < planes.last; ++p) {
    const PreparedPlane& plane = Prepared(matrix, p);
    if (fast && plane.fast())
      RunFastPlane(task, plane, inputs, y);
    else
      any_float = true;
  }
  if (any_float) RunFloat(task, planes, inputs, fast, y);
}

void PackToken(const float* x, std::size_t cols, float* packed) {
  std::copy_n(x, cols, packed);
  std::fill(packed + cols, packed + DotStride(cols), 0.0f);
}

}  // namespace

void RunLinear(std::span<const LinearJob> jobs, const float* x, std::size_t x_stride,
               std::size_t tokens, std::size_t cols, Compute compute) {
  const Needs needs = NeedsOf(jobs, compute);
  const std::size_t most = std::min(tokens, kTokenBlock);
  const std::vector<Task> tasks = CutRows(jobs, most, cols);
  const std::size_t stride = DotStride(cols), record_stride = RecordsOfToken(cols);
  Scratch<float> packed(needs.packed ? most * stride : 0);
  Scratch<InputRecord> records(needs.records ? most * record_stride : 0);
  for (std::size_t first = 0; first < tokens; first += kTokenBlock) {
    const std::size_t count = std::min(kTokenBlock, tokens - first);
    ParallelFor(count, 16, [&](std::size_t begin, std::size_t end) {
      for (std::size_t t = begin; t < end; ++t) {
        const float* token = x + (first + t) * x_stride;
        if (needs.packed) PackToken(token, cols, packed.data() + t * stride);
        if (needs.records)
          BestIntMatvec().quantize(token, cols, needs.parts, records.data() + t * record_stride);
      }
    });
    const Inputs inputs{count, cols, packed.data(), records.data()};
    ParallelFor(tasks.size(), 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i)
        RunTask(tasks[i], inputs, compute, tasks[i].job->y + first * tasks[i].job->y_stride);
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
