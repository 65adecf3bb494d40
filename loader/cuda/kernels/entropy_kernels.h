// Entropy-coded weights on the device: chunks decoded from their rANS streams (docs/FORMAT.md), and
// codes of `entropy` planes (codecs/planes/entropy_plane.h) put into rows of an 8-bit int plane.
//
// Every pointer is the device's. Errors as in exit_kernels.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot::cuda {

struct RansChunk {
  const std::uint8_t* stored = nullptr;
  std::uint8_t* out = nullptr;
  std::uint32_t stored_bytes = 0;
  std::uint32_t out_bytes = 0;
};

// Chunks are not trusted: nothing outside them is read or written. faults[i] is 0 or what is wrong.
enum class RansFault : std::int32_t {
  kNone,
  kHead,
  kLength,
  kAlphabet,
  kFrequencies,
  kStates,
  kWords
};
struct RansArgs {
  const RansChunk* chunks = nullptr;
  std::int32_t* faults = nullptr;
  int count = 0;
};

// out[r][j] = the byte (code + 128) of row r, column j; `scales` the row factors as f16: what an
// int plane of 8 bits and one group a row holds, under the band's column factors. Bytes of 0 are
// escapes and counted: where there are any, the plane's rows are made on the host.
struct EntropyRowsArgs {
  const std::uint8_t* codes = nullptr;     // rows x cols, as the plane's stream
  const std::uint16_t* records = nullptr;  // rows
  const std::uint32_t* order = nullptr;    // bands x cols: EntropyBand::order()
  const std::uint32_t* begins = nullptr;   // bands x 33: EntropyBand::Begin()
  std::uint8_t* out = nullptr;             // rows x cols
  std::uint16_t* scales = nullptr;         // rows
  std::int32_t* escapes = nullptr;         // one, added to
  int rows = 0, cols = 0, band = 0;
};

extern "C" {
int launch_rans_chunks(const RansArgs* args, void* stream);
int launch_entropy_rows(const EntropyRowsArgs* args, void* stream);
}

}  // namespace ingot::cuda
