// Which tensors a GGUF's model would have on Hugging Face, and where their weights lie in the file.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/source/gguf/gguf.h"
#include "model/source/gguf/gguf_families.h"

namespace ingot::model {

// One tensor under its Hugging Face name.
struct GgufPlace {
  std::string name;
  std::vector<std::uint64_t> shape;  // outermost first
  const GgufType* type = nullptr;
  std::uint64_t offset = 0;  // in the file
  std::uint64_t bytes = 0;
  std::size_t part = 0;  // which file
  GgufChange change = GgufChange::kNone;
  std::uint64_t head_rows = 0;    // kUnpermute, kGroupHeads: rows (elements of a vector) of a head
  std::uint64_t groups = 0;       // kGroupHeads: groups of heads, each with a key and a value
  std::uint64_t group_heads = 0;  // heads of q in each
  float factor = 1;               // kTwice: of every weight, a power of 2
};

// kGroupHeads: the row of the file that row `row` on Hugging Face is.
std::uint64_t GroupedSourceRow(const GgufPlace& place, std::uint64_t row);

// Sorted by name. Where some linear layers have a bias and the family's config knows but one flag
// for all of them, `config` gets it (or becomes Qwen2's, which has them on q, k and v alone), and
// the missing ones are zeros. Tables of rope factors, which went into the config, are left out;
// stacked experts become one tensor each. Unsupported names a tensor whose place in the model is
// not known.
Result<std::vector<GgufPlace>> PlaceGgufTensors(const Gguf& gguf, const GgufFamily& family,
                                                nlohmann::json& config);

// Of an architecture that is not known: every tensor under its own name.
std::vector<GgufPlace> PlaceGgufTensorsAsTheyAre(const Gguf& gguf);

}  // namespace ingot::model
