#include "loader/cpu/linear.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "loader/cpu/output_transform.h"
#include "loader/cpu/panel_decode.h"
#include "loader/cpu/scratch.h"
#include "loader/kernels/kernel_registry.h"
#include "loader/planes/resident_kind.h"
#include "loader/weights/live_planes.h"

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
  PlaneRange planes;
  std::size_t group;  // of its inputs
  std::uint64_t begin;
  std::uint64_t end;
};

// What all rows of a plane's product share of a token (ResidentKind::inputs).
struct SharedProduct {
  const PreparedPlane* plane;
  AlignedBuffer<float> values;  // of a block of tokens
};

// Jobs whose matrices turn their inputs alike (all, where none has a transform), and what the
// activations of one block of tokens are turned into, once for all of them.
struct InputGroup {
  PlaneRange planes;  // of any of them, for its transforms
  InputNeeds needs;
  std::vector<SharedProduct> shared;
  // Filled where the group's jobs need them.
  float* packed = nullptr;       // tokens x DotStride(cols)
  InputLine* records = nullptr;  // tokens x LinesOfToken(cols)
};

// The tokens of a block that a job takes.
struct Inputs {
  const InputGroup* group;
  std::size_t first;   // among all tokens
  std::size_t offset;  // of the first in the block
  std::size_t tokens;
  std::size_t cols;

  const float* packed() const {
    return group->packed == nullptr ? nullptr : group->packed + offset * DotStride(cols);
  }
  const InputLine* records() const {
    return group->records == nullptr ? nullptr : group->records + offset * LinesOfToken(cols);
  }
  // What the tokens share in the plane's product; null where it shares nothing.
  const float* SharedOf(const PreparedPlane& plane) const {
    for (const SharedProduct& shared : group->shared)
      if (shared.plane == &plane) return shared.values.data() + offset * plane.needs.shared;
    return nullptr;
  }
};

// Whether planes with a product of their own are taken one by one.
bool TakesPlanes(const PlaneRange& planes, Compute compute) {
  return compute == Compute::kFast && !planes.by_row;
}

void AddShared(const PreparedPlane& plane, std::size_t tokens, InputGroup& group) {
  for (const SharedProduct& shared : group.shared)
    if (shared.plane == &plane) return;
  group.shared.push_back({&plane, AlignedBuffer<float>(tokens * plane.needs.shared)});
}

void AddNeeds(const ResidentMatrix& matrix, const PlaneRange& planes, std::size_t tokens,
              Compute compute, InputGroup& group) {
  const bool own = TakesPlanes(planes, compute);
  for (std::size_t p = planes.first; p < planes.last; ++p) {
    const PreparedPlane& plane = Prepared(matrix, p);
    if (plane.is_transform()) continue;
    if (!own || !plane.own_product) {
      group.needs.packed = true;
      continue;
    }
    group.needs |= plane.needs;
    if (plane.needs.shared > 0) AddShared(plane, tokens, group);
  }
}

// The group of a job, made where there is none yet.
std::size_t GroupOf(const LinearJob& job, const PlaneRange& planes, std::size_t tokens,
                    Compute compute, std::vector<InputGroup>& groups) {
  std::size_t g = 0;
  while (g < groups.size() && !groups[g].planes.SameInputs(planes)) ++g;
  if (g == groups.size()) groups.push_back({planes, {}, {}, nullptr, nullptr});
  AddNeeds(*job.matrix, planes, tokens, compute, groups[g]);
  return g;
}

