#include "base/digest.h"

#include <blake3.h>

namespace ingot {

struct Hasher::Impl {
  blake3_hasher state;
};

Hasher::Hasher() : impl_(std::make_unique<Impl>()) { blake3_hasher_init(&impl_->state); }
Hasher Hasher::Derived(std::string_view context) {
  Hasher hasher;
  blake3_hasher_init_derive_key_raw(&hasher.impl_->state, context.data(), context.size());
  return hasher;
}
Hasher Hasher::Keyed(const Digest& key) {
  Hasher hasher;
  blake3_hasher_init_keyed(&hasher.impl_->state, key.data());
  return hasher;
}
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

}  // namespace ingot
