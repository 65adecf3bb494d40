// BLAKE3 as the container uses it: plain digests, incremental ones and derived key ids.
//
// Thread rule: a Hasher belongs to one thread; the functions are pure.
#pragma once

#include <initializer_list>
#include <memory>
#include <string_view>

#include "artifact/format.h"
#include "base/bytes.h"

namespace ingot::artifact {

class Hasher {
 public:
  Hasher();
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

// BLAKE3 in key derivation mode: context string, then the key material.
Digest DerivedDigest(std::string_view context, ByteSpan material);

// BLAKE3 in keyed mode, over the parts one after the other.
Digest KeyedDigest(const Digest& key, std::initializer_list<ByteSpan> parts);

// The digest that everything hangs on: header, stored manifest with its padding, chunk table.
// REQUIRES: prefix holds [0, data_offset).
Digest RootDigest(ByteSpan prefix);

}  // namespace ingot::artifact
