// llama.cpp's importance matrix: for every matrix the sum of its inputs' squares over tokens, which
// is the diagonal of E[xxᵀ]. The GGUF layout (llama.cpp, tools/imatrix):
//   general.type = "imatrix", imatrix.datasets (strings), imatrix.chunk_count, imatrix.chunk_size
//   NAME.in_sum2   F32, matrices x columns: sums of squares; NAME is llama.cpp's tensor name,
//                  matrices are the experts of a stacked tensor, else 1
//   NAME.counts    F32, matrices x 1: tokens
// Files of the layout before it (imatrix.dat) are read, too: calibration/imatrix_reader.h.
//
// Thread rule: functions without state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "calibration/statistics.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"

namespace ingot::calibration {

// "blk.3.attn_q.weight" for "model.layers.3.self_attn.q_proj.weight"; experts have the name of
// their stack and their place in it. Nothing for names outside the LLaMA family.
struct LlamaCppName {
  std::string name;
  std::optional<std::uint64_t> expert;
};
std::optional<LlamaCppName> ToLlamaCppName(std::string_view weight);

// Writes the diagonals for the model's matrices, so that llama-quantize --imatrix takes them for a
// GGUF of the same model. Returns how many tensors it wrote. InvalidArgument where the statistics
// are another model's; NotFound where none of its matrices has a name there.
Result<std::size_t> ExportImatrix(const Statistics& statistics, const model::Checkpoint& checkpoint,
                                  const model::Architecture& architecture, const std::string& path);

// Turns an imatrix, GGUF or .dat, into a statistics file with diagonals alone. Returns how many
// matrices it gives. A .dat counts calls (chunks of its text) where the other counts tokens.
// Corruption for a damaged file or values that are not finite; InvalidArgument where a matrix has
// another width than the model's, NotFound where none is the model's.
Result<std::size_t> ImportImatrix(const std::string& imatrix, const model::Checkpoint& checkpoint,
                                  const model::Architecture& architecture,
                                  const std::string& output);

}  // namespace ingot::calibration
