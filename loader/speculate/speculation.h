// What may be asked of speculation, and what it reports.
//
// Thread rule: values.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot::loader {

struct SpeculationOptions {
  // kLookup: what followed the same tokens earlier in the text. kPlanes: the same model with fewer
  // planes. kLayers: the same model without the layers that its artifact lists. kAuto: lookup and
  // planes, or layers where there are no planes to leave out and a draft reads at most 7/10 of a
  // step's bytes; each where it pays.
  enum class Mode { kOff, kAuto, kLookup, kPlanes, kLayers } mode = Mode::kAuto;
  // Tokens of a draft, at most 15; 0: as many as pay, by what was measured in this text.
  std::size_t draft = 0;
};

struct DraftCounts {
  std::uint64_t drafts = 0;    // each checked by one step
  std::uint64_t tokens = 0;    // drafted
  std::uint64_t judged = 0;    // of them, those with nothing wrong before them
  std::uint64_t accepted = 0;  // of those
  // What of drafted tokens is right, given that those before are.
  double acceptance() const {
    return judged == 0 ? 0 : static_cast<double>(accepted) / static_cast<double>(judged);
  }
};

struct SpeculationStats {
  std::uint64_t tokens = 0;    // drawn, the first from the prompt's logits
  std::uint64_t steps = 0;     // with all planes, whatever their rows; the prompt's are not counted
  DraftCounts lookup, model;
  bool by_layers = false;      // what `model` is of: fewer layers, or else fewer planes
  std::uint64_t repeated = 0;  // of the tokens, those that end a 4-gram that stood before
  DraftCounts planes() const { return by_layers ? DraftCounts() : model; }
  DraftCounts layers() const { return by_layers ? model : DraftCounts(); }
};

}  // namespace ingot::loader
