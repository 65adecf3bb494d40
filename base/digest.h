// BLAKE3-256, the digest of everything that Ingot names by its content.
// Thread rule: a Hasher belongs to one thread; DigestOf is pure.
#pragma once

#include <array>
#include <memory>
#include <string_view>

#include "base/bytes.h"

namespace ingot {

using Digest = std::array<std::uint8_t, 32>;

class Hasher {
 public:
  Hasher();
  static Hasher Derived(std::string_view context);  // key derivation mode: then the key material
  static Hasher Keyed(const Digest& key);           // a MAC
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  void Update(ByteSpan bytes);
  Digest Finish() const;
  void Reset();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

Digest DigestOf(ByteSpan bytes);

}  // namespace ingot