std::vector<Task> CutRows(std::span<const LinearJob> jobs, std::size_t tokens, std::size_t cols,
                          Compute compute, std::vector<InputGroup>& groups) {
  std::uint64_t rows = 0;
  for (const LinearJob& job : jobs) rows += job.rows;
  const std::uint64_t products_a_row = std::max<std::uint64_t>(cols * tokens, 1);
  const std::uint64_t aim =
      std::max(CeilDiv(rows, kTasksPerThread * Threads()), CeilDiv(kTaskProducts, products_a_row));
  std::vector<Task> tasks;
  for (const LinearJob& job : jobs) {
    if (job.rows == 0) continue;
    const PlaneRange planes = LivePlanes(*job.matrix, job.plane_count);
    const std::size_t group = GroupOf(job, planes, tokens, compute, groups);
    const std::uint64_t pieces = std::max<std::uint64_t>(1, job.rows / aim);
    // Borders between blocks, where rows come in blocks.
    const std::uint64_t unit = std::lcm(std::uint64_t{kMatvecRows}, planes.row_block);
    const std::uint64_t step = CeilDiv(CeilDiv(job.rows, pieces), unit) * unit;
    std::uint64_t end = step - (planes.row_block > 1 ? job.row_begin % unit : 0);
    for (std::uint64_t begin = 0; begin < job.rows; begin = end, end += step)
      tasks.push_back({&job, planes, group, begin, std::min(job.rows, end)});
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
void RunFloat(const Task& task, const Inputs& inputs, bool skip_own, float* y) {
  const LinearJob& job = *task.job;
  const std::size_t stride = DotStride(inputs.cols);
  const std::size_t padded_cols = stride - kDotLanes;
  const std::size_t bytes = inputs.tokens <= kFewTokens ? kSmallPanelBytes : kPanelBytes;
  std::uint64_t panel_rows =
      std::max<std::uint64_t>((bytes / sizeof(float) / stride) & ~std::uint64_t{3}, 4);
  if (task.planes.by_row && task.planes.row_block > 1)
    panel_rows = std::min(CeilDiv(panel_rows, task.planes.row_block) * task.planes.row_block,
                          task.end - task.begin);
  Scratch<float> panel(panel_rows * stride);
  for (std::uint64_t begin = task.begin; begin < task.end; begin += panel_rows) {
    const std::size_t rows = std::min(panel_rows, task.end - begin);
    DecodePanel(*job.matrix, task.planes, job.row_begin + begin, rows, panel.data(), stride,
                padded_cols, task.planes.by_row ? Transforms::kRestore : Transforms::kLeave,
                skip_own);
    kPanelDot.Best()({.w = panel.data(),
                      .w_stride = stride,
                      .rows = rows,
                      .x = inputs.packed(),
                      .x_stride = stride,
                      .tokens = inputs.tokens,
                      .padded_cols = padded_cols,
                      .y = y + begin,
                      .y_stride = job.y_stride});
  }
}

// A plane's own product, of all the task's rows at once.
void RunOwn(const Task& task, const PreparedPlane& plane, const Inputs& inputs, float* y) {
  Scratch<float> scratch(plane.scratch_floats);
  plane.row->matvec(plane, {.row_begin = task.job->row_begin + task.begin,
                            .rows = task.end - task.begin,
                            .tokens = inputs.tokens,
                            .packed = inputs.packed(),
                            .packed_stride = DotStride(inputs.cols),
                            .records = inputs.records(),
                            .record_lines = LinesOfToken(inputs.cols),
                            .shared = inputs.SharedOf(plane),
                            .scratch = scratch.data(),
                            .y = y + task.begin,
                            .y_stride = task.job->y_stride});
}

// The part of a block of `count` tokens that a task's job takes.
Inputs InputsOf(const Task& task, const InputGroup& group, std::size_t first, std::size_t count,
                std::size_t cols) {
  const LinearJob& job = *task.job;
  const std::size_t begin = std::max(first, job.token_begin);
  const std::size_t left = first + count > begin ? first + count - begin : 0;
  const std::size_t done = begin - job.token_begin;
  return {&group, begin, begin - first, std::min(left, job.tokens > done ? job.tokens - done : 0),
          cols};
}

// REQUIRES: y is the job's output for the first token of the inputs.
void RunPlanes(const Task& task, const Inputs& inputs, Compute compute, float* y) {
  const ResidentMatrix& matrix = *task.job->matrix;
  const PlaneRange& planes = task.planes;
  const bool own = TakesPlanes(planes, compute);
  FillStart(task, y, inputs.tokens);
  bool any_float = false;
  for (std::size_t p = planes.first; p < planes.last; ++p) {
    const PreparedPlane& plane = Prepared(matrix, p);
    if (plane.is_transform()) continue;
    if (own && plane.own_product)
      RunOwn(task, plane, inputs, y);
    else
      any_float = true;
  }
  if (any_float) RunFloat(task, inputs, own, y);
}

// Outputs that are transformed in blocks: whole ones are taken, whatever rows the task has.
void RunBlocks(const Task& task, const Inputs& inputs, Compute compute, float* y) {
  const LinearJob& job = *task.job;
  const std::uint64_t block = task.planes.row_block;
  const std::uint64_t first = job.row_begin + task.begin, last = job.row_begin + task.end;
  const std::uint64_t begin = first / block * block;
  const std::uint64_t rows = std::min(job.matrix->rows, CeilDiv(last, block) * block) - begin;
  Scratch<float> product(inputs.tokens * rows);
  const LinearJob whole{.matrix = job.matrix,
                        .row_begin = begin,
                        .rows = rows,
                        .y = product.data(),
                        .y_stride = rows};
  RunPlanes({&whole, task.planes, task.group, 0, rows}, inputs, compute, product.data());
  TransformOutputs(task.planes, begin, begin + rows, inputs.tokens, product.data());
  FillStart(task, y, inputs.tokens);
  for (std::size_t t = 0; t < inputs.tokens; ++t)
    for (std::uint64_t r = first; r < last; ++r)
      y[t * job.y_stride + (r - job.row_begin)] += product.data()[t * rows + (r - begin)];
}

void RunTask(const Task& task, const Inputs& inputs, Compute compute) {
  if (inputs.tokens == 0) return;
  float* y = task.job->y + inputs.first * task.job->y_stride;
  if (task.planes.output_count > 0) return RunBlocks(task, inputs, compute, y);
  RunPlanes(task, inputs, compute, y);
}

// One token's inputs as the group's kernels want them, in place `t` of the block.
void PrepareToken(InputGroup& group, const float* x, std::size_t cols, std::size_t t) {
  const std::size_t stride = DotStride(cols);
  const PlaneRange& planes = group.planes;
  Scratch<float> local(planes.transform_count > 0 && !group.needs.packed ? cols : 0);
  float* packed = group.needs.packed ? group.packed + t * stride : local.data();
  const float* inputs = x;
  for (std::size_t i = planes.transform_count; i > 0; --i) {
    planes.transforms[i - 1]->Apply(inputs, packed);
    inputs = packed;
  }
  if (group.needs.packed) {
    if (inputs == x) std::copy_n(x, cols, packed);
    std::fill(packed + cols, packed + stride, 0.0f);
  }
  if (group.needs.records)
    kIntMatvec.Best().quantize(inputs, cols, group.needs.spans,
                               group.records + t * LinesOfToken(cols));
  for (SharedProduct& shared : group.shared)
    shared.plane->row->inputs(*shared.plane, packed,
                              shared.values.data() + t * shared.plane->needs.shared);
}

}  // namespace

void RunLinear(std::span<const LinearJob> jobs, const float* x, std::size_t x_stride,
               std::size_t tokens, std::size_t cols, Compute compute) {
  const std::size_t most = std::min(tokens, kTokenBlock);
  std::vector<InputGroup> groups;
  const std::vector<Task> tasks = CutRows(jobs, most, cols, compute, groups);
  const std::size_t packed_size = most * DotStride(cols);
  const std::size_t records_size = most * LinesOfToken(cols);
  const auto any = [&](bool InputNeeds::*need) {
    return std::ranges::any_of(groups, [&](const InputGroup& g) { return g.needs.*need; });
  };
  Scratch<float> packed(any(&InputNeeds::packed) ? groups.size() * packed_size : 0);
  Scratch<InputLine> records(any(&InputNeeds::records) ? groups.size() * records_size : 0);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (packed.data() != nullptr) groups[g].packed = packed.data() + g * packed_size;
    if (records.data() != nullptr) groups[g].records = records.data() + g * records_size;
  }
  for (std::size_t first = 0; first < tokens; first += kTokenBlock) {
    const std::size_t count = std::min(kTokenBlock, tokens - first);
    ParallelFor(count * groups.size(), 16, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i)
        PrepareToken(groups[i / count], x + (first + i % count) * x_stride, cols, i % count);
    });
    ParallelFor(tasks.size(), 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i)
        RunTask(tasks[i], InputsOf(tasks[i], groups[tasks[i].group], first, count, cols), compute);
    });
  }
}

void GatherRows(const ResidentMatrix& matrix, std::span<const std::int32_t> ids, float* out,
                std::span<const std::uint32_t> planes) {
  const PlaneRange all = LivePlanes(matrix, SIZE_MAX);
  const std::size_t grain =
      std::max<std::size_t>(1, 65536 / std::max<std::uint64_t>(matrix.cols, 1));
  ParallelFor(ids.size(), grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      DecodePanel(matrix, planes.empty() ? all : LivePlanes(matrix, planes[i]),
                  static_cast<std::uint64_t>(ids[i]), 1, out + i * matrix.cols, matrix.cols,
                  matrix.cols);
  });
}

}  // namespace ingot::loader
