// The journal of a spool as bytes: which slabs are finished, and the proof that this user finished
// them. It is written only at its end and read after a kill, so every record proves itself:
//
//   magic, 16 bytes
//   records: u32 payload length, payload, BLAKE3 keyed by the user's key over (the MAC before,
//   length, payload); the first MAC follows the digest of the magic. The first payload is the
//   identity of the pack, the others are slabs.
//
// So a record cannot be made, moved or dropped from the middle without the key. A record that does
// not verify ends the journal: what follows was torn by a kill, or is not ours.
//
// Thread rule: a JournalChain belongs to one thread; the functions are pure.
#pragma once

#include <optional>
#include <vector>

#include "artifact/format.h"
#include "artifact/manifest.h"
#include "base/bytes.h"

namespace ingot::artifact {

struct SpooledChunk {
  std::uint64_t spool_offset = 0;
  ChunkEntry entry;  // its offset is not known yet
};

struct SlabRecord {
  std::uint32_t tensor = 0;
  std::uint32_t slab = 0;
  std::vector<std::vector<SpooledChunk>> streams;  // of all planes, in order
  Json note;
};

inline constexpr std::size_t kSpoolMagicBytes = 16;
inline constexpr std::array<std::uint8_t, kSpoolMagicBytes> kJournalMagic = {
    0x89, 'I', 'N', 'G', 'J', 'O', 'U', 'R', 'N', 'A', 'L', 2, 0x0d, 0x0a, 0x1a, 0x0a};

// The MACs of a journal, in order.
class JournalChain {
 public:
  explicit JournalChain(const Digest& key);
  // A record with `payload`, and the MAC it ends in.
  std::vector<std::uint8_t> Next(ByteSpan payload) const;
  // The payload of the record at the front of `bytes`; nullopt where it does not verify.
  std::optional<ByteSpan> Verify(ByteSpan bytes) const;
  // `record` is in the journal: the next one follows it.
  void Advance(ByteSpan record);

 private:
  Digest MacOf(ByteSpan length_and_payload) const;
  Digest key_;
  Digest last_;
};

std::vector<std::uint8_t> EncodeSlab(const SlabRecord& record);
// nullopt where the payload is no slab: lengths that do not fit, an unknown coding, a note that is
// not JSON.
std::optional<SlabRecord> DecodeSlab(ByteSpan payload);

// The part of a journal that verifies.
struct Journal {
  std::optional<Digest> identity;  // none: nothing verifies
  std::vector<SlabRecord> slabs;
  std::uint64_t bytes = 0;  // where it ends
  JournalChain chain;
};
Journal ParseJournal(ByteSpan bytes, const Digest& key);

}  // namespace ingot::artifact
