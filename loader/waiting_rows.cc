#include "loader/waiting_rows.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "model/forward/forward.h"

namespace ingot::loader {
namespace {

class WaitingPassage {
 public:
  WaitingPassage(CpuOps& ops, const model::Architecture& architecture, const model::Batch& batch,
                 std::vector<WaitingRow>& waiting)
      : ops_(ops), architecture_(architecture), batch_(batch) {
    std::size_t next = 0;
    for (std::size_t i = 0; i < batch.rows.size(); ++i) {
      for (; next < waiting.size() && waiting[next].row.sequence == batch.rows[i].sequence; ++next)
        entries_.push_back({kWaits, std::move(waiting[next])});
      of_batch_.push_back(static_cast<std::uint32_t>(entries_.size()));
      entries_.push_back({i, {batch.ids[i], batch.rows[i], 0, {}, {}}});
    }
    INGOT_CHECK(next == waiting.size());
  }

  Tensor Run(std::uint64_t& ran) {
    ops_.Begin(batch_);
    Gather(model::RunEmbedding(ops_, architecture_, batch_));
    for (std::size_t layer = 0; layer < architecture_.layers.size(); ++layer) {
      const std::vector<std::uint32_t> active = ActiveAt(layer);
      if (active.empty()) break;
      Begin(active);
      const Tensor ran_rows =
          model::RunLayer(ops_, architecture_, layer, ops_.Select(all_, active));
      all_ = ops_.PutRows(std::move(all_), ran_rows, active);
      for (const std::uint32_t e : active) {
        ++entries_[e].row.next;
        ran += entries_[e].batch_row == kWaits ? 1 : 0;
      }
      if (layer == 0) KeepFirstValues();
      Leave(layer, active);
    }
    ops_.Begin(batch_);
    Tensor hidden = ops_.Select(all_, of_batch_);
    for (const auto& [said, rows] : said_) hidden = ops_.PutRows(std::move(hidden), said, rows);
    return hidden;
  }

  std::vector<WaitingRow> Left() {
    std::vector<WaitingRow> left;
    for (std::size_t e = 0; e < entries_.size(); ++e) {
      WaitingRow& row = entries_[e].row;
      if (row.next == architecture_.layers.size()) continue;
      row.state.assign(all_.row(e), all_.row(e) + all_.cols());
      left.push_back(std::move(row));
    }
    return left;
  }

 private:
  static constexpr std::size_t kWaits = SIZE_MAX;
  struct Entry {
    std::size_t batch_row;  // or kWaits
    WaitingRow row;
    bool going = true;  // of a row of the batch
  };

  // The states of all entries as they stand: what waited, and the batch's embeddings.
  void Gather(const Tensor& embedded) {
    all_ = ops_.MakeTensor(entries_.size(), embedded.cols());
    std::vector<std::uint32_t> planes;
    for (std::size_t e = 0; e < entries_.size(); ++e) {
      const Entry& entry = entries_[e];
      const float* from =
          entry.batch_row == kWaits ? entry.row.state.data() : embedded.row(entry.batch_row);
      std::memcpy(all_.row(e), from, embedded.cols() * sizeof(float));
      planes.push_back(entry.row.row.planes);
    }
    if (std::ranges::any_of(planes, [](std::uint32_t p) { return p != model::kAllPlanes; }))
      all_.set_planes(std::make_shared<const std::vector<std::uint32_t>>(std::move(planes)));
  }

  // Rows of a sequence of which some row of the batch goes on, those that waited for this layer
  // among them.
  std::vector<std::uint32_t> ActiveAt(std::size_t layer) const {
    std::vector<std::uint32_t> active;
    for (std::size_t begin = 0, end = 0; begin < entries_.size(); begin = end) {
      bool wanted = false;
      for (; end < entries_.size() &&
             entries_[end].row.row.sequence == entries_[begin].row.row.sequence;
           ++end)
        wanted = wanted || (entries_[end].batch_row != kWaits && entries_[end].going);
      for (std::size_t e = begin; wanted && e < end; ++e)
        if (entries_[e].row.next == layer) active.push_back(static_cast<std::uint32_t>(e));
    }
    return active;
  }

  void Begin(std::span<const std::uint32_t> which) {
    ids_.clear();
    rows_.clear();
    for (const std::uint32_t e : which) {
      ids_.push_back(entries_[e].row.id);
      rows_.push_back(entries_[e].row.row);
    }
    ops_.Begin({ids_, rows_});
  }

  // The first values of rows that waited are those of then.
  void KeepFirstValues() {
    const Tensor& now = ops_.first_value();
    if (now.rows() != batch_.rows.size()) return;
    Tensor values = ops_.MakeTensor(entries_.size(), now.cols());
    std::vector<std::uint32_t> every;
    for (std::size_t e = 0; e < entries_.size(); ++e) {
      Entry& entry = entries_[e];
      if (entry.batch_row != kWaits)
        entry.row.first_value.assign(now.row(entry.batch_row),
                                     now.row(entry.batch_row) + now.cols());
      std::ranges::copy(entry.row.first_value, values.row(e));
      every.push_back(static_cast<std::uint32_t>(e));
    }
    Begin(every);
    ops_.KeepFirstValue(values);
  }

  void Leave(std::size_t layer, std::span<const std::uint32_t> active) {
    std::vector<std::uint32_t> asked, rows;  // entries, and their rows of the batch
    for (const std::uint32_t e : active)
      if (entries_[e].batch_row != kWaits && entries_[e].going) {
        asked.push_back(e);
        rows.push_back(static_cast<std::uint32_t>(entries_[e].batch_row));
      }
    if (asked.empty()) return;
    Begin(asked);
    Tensor x = ops_.Select(all_, asked);
    const model::GoingRows going = ops_.AfterLayer(layer, x, rows);
    if (!going) return;
    for (const std::uint32_t e : asked) entries_[e].going = false;
    for (const std::uint32_t place : *going) entries_[asked[place]].going = true;
    // What they left with: their states may go on with a later row of this batch.
    std::vector<std::uint32_t> left, of_batch;
    for (const std::uint32_t e : asked)
      if (!entries_[e].going) {
        left.push_back(e);
        of_batch.push_back(static_cast<std::uint32_t>(entries_[e].batch_row));
      }
    Tensor said = ops_.Select(all_, left);
    if (ops_.at_exit) ops_.at_exit(layer, said);
    said_.emplace_back(std::move(said), std::move(of_batch));
  }

  CpuOps& ops_;
  const model::Architecture& architecture_;
  const model::Batch& batch_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> of_batch_;  // the entries of its rows
  std::vector<std::pair<Tensor, std::vector<std::uint32_t>>>
      said_;  // by those that left, and which
  Tensor all_;
  std::vector<std::int32_t> ids_;
  std::vector<model::Row> rows_;
};

}  // namespace

Tensor RunLayersWithWaiting(CpuOps& ops, const model::Architecture& architecture,
                            const model::Batch& batch, std::vector<WaitingRow>& waiting,
                            std::uint64_t& ran) {
  WaitingPassage passage(ops, architecture, batch, waiting);
  Tensor hidden = passage.Run(ran);
  waiting = passage.Left();
  return hidden;
}

}  // namespace ingot::loader
