#include "artifact/journal.h"

#include <algorithm>
#include <array>

#include "untrusted/json_guard.h"

namespace ingot::artifact {
namespace {

constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kMacBytes = sizeof(Digest);
constexpr std::size_t kChunkBytes = 8 + 4 + 4 + 1 + sizeof(Digest);
constexpr std::uint64_t kMaxNoteValues = 1 << 16;
constexpr std::size_t kMaxNoteDepth = 64;
constexpr std::size_t kMaxNoteStringBytes = std::size_t{1} << 20;

class Bytes {
 public:
  template <typename T>
  void Put(T value) {
    const std::size_t at = out_.size();
    out_.resize(at + sizeof value);
    StoreLe(out_.data() + at, value);
  }
  void Put(ByteSpan bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  std::vector<std::uint8_t>& out() { return out_; }

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

bool DecodeChunk(Cursor& cursor, SpooledChunk& chunk) {
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

}  // namespace

JournalChain::JournalChain(const Digest& key) : key_(key), last_(DigestOf(kJournalMagic)) {}

Digest JournalChain::MacOf(ByteSpan length_and_payload) const {
  Hasher hasher = Hasher::Keyed(key_);
  hasher.Update(last_);
  hasher.Update(length_and_payload);
  return hasher.Finish();
}

std::vector<std::uint8_t> JournalChain::Next(ByteSpan payload) const {
  Bytes bytes;
  bytes.Put(static_cast<std::uint32_t>(payload.size()));
  bytes.Put(payload);
  const Digest mac = MacOf(bytes.out());
  bytes.Put(ByteSpan(mac));
  return std::move(bytes.out());
}

std::optional<ByteSpan> JournalChain::Verify(ByteSpan bytes) const {
  if (bytes.size() < kLengthBytes + kMacBytes) return std::nullopt;
  const std::uint64_t n = LoadLe<std::uint32_t>(bytes.data());
  if (n > bytes.size() - kLengthBytes - kMacBytes) return std::nullopt;
  const Digest mac = MacOf(bytes.first(kLengthBytes + n));
  if (!std::equal(mac.begin(), mac.end(), bytes.begin() + kLengthBytes + n)) return std::nullopt;
  return bytes.subspan(kLengthBytes, n);
}

void JournalChain::Advance(ByteSpan record) {
  std::copy_n(record.end() - kMacBytes, kMacBytes, last_.begin());
}

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
  return std::move(bytes.out());
}

std::optional<SlabRecord> DecodeSlab(ByteSpan payload) {
  SlabRecord record;
  Cursor cursor(payload);
  std::uint32_t streams;
  if (!cursor.Get(record.tensor) || !cursor.Get(record.slab) || !cursor.Get(streams) ||
      streams > cursor.rest().size() / kLengthBytes)
    return std::nullopt;
  record.streams.resize(streams);
  for (auto& stream : record.streams) {
    std::uint32_t count;
    if (!cursor.Get(count) || count > cursor.rest().size() / kChunkBytes) return std::nullopt;
    stream.resize(count);
    for (SpooledChunk& chunk : stream)
      if (!DecodeChunk(cursor, chunk)) return std::nullopt;
  }
  auto note = untrusted::ParseJson(AsText(cursor.rest()),
                                   {kMaxNoteDepth, kMaxNoteValues, kMaxNoteStringBytes});
  if (!note.ok()) return std::nullopt;
  record.note = *std::move(note);
  return record;
}

Journal ParseJournal(ByteSpan bytes, const Digest& key) {
  Journal journal{{}, {}, 0, JournalChain(key)};
  if (bytes.size() < kSpoolMagicBytes ||
      !std::equal(kJournalMagic.begin(), kJournalMagic.end(), bytes.begin()))
    return journal;
  std::size_t at = kSpoolMagicBytes;
  while (const auto payload = journal.chain.Verify(bytes.subspan(at))) {
    if (!journal.identity) {
      if (payload->size() != sizeof(Digest)) return journal;
      journal.identity = LoadLe<Digest>(payload->data());
    } else if (auto slab = DecodeSlab(*payload)) {
      journal.slabs.push_back(*std::move(slab));
    }
    const std::size_t n = kLengthBytes + payload->size() + kMacBytes;
    journal.chain.Advance(bytes.subspan(at, n));
    at += n;
    journal.bytes = at;
  }
  return journal;
}

}  // namespace ingot::artifact
