// The way back: an artifact as a Hugging Face directory of plain weights that transformers loads.
//
// Thread rule: call from one thread; rows are decoded in parallel.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "artifact/reader.h"
#include "base/dtype.h"
#include "base/status.h"

namespace ingot::pack {

struct ExportOptions {
  std::string target;  // the directory to make; it may exist where it is empty
  // Of every tensor. Absent: the source's own format where the artifact keeps all values exactly
  // (raw, lossless_v1, nested_v1), else float32, so that nothing is rounded a second time.
  std::optional<DType> dtype;
  std::uint64_t shard_bytes = 5'000'000'000;
  std::uint64_t max_decoded_bytes = 0;  // artifact/decoded_size.h; 0: its rule
  // Bytes; may be empty. An error that it returns ends the export, which leaves nothing.
  std::function<Status(std::uint64_t done, std::uint64_t total)> progress;
};

struct ExportReport {
  std::uint64_t bytes = 0;  // of weights
  std::size_t files = 0;    // of weights
  std::string dtype;        // "f32", or "source"
};

// Writes config.json, model*.safetensors and the tokenizer's files into a directory beside the
// target, then renames it. InvalidArgument where the target holds something; Corruption for
// assets that no tokenizer is made of (what transformers would run, or prefer to the weights) and
// names tensor and plane; Unsupported for a plane kind this build does not decode.
Result<ExportReport> ExportModel(const artifact::ArtifactReader& reader,
                                 const ExportOptions& options);

}  // namespace ingot::pack
