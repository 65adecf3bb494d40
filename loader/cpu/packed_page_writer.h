// Full pages of keys and values as codes (loader/kernels/packed_page.h), made from their float16
// form.
//
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot::loader {

// `half`: one kv head's part of a full f16 page. `out`: PackedPage<bits>::Bytes(head_dim).
// REQUIRES: bits is 8 or 4; TakesPacked(head_dim).
void PackPage(int bits, const std::uint8_t* half, std::size_t head_dim, std::uint8_t* out);

}  // namespace ingot::loader
