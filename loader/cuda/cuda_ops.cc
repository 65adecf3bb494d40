#include "loader/cuda/cuda_ops.h"

#include <algorithm>
#include <utility>

#include "base/float_formats.h"
#include "loader/cpu/routes.h"
#include "loader/cuda/device.h"
#include "model/forward/position_terms.h"

namespace ingot::cuda {
namespace {

// Pages that a part of a row's positions should have at least.
constexpr std::uint64_t kPagesOfSplit = 8;

}  // namespace

Pointwise PointwiseOf(model::Activation activation) {
  switch (activation) {
    case model::Activation::kSilu:
      return Pointwise::kSilu;
    case model::Activation::kGelu:
      return Pointwise::kGelu;
    case model::Activation::kGeluTanh:
      return Pointwise::kGeluTanh;
    case model::Activation::kRelu:
      return Pointwise::kRelu;
    case model::Activation::kSquaredRelu:
      return Pointwise::kSquaredRelu;
    case model::Activation::kSigmoid:
      return Pointwise::kSigmoid;
    case model::Activation::kTanh:
      return Pointwise::kTanh;
    case model::Activation::kIdentity:
      break;
  }
  return Pointwise::kIdentity;
}

CudaOps::CudaOps(const model::Architecture& architecture, const loader::BoundWeights& bound,
                 DeviceWeights& weights, const PageLayout& layout, const StateLayout& states,
                 const std::vector<DeviceSequence*>& sequences, DevicePool& pool, void* stream,
                 bool exact)
    : architecture_(&architecture),
      bound_(&bound),
      weights_(&weights),
      tables_(architecture, layout, states, sequences, pool, stream),
      page_form_(layout.form),
      pool_(&pool),
      stream_(stream),
      exact_(exact) {}

void CudaOps::Fail(Status status) {
  if (status_.ok()) status_ = std::move(status);
}

void CudaOps::Ran(int error, const char* what) {
  if (error != 0)
    Fail(IoError(std::string("the device, ") + what + ": " + ErrorText(error, stream_)));
}

template <class T>
T CudaOps::Or(Result<T> result) {
  if (result.ok()) return *std::move(result);
  Fail(result.status());
  return T{};
}

CudaOps::Tensor CudaOps::Make(std::size_t rows, std::size_t cols) {
  return {Or(pool_->Make(rows * cols * sizeof(float))), rows, cols};
}

DeviceBlock CudaOps::Upload(const void* from, std::size_t bytes) {
  return Or(pool_->Upload(from, bytes));
}

void CudaOps::Begin(const model::Batch& batch) {
  if (!records_) Fail(tables_.Place(batch));
}

void CudaOps::BeginRecording() {
  records_ = true;
  Ran(cuda::BeginRecording(stream_), "recording a step");
}

void* CudaOps::EndRecording() {
  void* graph = nullptr;
  Ran(cuda::EndRecording(stream_, &graph), "recording a step");
  records_ = false;
  first_value_ = {};
  return graph;
}

CudaOps::Form CudaOps::form() const {
  return {tables_.rows(), tables_.page_room(), static_cast<std::uint64_t>(MostSplits()),
          tables_.version()};
}

// What Begin has placed of what RunEmbedding asks for, else null.
const std::int32_t* CudaOps::PlacedIds(const std::string& table,
                                       std::span<const std::int32_t> ids) const {
  if (ids.size() != tables_.rows()) return nullptr;
  if (&table == &architecture_->embedding) return tables_.ids();
  if (&table == &architecture_->position_embedding) return tables_.positions();
  return &table == &architecture_->segment_embedding ? tables_.segments() : nullptr;
}

CudaOps::Tensor CudaOps::Embed(const std::string& table, std::span<const std::int32_t> ids) {
  const DeviceMatrix& matrix = weights_->Of(bound_->Table(table));
  Tensor out = Make(ids.size(), static_cast<std::size_t>(matrix.cols));
  const std::int32_t* placed = PlacedIds(table, ids);
  DeviceBlock uploaded;
  if (placed == nullptr) uploaded = Upload(ids.data(), ids.size_bytes());
  if (!status_.ok()) return out;
  PlaneRowsArgs args;
  std::ranges::copy(matrix.planes, args.planes);
  args.plane_count = static_cast<int>(matrix.planes.size());
  args.ids = placed != nullptr ? placed : uploaded.as<const std::int32_t>();
  args.out = out.data();
  args.rows = matrix.rows;
  args.cols = matrix.cols;
  args.count = static_cast<int>(ids.size());
  Ran(launch_plane_rows(&args, stream_), "embedding");
  return out;
}

CudaOps::Tensor CudaOps::NormTo(const model::NormSpec& norm, const float* x, std::size_t rows,
                                std::size_t cols, Tensor y) {
  const loader::BoundWeights::Norm& bound = bound_->Of(norm);
  const float* weight = Or(weights_->Vector(bound.weight, bound.parts * cols));
  const bool mean = norm.kind != model::NormKind::kRms;
  const float* bias = mean ? Or(weights_->Vector(bound.bias, cols)) : nullptr;
  if (!status_.ok()) return y;
  if (bias != nullptr && bound.parts > 1) {
    Fail(Unsupported("a norm with a bias and a weight for each head, on a GPU"));
    return y;
  }
  const NormArgs args{.x = x,
                      .weight = weight,
                      .bias = bias,
                      .y = y.data(),
                      .rows = static_cast<int>(rows),
                      .cols = static_cast<int>(cols),
                      .weight_rows = static_cast<int>(bound.parts),
                      .eps = static_cast<float>(norm.eps),
                      .offset = static_cast<float>(norm.weight_offset),
                      .subtracts_mean = mean};
  Ran(launch_norm(&args, stream_), "norm");
  return y;
}

CudaOps::Tensor CudaOps::Norm(const model::NormSpec& norm, const Tensor& x) {
  return NormTo(norm, x.data(), x.rows(), x.cols(), Make(x.rows(), x.cols()));
}

CudaOps::Tensor CudaOps::HeadNorm(const model::NormSpec& norm, Tensor x, std::size_t heads) {
  const float* from = x.data();
  const std::size_t rows = x.rows() * heads, cols = x.cols() / heads;
  return NormTo(norm, from, rows, cols, std::move(x));
}

CudaOps::Tensor CudaOps::NormParts(const model::NormSpec& norm, Tensor x, std::size_t parts) {
  const loader::BoundWeights::Norm& bound = bound_->Of(norm);
  const bool mean = norm.kind != model::NormKind::kRms;
  const float* weight = Or(weights_->Vector(bound.weight, x.cols()));
  const float* bias = mean ? Or(weights_->Vector(bound.bias, x.cols())) : nullptr;
  if (!status_.ok()) return x;
  const NormArgs args{.x = x.data(),
                      .weight = weight,
                      .bias = bias,
                      .y = x.data(),
                      .rows = static_cast<int>(x.rows() * parts),
                      .cols = static_cast<int>(x.cols() / parts),
                      .weight_rows = static_cast<int>(parts),
                      .eps = static_cast<float>(norm.eps),
                      .offset = static_cast<float>(norm.weight_offset),
                      .subtracts_mean = mean};
  Ran(launch_norm(&args, stream_), "norm");
  return x;
}

CudaOps::Tensor CudaOps::Turned(const DeviceMatrix& matrix, const Tensor& x) {
  Tensor turned;
  for (const DeviceTransform* transform : matrix.transforms) {
    const float* from = turned.data() == nullptr ? x.data() : turned.data();
    Tensor to = Make(x.rows(), x.cols());
    if (!status_.ok()) return turned;
    const int rows = static_cast<int>(x.rows()), cols = static_cast<int>(x.cols());
    if (transform->odd == 0) {
      const PointwiseArgs args{.x = from,
                               .other = transform->scales.as<const float>(),
                               .y = to.data(),
                               .count = static_cast<std::int64_t>(x.size()),
                               .cols = cols,
                               .op = Pointwise::kTimesRow};
      Ran(launch_pointwise(&args, stream_), "channel scales");
    } else {
      const HadamardArgs args{.x = from,
                              .signs = transform->signs.as<const float>(),
                              .matrix = transform->matrix.as<const float>(),
                              .y = to.data(),
                              .rows = rows,
                              .cols = cols,
                              .odd = transform->odd,
                              .chunk = transform->chunk};
      Ran(launch_hadamard(&args, stream_), "rotation of inputs");
    }
    turned = std::move(to);
  }
  return turned;
}

CudaOps::Tensor CudaOps::Rounded(const Tensor& x) {
  Tensor rounded = Make(x.rows(), (x.cols() + 1) / 2);
  if (!status_.ok()) return rounded;
  const PointwiseArgs args{.x = x.data(),
                           .y = rounded.data(),
                           .count = static_cast<std::int64_t>(x.size()),
                           .type = FloatType::kBf16};
  Ran(launch_pointwise(&args, stream_), "rounding");
  return rounded;
}

std::vector<CudaOps::Tensor> CudaOps::Linear(std::initializer_list<const model::LinearRef*> refs,
                                             const Tensor& x) {
  return Products(refs, x, exact_);
}

std::vector<CudaOps::Tensor> CudaOps::ExactLinear(
    std::initializer_list<const model::LinearRef*> refs, const Tensor& x) {
  return Products(refs, x, true);
}

std::vector<CudaOps::Tensor> CudaOps::Products(std::initializer_list<const model::LinearRef*> refs,
                                               const Tensor& x, bool exact) {
  std::vector<Tensor> out;
  Tensor turned, rounded;  // of the matrix before: those that share inputs share transforms
  const DeviceMatrix* last = nullptr;
  for (const model::LinearRef* ref : refs) {
    const loader::BoundWeights::Linear& bound = bound_->Of(*ref);
    const DeviceMatrix& matrix = weights_->Of(*bound.matrix);
    if (last == nullptr || last->transforms != matrix.transforms) {
      turned = Turned(matrix, x);
      if (!exact) rounded = Rounded(matrix.transforms.empty() ? x : turned);
      last = &matrix;
    }
    out.push_back(Make(x.rows(), ref->rows));
    const float* bias = Or(weights_->Vector(bound.bias, ref->rows));
    if (!status_.ok()) continue;
    PlaneProductArgs args;
    std::ranges::copy(matrix.From(ref->row_begin), args.planes);
    args.plane_count = static_cast<int>(matrix.planes.size());
    args.x = !exact ? rounded.data() : matrix.transforms.empty() ? x.data() : turned.data();
    args.bias = bias;
    args.y = out.back().data();
    args.y_stride = static_cast<std::int64_t>(ref->rows);
    args.rows = static_cast<int>(ref->rows);
    args.cols = matrix.cols;
    args.tokens = static_cast<int>(x.rows());
    args.x_type = exact ? FloatType::kF32 : FloatType::kBf16;
    Ran(launch_plane_product(&args, stream_), "product");
  }
  return out;
}

CudaOps::Tensor CudaOps::Rope(std::size_t rope, std::size_t head_dim, Tensor x) {
  if (!status_.ok()) return x;
  const model::RopeSpec& spec = architecture_->ropes[rope];
  const RopeArgs args{.x = x.data(),
                      .table = tables_.rope(rope),
                      .rows = static_cast<int>(x.rows()),
                      .heads = static_cast<int>(x.cols() / head_dim),
                      .head_dim = static_cast<int>(head_dim),
                      .dims = static_cast<int>(spec.dims),
                      .interleaved = spec.interleaved};
  Ran(launch_rope(&args, stream_), "rotation");
  return x;
}

void CudaOps::WriteKeys(const model::AttentionSpec& spec, std::size_t layer, const Tensor& k,
                        const Tensor& v) {
  const WriteKeysArgs args{.keys = k.data(),
                           .values = v.data(),
                           .pages = tables_.row_pages(layer),
                           .slots = tables_.slots(),
                           .rows = static_cast<int>(k.rows()),
                           .kv_heads = static_cast<int>(spec.kv_heads),
                           .head_dim = static_cast<int>(spec.head_dim),
                           .form = page_form_};
  Ran(launch_write_keys(&args, stream_), "keys and values");
}

// Few rows leave a device idle unless their pages are cut. A row's bits follow the longest of its
// step, so exact products do not cut.
int CudaOps::MostSplits() const {
  const std::uint64_t pages = (tables_.longest() + kPageTokens - 1) / kPageTokens;
  return exact_
             ? 1
             : static_cast<int>(std::clamp<std::uint64_t>(pages / kPagesOfSplit, 1, kMostSplits));
}

int CudaOps::Splits(const model::AttentionSpec& spec) const {
  return tables_.rows() * spec.kv_heads > 128 ? 1 : MostSplits();
}

const float* CudaOps::SlopesOf(const model::AttentionSpec& spec) {
  const auto [slopes, fresh] = slopes_.try_emplace(&spec);
  if (!fresh) return slopes->second.as<const float>();
  std::vector<float> values;
  for (std::size_t h = 0; h < spec.heads; ++h) {
    const float slope = model::AlibiSlope(h, spec.heads);
    values.push_back(spec.alibi_bf16 ? FromBf16(ToBf16(slope))
                                     : slope * static_cast<float>(spec.alibi_scale));
  }
  slopes->second = Upload(values);
  return slopes->second.as<const float>();
}

CudaOps::Tensor CudaOps::Attention(const model::AttentionSpec& spec, std::size_t layer, Tensor q,
                                   const Tensor& k, const Tensor& v) {
  if (status_.ok()) WriteKeys(spec, layer, k, v);
  const float* slopes = spec.alibi && status_.ok() ? SlopesOf(spec) : nullptr;
  Tensor out = Make(q.rows(), q.cols());
  AttendArgs args{.q = q.data(),
                  .out = out.data(),
                  .pages = tables_.pages(layer),
                  .first_pages = tables_.first_pages(),
                  .begins = tables_.begins(spec),
                  .ends = tables_.ends(spec),
                  .slopes = slopes,
                  .rounded_alibi = spec.alibi_bf16 ? static_cast<float>(spec.alibi_scale) : 0.0f,
                  .rows = static_cast<int>(q.rows()),
                  .heads = static_cast<int>(spec.heads),
                  .kv_heads = static_cast<int>(spec.kv_heads),
                  .head_dim = static_cast<int>(spec.head_dim),
                  .splits = Splits(spec),
                  .scale = static_cast<float>(spec.scale),
                  .softcap = static_cast<float>(spec.softcap),
                  .form = page_form_};
  const DeviceBlock scratch =
      Or(pool_->Make(AttendScratch(args.rows, args.heads, args.head_dim, args.splits)));
  args.scratch = scratch.as();
  if (status_.ok()) Ran(launch_attend(&args, stream_), "attention");
  return out;
}

CudaOps::Tensor CudaOps::PointwiseInPlace(Pointwise op, Tensor x, const float* other, double number,
                                          std::size_t cols) {
  if (!status_.ok()) return x;
  const PointwiseArgs args{.x = x.data(),
                           .other = other,
                           .y = x.data(),
                           .count = static_cast<std::int64_t>(x.size()),
                           .cols = static_cast<int>(cols),
                           .number = static_cast<float>(number),
                           .op = op};
  Ran(launch_pointwise(&args, stream_), "pointwise arithmetic");
  return x;
}

CudaOps::Tensor CudaOps::Gate(model::Activation activation, Tensor gate, const Tensor& up) {
  return PointwiseInPlace(PointwiseOf(activation), std::move(gate), up.data(), 0);
}

CudaOps::Tensor CudaOps::Activate(model::Activation activation, Tensor x) {
  return PointwiseInPlace(PointwiseOf(activation), std::move(x), nullptr, 0);
}

CudaOps::Tensor CudaOps::Add(Tensor x, const Tensor& y, double scale) {
  return PointwiseInPlace(Pointwise::kAddScaled, std::move(x), y.data(), scale);
}

CudaOps::Tensor CudaOps::Scale(Tensor x, double factor) {
  return PointwiseInPlace(Pointwise::kScale, std::move(x), nullptr, factor);
}

CudaOps::Tensor CudaOps::Softcap(Tensor x, double cap) {
  return PointwiseInPlace(Pointwise::kSoftcap, std::move(x), nullptr, cap);
}

CudaOps::Tensor CudaOps::Clamp(Tensor x, double limit) {
  return PointwiseInPlace(Pointwise::kClamp, std::move(x), nullptr, limit);
}

CudaOps::Tensor CudaOps::GateRows(Tensor x, const Tensor& gate) {
  const std::size_t cols = x.cols();
  return PointwiseInPlace(Pointwise::kGateRow, std::move(x), gate.data(), 0, cols);
}

CudaOps::Tensor CudaOps::MoveRows(const Tensor& x, const std::vector<std::int32_t>& ids) {
  Tensor out = Make(ids.size(), x.cols());
  const DeviceBlock on_device = Upload(ids);
  if (!status_.ok()) return out;
  const RowsArgs args{.x = x.data(),
                      .ids = on_device.as<const std::int32_t>(),
                      .out = out.data(),
                      .count = static_cast<int>(ids.size()),
                      .cols = static_cast<int>(x.cols())};
  Ran(launch_rows(&args, stream_), "rows");
  return out;
}

CudaOps::Tensor CudaOps::Select(const Tensor& x, std::span<const std::uint32_t> rows) {
  if (!AreAll(rows, x.rows())) return MoveRows(x, {rows.begin(), rows.end()});
  Tensor out = Make(x.rows(), x.cols());
  if (status_.ok())
    Ran(CopyOnDevice(out.data(), x.data(), x.size() * sizeof(float), stream_), "rows");
  return out;
}

CudaOps::Routes CudaOps::Route(const Tensor& logits, std::size_t per_token, bool normalize) {
  std::vector<float> on_host(logits.size());
  if (Result<std::vector<float>> read = Read(logits); read.ok())
    on_host = *std::move(read);
  else
    Fail(read.status());
  return loader::RouteRows(on_host.data(), logits.rows(), logits.cols(), per_token, normalize);
}

CudaOps::Tensor CudaOps::TakeRows(const Tensor& x, const Routes& routes, std::size_t expert) {
  std::vector<std::int32_t> ids;
  for (const auto& row : routes.by_expert[expert])
    ids.push_back(static_cast<std::int32_t>(row.row));
  return MoveRows(x, ids);
}

CudaOps::Tensor CudaOps::AddRows(Tensor sum, const Tensor& y, const Routes& routes,
                                 std::size_t expert) {
  std::vector<std::int32_t> ids;
  std::vector<float> weights;
  for (const auto& row : routes.by_expert[expert]) {
    ids.push_back(static_cast<std::int32_t>(row.row));
    weights.push_back(row.weight);
  }
  const DeviceBlock on_device = Upload(ids), factors = Upload(weights);
  if (!status_.ok()) return sum;
  const RowsArgs args{.x = y.data(),
                      .ids = on_device.as<const std::int32_t>(),
                      .weights = factors.as<const float>(),
                      .out = sum.data(),
                      .count = static_cast<int>(ids.size()),
                      .cols = static_cast<int>(y.cols())};
  Ran(launch_rows(&args, stream_), "rows of experts");
  return sum;
}

CudaOps::Tensor CudaOps::ZerosLike(const Tensor& x) {
  Tensor out = Make(x.rows(), x.cols());
  if (status_.ok())
    Ran(FillBytes(out.data(), 0, out.size() * sizeof(float), stream_), "filling memory");
  return out;
}

CudaOps::Tensor CudaOps::Columns(const Tensor& x, const model::ColumnSlice& slice) {
  Tensor out = Make(x.rows(), slice.columns());
  if (!status_.ok()) return out;
  const SliceArgs args{.x = x.data(),
                       .out = out.data(),
                       .rows = static_cast<int>(x.rows()),
                       .cols = static_cast<int>(x.cols()),
                       .begin = static_cast<int>(slice.begin),
                       .width = static_cast<int>(slice.width),
                       .stride = static_cast<int>(slice.stride),
                       .pieces = static_cast<int>(slice.count)};
  Ran(launch_slice(&args, stream_), "columns");
  return out;
}

Result<std::vector<float>> CudaOps::Read(const Tensor& x) {
  INGOT_TRY(Status(status_));
  std::vector<float> values(x.size());
  Ran(CopyToHost(values.data(), x.data(), values.size() * sizeof(float), stream_),
      "reading results");
  INGOT_TRY(Status(status_));
  return values;
}

}  // namespace ingot::cuda
