#include "jobs/run_memory.h"

#include <set>
#include <string>

#include "model/architecture/architecture.h"

namespace ingot::jobs {
namespace {

// `ingot run` of a model of a few bytes: program, libraries, threads. Measured.
constexpr std::uint64_t kProcessBytes = std::uint64_t{24} << 20;
// A tokenizer in memory against its compressed files. Measured.
constexpr std::uint64_t kTokenizerFactor = 24;
constexpr std::uint64_t kHalf = 2;
// Resident over stored bytes from which on a tensor is decoded, not mapped.
constexpr double kDecoded = 1.05;

}  // namespace

RunMemory RunMemoryOf(const inspect::Summary& summary, std::uint64_t tokens) {
  RunMemory memory;
  memory.weight_bytes = summary.total.resident_bytes;
  // What is decoded is read first, and its pages stay mapped: a system that needs them takes them
  // back, but they count.
  for (const inspect::TensorSummary& tensor : summary.tensors)
    if (static_cast<double>(tensor.size.resident_bytes) >
        kDecoded * static_cast<double>(tensor.size.stored_bytes))
      memory.file_bytes += tensor.size.stored_bytes;
  memory.other_bytes = kProcessBytes + kTokenizerFactor * summary.asset_bytes;
  std::set<std::string, std::less<>> names;
  for (const inspect::TensorSummary& tensor : summary.tensors) names.insert(tensor.name);
  const auto architecture = model::BuildArchitecture(
      summary.config, [&](std::string_view name) { return names.contains(name); });
  if (!architecture.ok()) return memory;
  for (const model::LayerSpec& layer : architecture->layers)
    if (layer.mixer == model::MixerKind::kAttention)
      memory.cache_bytes += 2 * kHalf * layer.attention.kv_heads * layer.attention.head_dim * tokens;
  // Logits, and what passes through a layer.
  memory.other_bytes += sizeof(float) * (architecture->vocab_size + 16 * architecture->hidden_size);
  return memory;
}

}  // namespace ingot::jobs
