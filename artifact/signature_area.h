// The 4096 bytes behind the header. docs/FORMAT.md is normative.
//
//   [0, 4)      number of records, u32; 0 in an unsigned file
//   [4, 32)     zero
//   [32, 64)    BLAKE3-256 of bytes [0, 32), bytes [64, 4096) and the root digest: damage to an
//   unsigned
//               prefix shows here
//   [64, ...)   records of 128 bytes: kind u8, 7 zero, key id 16, public key 32, value 64, 8 zero
//   ...         zero
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "artifact/format.h"
#include "artifact/signature.h"
#include "base/bytes.h"
#include "base/status.h"

namespace ingot::artifact {

inline constexpr std::size_t kSignatureHeadBytes = 64;
inline constexpr std::size_t kSignatureRecordBytes = 128;
inline constexpr std::size_t kMaxSignatures =
    (kSignatureAreaBytes - kSignatureHeadBytes) / kSignatureRecordBytes;

// Limit for more than kMaxSignatures.
Result<std::vector<std::uint8_t>> EncodeSignatureArea(const std::vector<Signature>& signatures,
                                                      const Digest& root);

// Corruption where a byte is not what the layout says. REQUIRES: area is kSignatureAreaBytes long.
Result<std::vector<Signature>> ParseSignatureArea(ByteSpan area, const Digest& root);

// What bytes [32, 64) of an area must be.
Digest SignatureAreaDigest(ByteSpan area, const Digest& root);

// What Open demands: every Ed25519 signature valid under the key it carries, and with a key, one
// signature by it. Untrusted otherwise.
Status CheckSignatures(const std::vector<Signature>& signatures, const Digest& root,
                       const VerifyingKey* key);

}  // namespace ingot::artifact
