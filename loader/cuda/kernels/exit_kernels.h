// Rows that leave at a layer: who leaves (norm and router in one), compaction of those that stay,
// and the way back. Launch functions behind plain C; exit_kernels.cu has the kernels.
//
// Every pointer is the device's. A launch returns 0 or an error (device.h: ErrorText); what is out
// of range by its arguments is refused with kBadArguments before anything runs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "loader/cuda/kernels/launch_types.h"

namespace ingot::cuda {

// scores[i] = sigmoid(up . silu(down . (x_i / rms(x_i) * norm))), or without the sigmoid.
struct NormRouteArgs {
  const void* x = nullptr;     // rows x cols, of `type`
  const void* norm = nullptr;  // cols, of `type`
  const void* down = nullptr;  // bottleneck x cols, of `type`
  const float* up = nullptr;   // bottleneck
  float* scores = nullptr;     // rows
  // Of NormRouteScratch bytes, zero before the first launch; every launch leaves it as it needs it.
  void* scratch = nullptr;
  int rows = 0, cols = 0, bottleneck = 0;
  float eps = 1e-5f;
  int sigmoid = 1;
  FloatType type = FloatType::kBf16;
};

// Rows whose `exits` is not zero go, in order, to `exited`, the others to `kept`.
struct CompactArgs {
  const void* x = nullptr;  // rows x row_bytes
  const std::int32_t* exits = nullptr;
  void* kept = nullptr;  // room for all rows, as `exited`
  void* exited = nullptr;
  std::int32_t* keep_index = nullptr;  // rows that stay, ascending
  std::int32_t* exit_index = nullptr;
  std::int32_t* keep_count = nullptr;  // one
  std::int32_t* scratch = nullptr;     // CompactScratch entries
  int rows = 0;
  std::int64_t row_bytes = 0;
};

// out[places[i]] = exited[i]; places outside [0, out_rows) are left out.
struct ScatterArgs {
  const void* exited = nullptr;  // rows x row_bytes
  const std::int32_t* places = nullptr;
  void* out = nullptr;  // out_rows x row_bytes
  int rows = 0, out_rows = 0;
  std::int64_t row_bytes = 0;
};

// out[places[i]] = exited[i] / rms(exited[i]) * norm.
struct ProjectionArgs {
  const void* exited = nullptr;  // rows x cols, of `type`
  const void* norm = nullptr;    // cols, of `type`
  const std::int32_t* places = nullptr;
  void* out = nullptr;  // out_rows x cols, of `type`
  int rows = 0, out_rows = 0, cols = 0;
  float eps = 1e-5f;
  FloatType type = FloatType::kBf16;
};

inline constexpr int kCompactTile = 1024;  // rows that are counted together

constexpr std::size_t CompactScratch(int rows) {
  return static_cast<std::size_t>((rows + kCompactTile - 1) / kCompactTile);
}
// Bytes: a ticket for 8 rows, a sum for each row and 16 outputs of the bottleneck.
constexpr std::size_t NormRouteScratch(int rows, int bottleneck) {
  const auto tiles = static_cast<std::size_t>((rows + 7) / 8);
  const auto groups = static_cast<std::size_t>((bottleneck + 15) / 16);
  return 4 * tiles + 4 * 8 * tiles * groups;
}

extern "C" {
int launch_norm_route(const NormRouteArgs* args, void* stream);
int launch_batch_compact(const CompactArgs* args, void* stream);
int launch_exit_scatter(const ScatterArgs* args, void* stream);
int launch_exit_projection(const ProjectionArgs* args, void* stream);
}

}  // namespace ingot::cuda
