// Header and chunk table over arbitrary bytes: a header, then the table. What is accepted must
// encode to the same bytes again.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "artifact/layout.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::artifact;
  const ingot::ByteSpan bytes(data, size);
  const auto header = ParseHeader(bytes, ~std::uint64_t{0});
  if (!header.ok()) return 0;
  const auto head = EncodeHeader(*header);
  if (std::memcmp(head.data(), data, head.size()) != 0) std::abort();
  const auto chunks = ParseTable(*header, bytes.subspan(kHeaderBytes));
  if (!chunks.ok()) return 0;
  std::vector<std::uint8_t> table;
  EncodeTable(*chunks, table);
  if (table.size() != size - kHeaderBytes ||
      (!table.empty() && std::memcmp(table.data(), data + kHeaderBytes, table.size()) != 0))
    std::abort();
  return 0;
}
