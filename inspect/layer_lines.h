// Layers that are made alike, joined: what a table of a model's layers has lines for.
//
// Thread rule: values and pure functions.
#pragma once

#include <string>
#include <vector>

#include "inspect/summary.h"

namespace ingot::inspect {

// What stands in one line: matrices of a layer, or of several, that are made in one way.
struct LayerLine {
  std::string place;                // what is outside the layers: its name
  std::vector<std::string> making;  // codec, planes, ...: what tells lines apart
  SizeSum size;
  SizeSum other;  // of what it is compared with
  double worst_error = -1;
  int first = -1, last = -1;  // layers; -1: outside them
};

// A line a layer and making, in the order of the calls; neighbouring layers that have the same
// lines of as many matrices become one.
class LayerLines {
 public:
  // A matrix. `name` is its place where layer < 0.
  void Add(const std::string& name, int layer, const std::vector<std::string>& making,
           const SizeSum& size, const SizeSum& other, double error);
  // "layer 3", "layers 0-29", or the name.
  std::vector<LayerLine> Joined() const;

 private:
  std::vector<LayerLine> lines_;
};

}  // namespace ingot::inspect
