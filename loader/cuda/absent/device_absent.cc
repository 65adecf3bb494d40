// device.h and the launch functions of a build without nvcc: whatever is asked fails with kNoCuda,
// so that host code needs no conditions.
#include "loader/cuda/device.h"
#include "loader/cuda/kernels/attention_kernels.h"
#include "loader/cuda/kernels/entropy_kernels.h"
#include "loader/cuda/kernels/exit_kernels.h"
#include "loader/cuda/kernels/layer_kernels.h"
#include "loader/cuda/kernels/plane_kernels.h"
#include "loader/cuda/kernels/rwkv_launches.h"
#include "loader/cuda/kernels/sample_launches.h"
#include "loader/cuda/kernels/scan_launches.h"

namespace ingot::cuda {

bool IsHostGrid() { return false; }

int CountDevices(int* count) {
  *count = 0;
  return kNoCuda;
}
int DescribeDevice(int, DeviceInfo*) { return kNoCuda; }
int UseDevice(int) { return kNoCuda; }

int OpenStream(void** stream) {
  *stream = nullptr;
  return kNoCuda;
}
void CloseStream(void*) {}
int WaitStream(void*) { return kNoCuda; }

int AllocateBytes(void** p, std::size_t) {
  *p = nullptr;
  return kNoCuda;
}
void FreeBytes(void*) {}
int CopyToDevice(void*, const void*, std::size_t, void*) { return kNoCuda; }
int CopyToHost(void*, const void*, std::size_t, void*) { return kNoCuda; }
int CopyOnDevice(void*, const void*, std::size_t, void*) { return kNoCuda; }
int FillBytes(void*, int, std::size_t, void*) { return kNoCuda; }

int BeginRecording(void*) { return kNoCuda; }
int EndRecording(void*, void** graph) {
  *graph = nullptr;
  return kNoCuda;
}
int RunGraph(void*, void*) { return kNoCuda; }
void CloseGraph(void*) {}

std::string ErrorText(int error, void*) {
  if (error == kBadArguments) return "a kernel was given arguments that it does not take";
  return "this build has no kernels for GPUs: it was made without nvcc";
}

int launch_write_keys(const WriteKeysArgs*, void*) { return kNoCuda; }
int launch_pack_pages(const PackPagesArgs*, void*) { return kNoCuda; }
int launch_attend(const AttendArgs*, void*) { return kNoCuda; }
int launch_rans_chunks(const RansArgs*, void*) { return kNoCuda; }
int launch_entropy_rows(const EntropyRowsArgs*, void*) { return kNoCuda; }
int launch_norm_route(const NormRouteArgs*, void*) { return kNoCuda; }
int launch_batch_compact(const CompactArgs*, void*) { return kNoCuda; }
int launch_exit_scatter(const ScatterArgs*, void*) { return kNoCuda; }
int launch_exit_projection(const ProjectionArgs*, void*) { return kNoCuda; }
int launch_norm(const NormArgs*, void*) { return kNoCuda; }
int launch_rope(const RopeArgs*, void*) { return kNoCuda; }
int launch_pointwise(const PointwiseArgs*, void*) { return kNoCuda; }
int launch_rows(const RowsArgs*, void*) { return kNoCuda; }
int launch_slice(const SliceArgs*, void*) { return kNoCuda; }
int launch_hadamard(const HadamardArgs*, void*) { return kNoCuda; }
int launch_plane_product(const PlaneProductArgs*, void*) { return kNoCuda; }
int launch_plane_rows(const PlaneRowsArgs*, void*) { return kNoCuda; }
int launch_causal_conv(const CausalConvArgs*, void*) { return kNoCuda; }
int launch_selective_scan(const SelectiveScanArgs*, void*) { return kNoCuda; }
int launch_linear_scan(const LinearScanArgs*, void*) { return kNoCuda; }
int launch_token_shift(const TokenShiftArgs*, void*) { return kNoCuda; }
int launch_token_mix(const TokenMixArgs*, void*) { return kNoCuda; }
int launch_blend(const BlendArgs*, void*) { return kNoCuda; }
int launch_rwkv4(const Rwkv4Args*, void*) { return kNoCuda; }
int launch_rwkv_scan(const RwkvScanArgs*, void*) { return kNoCuda; }
int launch_rwkv_bonus(const RwkvBonusArgs*, void*) { return kNoCuda; }
int launch_sample(const SampleArgs*, void*) { return kNoCuda; }

}  // namespace ingot::cuda
