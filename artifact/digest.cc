#include "artifact/digest.h"

#include <blake3.h>

#include "artifact/reader.h"

namespace ingot::artifact {

struct Hasher::Impl {
  blake3_hasher state;
};

Hasher::Hasher() : impl_(std::make_unique<Impl>()) { blake3_hasher_init(&impl_->state); }
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::Update(ByteSpan bytes) {
  blake3_hasher_update(&impl_->state, bytes.data(), bytes.size());
}

Digest Hasher::Finish() const {
  Digest digest;
  blake3_hasher_finalize(&impl_->state, digest.data(), digest.size());
  return digest;
}

void Hasher::Reset() { blake3_hasher_reset(&impl_->state); }

Digest DigestOf(ByteSpan bytes) {
  blake3_hasher state;
  blake3_hasher_init(&state);
  blake3_hasher_update(&state, bytes.data(), bytes.size());
  Digest digest;
  blake3_hasher_finalize(&state, digest.data(), digest.size());
  return digest;
}

Digest DerivedDigest(std::string_view context, ByteSpan material) {
  blake3_hasher state;
  blake3_hasher_init_derive_key_raw(&state, context.data(), context.size());
  blake3_hasher_update(&state, material.data(), material.size());
  Digest digest;
  blake3_hasher_finalize(&state, digest.data(), digest.size());
  return digest;
}

Digest KeyedDigest(const Digest& key, std::initializer_list<ByteSpan> parts) {
  blake3_hasher state;
  blake3_hasher_init_keyed(&state, key.data());
  for (const ByteSpan part : parts) blake3_hasher_update(&state, part.data(), part.size());
  Digest digest;
  blake3_hasher_finalize(&state, digest.data(), digest.size());
  return digest;
}

Digest RootDigest(ByteSpan prefix) {
  Hasher hasher;
  hasher.Update(prefix.first(kHeaderBytes));
  hasher.Update(prefix.subspan(kManifestOffset));
  return hasher.Finish();
}

}  // namespace ingot::artifact
