// The op set's attention: keys and values go to each row's sequence, then every kv head of every
// run is cut into tiles of kTileRows (row, head of the group) pairs, rows outermost. A tile never
// spans sequences, and a row's result does not depend on what else is in its tile.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/parallel.h"
#include "loader/cpu/cpu_ops.h"
#include "loader/cpu/op_work.h"
#include "model/forward/position_terms.h"

namespace ingot::loader {

void CpuOps::WriteKeys(std::size_t layer, const Tensor& k, const Tensor& v) {
  // Positions of one sequence share cache lines; of a key every number is in another one.
  const std::size_t grain = runs_.size() == k.rows()
                                ? RowGrain(k.cols() * 64)
                                : std::max(kPageTokens, RowGrain(k.cols() * 4));
  ParallelFor(k.rows(), grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r)
      runs_[run_of_row_[r]].sequence->pages.Write(
          layer, static_cast<std::uint64_t>(rows_[r].position), k.row(r), v.row(r));
  });
}

// Of formats with codes: pages before the one that a run's last row stands in are read as codes,
// and by now all of their positions are written.
void CpuOps::ClosePages(std::size_t layer, std::size_t kv_heads) {
  std::vector<std::pair<PageTable*, std::size_t>> unclosed;
  std::vector<std::size_t> places;
  for (const Run& run : runs_) {
    const auto last = static_cast<std::uint64_t>(rows_[run.first + run.count - 1].position);
    run.sequence->pages.FindUnclosed(layer, last / kPageTokens * kPageTokens, places);
    for (const std::size_t place : places) {
      run.sequence->pages.SetClosed(layer, place);  // at once: others may share it
      unclosed.emplace_back(&run.sequence->pages, place);
    }
  }
  ParallelFor(unclosed.size() * kv_heads, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      unclosed[i / kv_heads].first->CloseHead(layer, unclosed[i / kv_heads].second, i % kv_heads);
  });
}

// Of formats with codes a tile's rows stand in one page: which pages a row sees as codes follows
// from its position alone.
void CpuOps::CutTiles(const Run& run, std::size_t group, RunPages& pages) const {
  pages.starts.clear();
  const auto page_of = [&](std::size_t row) {
    return kv_->format().has_codes()
               ? static_cast<std::uint64_t>(rows_[run.first + row].position) / kPageTokens
               : 0;
  };
  for (std::size_t row = 0, end = 0; row < run.count; row = end) {
    while (end < run.count && page_of(end) == page_of(row)) ++end;
    for (std::size_t start = row * group; start < end * group; start += kTileRows)
      pages.starts.push_back(start);
  }
  pages.tiles = pages.starts.size();
  pages.starts.push_back(run.count * group);
}

// Where the runs' keys and values lie, and how many tiles they are.
void CpuOps::FindPages(const model::AttentionSpec& spec,
                       const std::vector<KvPool::Pinned>& pinned) {
  const std::size_t group = spec.heads / spec.kv_heads;
  if (pages_.size() < runs_.size()) pages_.resize(runs_.size());
  std::size_t tiles = 0;
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    RunPages& pages = pages_[i];
    pages.keys.resize(spec.kv_heads);
    pages.values.resize(spec.kv_heads);
    for (std::size_t h = 0; h < spec.kv_heads; ++h)
      pinned[i].Head(h, pages.keys[h], pages.values[h]);
    pages.first_tile = tiles;
    CutTiles(runs_[i], group, pages);
    tiles += spec.kv_heads * pages.tiles;
  }
}

// Where a tile of a run begins to read.
const void* CpuOps::FirstKeys(const model::AttentionSpec& spec, std::size_t run,
                              std::size_t index) const {
  const RunPages& pages = pages_[run];
  const std::size_t row =
      runs_[run].first + pages.starts[index % pages.tiles] / (spec.heads / spec.kv_heads);
  const auto position = static_cast<std::uint64_t>(rows_[row].position);
  const std::uint64_t begin =
      spec.window > 0 && position + 1 > spec.window ? position + 1 - spec.window : 0;
  return pages.keys[index / pages.tiles][begin / kPageTokens];
}

