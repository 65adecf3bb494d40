// Each kernel beside its floor on the GPU that is here: bytes over the copy bandwidth or operations
// over the library's bfloat16 rate, both measured in the same run, and the library's own product on
// the same shape.
//
//   cuda_bench [--filter NAME] [--device N]    a table in Markdown, headed by the device's name
//
// A time is a graph of 50 launches over copies of the operands that together pass the second-level
// cache; the best of 5 graphs.
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "loader/cuda/device.h"
#include "loader/cuda/kernels/attention_kernels.h"
#include "loader/cuda/kernels/entropy_kernels.h"
#include "loader/cuda/kernels/exit_kernels.h"
#include "loader/cuda/kernels/layer_kernels.h"
#include "loader/cuda/kernels/plane_kernels.h"
#include "loader/cuda/kernels/rwkv_launches.h"
#include "loader/cuda/kernels/sample_launches.h"
#include "loader/cuda/kernels/scan_launches.h"

namespace {

using namespace ingot::cuda;

constexpr int kLaunches = 50, kRepeats = 5;

void Must(int error, const char* what) {
  if (error == 0) return;
  std::fprintf(stderr, "cuda_bench: %s: %s\n", what, ErrorText(error, nullptr).c_str());
  std::exit(1);
}

class Array {
 public:
  // Bytes 0x2c: small numbers in every float format.
  explicit Array(std::size_t bytes, int value = 0x2c) : bytes_(bytes) {
    Must(AllocateBytes(&data_, bytes), "memory");
    Must(cudaMemset(data_, value, bytes), "memory");
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { FreeBytes(data_); }
  template <class T = void>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }
  template <class T>
  void Put(const std::vector<T>& values) {
    Must(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
         "copy");
  }

 private:
  std::size_t bytes_;
  void* data_ = nullptr;
};

class Bench {
 public:
  Bench(std::string filter, int device) : filter_(std::move(filter)) {
    Must(cudaStreamCreate(&stream_), "stream");
    Must(cudaEventCreate(&begin_), "event");
    Must(cudaEventCreate(&end_), "event");
    if (cublasCreate(&library_) != CUBLAS_STATUS_SUCCESS) Must(1, "the library");
    cublasSetStream(library_, stream_);
    Must(DescribeDevice(device, &info_), "device");
  }

  const DeviceInfo& info() const { return info_; }
  bool Wants(const std::string& name) const { return name.find(filter_) != std::string::npos; }
  // Copies of operands that pass the cache.
  int Copies(std::size_t bytes) const {
    return static_cast<int>(
        std::clamp<std::size_t>(3 * info_.cache_bytes / (bytes + 1) + 1, 1, 50));
  }

  // Seconds of one launch; launch(i) is the i-th of a graph.
  double Time(const std::function<int(int, void*)>& launch) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t ready = nullptr;
    Must(launch(0, stream_), "launch");  // what a first launch sets up is no part of a graph
    Must(cudaStreamSynchronize(stream_), "launch");
    Must(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "graph");
    for (int i = 0; i < kLaunches; ++i) Must(launch(i, stream_), "launch");
    Must(cudaStreamEndCapture(stream_, &graph), "graph");
    Must(cudaGraphInstantiate(&ready, graph, 0), "graph");
    float best = 1e30f;
    for (int repeat = 0; repeat <= kRepeats; ++repeat) {  // the first one warms up
      Must(cudaEventRecord(begin_, stream_), "event");
      Must(cudaGraphLaunch(ready, stream_), "graph");
      Must(cudaEventRecord(end_, stream_), "event");
      Must(cudaEventSynchronize(end_), "kernel");
      float milliseconds = 0;
      Must(cudaEventElapsedTime(&milliseconds, begin_, end_), "event");
      if (repeat > 0) best = std::min(best, milliseconds);
    }
    cudaGraphExecDestroy(ready);
    cudaGraphDestroy(graph);
    return best / 1e3 / kLaunches;
  }

