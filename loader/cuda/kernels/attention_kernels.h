// Attention over pages of keys and values, in the processor's page layout (loader/kernels/
// vector_kernels.h, packed_page.h): a page has kPageTokens positions, each kv head's part of it
// stands by itself.
//
// Every pointer is the device's. Errors as in exit_kernels.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "loader/cuda/kernels/launch_types.h"
#include "loader/cuda/kernels/page_sizes.h"
#include "loader/kernels/packed_page.h"

namespace ingot::cuda {

enum class PageForm : int { kF32, kF16, kInt8, kInt4 };

inline constexpr int kMostHeadDim = 256;

// Where the values of one head's part begin, and its bytes.
inline std::size_t PageValuesAt(PageForm form, int head_dim) {
  const auto dim = static_cast<std::size_t>(head_dim);
  switch (form) {
    case PageForm::kInt8:
      return loader::PackedPage<8>::ValuesAt(dim);
    case PageForm::kInt4:
      return loader::PackedPage<4>::ValuesAt(dim);
    default:
      return (form == PageForm::kF32 ? 4 : 2) * dim * kPageTokens;
  }
}

inline std::size_t PageHeadBytes(PageForm form, int head_dim) {
  const auto dim = static_cast<std::size_t>(head_dim);
  switch (form) {
    case PageForm::kInt8:
      return loader::PackedPage<8>::Bytes(dim);
    case PageForm::kInt4:
      return loader::PackedPage<4>::Bytes(dim);
    default:
      return PageValuesAt(form, head_dim) +
             static_cast<std::size_t>(form == PageForm::kF32 ? 4 : 2) * kPageTokens *
                 static_cast<std::size_t>(ValueStride(head_dim));
  }
}

// Stores rows' keys and values: row i into slot slots[i] of the page at pages[i].
struct WriteKeysArgs {
  const float* keys = nullptr;  // rows x (kv_heads x head_dim)
  const float* values = nullptr;
  void* const* pages = nullptr;  // f32 or f16
  const std::int32_t* slots = nullptr;
  int rows = 0, kv_heads = 0, head_dim = 0;
  PageForm form = PageForm::kF16;
};

// Full f16 pages into pages of codes: from[i] to to[i], every kv head.
struct PackPagesArgs {
  const void* const* from = nullptr;
  void* const* to = nullptr;
  int pages = 0, kv_heads = 0, head_dim = 0;
  PageForm form = PageForm::kInt8;  // or kInt4
};

// out = softmax(scale q . keys) values, each row over positions [begin, end) of its pages; grouped
// heads, windows by `begin`.
struct AttendArgs {
  const float* q = nullptr;  // rows x (heads x head_dim)
  float* out = nullptr;      // the same
  // Pages of all sequences, one after another; row i's begin at first_pages[i]. Of forms with codes
  // a row reads the page of its last position as f16, from open_pages.
  const void* const* pages = nullptr;
  const void* const* open_pages = nullptr;
  const std::int32_t* first_pages = nullptr;
  const std::int32_t* begins = nullptr;
  const std::int32_t* ends = nullptr;  // begins[i] < ends[i]
  const float* slopes = nullptr;       // heads, ALiBi; or null
  // Not 0: slopes are bfloat16's, and position p's bias is rounded_alibi bf16(slope bf16(p)) in the
  // place of -slope (end - 1 - p): Falcon's.
  float rounded_alibi = 0;
  void* scratch = nullptr;             // AttendScratch bytes
  int rows = 0, heads = 0, kv_heads = 0, head_dim = 0;
  int splits = 1;  // parts of a row's positions that run beside each other, up to kMostSplits
  float scale = 1;
  float softcap = 0;  // cap * tanh(score / cap); 0: none
  PageForm form = PageForm::kF16;
};

inline constexpr int kMostSplits = 64;

constexpr std::size_t AttendScratch(int rows, int heads, int head_dim, int splits) {
  return splits < 2
             ? 0
             : sizeof(float) * static_cast<std::size_t>(rows) * static_cast<std::size_t>(heads) *
                   static_cast<std::size_t>(splits) * static_cast<std::size_t>(head_dim + 2);
}

extern "C" {
int launch_write_keys(const WriteKeysArgs* args, void* stream);
int launch_pack_pages(const PackPagesArgs* args, void* stream);
int launch_attend(const AttendArgs* args, void* stream);
}

}  // namespace ingot::cuda
