// What a page of keys and values is made of: one row a format. A page holds kPageTokens positions
// of one layer, head by head; what stands in a head's part, how a position gets into it and which
// kernel reads it is the format's own.
//
//   int8, int4  full pages as codes (loader/kernels/packed_page.h), the last one of a sequence as
//   f16 f32, f16    keys    head_dim x kPageTokens   (transposed), then
//               values  kPageTokens x value_stride (head_dim rounded up to 16, padding zero)
//
// Thread rule: immutable; functions of their arguments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"
#include "loader/kernels/vector_kernels.h"
#include "model/architecture/architecture.h"

namespace ingot::loader {

struct PageFormat {
  std::string_view name;
  // Bytes of one kv head in one page, and where its values begin in them. A new page is zero.
  std::size_t (*head_bytes)(std::size_t head_dim);
  std::size_t (*values_at)(std::size_t head_dim);
  // Stores the key and value, head_dim floats each, of one of the page's positions.
  void (*write)(std::uint8_t* head, std::size_t head_dim, std::size_t slot, const float* key,
                const float* value);
  // Attention over such pages; tile.keys and tile.values are head parts and values_at into them.
  void (*attend)(const VectorKernels& kernels, const AttentionTile& tile);
  // 8 or 4: a page that a row does not write to is codes, the one that it stands in is f16. Of each
  // page the pool then keeps two forms, the open one (written by `write`) as long as it may be
  // needed, and `attend` gets head parts of closed pages as tile.keys, of open ones as tile.values.
  int code_bits = 0;
  std::size_t (*open_head_bytes)(std::size_t head_dim) = nullptr;
  void (*close)(const std::uint8_t* open, std::size_t head_dim, std::uint8_t* closed) = nullptr;

  bool has_codes() const { return code_bits > 0; }
};

// Whether an architecture's keys and values can be kept in the format: InvalidArgument names the
// layer and the head size that cannot.
Status CheckPageFormat(const PageFormat& format, const model::Architecture& architecture);

// As the attention kernels have it: rows of values start at whole vectors.
constexpr std::size_t ValueStride(std::size_t head_dim) { return AlignUp(head_dim, 16); }

std::span<const PageFormat> PageFormats();
// nullptr where there is none of that name.
const PageFormat* FindPageFormat(std::string_view name);

}  // namespace ingot::loader