  // Of y = W x, bf16.
  double LibraryProduct(int rows, int cols, int tokens) {
    const std::size_t bytes =
        2ull * static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
    const int copies = Copies(bytes);
    const Array w(bytes * static_cast<std::size_t>(copies)),
        x(2ull * static_cast<std::size_t>(cols) * static_cast<std::size_t>(tokens)),
        y(2ull * static_cast<std::size_t>(rows) * static_cast<std::size_t>(tokens));
    return Time([&](int i, void*) {
      const float one = 1, zero = 0;
      return static_cast<int>(
          cublasGemmEx(library_, CUBLAS_OP_T, CUBLAS_OP_N, rows, tokens, cols, &one,
                       w.as<char>() + static_cast<std::size_t>(i % copies) * bytes, CUDA_R_16BF,
                       cols, x.as(), CUDA_R_16BF, cols, &zero, y.as(), CUDA_R_16BF, rows,
                       CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
    });
  }

  void Measure() {
    const std::size_t bytes = 1ull << 30;
    const Array from(bytes), to(bytes);
    copy_ = 2.0 * static_cast<double>(bytes) /
            Time([&](int, void* s) { return CopyOnDevice(to.as(), from.as(), bytes, s); });
    const int n = 8192;
    rate_ = 2.0 * n * n * n / LibraryProduct(n, n, n);
    std::printf("%s, %d.%d: copy %.0f GB/s, bf16 products %.0f TFLOP/s\n\n", info_.name.c_str(),
                info_.major, info_.minor, copy_ / 1e9, rate_ / 1e12);
    std::printf("| kernel | shape | us | of its floor | times the library's bf16 product |\n");
    std::printf("| --- | --- | --- | --- | --- |\n");
  }

  void Row(const std::string& name, const std::string& shape, double bytes, double operations,
           double seconds, double library = 0) {
    const double floor = std::max(bytes / copy_, operations / rate_);
    std::printf("| %s | %s | %.1f | %.0f %% | %s |\n", name.c_str(), shape.c_str(), 1e6 * seconds,
                100 * floor / seconds,
                library > 0 ? std::to_string(library / seconds).substr(0, 4).c_str() : "");
    std::fflush(stdout);
  }

 private:
  std::string filter_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  cublasHandle_t library_ = nullptr;
  DeviceInfo info_;
  double copy_ = 1, rate_ = 1;
};

// ---- planes --------------------------------------------------------------------------------

struct Planes {
  const char* name;
  struct One {
    PlaneForm form;
    int bits, group;
    bool zeros, table;
  };
  std::vector<One> planes;
};

const Planes kPlanes[] = {
    {"planes int4 g128", {{PlaneForm::kInt, 4, 128, false, false}}},
    {"planes int4 g128 asymmetric", {{PlaneForm::kInt, 4, 128, true, false}}},
    {"planes int4 g32", {{PlaneForm::kInt, 4, 32, false, false}}},
    {"planes int4 normal levels", {{PlaneForm::kInt, 4, 128, false, true}}},
    {"planes int3 g128", {{PlaneForm::kInt, 3, 128, false, false}}},
    {"planes int8 g128", {{PlaneForm::kInt, 8, 128, false, false}}},
    {"planes fp8", {{PlaneForm::kFp8, 8, 128, false, false}}},
    {"planes int4 + int4",
     {{PlaneForm::kInt, 4, 128, false, false}, {PlaneForm::kInt, 4, 128, false, false}}},
    {"planes int4 + int2",
     {{PlaneForm::kInt, 4, 16, false, false}, {PlaneForm::kInt, 2, 16, false, false}}}};

std::size_t CodeBytes(const Planes::One& plane, std::size_t rows, std::size_t cols) {
  return rows * cols * static_cast<std::size_t>(plane.bits) / 8;
}

void BenchPlanes(Bench& bench, const Planes& of, int rows, int cols, int tokens) {
  const auto r = static_cast<std::size_t>(rows), c = static_cast<std::size_t>(cols);
  std::size_t weights = 0;
  for (const auto& plane : of.planes)
    weights += CodeBytes(plane, r, c) +
               r * c / static_cast<std::size_t>(plane.group) * (plane.zeros ? 3 : 2);
  const int copies = bench.Copies(weights);
  const Array codes(weights * static_cast<std::size_t>(copies)), scales(2 * r * c / 16),
      levels(4 * 256), x(2 * c * static_cast<std::size_t>(tokens)),
      y(4 * r * static_cast<std::size_t>(tokens));
  std::vector<PlaneProductArgs> args(static_cast<std::size_t>(copies));
  for (std::size_t copy = 0; copy < args.size(); ++copy) {
    const auto* at = codes.as<const std::uint8_t>() + copy * weights;
    args[copy].plane_count = static_cast<int>(of.planes.size());
    for (std::size_t p = 0; p < of.planes.size(); ++p) {
      const Planes::One& plane = of.planes[p];
      DevicePlane& device = args[copy].planes[p];
      device.form = plane.form;
      device.operand.bits = plane.bits;
      device.operand.rows = r;
      device.operand.cols = c;
      device.operand.group = static_cast<std::uint64_t>(plane.group);
      device.operand.groups = c / static_cast<std::size_t>(plane.group);
      device.operand.row_bytes = c * static_cast<std::size_t>(plane.bits) / 8;
      device.operand.codes = at;
      at += CodeBytes(plane, r, c);
      device.operand.scales = at;
      at += 2 * r * device.operand.groups;
      if (plane.zeros) device.operand.zeros = at;
      if (plane.zeros) at += r * device.operand.groups;
      device.operand.linear_levels = !plane.table;
      if (plane.table) device.operand.levels = levels.as<const float>();
      device.operand.offset = plane.zeros ? 0 : 1 << (plane.bits - 1);
    }
    args[copy].x = x.as();
    args[copy].y = y.as<float>();
    args[copy].y_stride = rows;
    args[copy].rows = rows;
    args[copy].cols = cols;
    args[copy].tokens = tokens;
  }
  const double seconds = bench.Time([&](int i, void* s) {
    return launch_plane_product(&args[static_cast<std::size_t>(i % copies)], s);
  });
  const double moved = static_cast<double>(weights) + 2.0 * cols * tokens + 4.0 * rows * tokens;
  bench.Row(
      of.name,
      std::to_string(rows) + "x" + std::to_string(cols) + ", " + std::to_string(tokens) + " tokens",
      moved, 2.0 * rows * cols * tokens, seconds, bench.LibraryProduct(rows, cols, tokens));
}

// ---- exit, attention, layers ---------------------------------------------------------------

void BenchExit(Bench& bench, int rows) {
  const int cols = 4096, bottleneck = 128;
  const auto n = static_cast<std::size_t>(rows);
  const std::int64_t row_bytes = 2 * cols;
  const std::size_t bytes = n * static_cast<std::size_t>(row_bytes);
  const Array x(bytes), kept(bytes), exited(bytes), norm(2 * cols), down(2 * cols * bottleneck),
      up(4 * bottleneck), scores(4 * n), exits(4 * n), keep(4 * n), leave(4 * n), count(4),
      tiles(4 * CompactScratch(rows) + 4), scratch(NormRouteScratch(rows, bottleneck), 0);
  std::vector<std::int32_t> mask(n), places(n);
  for (std::size_t i = 0; i < n; ++i) {
    mask[i] = i % 3 == 0;
    places[i] = static_cast<std::int32_t>(n - 1 - i);
  }
  const Array spots(4 * n);
  const_cast<Array&>(exits).Put(mask);
  const_cast<Array&>(spots).Put(places);
  const NormRouteArgs route{.x = x.as(),
                            .norm = norm.as(),
                            .down = down.as(),
                            .up = up.as<float>(),
                            .scores = scores.as<float>(),
                            .scratch = scratch.as(),
                            .rows = rows,
                            .cols = cols,
                            .bottleneck = bottleneck};
  const CompactArgs compact{.x = x.as(),
                            .exits = exits.as<std::int32_t>(),
                            .kept = kept.as(),
                            .exited = exited.as(),
                            .keep_index = keep.as<std::int32_t>(),
                            .exit_index = leave.as<std::int32_t>(),
                            .keep_count = count.as<std::int32_t>(),
                            .scratch = tiles.as<std::int32_t>(),
                            .rows = rows,
                            .row_bytes = row_bytes};
  const ScatterArgs scatter{.exited = x.as(),
                            .places = spots.as<std::int32_t>(),
                            .out = kept.as(),
                            .rows = rows,
                            .out_rows = rows,
                            .row_bytes = row_bytes};
  const ProjectionArgs project{.exited = x.as(),
                               .norm = norm.as(),
                               .places = spots.as<std::int32_t>(),
                               .out = kept.as(),
                               .rows = rows,
                               .out_rows = rows,
                               .cols = cols};
  const std::string shape = std::to_string(rows) + "x4096 bf16";
  const auto size = static_cast<double>(bytes);
  bench.Row("exit norm_route", shape, size, 2.0 * rows * cols * bottleneck,
            bench.Time([&](int, void* s) { return launch_norm_route(&route, s); }));
  bench.Row("exit batch_compact", shape, 2 * size, 0,
            bench.Time([&](int, void* s) { return launch_batch_compact(&compact, s); }));
  bench.Row("exit scatter", shape, 2 * size, 0,
            bench.Time([&](int, void* s) { return launch_exit_scatter(&scatter, s); }));
  bench.Row("exit projection", shape, 2 * size, 0,
            bench.Time([&](int, void* s) { return launch_exit_projection(&project, s); }));
}

void BenchAttend(Bench& bench, PageForm form, const char* name, int rows, int context) {
  const int heads = 32, kv_heads = 8, dim = 128, pages_of_row = context / 64;
  const auto page_bytes = static_cast<std::size_t>(kv_heads) * PageHeadBytes(form, dim);
  const auto pages = static_cast<std::size_t>(rows * pages_of_row);
  const Array memory(page_bytes * pages),
      open(static_cast<std::size_t>(kv_heads) * PageHeadBytes(PageForm::kF16, dim)),
      q(4ull * static_cast<std::size_t>(rows * heads * dim)), out(q.bytes());
  Array table(8 * pages), opens(8 * pages), firsts(4ull * static_cast<std::size_t>(rows)),
      begins(firsts.bytes(), 0), ends(firsts.bytes());
  std::vector<const void*> addresses;
  for (std::size_t p = 0; p < pages; ++p) addresses.push_back(memory.as<char>() + p * page_bytes);
  std::vector<std::int32_t> first, end;
  for (int r = 0; r < rows; ++r) {
    first.push_back(r * pages_of_row);
    end.push_back(context);
  }
  table.Put(addresses);
  opens.Put(std::vector<const void*>(pages, open.as()));
  firsts.Put(first);
  ends.Put(end);
  const int splits = std::clamp(4 * bench.info().processors / (rows * kv_heads), 1, kMostSplits);
  const Array scratch(AttendScratch(rows, heads, dim, splits) + 4);
  const AttendArgs args{.q = q.as<float>(),
                        .out = out.as<float>(),
                        .pages = table.as<const void*>(),
                        .open_pages = opens.as<const void*>(),
                        .first_pages = firsts.as<std::int32_t>(),
                        .begins = begins.as<std::int32_t>(),
                        .ends = ends.as<std::int32_t>(),
                        .scratch = scratch.as(),
                        .rows = rows,
                        .heads = heads,
                        .kv_heads = kv_heads,
                        .head_dim = dim,
                        .splits = splits,
                        .scale = 0.09f,
                        .form = form};
  bench.Row(std::string("attend ") + name,
            std::to_string(rows) + " rows, context " + std::to_string(context),
            static_cast<double>(memory.bytes()), 4.0 * rows * heads * dim * context,
            bench.Time([&](int, void* s) { return launch_attend(&args, s); }));
}

void BenchLayer(Bench& bench, int rows) {
  const int cols = 4096;
  const auto count = static_cast<std::size_t>(rows) * cols;
  const Array x(4 * count), y(4 * count), weight(4 * cols), signs(4 * cols), matrix(4);
  const NormArgs norm{
      .x = x.as<float>(), .weight = weight.as<float>(), .y = y.as(), .rows = rows, .cols = cols};
  const PointwiseArgs gate{.x = x.as<float>(),
                           .other = x.as<float>(),
                           .y = y.as(),
                           .count = static_cast<std::int64_t>(count),
                           .op = Pointwise::kSilu};
  const HadamardArgs turn{.x = x.as<float>(),
                          .signs = signs.as<float>(),
                          .matrix = matrix.as<float>(),
                          .y = y.as(),
                          .rows = rows,
                          .cols = cols,
                          .odd = 1,
                          .chunk = cols};
  const std::string shape = std::to_string(rows) + "x4096 f32";
  const double size = 4.0 * static_cast<double>(count);
  bench.Row("layer norm", shape, 2 * size, 0,
            bench.Time([&](int, void* s) { return launch_norm(&norm, s); }));
  bench.Row("layer gate", shape, 3 * size, 0,
            bench.Time([&](int, void* s) { return launch_pointwise(&gate, s); }));
  bench.Row("layer hadamard", shape, 2 * size, 0,
            bench.Time([&](int, void* s) { return launch_hadamard(&turn, s); }));
}

// A prompt's rows of one sequence, or a row of each of many; states of all of them in a row.
struct ScanTable {
  ScanTable(int rows, bool prompt, std::size_t floats)
      : states(4 * floats * static_cast<std::size_t>(prompt ? 1 : rows)),
        pointers(sizeof(float*) * static_cast<std::size_t>(rows)),
        begins(4 * static_cast<std::size_t>(rows + 1)),
        runs(prompt ? 1 : rows) {
    std::vector<float*> at;
    std::vector<std::int32_t> first = {0};
    for (int i = 0; i < runs; ++i) {
      at.push_back(states.as<float>() + static_cast<std::size_t>(i) * floats);
      first.push_back(prompt ? rows : i + 1);
    }
    pointers.Put(at);
    begins.Put(first);
  }
  ScanRuns Runs() const { return {pointers.as<float*>(), begins.as<std::int32_t>(), 0, runs}; }
  Array states, pointers, begins;
  int runs;
};

// FalconMamba-7B's, Mamba-2's of 2.7B and RWKV-7's of 7B.
void BenchScan(Bench& bench, int rows, bool prompt) {
  const std::string shape = std::to_string(rows) + (prompt ? " rows of one" : " sequences");
  const auto n = static_cast<std::size_t>(rows);
  const std::size_t inner = 8192, kept = 16;
  const Array x(4 * n * inner), y(4 * n * inner), constants(4 * inner * kept);
  const auto* in = x.as<const float>();
  const auto* constant = constants.as<const float>();
  const ScanTable mamba(rows, prompt, inner * kept);
  const SelectiveScanArgs selective{.x = in,
                                    .step = in,
                                    .a = constant,
                                    .skip = constant,
                                    .b = in,
                                    .c = in,
                                    .y = y.as<float>(),
                                    .runs = mamba.Runs(),
                                    .inner = static_cast<int>(inner),
                                    .states = static_cast<int>(kept)};
  const auto bytes = [&](const ScanTable& table, std::size_t activations) {
    return 2.0 * static_cast<double>(table.states.bytes()) +
           4.0 * static_cast<double>(n * activations);
  };
  bench.Row("scan Mamba 8192 x 16", shape, bytes(mamba, 3 * inner), 0,
            bench.Time([&](int, void* s) { return launch_selective_scan(&selective, s); }));
  const ScanTable mamba2(rows, prompt, 5120 * 128);
  const LinearScanArgs linear{.x = in,
                              .b = in,
                              .c = in,
                              .steps = in,
                              .step_bias = constant,
                              .a = constant,
                              .skips = constant,
                              .y = y.as<float>(),
                              .runs = mamba2.Runs(),
                              .x_stride = 5376,
                              .b_stride = 5376,
                              .c_stride = 5376,
                              .heads = 80,
                              .groups = 1,
                              .dim = 64,
                              .states = 128,
                              .high = 1};
  bench.Row("scan Mamba-2 80 x 64 x 128", shape, bytes(mamba2, 2 * 5120), 0,
            bench.Time([&](int, void* s) { return launch_linear_scan(&linear, s); }));
  const ScanTable rwkv(rows, prompt, 64 * 64 * 64);
  const RwkvScanArgs seven{.receptance = in,
                           .key = in,
                           .value = in,
                           .decay = in,
                           .rate = in,
                           .key_scale = constant,
                           .key_rate = constant,
                           .y = y.as<float>(),
                           .runs = rwkv.Runs(),
                           .heads = 64,
                           .dim = 64,
                           .by_token = 1};
  bench.Row("scan RWKV-7 64 x 64 x 64", shape, bytes(rwkv, 6 * 4096), 0,
            bench.Time([&](int, void* s) { return launch_rwkv_scan(&seven, s); }));
}

void BenchSample(Bench& bench, int rows) {
  const int vocab = 128256;
  const auto count = static_cast<std::size_t>(rows) * vocab;
  Array logits(4 * count), draws(sizeof(RowDraw) * static_cast<std::size_t>(rows));
  std::vector<float> values(count);
  std::uint32_t random = 1;
  for (float& v : values)
    v = static_cast<float>((random = random * 1664525u + 1013904223u) >> 8) * 0x1p-21f;
  logits.Put(values);
  const Array weights(8 * count), ids(4 * static_cast<std::size_t>(rows));
  SampleArgs args{.logits = logits.as<const float>(),
                  .draws = draws.as<const RowDraw>(),
                  .weights = weights.as<double>(),
                  .ids = ids.as<std::int32_t>(),
                  .rows = rows,
                  .vocab = vocab,
                  .temperature = 0};
  const std::string shape = std::to_string(rows) + " of 128256";
  const auto time = [&](const char* name) {
    bench.Row(name, shape, 4.0 * static_cast<double>(count), 0,
              bench.Time([&](int, void* s) { return launch_sample(&args, s); }));
  };
  time("sample greedy");
  args.temperature = 0.8;
  time("sample temperature");
  args.top_k = 40;
  args.top_p = 0.9;
  time("sample top-k, top-p");
}

// Chunks of 4 MiB of 16 symbols that occur alike: a stream of any words is one, so nobody encodes.
void BenchEntropy(Bench& bench, int chunks) {
  constexpr std::uint32_t kOut = 4 << 20;
  std::vector<std::uint8_t> stored = {4, 0x82, 0x80, 0x80, 0};          // form, 2 << 21 as a varint
  stored.insert(stored.end(), {120, 121, 14, 0});                       // symbols 120 ... 135
  for (int s = 0; s < 16; ++s) stored.insert(stored.end(), {0x82, 0});  // 256 of 4096 each
  const std::size_t head = stored.size();
  stored.resize(head + 4 * 32 + kOut * 9 / 16);
  std::uint32_t random = 1;
  for (std::size_t i = head; i < stored.size(); ++i)
    stored[i] = static_cast<std::uint8_t>((random = random * 1664525u + 1013904223u) >> 24);
  for (std::size_t i = 0; i < 32; ++i) {  // states of at least 2^15
    stored[head + 4 * i + 2] = static_cast<std::uint8_t>(stored[head + 4 * i + 2] | 1);
    stored[head + 4 * i + 3] &= 0x7f;
  }
  const auto n = static_cast<std::size_t>(chunks);
  const std::size_t stride = (stored.size() + 255) / 256 * 256;
  const Array in(stride * n), out(std::size_t{kOut} * n), faults(4 * n);
  Array list(sizeof(RansChunk) * n);
  std::vector<RansChunk> all;
  for (std::size_t i = 0; i < n; ++i) {
    Must(cudaMemcpy(in.as<char>() + i * stride, stored.data(), stored.size(),
                    cudaMemcpyHostToDevice),
         "copy");
    all.push_back({in.as<std::uint8_t>() + i * stride, out.as<std::uint8_t>() + i * kOut,
                   static_cast<std::uint32_t>(stored.size()), kOut});
  }
  list.Put(all);
  const RansArgs args{list.as<RansChunk>(), faults.as<std::int32_t>(), chunks};
  const double seconds = bench.Time([&](int, void* s) { return launch_rans_chunks(&args, s); });
  std::vector<std::int32_t> found(n);
  Must(cudaMemcpy(found.data(), faults.as(), 4 * n, cudaMemcpyDeviceToHost), "copy");
  if (std::ranges::any_of(found, [](std::int32_t fault) { return fault != 0; }))
    Must(kBadArguments, "the bench's own chunks");
  const double weights = static_cast<double>(kOut) * chunks;
  bench.Row("entropy rans_chunks",
            std::to_string(chunks) + " of 4 MiB, " +
                std::to_string(static_cast<int>(weights / seconds / 1e9)) + " G weights/s",
            1.5 * weights, 0, seconds);
}

}  // namespace

int main(int argc, char** argv) {
  std::string filter;
  int device = 0, devices = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--filter") == 0) filter = argv[i + 1];
    if (std::strcmp(argv[i], "--device") == 0) device = std::atoi(argv[i + 1]);
  }
  Must(CountDevices(&devices), "no GPU");
  Must(UseDevice(device), "device");
  Bench bench(filter, device);
  bench.Measure();
  // Of models of 1B, 8B and 70B.
  constexpr int kShapes[][2] = {{2048, 2048},  {8192, 2048},  {4096, 4096}, {4096, 11008},
                                {14336, 4096}, {28672, 8192}, {8192, 28672}};
  for (const Planes& planes : kPlanes)
    if (bench.Wants(planes.name))
      for (const auto& [rows, cols] : kShapes)
        for (const int tokens : {1, 16, 32, 64, 256})
          BenchPlanes(bench, planes, rows, cols, tokens);
  if (bench.Wants("exit"))
    for (const int rows : {1, 32, 128, 1024, 8192, 32768}) BenchExit(bench, rows);
  if (bench.Wants("attend"))
    for (const auto& [form, name] :
         {std::pair{PageForm::kF16, "f16"}, {PageForm::kInt8, "int8"}, {PageForm::kInt4, "int4"}})
      for (const auto& [rows, context] : {std::pair{1, 4096}, {1, 32768}, {16, 4096}})
        BenchAttend(bench, form, name, rows, context);
  if (bench.Wants("entropy"))
    for (const int chunks : {64, 256, 1024}) BenchEntropy(bench, chunks);
  if (bench.Wants("layer"))
    for (const int rows : {1, 128, 8192}) BenchLayer(bench, rows);
  if (bench.Wants("sample"))
    for (const int rows : {1, 32}) BenchSample(bench, rows);
  if (bench.Wants("scan")) {
    for (const int rows : {1, 32, 256}) BenchScan(bench, rows, false);
    BenchScan(bench, 512, true);
  }
}
