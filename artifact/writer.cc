#include "artifact/writer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

#include "artifact/assemble.h"
#include "artifact/coding.h"
#include "artifact/manifest_checks.h"
#include "artifact/spool.h"
#include "files/atomic_file.h"
#include "files/output.h"

namespace ingot::artifact {
namespace {

// Changes with anything that changes stored bytes for the same input.
constexpr std::string_view kSpoolFormat = "ingot spool v3";

Status AsRequest(const Status& status) {
  return status.ok() ? OkStatus() : InvalidArgument(status.message());
}

Status CheckPlan(const ArtifactPlan& plan, const Manifest& manifest) {
  INGOT_TRY(AsRequest(CheckManifest(manifest)));
  for (const TensorPlan& tensor : plan.tensors) {
    bool parallel = tensor.hints.size() == tensor.record.planes.size() && tensor.slab_count > 0;
    for (std::size_t p = 0; parallel && p < tensor.hints.size(); ++p)
      parallel = tensor.hints[p].size() == tensor.record.planes[p].streams.size();
    if (!parallel)
      return InvalidArgument(
          fmt::format("tensor {}: hints do not match its planes and streams, or it "
                      "has no slab",
                      tensor.record.name));
  }
  return OkStatus();
}

Status CheckCuts(const std::vector<std::vector<ByteSpan>>& streams,
                 std::span<const StreamCuts> cuts) {
  for (const StreamCuts& cut : cuts) {
    bool fits = cut.plane < streams.size() && cut.stream < streams[cut.plane].size();
    for (std::size_t i = 0; fits && i < cut.offsets.size(); ++i)
      fits = cut.offsets[i] < streams[cut.plane][cut.stream].size() &&
             (i == 0 || cut.offsets[i - 1] < cut.offsets[i]);
    if (!fits)
      return InvalidArgument(fmt::format("cuts of plane {}, stream {} do not ascend inside it",
                                         cut.plane, cut.stream));
  }
  return OkStatus();
}

// What a spool must agree on to be continued: the caller's fingerprint and the plan's structure.
Digest Identity(const ArtifactPlan& plan) {
  Json structure = Json::array();
  for (const TensorPlan& tensor : plan.tensors)
    structure.push_back({tensor.record.name, tensor.slab_count, tensor.hints});
  Hasher hasher;
  hasher.Update(AsBytes(kSpoolFormat));
  hasher.Update(AsBytes(plan.fingerprint));
  hasher.Update(AsBytes(structure.dump(-1, ' ', false, Json::error_handler_t::replace)));
  return hasher.Finish();
}

std::uint64_t StoredBytes(const SlabRecord& record) {
  std::uint64_t bytes = 0;
  for (const auto& stream : record.streams)
    for (const SpooledChunk& chunk : stream) bytes += chunk.entry.stored_bytes;
  return bytes;
}

}  // namespace

ArtifactWriter::ArtifactWriter(std::string target, ArtifactPlan plan, Manifest manifest,
                               std::unique_ptr<Spool> spool)
    : target_(std::move(target)),
      plan_(std::move(plan)),
      manifest_(std::move(manifest)),
      spool_(std::move(spool)) {
  slabs_.resize(plan_.tensors.size());
  for (std::size_t t = 0; t < slabs_.size(); ++t) slabs_[t].resize(plan_.tensors[t].slab_count);
}

void ArtifactWriter::Keep(SlabRecord record) {
  Forget(record.tensor, record.slab);
  spooled_bytes_ += StoredBytes(record);
  auto& place = slabs_[record.tensor][record.slab];
  place = std::move(record);
}

void ArtifactWriter::Forget(std::size_t tensor, std::uint32_t slab) {
  auto& place = slabs_[tensor][slab];
  if (place.has_value()) spooled_bytes_ -= StoredBytes(*place);
  place.reset();
}

void ArtifactWriter::DropSlab(std::size_t tensor, std::uint32_t slab) {
  const std::lock_guard lock(mutex_);
  if (InPlan(tensor, slab)) Forget(tensor, slab);
}

Status ArtifactWriter::Resume() {
  INGOT_ASSIGN(std::vector<SlabRecord> records, spool_->TakeResumed());
  const std::lock_guard lock(mutex_);
  for (SlabRecord& record : records) {
    if (!InPlan(record.tensor, record.slab)) continue;
    std::size_t streams = 0;
    for (const auto& plane : plan_.tensors[record.tensor].hints) streams += plane.size();
    if (record.streams.size() == streams) Keep(std::move(record));
  }
  return OkStatus();
}

bool ArtifactWriter::HasSlab(std::size_t tensor, std::uint32_t slab) const {
  const std::lock_guard lock(mutex_);
  return InPlan(tensor, slab) && slabs_[tensor][slab].has_value();
}

Status ArtifactWriter::CheckSlab(std::size_t tensor, std::uint32_t slab,
                                 const std::vector<std::vector<ByteSpan>>& streams) const {
  if (!InPlan(tensor, slab))
    return InvalidArgument(fmt::format("slab {} of tensor {} is not in the plan", slab, tensor));
  const auto& hints = plan_.tensors[tensor].hints;
  bool parallel = streams.size() == hints.size();
  for (std::size_t p = 0; parallel && p < hints.size(); ++p)
    parallel = streams[p].size() == hints[p].size();
  if (!parallel) return InvalidArgument("streams do not match the planes of the plan");
  if (HasSlab(tensor, slab)) return InvalidArgument(fmt::format("slab {} was added before", slab));
  return OkStatus();
}

Result<std::vector<SpooledChunk>> ArtifactWriter::SpoolStream(ByteSpan bytes, CodingHint hint,
                                                              std::span<const std::uint64_t> cuts) {
  std::vector<SpooledChunk> chunks;
  const std::uint64_t total = bytes.size();
  for (; !bytes.empty(); bytes = bytes.subspan(chunks.back().entry.decoded_bytes)) {
    const std::uint64_t at = total - bytes.size();
    while (!cuts.empty() && cuts.front() <= at) cuts = cuts.subspan(1);
    const std::uint64_t most = cuts.empty() ? bytes.size() : cuts.front() - at;
    const ByteSpan raw = bytes.first(std::min<std::uint64_t>(most, kMaxChunkBytes));
    const EncodedChunk encoded = EncodeChunk(hint, raw);
    SpooledChunk chunk;
    chunk.entry.coding = encoded.coding;
    chunk.entry.decoded_bytes = static_cast<std::uint32_t>(raw.size());
    chunk.entry.stored_bytes = static_cast<std::uint32_t>(encoded.stored.size());
    chunk.entry.digest = DigestOf(encoded.stored);
    INGOT_ASSIGN(chunk.spool_offset, spool_->Append(encoded.stored));
    chunks.push_back(chunk);
  }
  return chunks;
}

Status ArtifactWriter::AddSlab(std::size_t tensor, std::uint32_t slab,
                               const std::vector<std::vector<ByteSpan>>& streams, const Json& note,
                               std::span<const StreamCuts> cuts) {
  INGOT_TRY(CheckSlab(tensor, slab, streams).At(target_));
  INGOT_TRY(CheckCuts(streams, cuts).At(target_));
  SlabRecord record;
  record.tensor = static_cast<std::uint32_t>(tensor);
  record.slab = slab;
  record.note = note;
  for (std::size_t p = 0; p < streams.size(); ++p)
    for (std::size_t s = 0; s < streams[p].size(); ++s) {
      std::span<const std::uint64_t> offsets;
      for (const StreamCuts& cut : cuts)
        if (cut.plane == p && cut.stream == s) offsets = cut.offsets;
      INGOT_ASSIGN(auto chunks,
                   SpoolStream(streams[p][s], plan_.tensors[tensor].hints[p][s], offsets));
      record.streams.push_back(std::move(chunks));
    }
  INGOT_TRY(spool_->Record(record));
  const std::lock_guard lock(mutex_);
  Keep(std::move(record));
  return OkStatus();
}

Json ArtifactWriter::Note(std::size_t tensor, std::uint32_t slab) const {
  const std::lock_guard lock(mutex_);
  return InPlan(tensor, slab) && slabs_[tensor][slab] ? slabs_[tensor][slab]->note : Json();
}

Status ArtifactWriter::CheckComplete() const {
  for (std::size_t t = 0; t < slabs_.size(); ++t)
    for (std::uint32_t s = 0; s < slabs_[t].size(); ++s)
      if (!HasSlab(t, s))
        return InvalidArgument(fmt::format("{}: slab {} of tensor {} was never added", target_, s,
                                           plan_.tensors[t].record.name));
  return OkStatus();
}

// Streams of all slabs joined, and the assets spooled.
Result<Pieces> ArtifactWriter::CollectPieces() {
  Pieces pieces;
  for (const auto& [name, content] : plan_.assets) {
    INGOT_ASSIGN(auto chunks, SpoolStream(AsBytes(content), CodingHint::kGeneral));
    pieces.assets.push_back(std::move(chunks));
  }
  pieces.streams.resize(slabs_.size());
  for (std::size_t t = 0; t < slabs_.size(); ++t) {
    for (const auto& plane : plan_.tensors[t].hints) pieces.streams[t].emplace_back(plane.size());
    for (const auto& slab : slabs_[t]) {
      std::size_t index = 0;
      for (auto& plane : pieces.streams[t])
        for (auto& stream : plane) {
          const auto& chunks = slab->streams[index++];
          stream.insert(stream.end(), chunks.begin(), chunks.end());
        }
    }
  }
  return pieces;
}

Result<ArtifactWriter::Finished> ArtifactWriter::Finish(
    const SigningKey* key, const std::function<void(Manifest&)>& patch) {
  INGOT_TRY(CheckComplete());
  INGOT_ASSIGN(const Pieces pieces, CollectPieces());
  INGOT_ASSIGN(Assembled made, AssembleArtifact(target_, *spool_, manifest_, pieces, key, patch));
  INGOT_TRY(made.file.Commit());
  spool_->Remove();
  return std::move(made.finished);
}

Result<std::string> ArtifactWriter::Draft(const std::function<void(Manifest&)>& patch) {
  INGOT_TRY(CheckComplete());
  INGOT_ASSIGN(const Pieces pieces, CollectPieces());
  draft_.reset();
  INGOT_ASSIGN(Assembled made,
               AssembleArtifact(target_, *spool_, manifest_, pieces, nullptr, patch));
  draft_.emplace(std::move(made.file));
  return draft_->temporary_path();
}

Result<std::unique_ptr<ArtifactWriter>> ArtifactWriter::Open(const std::string& target,
                                                             ArtifactPlan plan, bool force) {
  INGOT_TRY(files::CheckMayWrite(target, force));
  Manifest manifest = plan.manifest;
  manifest.tensors.clear();
  manifest.assets.clear();
  for (const TensorPlan& tensor : plan.tensors) manifest.tensors.push_back(tensor.record);
  for (const auto& [name, content] : plan.assets) {
    AssetRecord asset;
    asset.name = name;
    asset.stream.name = "content";
    manifest.assets.push_back(std::move(asset));
  }
  INGOT_TRY(CheckPlan(plan, manifest).At(target));
  INGOT_ASSIGN(std::unique_ptr<Spool> spool, Spool::Open(target, Identity(plan)));
  files::RemoveStaleFiles(target, kMagic);
  std::unique_ptr<ArtifactWriter> writer(
      new ArtifactWriter(target, std::move(plan), std::move(manifest), std::move(spool)));
  INGOT_TRY(writer->Resume());
  return writer;
}

void ArtifactWriter::Discard() { spool_->Remove(); }

std::uint64_t ArtifactWriter::spooled_bytes() const {
  const std::lock_guard lock(mutex_);
  return spooled_bytes_;
}

}  // namespace ingot::artifact