void CpuOps::AttendTile(const model::AttentionSpec& spec, const Tensor& q, std::size_t run,
                        std::size_t index, const void* next_keys, Tensor& out) const {
  const RunPages& pages = pages_[run];
  const std::size_t group = spec.heads / spec.kv_heads;
  const std::size_t kv_head = index / pages.tiles;
  const std::size_t row_begin = pages.starts[index % pages.tiles];
  const std::size_t dim = spec.head_dim;
  const std::size_t stride = ValueStride(dim);
  thread_local AlignedBuffer<float> scratch;
  if (scratch.size() < kTileRows * (dim + stride))
    scratch = AlignedBuffer<float>(kTileRows * (dim + stride));
  float* queries = scratch.data();
  float slopes[kTileRows];
  const float* biases[kTileRows];
  std::uint64_t begin[kTileRows], end[kTileRows];
  AttentionTile tile;
  // A tile ends with its page's rows, where the next one starts.
  tile.rows = std::min(kTileRows, pages.starts[index % pages.tiles + 1] - row_begin);
  tile.head_dim = dim;
  tile.value_stride = stride;
  tile.queries = queries;
  tile.begin = begin;
  tile.end = end;
  tile.keys = pages.keys[kv_head].data();
  tile.values = pages.values[kv_head].data();
  tile.next_keys = next_keys;
  tile.softcap = static_cast<float>(spec.softcap);
  tile.alibi = spec.alibi && !spec.alibi_bf16 ? slopes : nullptr;
  tile.bias = spec.alibi && spec.alibi_bf16 ? biases : nullptr;
  tile.out = queries + kTileRows * dim;
  const auto scale = static_cast<float>(spec.scale);
  for (std::size_t r = 0; r < tile.rows; ++r) {
    const std::size_t row = runs_[run].first + (row_begin + r) / group;
    const std::size_t head = kv_head * group + (row_begin + r) % group;
    const float* source = q.row(row) + head * dim;
    for (std::size_t d = 0; d < dim; ++d) queries[r * dim + d] = source[d] * scale;
    const auto position = static_cast<std::uint64_t>(rows_[row].position);
    end[r] = spec.causal ? position + 1 : pages.total;
    begin[r] = spec.window > 0 && position + 1 > spec.window ? position + 1 - spec.window : 0;
    if (tile.alibi != nullptr)
      slopes[r] = model::AlibiSlope(head, spec.heads) * static_cast<float>(spec.alibi_scale);
    if (tile.bias != nullptr) biases[r] = rounded_alibi_.Of(head);
  }
  kv_->format().attend(*kernels_, tile);
  for (std::size_t r = 0; r < tile.rows; ++r) {
    const std::size_t head = kv_head * group + (row_begin + r) % group;
    std::memcpy(out.row(runs_[run].first + (row_begin + r) / group) + head * dim,
                tile.out + r * stride, dim * sizeof(float));
  }
}

Tensor CpuOps::Attention(const model::AttentionSpec& spec, std::size_t layer, Tensor q,
                         const Tensor& k, const Tensor& v) {
  WriteKeys(layer, k, v);
  if (kv_->format().has_codes()) ClosePages(layer, spec.kv_heads);
  std::vector<KvPool::Pinned> pinned;
  pinned.reserve(runs_.size());
  if (pages_.size() < runs_.size()) pages_.resize(runs_.size());
  std::uint64_t longest = 0;  // what any run's rows see
  std::size_t most_rows = 0;
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    const Run& run = runs_[i];
    const auto first = static_cast<std::uint64_t>(rows_[run.first].position);
    // Rows may be some of those that the sequence gets with this step; without causality they see
    // all of these.
    const std::uint64_t total =
        spec.causal ? static_cast<std::uint64_t>(rows_[run.first + run.count - 1].position) + 1
                    : run.sequence->expected_length;
    const std::uint64_t seen_from =
        spec.window > 0 && first + 1 > spec.window ? first + 1 - spec.window : 0;
    pinned.push_back(kv_->Pin(layer, run.sequence->pages, seen_from, total));
    pages_[i].total = total;
    longest = std::max(longest, total - seen_from);
    most_rows = std::max(most_rows, run.count * (spec.heads / spec.kv_heads));
  }
  FindPages(spec, pinned);
  if (spec.alibi && spec.alibi_bf16)
    for (std::size_t i = 0; i < runs_.size(); ++i)
      rounded_alibi_.Prepare(spec.heads, spec.alibi_scale, pages_[i].total);
  const RunPages& last = pages_[runs_.size() - 1];
  const std::size_t tiles = last.first_tile + spec.kv_heads * last.tiles;
  const std::size_t work = std::min(most_rows, kTileRows) * longest * spec.head_dim * 2;
  Tensor out = Like(q, spec.heads * spec.head_dim);
  ParallelFor(tiles, RowGrain(work / 8), [&](std::size_t begin, std::size_t end) {
    std::size_t run = 0;
    for (std::size_t task = begin; task < end; ++task) {
      while (run + 1 < runs_.size() && task >= pages_[run + 1].first_tile) ++run;
      const std::size_t next =
          run + 1 < runs_.size() && task + 1 >= pages_[run + 1].first_tile ? run + 1 : run;
      const void* next_keys =
          task + 1 < end ? FirstKeys(spec, next, task + 1 - pages_[next].first_tile) : nullptr;
      AttendTile(spec, q, run, task - pages_[run].first_tile, next_keys, out);
    }
  });
  return out;
}

}  // namespace ingot::loader
