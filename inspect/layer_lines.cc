#include "inspect/layer_lines.h"

#include <fmt/format.h>

#include <algorithm>

namespace ingot::inspect {
namespace {

void Join(LayerLine& line, const LayerLine& next) {
  line.size += next.size;
  line.other += next.other;
  line.worst_error = std::max(line.worst_error, next.worst_error);
  line.last = next.last;
}

// Whether `one`, a line of one layer, is what `joined` is of each of its layers.
bool IsLike(const LayerLine& joined, const LayerLine& one) {
  const auto layers = static_cast<std::uint64_t>(joined.last - joined.first + 1);
  return joined.making == one.making && joined.size.tensors == one.size.tensors * layers;
}

}  // namespace

void LayerLines::Add(const std::string& name, int layer, const std::vector<std::string>& making,
                     const SizeSum& size, const SizeSum& other, double error) {
  // Tensors come layer by layer: a line of theirs is among the last ones.
  auto known = lines_.rbegin();
  while (known != lines_.rend() && known->first == layer && layer >= 0 && known->making != making)
    ++known;
  const bool joins = known != lines_.rend() && layer >= 0 && known->first == layer;
  LayerLine& line = joins ? *known : lines_.emplace_back();
  if (!joins) {
    line.place = name;
    line.making = making;
    line.first = line.last = layer;
  }
  line.size += size;
  line.other += other;
  line.worst_error = std::max(line.worst_error, error);
}

std::vector<LayerLine> LayerLines::Joined() const {
  std::vector<LayerLine> joined;
  std::size_t group = 0, group_size = 0;  // of the layers that the last lines of `joined` stand for
  for (std::size_t begin = 0, end = 0; begin < lines_.size(); begin = end) {
    const int layer = lines_[begin].first;
    while (end < lines_.size() && lines_[end].first == layer && (layer >= 0 || end == begin)) ++end;
    const std::size_t count = end - begin;
    bool same = layer >= 0 && group_size == count && joined[group].last + 1 == layer;
    for (std::size_t i = 0; same && i < count; ++i)
      same = IsLike(joined[group + i], lines_[begin + i]);
    if (same) {
      for (std::size_t i = 0; i < count; ++i) Join(joined[group + i], lines_[begin + i]);
      continue;
    }
    group = joined.size();
    group_size = layer >= 0 ? count : 0;
    joined.insert(joined.end(), lines_.begin() + static_cast<std::ptrdiff_t>(begin),
                  lines_.begin() + static_cast<std::ptrdiff_t>(end));
  }
  for (LayerLine& line : joined)
    if (line.first >= 0)
      line.place = line.first == line.last ? fmt::format("layer {}", line.first)
                                           : fmt::format("layers {}-{}", line.first, line.last);
  return joined;
}

}  // namespace ingot::inspect
