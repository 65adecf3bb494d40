#include <algorithm>

#include "codecs/attributes.h"
#include "codecs/planes/dependent_plane.h"

namespace ingot::codecs {

PlaneSpec DependentSpec(std::uint64_t band, int states) {
  return {kDependentKind,
          {{"band", static_cast<std::int64_t>(band)},
           {"states", std::int64_t{states}},
           {"restart", static_cast<std::int64_t>(kDependentRestart)},
           {"scalar", std::int64_t{kDependentScalar}}},
          0};
}

Result<DependentLayout> DependentLayout::Parse(const PlaneSpec& spec, std::uint64_t cols) {
  AttributeReader reader(spec);
  DependentLayout layout;
  INGOT_ASSIGN(const std::int64_t band, reader.Integer("band", 1, INT64_MAX));
  INGOT_ASSIGN(const std::int64_t states,
               reader.Integer("states", kLeastTrellisStates, kMostTrellisStates));
  INGOT_ASSIGN(const std::int64_t restart, reader.Integer("restart", 1, INT64_MAX));
  INGOT_ASSIGN(const std::int64_t scalar, reader.Integer("scalar", 0, kEntropyClasses));
  INGOT_TRY(reader.Finish());
  // What an entropy plane asks of its attributes and width.
  INGOT_ASSIGN(layout.entropy,
               EntropyLayout::Parse(EntropySpec(static_cast<std::uint64_t>(band)), cols));
  const TrellisCode* code = FindTrellisCode(states);
  if (code == nullptr)
    return BadAttribute(
        spec, "states",
        "is " + std::to_string(states) + ", a power of two from 4 to 4096 expected");
  layout.code = *code;
  layout.restart = static_cast<std::uint64_t>(restart);
  layout.scalar = static_cast<int>(scalar);
  return layout;
}

Result<std::vector<StreamSpec>> DependentStreams(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_ASSIGN(const DependentLayout layout, DependentLayout::Parse(spec, cols));
  return EntropyStreamSpecs(layout.entropy, cols);
}

Status DependentValidate(const PlaneView& plane) {
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, DependentStreams(*plane.spec, plane.cols));
  INGOT_TRY(CheckStreamSizes(plane, streams));
  return CheckEntropyContent(plane, kDependentEscapeMax);
}

DependentReader::DependentReader(const EntropyBand& band, const DependentLayout& layout,
                                 std::uint64_t row, Isa isa)
    : band_(band),
      layout_(layout),
      kernel_(&kDependentRow.For(isa)),
      row_(row - (row - band.row_begin()) % layout.restart),
      cursors_(band.Seek(row_)),
      codes_(band.order().size()),
      states_(band.order().size()),
      levels_(band.order().size()) {
  while (row_ < row) Next();
}

void DependentReader::Next() {
  if ((row_ - band_.row_begin()) % layout_.restart == 0)
    std::fill(states_.begin(), states_.end(), std::uint16_t{0});
  const EntropyCursors before = cursors_;
  band_.ReadBytes(row_, cursors_, codes_.data());
  // Columns ascend by class: those without a part in the trellis come first.
  const int least = layout_.scalar - EntropyClass(band_.row_record(row_));
  const std::uint32_t split = band_.Begin(std::clamp(least, 0, kEntropyLineClasses));
  for (std::uint32_t p = 0; p < split; ++p)
    levels_[p] = static_cast<std::int16_t>(4 * (codes_[p] - 128));
  (*kernel_)(codes_.data() + split, codes_.size() - split, layout_.code, states_.data() + split,
             levels_.data() + split);
  far_.clear();
  if (band_.has_escapes()) TakeEscapes(before, split);
  ++row_;
}

// The kernel has read an escape's 0 as the code -128, which is even.
void DependentReader::TakeEscapes(const EntropyCursors& before, std::uint64_t split) {
  for (auto at = std::find(codes_.begin(), codes_.end(), 0); at != codes_.end();
       at = std::find(at + 1, codes_.end(), 0)) {
    const auto p = static_cast<std::uint32_t>(at - codes_.begin());
    const std::int32_t k = band_.Escape(row_, before, p);
    std::int32_t level = 4 * k;
    if (p >= split) {
      level = TrellisLevel(levels_[p] > 0 ? 1 : 0, k);
      if ((k & 1) != 0) states_[p] ^= layout_.code.input;
    }
    far_.push_back({p, level});
  }
}

void DependentDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                         float* acc) {
  const Result<DependentLayout> layout = DependentLayout::Parse(*plane.spec, plane.cols);
  INGOT_CHECK(layout.ok());
  for (std::uint64_t r = row_begin; r < row_end;) {
    const EntropyBand band(plane, layout->entropy, r);
    DependentReader reader(band, *layout, r);
    for (; r < std::min(row_end, band.row_end()); ++r, acc += plane.cols) {
      reader.Next();
      const float factor = EntropyFactor(band.row_record(r));
      const auto add = [&](std::uint64_t p, std::int32_t level) {
        const std::uint32_t j = band.order()[p];
        const float scaled = static_cast<float>(level) * factor;
        acc[j] += scaled * EntropyFactor(band.column_record(j));
      };
      auto far = reader.far().begin();
      for (std::uint64_t p = 0; p < plane.cols; ++p) {
        const bool is_far = far != reader.far().end() && far->place == p;
        add(p, is_far ? (far++)->level : reader.levels()[p]);
      }
    }
  }
}

}  // namespace ingot::codecs
