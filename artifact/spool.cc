#include "artifact/spool.h"

#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "artifact/reader.h"
#include "base/parallel.h"

namespace ingot::artifact {
namespace {

// A journal record: u32 payload length, payload, BLAKE3-256 of both.
constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kDigestBytes = 32;
constexpr std::uint64_t kMaxJournalBytes = std::uint64_t{4} << 30;
constexpr int kOpenAttempts = 8;

class Bytes {
 public:
  template <typename T>
  void Put(T value) {
    const std::size_t at = out_.size();
    out_.resize(at + sizeof value);
    StoreLe(out_.data() + at, value);
  }
  void Put(ByteSpan bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  const std::vector<std::uint8_t>& out() const { return out_; }

 private:
  std::vector<std::uint8_t> out_;
};

class Cursor {
 public:
  explicit Cursor(ByteSpan bytes) : bytes_(bytes) {}
  template <typename T>
  bool Get(T& value) {
    if (bytes_.size() < sizeof value) return false;
    value = LoadLe<T>(bytes_.data());
    bytes_ = bytes_.subspan(sizeof value);
    return true;
  }
  ByteSpan rest() const { return bytes_; }

 private:
  ByteSpan bytes_;
};

std::vector<std::uint8_t> EncodeSlab(const SlabRecord& record) {
  Bytes bytes;
  bytes.Put(record.tensor);
  bytes.Put(record.slab);
  bytes.Put(static_cast<std::uint32_t>(record.streams.size()));
  for (const auto& stream : record.streams) {
    bytes.Put(static_cast<std::uint32_t>(stream.size()));
    for (const SpooledChunk& chunk : stream) {
      bytes.Put(chunk.spool_offset);
      bytes.Put(chunk.entry.stored_bytes);
      bytes.Put(chunk.entry.decoded_bytes);
      bytes.Put(static_cast<std::uint8_t>(chunk.entry.coding));
      bytes.Put(ByteSpan(chunk.entry.digest));
    }
  }
  bytes.Put(AsBytes(record.note.dump(-1, ' ', false, Json::error_handler_t::replace)));
  return bytes.out();
}

bool DecodeChunkRecord(Cursor& cursor, SpooledChunk& chunk) {
  std::uint8_t coding;
  if (!cursor.Get(chunk.spool_offset) || !cursor.Get(chunk.entry.stored_bytes) ||
      !cursor.Get(chunk.entry.decoded_bytes) || !cursor.Get(coding) ||
      !cursor.Get(chunk.entry.digest))
    return false;
  chunk.entry.coding = static_cast<ChunkCoding>(coding);
  return coding <= static_cast<std::uint8_t>(ChunkCoding::kRans) && chunk.entry.stored_bytes > 0 &&
         chunk.entry.stored_bytes <= chunk.entry.decoded_bytes &&
         chunk.entry.decoded_bytes <= kMaxChunkBytes;
}

std::optional<SlabRecord> DecodeSlab(ByteSpan payload) {
  SlabRecord record;
  Cursor cursor(payload);
  std::uint32_t streams;
  if (!cursor.Get(record.tensor) || !cursor.Get(record.slab) || !cursor.Get(streams) ||
      streams > payload.size() / 4)
    return std::nullopt;
  record.streams.resize(streams);
  for (auto& stream : record.streams) {
    std::uint32_t count;
    if (!cursor.Get(count) || count > cursor.rest().size() / kDigestBytes) return std::nullopt;
    stream.resize(count);
    for (SpooledChunk& chunk : stream)
      if (!DecodeChunkRecord(cursor, chunk)) return std::nullopt;
  }
  record.note = Json::parse(AsText(cursor.rest()), nullptr, /*allow_exceptions=*/false);
  if (record.note.is_discarded()) return std::nullopt;
  return record;
}

// The payload of the record at the front of `bytes`; nullopt where it is torn or damaged.
std::optional<ByteSpan> RecordAt(ByteSpan bytes) {
  if (bytes.size() < kLengthBytes + kDigestBytes) return std::nullopt;
  const std::uint64_t n = LoadLe<std::uint32_t>(bytes.data());
  if (n > bytes.size() - kLengthBytes - kDigestBytes) return std::nullopt;
  const Digest digest = DigestOf(bytes.first(kLengthBytes + n));
  if (std::memcmp(digest.data(), bytes.data() + kLengthBytes + n, kDigestBytes) != 0)
    return std::nullopt;
  return bytes.subspan(kLengthBytes, n);
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

// Opens and locks the data file. A spool that its owner removed between our open and our lock is
// not the one at the path any more: try again.
Result<File> OpenLocked(const std::string& path) {
  for (int attempt = 0; attempt < kOpenAttempts; ++attempt) {
    INGOT_ASSIGN(File file, File::OpenReadWrite(path));
    if (::flock(file.fd(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return ErrnoStatus(errno, path, "lock");
      return InvalidArgument(fmt::format(
          "{}: another process is packing to this target; wait for it or end it", path));
    }
    struct stat ours {
    }, named{};
    if (::fstat(file.fd(), &ours) == 0 && ::stat(path.c_str(), &named) == 0 &&
        ours.st_ino == named.st_ino && ours.st_dev == named.st_dev)
      return file;
  }
  return IoError(fmt::format("{}: is removed again and again by another process", path));
}

}  // namespace

Result<std::unique_ptr<Spool>> Spool::Open(const std::string& target, const Digest& identity) {
  const std::string path = target + ".spool";
  INGOT_ASSIGN(File data, OpenLocked(path));
  INGOT_ASSIGN(File journal, File::OpenReadWrite(path + ".journal"));
  std::unique_ptr<Spool> spool(new Spool(path, std::move(data), std::move(journal)));
  INGOT_TRY(spool->Start(identity));
  return spool;
}

Status Spool::Start(const Digest& identity) {
  INGOT_ASSIGN(data_end_, data_.Size().At(path_));
  INGOT_ASSIGN(const std::string text, ReadFileToString(path_ + ".journal", kMaxJournalBytes));
  ByteSpan rest = AsBytes(text);
  const auto first = RecordAt(rest);
  const bool same = first && first->size() == identity.size() &&
                    std::memcmp(first->data(), identity.data(), identity.size()) == 0;
  if (!same) {
    if (::ftruncate(data_.fd(), 0) != 0 || ::ftruncate(journal_.fd(), 0) != 0)
      return ErrnoStatus(errno, path_, "empty the spool");
    data_end_ = 0;
    return AppendJournal(identity);
  }
  for (auto payload = first; payload; payload = RecordAt(rest)) {
    if (journal_end_ > 0)
      if (auto record = DecodeSlab(*payload)) resumed_.push_back(std::move(*record));
    const std::size_t n = kLengthBytes + payload->size() + kDigestBytes;
    journal_end_ += n;
    rest = rest.subspan(n);
  }
  if (::ftruncate(journal_.fd(), static_cast<off_t>(journal_end_)) != 0)
    return ErrnoStatus(errno, path_ + ".journal", "drop the torn end");
  // What no record names is given back: a disk that was full may have room for the rest only then.
  std::uint64_t used = 0;
  for (const SlabRecord& record : resumed_)
    for (const auto& stream : record.streams)
      for (const SpooledChunk& chunk : stream)
        if (const auto end = CheckedAdd(chunk.spool_offset, chunk.entry.stored_bytes))
          used = std::max(used, *end);
  data_end_ = std::min(data_end_, used);
  if (::ftruncate(data_.fd(), static_cast<off_t>(data_end_)) != 0)
    return ErrnoStatus(errno, path_, "drop what no record names");
  return OkStatus();
}

Result<std::vector<SlabRecord>> Spool::TakeResumed() {
  std::vector<std::uint8_t> intact(resumed_.size());
  ParallelFor(resumed_.size(), 1, [&](std::size_t begin, std::size_t end) {
    std::vector<std::uint8_t> buffer;
    for (std::size_t i = begin; i < end; ++i)
      intact[i] = SlabIntact(data_, data_end_, resumed_[i], buffer);
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
  INGOT_TRY(data_.WriteAt(offset, stored).At(path_));
  data_end_ += stored.size();
  return offset;
}

Status Spool::Record(const SlabRecord& record) {
  const auto payload = EncodeSlab(record);
  const std::lock_guard lock(mutex_);
  return AppendJournal(payload);
}

Status Spool::AppendJournal(ByteSpan payload) {
  Bytes bytes;
  bytes.Put(static_cast<std::uint32_t>(payload.size()));
  bytes.Put(payload);
  const Digest digest = DigestOf(bytes.out());
  bytes.Put(ByteSpan(digest));
  // A failed write leaves a torn tail that the next record overwrites and a reader drops.
  INGOT_TRY(journal_.WriteAt(journal_end_, bytes.out()).At(path_ + ".journal"));
  journal_end_ += bytes.out().size();
  return OkStatus();
}

void Spool::Remove() {
  // The journal first: a kill in between leaves data that the next run discards.
  ::unlink((path_ + ".journal").c_str());
  ::unlink(path_.c_str());
}

}  // namespace ingot::artifact
