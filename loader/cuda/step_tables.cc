#include "loader/cuda/step_tables.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "loader/cuda/device.h"
#include "model/forward/position_terms.h"

namespace ingot::cuda {
namespace {

constexpr std::uint64_t kTokensOfPage = 64;

}  // namespace

PageLayout::PageLayout(const model::Architecture& architecture, PageForm page_form)
    : form(page_form) {
  for (const model::LayerSpec& layer : architecture.layers) {
    layer_at.push_back(bytes);
    bytes +=
        layer.attention.kv_heads * PageHeadBytes(form, static_cast<int>(layer.attention.head_dim));
  }
}

StepTables::StepTables(const model::Architecture& architecture, const PageLayout& pages,
                       const StateLayout& states, const std::vector<DeviceSequence*>& sequences,
                       DevicePool& pool, void* stream)
    : architecture_(&architecture),
      page_layout_(&pages),
      state_layout_(&states),
      sequences_(&sequences),
      pool_(&pool),
      stream_(stream),
      ropes_(architecture.ropes.size()) {}

Status StepTables::Put(Table& table, const void* from, std::size_t bytes) {
  const auto* begin = static_cast<const std::uint8_t*>(from);
  if (std::ranges::equal(table.bytes, std::span(begin, bytes)) && table.block.as() != nullptr)
    return OkStatus();
  if (table.block.bytes() < bytes || table.block.as() == nullptr) {
    INGOT_ASSIGN(table.block, pool_->Make(std::bit_ceil(std::max<std::size_t>(bytes, 1))));
    ++version_;
  }
  table.bytes.assign(begin, begin + bytes);
  if (const int error = CopyToDevice(table.block.as(), from, bytes, stream_); error != 0)
    return IoError("copying " + std::to_string(bytes) +
                   " bytes to the device: " + ErrorText(error, stream_));
  return OkStatus();
}

Status StepTables::Place(const model::Batch& batch) {
  rows_.assign(batch.rows.begin(), batch.rows.end());
  longest_ = 0;
  for (const model::Row& row : rows_)
    longest_ = std::max(longest_, static_cast<std::uint64_t>(row.position) + 1);
  INGOT_TRY(PlaceIds(batch));
  INGOT_TRY(PlacePages());
  INGOT_TRY(PlaceSights());
  INGOT_TRY(PlaceRopes());
  return PlaceRuns();
}

Status StepTables::PlaceIds(const model::Batch& batch) {
  INGOT_TRY(Put(ids_, batch.ids.data(), batch.ids.size_bytes()));
  if (!architecture_->position_embedding.empty()) {
    std::vector<std::int32_t> positions;
    for (const model::Row& row : rows_)
      positions.push_back(row.position + static_cast<std::int32_t>(architecture_->position_offset));
    INGOT_TRY(Put(positions_, positions));
  }
  if (architecture_->segment_embedding.empty()) return OkStatus();
  return Put(segments_, std::vector<std::int32_t>(rows_.size(), 0));
}

Status StepTables::PutByLayer(Table& table, const std::vector<std::uint8_t*>& first,
                              std::size_t room) {
  std::vector<std::uint8_t*> all;
  for (const std::size_t at : page_layout_->layer_at) {
    for (std::uint8_t* page : first) all.push_back(page + at);
    all.resize(all.size() + room - first.size());
  }
  return Put(table, all);
}

Status StepTables::PlacePages() {
  if (page_layout_->bytes == 0) return OkStatus();
  std::vector<std::int32_t> slots, firsts;
  std::vector<std::uint8_t*> pages, row_pages;  // of layer 0
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    const DeviceSequence& sequence = *(*sequences_)[rows_[r].sequence];
    const auto position = static_cast<std::uint64_t>(rows_[r].position);
    if (r == 0 || rows_[r].sequence != rows_[r - 1].sequence) {
      firsts.push_back(static_cast<std::int32_t>(pages.size()));
      for (const DeviceBlock& page : sequence.pages) pages.push_back(page.as<std::uint8_t>());
    } else {
      firsts.push_back(firsts.back());
    }
    slots.push_back(static_cast<std::int32_t>(position % kTokensOfPage));
    row_pages.push_back(sequence.pages[position / kTokensOfPage].as<std::uint8_t>());
  }
  page_room_ = std::bit_ceil(pages.size());
  INGOT_TRY(PutByLayer(pages_, pages, page_room_));
  INGOT_TRY(PutByLayer(row_pages_, row_pages, row_pages.size()));
  INGOT_TRY(Put(slots_, slots));
  return Put(first_pages_, firsts);
}

Status StepTables::PlaceSights() {
  std::map<std::pair<std::uint64_t, bool>, bool> placed;
  for (const model::LayerSpec& layer : architecture_->layers) {
    const model::AttentionSpec& spec = layer.attention;
    if (model::IsRecurrent(layer.mixer) || placed[{spec.window, spec.causal}]) continue;
    placed[{spec.window, spec.causal}] = true;
    std::vector<std::int32_t> begins, ends;
    for (const model::Row& row : rows_) {
      const auto seen = static_cast<std::uint64_t>(row.position) + 1;
      begins.push_back(static_cast<std::int32_t>(
          spec.window > 0 && seen > spec.window ? seen - spec.window : 0));
      ends.push_back(static_cast<std::int32_t>(
          spec.causal ? seen : (*sequences_)[row.sequence]->expected_length));
    }
    auto& [first, last] = sights_[{spec.window, spec.causal}];
    INGOT_TRY(Put(first, begins));
    INGOT_TRY(Put(last, ends));
  }
  return OkStatus();
}

Status StepTables::PlaceRopes() {
  for (std::size_t i = 0; i < ropes_.size(); ++i) {
    const model::RopeSpec& rope = architecture_->ropes[i];
    std::vector<float> table(rows_.size() * rope.dims);
    std::vector<float> frequencies;
    for (std::size_t r = 0; r < rows_.size() && rope.dims > 0; ++r) {
      if (r == 0 || (model::DependsOnLength(rope) && rows_[r].sequence != rows_[r - 1].sequence))
        frequencies =
            model::RopeFrequencies(rope, (*sequences_)[rows_[r].sequence]->expected_length);
      model::RopeRow(rope, frequencies, static_cast<std::uint64_t>(rows_[r].position),
                     table.data() + r * rope.dims);
    }
    INGOT_TRY(Put(ropes_[i], table));
  }
  return OkStatus();
}

Status StepTables::PlaceRuns() {
  if (state_layout_->bytes() == 0) return OkStatus();
  std::vector<std::int32_t> begins;
  std::vector<float*> states;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    if (r > 0 && rows_[r].sequence == rows_[r - 1].sequence) continue;
    begins.push_back(static_cast<std::int32_t>(r));
    states.push_back((*sequences_)[rows_[r].sequence]->states.as<float>());
  }
  begins.push_back(static_cast<std::int32_t>(rows_.size()));
  runs_ = static_cast<int>(states.size());
  INGOT_TRY(Put(run_states_, states));
  return Put(run_begins_, begins);
}

ScanRuns StepTables::RunsAt(std::size_t layer, std::size_t slot) const {
  return {.states = At<float*>(run_states_),
          .begins = At<const std::int32_t>(run_begins_),
          .at = state_layout_->At(layer, slot),
          .count = runs_};
}

}  // namespace ingot::cuda
