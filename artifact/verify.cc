#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "artifact/artifact_view.h"
#include "artifact/digest.h"
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

}  // namespace

Result<std::vector<ArtifactReader::Damage>> ArtifactView::VerifyAll(
    const std::function<Status(std::uint64_t)>& progress) const {
  const Prefix& prefix = *prefix_;
  std::size_t count = prefix.chunks.size();
  while (count > 0 &&
         prefix.chunks[count - 1].offset + prefix.chunks[count - 1].stored_bytes > available_)
    --count;
  Findings findings;
  const auto check = [&](std::size_t i, std::vector<std::uint8_t>& block, Hasher& hasher) {
    const ChunkEntry& chunk = prefix.chunks[i];
    const std::uint64_t before =
        i == 0 ? prefix.header.data_offset
               : prefix.chunks[i - 1].offset + prefix.chunks[i - 1].stored_bytes;
    std::string what;
    Status error;
    if (before < chunk.offset) {
      const std::size_t gap = chunk.offset - before;  // below kMapAlignment: ParseTable
      if (file_.is_open()) {
        error = file_.ReadAt(before, {block.data(), gap});
      } else {
        std::copy_n(region_.bytes().begin() + static_cast<std::ptrdiff_t>(before), gap,
                    block.begin());
      }
      if (error.ok() && !AllZero({block.data(), gap}))
        what = fmt::format("padding before it, {} bytes at {}, is not zero", gap, before);
    }
    hasher.Reset();
    for (std::uint64_t at = 0; error.ok() && at < chunk.stored_bytes; at += kBlockBytes) {
      const std::size_t n = std::min<std::uint64_t>(kBlockBytes, chunk.stored_bytes - at);
      if (file_.is_open()) {
        error = file_.ReadAt(chunk.offset + at, {block.data(), n});
        hasher.Update({block.data(), n});
      } else {
        hasher.Update(region_.bytes().subspan(chunk.offset + at, n));
      }
    }
    if (error.ok() && hasher.Finish() != chunk.digest)
      what += fmt::format("{}{} bytes at {} contradict their digest", what.empty() ? "" : "; ",
                          chunk.stored_bytes, chunk.offset);
    const std::lock_guard lock(findings.mutex);
    if (!error.ok() && findings.error.ok())
      findings.error = std::move(error).At(prefix.Describe(i));
    if (!what.empty()) findings.items.push_back({i, {prefix.Describe(i), std::move(what)}});
    findings.done += chunk.offset + chunk.stored_bytes - before;
    if (progress && findings.error.ok()) findings.error = progress(findings.done);
  };
  ParallelFor(count, 1, [&](std::size_t begin, std::size_t end) {
    std::vector<std::uint8_t> block(kBlockBytes);
    Hasher hasher;
    for (std::size_t i = begin; i < end && !findings.failed(); ++i) check(i, block, hasher);
  });
  INGOT_TRY(findings.error);
  std::sort(findings.items.begin(), findings.items.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Damage> damage;
  for (auto& item : findings.items) damage.push_back(std::move(item.second));
  return damage;
}

}  // namespace ingot::artifact
