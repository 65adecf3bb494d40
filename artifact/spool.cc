#include "artifact/spool.h"

#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "artifact/spool_key.h"
#include "base/digest.h"
#include "base/parallel.h"
#include "files/owned_file.h"

namespace ingot::artifact {
namespace {

constexpr std::uint64_t kMaxJournalBytes = std::uint64_t{4} << 30;
constexpr int kOpenAttempts = 8;
constexpr std::array<std::uint8_t, kSpoolMagicBytes> kSpoolMagic = {
    0x89, 'I', 'N', 'G', 'S', 'P', 'O', 'O', 'L', 2, 0, 0, 0x0d, 0x0a, 0x1a, 0x0a};

// Whether the file starts with its magic, or with as much of it as a kill let through.
bool HasMagic(const File& file, std::uint64_t bytes, ByteSpan magic) {
  std::vector<std::uint8_t> head(std::min<std::uint64_t>(bytes, magic.size()));
  return file.ReadAt(0, head).ok() && std::equal(head.begin(), head.end(), magic.begin());
}

bool ChunkIntact(const File& data, std::uint64_t data_bytes, const SpooledChunk& chunk,
                 std::vector<std::uint8_t>& buffer) {
  const std::uint32_t n = chunk.entry.stored_bytes;
  if (chunk.spool_offset > data_bytes || n > data_bytes - chunk.spool_offset) return false;
  buffer.resize(n);
  return data.ReadAt(chunk.spool_offset, buffer).ok() && DigestOf(buffer) == chunk.entry.digest;
}

bool SlabIntact(const File& data, std::uint64_t data_bytes, const SlabRecord& record,
                std::vector<std::uint8_t>& buffer) {
  for (const auto& stream : record.streams)
    for (const SpooledChunk& chunk : stream)
      if (!ChunkIntact(data, data_bytes, chunk, buffer)) return false;
  return true;
}

}  // namespace

// A spool that its owner removed between our open and our lock is not the one at the path any more:
// try again.
Result<Spool::OwnFile> Spool::OpenLocked(const std::string& path) {
  for (int attempt = 0; attempt < kOpenAttempts; ++attempt) {
    INGOT_ASSIGN(File file, files::OpenOwned(path));
    if (::flock(file.fd(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return ErrnoStatus(errno, path, "lock");
      return InvalidArgument(fmt::format(
          "{}: another process is packing to this target; wait for it or end it", path));
    }
    if (files::IsNamed(file, path)) return CheckedFile(path, std::move(file), kSpoolMagic);
  }
  return IoError(fmt::format("{}: is removed again and again by another process", path));
}

// InvalidArgument where the file holds something else than ours would.
Result<Spool::OwnFile> Spool::CheckedFile(const std::string& path, File file, ByteSpan magic) {
  INGOT_ASSIGN(const std::uint64_t bytes, file.Size().At(path));
  if (!HasMagic(file, bytes, magic))
    return InvalidArgument(
        fmt::format("{}: is there and was not left by this version's pack; move it away or choose "
                    "another output",
                    path));
  return OwnFile{path, std::move(file), files::Tracked(path, files::Fate::kRemoved)};
}

Result<std::unique_ptr<Spool>> Spool::Open(const std::string& target, const Digest& identity) {
  INGOT_ASSIGN(OwnFile data, OpenLocked(target + ".spool"));
  const std::string path = data.path + ".journal";
  auto file = files::OpenOwned(path);
  auto journal = file.ok() ? CheckedFile(path, *std::move(file), kJournalMagic) : file.status();
  if (!journal.ok()) {
    // An empty spool says nothing: it goes again.
    if (const auto bytes = data.file.Size(); bytes.ok() && *bytes == 0) Unlink(data);
    return std::move(journal).status();
  }
  const Digest key = SpoolKey();
  std::unique_ptr<Spool> spool(new Spool(std::move(data), *std::move(journal), key));
  INGOT_TRY(spool->Start(identity, key));
  return spool;
}

Spool::~Spool() {
  if (!kept_) Remove();
}

Status Spool::Start(const Digest& identity, const Digest& key) {
  INGOT_ASSIGN(data_end_, data_.file.Size().At(data_.path));
  INGOT_ASSIGN(const std::uint64_t bytes, journal_.file.Size().At(journal_.path));
  if (bytes > kMaxJournalBytes)
    return LimitExceeded(fmt::format("{}: {} bytes, at most {} expected; remove it", journal_.path,
                                     bytes, kMaxJournalBytes));
  std::vector<std::uint8_t> text(bytes);
  INGOT_TRY(journal_.file.ReadAt(0, text).At(journal_.path));
  Journal journal = ParseJournal(text, key);
  if (journal.identity != identity || data_end_ < kSpoolMagicBytes) return Restart(identity);
  chain_ = journal.chain;
  journal_end_ = journal.bytes;
  resumed_ = std::move(journal.slabs);
  if (!resumed_.empty()) Keep();
  return DropUnnamed();
}

Status Spool::Restart(const Digest& identity) {
  if (::ftruncate(data_.file.fd(), 0) != 0) return ErrnoStatus(errno, data_.path, "empty it");
  if (::ftruncate(journal_.file.fd(), 0) != 0) return ErrnoStatus(errno, journal_.path, "empty it");
  INGOT_TRY(data_.file.WriteAt(0, kSpoolMagic).At(data_.path));
  INGOT_TRY(journal_.file.WriteAt(0, kJournalMagic).At(journal_.path));
  data_end_ = journal_end_ = kSpoolMagicBytes;
  return AppendJournal(identity);
}

Status Spool::DropUnnamed() {
  if (::ftruncate(journal_.file.fd(), static_cast<off_t>(journal_end_)) != 0)
    return ErrnoStatus(errno, journal_.path, "drop the torn end");
  std::uint64_t used = kSpoolMagicBytes;
  for (const SlabRecord& record : resumed_)
    for (const auto& stream : record.streams)
      for (const SpooledChunk& chunk : stream)
        if (const auto end = CheckedAdd(chunk.spool_offset, chunk.entry.stored_bytes))
          used = std::max(used, *end);
  if (data_end_ <= used) return OkStatus();
  data_end_ = used;
  if (::ftruncate(data_.file.fd(), static_cast<off_t>(data_end_)) != 0)
    return ErrnoStatus(errno, data_.path, "drop what no record names");
  return OkStatus();
}

Result<std::vector<SlabRecord>> Spool::TakeResumed() {
  std::vector<std::uint8_t> intact(resumed_.size());
  ParallelFor(resumed_.size(), 1, [&](std::size_t begin, std::size_t end) {
    std::vector<std::uint8_t> buffer;
    for (std::size_t i = begin; i < end; ++i)
      intact[i] = SlabIntact(data_.file, data_end_, resumed_[i], buffer);
  });
  std::vector<SlabRecord> records;
  for (std::size_t i = 0; i < resumed_.size(); ++i)
    if (intact[i]) records.push_back(std::move(resumed_[i]));
  resumed_.clear();
  return records;
}

Result<std::uint64_t> Spool::Append(ByteSpan stored) {
  // The kernel lets one writer into a file at a time, and others spin for it: wait here, asleep.
  const std::lock_guard lock(data_mutex_);
  const std::uint64_t offset = data_end_;
  INGOT_TRY(data_.file.WriteAt(offset, stored).At(data_.path));
  data_end_ += stored.size();
  return offset;
}

Status Spool::Record(const SlabRecord& record) {
  const auto payload = EncodeSlab(record);
  const std::lock_guard lock(mutex_);
  INGOT_TRY(AppendJournal(payload));
  if (!kept_) Keep();
  return OkStatus();
}

Status Spool::AppendJournal(ByteSpan payload) {
  const std::vector<std::uint8_t> record = chain_.Next(payload);
  // A failed write leaves a torn tail that the next record overwrites and a reader drops.
  INGOT_TRY(journal_.file.WriteAt(journal_end_, record).At(journal_.path));
  chain_.Advance(record);
  journal_end_ += record.size();
  return OkStatus();
}

void Spool::Keep() {
  kept_ = true;
  data_.tracked.Set(files::Fate::kResumed);
  journal_.tracked.Set(files::Fate::kResumed);
}

void Spool::Unlink(OwnFile& own) {
  if (files::IsNamed(own.file, own.path)) ::unlink(own.path.c_str());
  own.tracked = files::Tracked();
}

void Spool::Remove() {
  // The journal first: a kill in between leaves data that the next run discards.
  Unlink(journal_);
  Unlink(data_);
  kept_ = true;  // what may lie there from now on is not ours
}

}  // namespace ingot::artifact
