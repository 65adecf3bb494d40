// A spool's journal: arbitrary bytes, which verify for nobody, and arbitrary payloads under right
// MACs, which is what a program of the same user could write. The input is cut into payloads by
// lengths of two bytes. What is accepted must encode to a record that decodes to the same.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "artifact/journal.h"

namespace {

using namespace ingot::artifact;
using ingot::Digest;

void Check(bool good) {
  if (!good) std::abort();
}

void Append(JournalChain& chain, ingot::ByteSpan payload, std::vector<std::uint8_t>& journal) {
  const std::vector<std::uint8_t> record = chain.Next(payload);
  journal.insert(journal.end(), record.begin(), record.end());
  chain.Advance(record);
}

void CheckSlab(const SlabRecord& slab) {
  const std::vector<std::uint8_t> bytes = EncodeSlab(slab);
  const auto again = DecodeSlab(bytes);
  Check(again.has_value() && EncodeSlab(*again) == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ingot::ByteSpan input(data, size);
  const Digest key{1, 2, 3};
  Check(!ParseJournal(input, key).identity.has_value());

  JournalChain chain(key);
  std::vector<std::uint8_t> journal(kJournalMagic.begin(), kJournalMagic.end());
  Append(chain, Digest{}, journal);
  std::size_t records = 0;
  for (ingot::ByteSpan rest = input; rest.size() >= 2; ++records) {
    const std::size_t n =
        std::min<std::size_t>(ingot::LoadLe<std::uint16_t>(rest.data()), rest.size() - 2);
    Append(chain, rest.subspan(2, n), journal);
    rest = rest.subspan(2 + n);
  }
  const Journal parsed = ParseJournal(journal, key);
  Check(parsed.identity == Digest{} && parsed.bytes == journal.size() &&
        parsed.slabs.size() <= records);
  for (const SlabRecord& slab : parsed.slabs) CheckSlab(slab);
  // A torn end loses the last record and no other.
  const Journal torn = ParseJournal(ingot::ByteSpan(journal).first(journal.size() - 1), key);
  Check(torn.bytes < journal.size() && torn.slabs.size() <= parsed.slabs.size());
  return 0;
}
