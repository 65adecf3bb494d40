// Which tensors a GGUF's model would have on Hugging Face, and where their weights lie in the file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/source/gguf/gguf.h"
#include "model/source/gguf/gguf_config.h"

namespace ingot::model {

enum class GgufChange {
  kNone,
  kUnpermute,  // rows of each head: (i, half) in the file, (half, i) on Hugging Face
  kMinusOne,   // norm weights stored as 1 + w
};

// One tensor under its Hugging Face name.
struct GgufPlace {
  std::string name;
  std::vector<std::uint64_t> shape;  // outermost first
  const GgufType* type = nullptr;
  std::uint64_t offset = 0;  // in the file
  std::uint64_t bytes = 0;
  GgufChange change = GgufChange::kNone;
  std::uint64_t head_rows = 0;  // kUnpermute: rows (elements of a vector) of a head
};

// Sorted by name. Tables of rope factors, which went into the config, are left out; stacked experts
// become one tensor each. Unsupported names a tensor whose place in the model is not known.
Result<std::vector<GgufPlace>> PlaceGgufTensors(const Gguf& gguf, const GgufFamily& family,
                                                const nlohmann::json& config);

}  // namespace ingot::model
