// Full verification: every chunk and every byte of padding, from a file in parallel or from a pipe
// in one pass.
#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "artifact/layout.h"
#include "artifact/payload.h"
#include "artifact/prefix.h"
#include "artifact/reader.h"
#include "base/digest.h"
#include "base/parallel.h"

namespace ingot::artifact {
namespace {

// A block that stays in the second-level cache between the copy and the hash.
constexpr std::size_t kBlockBytes = 256 << 10;

// Collects from all threads; items are put in file order at the end.
struct Findings {
  std::mutex mutex;
  std::vector<std::pair<std::size_t, ArtifactReader::Damage>> items;
  std::uint64_t done = 0;
  Status error;

  bool failed() {
    const std::lock_guard lock(mutex);
    return !error.ok();
  }
};

Status FetchAll(Source& source, std::uint64_t offset, MutableByteSpan out) {
  INGOT_ASSIGN(const std::size_t n, source.Fetch(offset, out));
  if (n == out.size()) return OkStatus();
  return Corruption(fmt::format("the source ends at {}", offset + n));
}

// What is wrong with the bytes [begin, end of the chunk); empty: nothing.
Result<std::string> CheckChunk(Source& source, const ChunkEntry& chunk, std::uint64_t begin,
                               MutableByteSpan block, Hasher& hasher) {
  std::string what;
  const std::size_t gap = chunk.offset - begin;  // below kMapAlignment: ParseTable
  INGOT_TRY(FetchAll(source, begin, block.first(gap)));
  if (!AllZero(block.first(gap)))
    what = fmt::format("padding before it, {} bytes at {}, is not zero", gap, begin);
  hasher.Reset();
  for (std::uint64_t at = 0; at < chunk.stored_bytes; at += kBlockBytes) {
    const std::size_t n = std::min<std::uint64_t>(kBlockBytes, chunk.stored_bytes - at);
    INGOT_TRY(FetchAll(source, chunk.offset + at, block.first(n)));
    hasher.Update(block.first(n));
  }
  if (hasher.Finish() != chunk.digest)
    what += fmt::format("{}{} bytes at {} contradict their digest", what.empty() ? "" : "; ",
                        chunk.stored_bytes, chunk.offset);
  return what;
}

}  // namespace

Result<std::vector<ArtifactReader::Damage>> ArtifactReader::VerifyAll(
    const std::function<Status(std::uint64_t)>& progress) const {
  std::vector<Damage> damage;
  Source& source = payload_->source();
  if (source.sequential()) return damage;  // all was checked as it came
  Findings findings;
  const auto check = [&](std::size_t i, MutableByteSpan block, Hasher& hasher) {
    if (!payload_->Available(i)) return;
    const ChunkEntry& chunk = prefix_->chunks[i];
    const std::uint64_t begin =
        i == 0 ? prefix_->header.data_offset
               : prefix_->chunks[i - 1].offset + prefix_->chunks[i - 1].stored_bytes;
    auto what = CheckChunk(source, chunk, begin, block, hasher);
    const std::lock_guard lock(findings.mutex);
    if (!what.ok()) {
      if (findings.error.ok()) findings.error = std::move(what).status().At(prefix_->Describe(i));
    } else if (!what->empty()) {
      findings.items.push_back({i, {prefix_->Describe(i), *std::move(what)}});
    }
    findings.done += chunk.offset + chunk.stored_bytes - begin;
    if (progress && findings.error.ok()) findings.error = progress(findings.done);
  };
  ParallelFor(prefix_->chunks.size(), 1, [&](std::size_t begin, std::size_t end) {
    std::vector<std::uint8_t> block(kBlockBytes);
    Hasher hasher;
    for (std::size_t i = begin; i < end && !findings.failed(); ++i) check(i, block, hasher);
  });
  INGOT_TRY(findings.error);
  std::sort(findings.items.begin(), findings.items.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& item : findings.items) damage.push_back(std::move(item.second));
  return damage;
}

Result<std::vector<ArtifactReader::Damage>> VerifyPipe(int fd, const OpenOptions& options) {
  const std::unique_ptr<Source> source = PipeSource(fd);
  INGOT_ASSIGN(const auto prefix, ReadPrefix(*source, options));
  std::vector<std::uint8_t> buffer(kMaxChunkBytes + kMapAlignment);
  std::vector<ArtifactReader::Damage> found;
  Pass pass;
  pass.room = [&](std::uint64_t, std::size_t) { return buffer.data(); };
  pass.intact = [](std::size_t) {};
  pass.damage = [&](std::size_t chunk, std::string what) -> Status {
    found.push_back({prefix->Describe(chunk), std::move(what)});
    return OkStatus();
  };
  INGOT_TRY(ReadChunksInOrder(*source, *prefix, options, pass, 0, prefix->chunks.size()));
  return found;
}

}  // namespace ingot::artifact
