// What a step's rows are, as kernels read it: tokens, positions, pages, rotations, runs. Tables
// keep their addresses while they keep their sizes, so that a recorded forward reads the next
// step's.
//
// Thread rule: belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "loader/cuda/device_memory.h"
#include "loader/cuda/device_state.h"
#include "loader/cuda/kernels/attention_kernels.h"
#include "loader/cuda/kernels/scan_runs.h"
#include "model/forward/batch.h"

namespace ingot::cuda {

// One sequence: its pages, each with kPageTokens positions of every layer, and its states.
struct DeviceSequence {
  std::vector<DeviceBlock> pages;
  DeviceBlock states;                 // as StateLayout says; zeros before the first row
  std::vector<std::int32_t> ids;      // of the positions that are there
  std::uint64_t expected_length = 0;  // with those of the step at hand, or of what was said to come
  std::uint64_t coming_length = 0;
};

// Where each layer's keys and values are in a page.
struct PageLayout {
  PageLayout(const model::Architecture& architecture, PageForm page_form);
  PageForm form;
  std::vector<std::size_t> layer_at;
  std::size_t bytes = 0;  // 0: no layer has keys
};

class StepTables {
 public:
  // Everything is borrowed.
  StepTables(const model::Architecture& architecture, const PageLayout& pages,
             const StateLayout& states, const std::vector<DeviceSequence*>& sequences,
             DevicePool& pool, void* stream);

  // REQUIRES: as CudaOps::Begin.
  Status Place(const model::Batch& batch);

  std::size_t rows() const { return rows_.size(); }
  std::uint64_t longest() const { return longest_; }  // positions that a row sees, at most
  // Room for the pages of all rows' sequences, a power of two.
  std::size_t page_room() const { return page_room_; }
  // How often a table has moved.
  std::uint64_t version() const { return version_; }

  const std::int32_t* ids() const { return At<std::int32_t>(ids_); }
  // As RunEmbedding asks for rows of a table of positions, and of segments.
  const std::int32_t* positions() const { return At<std::int32_t>(positions_); }
  const std::int32_t* segments() const { return At<std::int32_t>(segments_); }
  const void* const* pages(std::size_t layer) const {
    return At<const void*>(pages_) + layer * page_room_;
  }
  void* const* row_pages(std::size_t layer) const {
    return At<void*>(row_pages_) + layer * rows_.size();
  }
  const std::int32_t* slots() const { return At<std::int32_t>(slots_); }
  const std::int32_t* first_pages() const { return At<std::int32_t>(first_pages_); }
  const float* rope(std::size_t i) const { return At<float>(ropes_[i]); }
  // What rows see: positions [begins[i], ends[i]).
  const std::int32_t* begins(const model::AttentionSpec& spec) const {
    return At<std::int32_t>(sights_.at({spec.window, spec.causal}).first);
  }
  const std::int32_t* ends(const model::AttentionSpec& spec) const {
    return At<std::int32_t>(sights_.at({spec.window, spec.causal}).second);
  }
  // A layer's state in each run's sequence.
  ScanRuns RunsAt(std::size_t layer, std::size_t slot) const;

 private:
  struct Table {
    DeviceBlock block;
    std::vector<std::uint8_t> bytes;  // what it holds
  };
  template <class T>
  static T* At(const Table& table) {
    return table.block.as<T>();
  }
  Status Put(Table& table, const void* from, std::size_t bytes);
  template <class T>
  Status Put(Table& table, const std::vector<T>& values) {
    return Put(table, values.data(), values.size() * sizeof(T));
  }
  Status PlaceIds(const model::Batch& batch);
  Status PlacePages();
  Status PutByLayer(Table& table, const std::vector<std::uint8_t*>& first, std::size_t room);
  Status PlaceSights();
  Status PlaceRopes();
  Status PlaceRuns();

  const model::Architecture* architecture_;
  const PageLayout* page_layout_;
  const StateLayout* state_layout_;
  const std::vector<DeviceSequence*>* sequences_;
  DevicePool* pool_;
  void* stream_;
  std::vector<model::Row> rows_;
  std::uint64_t longest_ = 0, version_ = 0;
  std::size_t page_room_ = 0;
  Table ids_, positions_, segments_;
  Table pages_, row_pages_, slots_, first_pages_;  // pages: by layer
  std::vector<Table> ropes_;
  std::map<std::pair<std::uint64_t, bool>, std::pair<Table, Table>> sights_;
  Table run_states_, run_begins_;
  int runs_ = 0;
};

}  // namespace ingot::cuda
