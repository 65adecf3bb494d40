#include "loader/cuda/cuda_runner.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "loader/cuda/kernels/rwkv_launches.h"
#include "model/forward/position_terms.h"

namespace ingot::cuda {
namespace {

constexpr std::uint64_t kTokensOfPage = 64;
constexpr int kLeastMajor = 8;
constexpr std::size_t kMostGraphs = 64;
// Tensors of a layer that are alive together, in widths of the widest.
constexpr std::uint64_t kLiveTensors = 6;

std::uint64_t PagesOf(std::uint64_t positions) {
  return (positions + kTokensOfPage - 1) / kTokensOfPage;
}

// Whose rows embeddings ask for.
DeviceWeights::Tables TablesOf(const loader::Model& model) {
  const model::Architecture& architecture = model.architecture();
  DeviceWeights::Tables tables;
  for (const std::string* name :
       {&architecture.embedding, &architecture.position_embedding, &architecture.segment_embedding})
    if (!name->empty()) tables.insert(&model.bound().Table(*name));
  return tables;
}

// What of the model has no kernels yet.
Status CheckModel(const model::Architecture& architecture) {
  for (std::size_t i = 0; i < architecture.layers.size(); ++i) {
    const model::LayerSpec& layer = architecture.layers[i];
    const std::string place = "layer " + std::to_string(i) + " on a GPU: ";
    if (layer.mixer == model::MixerKind::kRwkv &&
        layer.rwkv.head_dim > static_cast<std::uint64_t>(kMostRwkvDim))
      return Unsupported(place + "heads of " + std::to_string(layer.rwkv.head_dim) +
                         " in RWKV's state, at most " + std::to_string(kMostRwkvDim));
    if (layer.attention.head_dim > static_cast<std::uint64_t>(kMostHeadDim))
      return Unsupported(place + "heads of " + std::to_string(layer.attention.head_dim) +
                         ", at most " + std::to_string(kMostHeadDim));
  }
  return OkStatus();
}

Status CheckMemory(const loader::Model& model, const CudaOptions& options, const DeviceInfo& info) {
  const DeviceNeed need = NeedOf(model, options);
  if (need.total() <= info.free_bytes) return OkStatus();
  const std::uint64_t rest = need.weights + need.states + need.activations;
  const std::uint64_t page =
      need.pages / (PagesOf(options.context) * static_cast<std::uint64_t>(options.sequences));
  std::string fits = "the weights alone do not fit";
  if (rest < info.free_bytes && page > 0)
    fits = "a context of " +
           std::to_string((info.free_bytes - rest) / page /
                          static_cast<std::uint64_t>(options.sequences) * kTokensOfPage) +
           " would fit";
  return LimitExceeded(info.name + ": " + std::to_string(need.total() >> 20) +
                       " MiB are needed (weights " + std::to_string(need.weights >> 20) +
                       ", keys and values " + std::to_string(need.pages >> 20) + ", states " +
                       std::to_string(need.states >> 20) + "), " +
                       std::to_string(info.free_bytes >> 20) + " MiB are free: " + fits);
}

}  // namespace

Result<int> ParseCudaDevice(std::string_view name) {
  int device = 0;
  if (name == "cuda") return device;
  const std::string_view number = name.substr(0, 5) == "cuda:" ? name.substr(5) : "";
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), device);
  if (number.empty() || error != std::errc() || end != number.data() + number.size() || device < 0)
    return InvalidArgument("device '" + std::string(name) + "': cuda or cuda:N expected");
  return device;
}

Result<DeviceInfo> CheckDevice(int device) {
  int count = 0;
  if (const int error = CountDevices(&count); error != 0)
    return NotFound("no GPU answers: " + ErrorText(error, nullptr));
  if (device >= count)
    return NotFound("there is no GPU " + std::to_string(device) + ": this machine has " +
                    std::to_string(count));
  DeviceInfo info;
  if (const int error = DescribeDevice(device, &info); error != 0)
    return NotFound("GPU " + std::to_string(device) + ": " + ErrorText(error, nullptr));
  if (info.major < kLeastMajor)
    return Unsupported(info.name + " has compute capability " + std::to_string(info.major) + "." +
                       std::to_string(info.minor) + ", 8.0 or more is needed");
  return info;
}

DeviceNeed NeedOf(const loader::Model& model, const CudaOptions& options) {
  const model::Architecture& architecture = model.architecture();
  std::uint64_t widest = std::max(architecture.hidden_size, architecture.vocab_size);
  model.weights().ForEach([&](const loader::ResidentMatrix& matrix) {
    if (matrix.rows != architecture.vocab_size) widest = std::max(widest, matrix.rows);
  });
  DeviceNeed need;
  need.weights = DeviceWeights::BytesOf(model.weights(), TablesOf(model));
  need.pages = PagesOf(options.context) * static_cast<std::uint64_t>(options.sequences) *
               PageLayout(architecture, options.exact ? PageForm::kF32 : PageForm::kF16).bytes;
  need.states = StateLayout(architecture).bytes() * static_cast<std::uint64_t>(options.sequences);
  need.activations = kLiveTensors * options.rows * widest * sizeof(float);
  return need;
}

Result<std::unique_ptr<CudaRunner>> CudaRunner::Make(std::shared_ptr<const loader::Model> model,
                                                     const CudaOptions& options) {
  INGOT_ASSIGN(const DeviceInfo info, CheckDevice(options.device));
  INGOT_TRY(CheckModel(model->architecture()).At(model->source()));
  INGOT_TRY(model->weights().ReadAll().At(model->source()));
  INGOT_TRY(CheckMemory(*model, options, info).At(model->source()));
  void* stream = nullptr;
  int error = UseDevice(options.device);
  if (error == 0) error = OpenStream(&stream);
  if (error != 0) return IoError(info.name + ": " + ErrorText(error, nullptr));
  std::unique_ptr<CudaRunner> runner(new CudaRunner(std::move(model), options, stream));
  INGOT_ASSIGN(runner->weights_, DeviceWeights::Make(runner->model_->weights(),
                                                     TablesOf(*runner->model_), runner->pool_));
  runner->ops_ = std::make_unique<CudaOps>(runner->model_->architecture(), runner->model_->bound(),
                                           *runner->weights_, runner->layout_, runner->states_,
                                           runner->open_, runner->pool_, stream, options.exact);
  return runner;
}

CudaRunner::CudaRunner(std::shared_ptr<const loader::Model> model, const CudaOptions& options,
                       void* stream)
    : model_(std::move(model)),
      options_(options),
      stream_(stream, &CloseStream),
      pool_(stream),
      layout_(model_->architecture(), options.exact ? PageForm::kF32 : PageForm::kF16),
      states_(model_->architecture()) {}

CudaRunner::~CudaRunner() { WaitStream(stream_.get()); }

std::uint64_t CudaRunner::context() const {
  return std::min(options_.context, model_->bound().position_limit());
}

std::uint32_t CudaRunner::Open() {
  const auto free = std::find(open_.begin(), open_.end(), nullptr);
  const auto number = static_cast<std::uint32_t>(free - open_.begin());
  if (free == open_.end()) {
    open_.push_back(nullptr);
    sequences_.emplace_back();
  }
  sequences_[number] = std::make_unique<DeviceSequence>();
  open_[number] = sequences_[number].get();
  return number;
}

void CudaRunner::Close(std::uint32_t sequence) {
  open_[sequence] = nullptr;
  sequences_[sequence].reset();
}

Status CudaRunner::Check(const model::Batch& batch, std::span<const std::uint32_t> wanted) const {
  if (batch.ids.empty() || batch.ids.size() != batch.rows.size())
    return InvalidArgument(std::to_string(batch.ids.size()) + " tokens have " +
                           std::to_string(batch.rows.size()) + " rows");
  if (batch.ids.size() > options_.rows)
    return LimitExceeded(std::to_string(batch.ids.size()) + " rows of a step, at most " +
                         std::to_string(options_.rows));
  std::vector<std::uint64_t> next(open_.size(), 0);
  for (std::size_t i = 0; i < batch.rows.size(); ++i) {
    const model::Row& row = batch.rows[i];
    const std::string at = "row " + std::to_string(i) + ": ";
    if (row.sequence >= open_.size() || open_[row.sequence] == nullptr)
      return InvalidArgument(at + "there is no sequence " + std::to_string(row.sequence));
    if (row.planes != model::kAllPlanes || row.delta != model::kNoDelta)
      return Unsupported(at + "fewer planes or a delta, on a GPU");
    if (batch.ids[i] < 0 ||
        static_cast<std::uint64_t>(batch.ids[i]) >= model_->architecture().vocab_size)
      return InvalidArgument(at + "token id " + std::to_string(batch.ids[i]) +
                             " is outside the vocabulary");
    if (i > 0 && row.sequence != batch.rows[i - 1].sequence && next[row.sequence] > 0)
      return InvalidArgument(at + "the rows of sequence " + std::to_string(row.sequence) +
                             " must stand together");
    const std::uint64_t wanted_position = open_[row.sequence]->ids.size() + next[row.sequence]++;
    if (row.position < 0 || static_cast<std::uint64_t>(row.position) != wanted_position)
      return InvalidArgument(at + "position " + std::to_string(row.position) + ", " +
                             std::to_string(wanted_position) + " follows");
    if (wanted_position >= context())
      return LimitExceeded(at + "a context of " + std::to_string(context()) + " positions is full");
    if (model_->architecture().masked && !open_[row.sequence]->ids.empty())
      return InvalidArgument(at + "an encoder runs a sequence as a whole");
  }
  for (const std::uint32_t row : wanted)
    if (row >= batch.rows.size())
      return InvalidArgument("row " + std::to_string(row) + " is wanted of " +
                             std::to_string(batch.rows.size()));
  return OkStatus();
}

void CudaRunner::Expect(std::uint32_t sequence, std::uint64_t length) {
  open_[sequence]->coming_length = length;
}

bool CudaRunner::CrossesLongRope(std::uint64_t from, std::uint64_t to) const {
  return std::ranges::any_of(model_->architecture().ropes, [&](const model::RopeSpec& rope) {
    return model::UsesLongFrequencies(rope, to) && !model::UsesLongFrequencies(rope, from);
  });
}

Status CudaRunner::ClearStates(DeviceSequence& sequence) {
  if (states_.bytes() == 0) return OkStatus();
  if (sequence.states.bytes() == 0) {
    INGOT_ASSIGN(sequence.states, pool_.Make(states_.bytes()));
  }
  const int error = FillBytes(sequence.states.as(), 0, states_.bytes(), stream_.get());
  if (error != 0) return IoError("the states of a sequence: " + ErrorText(error, stream_.get()));
  return OkStatus();
}

// Under the long frequencies the keys of all positions must be computed again.
Status CudaRunner::RunAgain(std::uint32_t number) {
  DeviceSequence& sequence = *open_[number];
  INGOT_TRY(ClearStates(sequence));
  const std::span<const std::int32_t> ids = sequence.ids;
  for (std::size_t begin = 0; begin < ids.size() && ops_->status().ok(); begin += options_.rows) {
    const std::size_t count = std::min<std::size_t>(options_.rows, ids.size() - begin);
    std::vector<model::Row> rows(count);
    for (std::size_t i = 0; i < count; ++i)
      rows[i] = {number, static_cast<std::int32_t>(begin + i)};
    model::RunLayers(*ops_, model_->architecture(), {ids.subspan(begin, count), rows});
  }
  return Status(ops_->status());
}

Status CudaRunner::MakeRoom(std::uint32_t number, std::uint64_t length) {
  DeviceSequence& sequence = *open_[number];
  while (layout_.bytes > 0 && sequence.pages.size() < PagesOf(length)) {
    INGOT_ASSIGN(DeviceBlock page, pool_.Make(layout_.bytes));
    sequence.pages.push_back(std::move(page));
  }
  if (sequence.ids.empty()) INGOT_TRY(ClearStates(sequence));
  const std::uint64_t before = sequence.expected_length;
  sequence.expected_length = std::max({before, length, sequence.coming_length});
  if (!sequence.ids.empty() && CrossesLongRope(before, sequence.expected_length))
    return RunAgain(number);
  return OkStatus();
}

Status CudaRunner::MakeRoom(const model::Batch& batch) {
  for (std::size_t i = 0; i < batch.rows.size(); ++i) {
    const model::Row& row = batch.rows[i];
    if (i + 1 == batch.rows.size() || batch.rows[i + 1].sequence != row.sequence)
      INGOT_TRY(MakeRoom(row.sequence, static_cast<std::uint64_t>(row.position) + 1));
  }
  return OkStatus();
}

// A row of each of its sequences, all wanted, and nothing that the host decides in the middle.
bool CudaRunner::CanReplay(const model::Batch& batch, std::span<const std::uint32_t> wanted) const {
  const auto mixes = [](const model::LayerSpec& layer) {
    return layer.mlp.kind == model::MlpKind::kMoe;
  };
  if (!options_.graphs || std::ranges::any_of(model_->architecture().layers, mixes)) return false;
  for (std::size_t i = 1; i < batch.rows.size(); ++i)
    if (batch.rows[i].sequence == batch.rows[i - 1].sequence) return false;
  return AreAll(wanted, batch.rows.size());
}

Status CudaRunner::Record(const model::Batch& batch, std::span<const std::uint32_t> wanted,
                          Graph& graph) {
  pool_.BeginKeeping();
  ops_->BeginRecording();
  graph.logits = model::Forward(model_->architecture(), *ops_, batch, wanted);
  graph.recorded.reset(ops_->EndRecording());
  graph.memory = pool_.EndKeeping();
  return Status(ops_->status());
}

Result<const DeviceTensor*> CudaRunner::Replay(const model::Batch& batch,
                                               std::span<const std::uint32_t> wanted) {
  ops_->Begin(batch);
  INGOT_TRY(Status(ops_->status()));
  const CudaOps::Form form = ops_->form();
  std::erase_if(graphs_, [&](const auto& graph) { return graph.first.back() != form.back(); });
  if (graphs_.size() >= kMostGraphs && !graphs_.contains(form)) graphs_.clear();
  const auto [it, first] = graphs_.try_emplace(form);
  Graph& graph = it->second;
  if (first) {
    logits_ = model::Forward(model_->architecture(), *ops_, batch, wanted);
    INGOT_TRY(Status(ops_->status()));
    return &logits_;
  }
  if (graph.recorded == nullptr) INGOT_TRY(Record(batch, wanted, graph));
  const int error = RunGraph(graph.recorded.get(), stream_.get());
  if (error != 0) return IoError("the device, a recorded step: " + ErrorText(error, stream_.get()));
  ++replays_;
  return &graph.logits;
}

Result<const DeviceTensor*> CudaRunner::Logits(const model::Batch& batch,
                                               std::span<const std::uint32_t> wanted) {
  INGOT_TRY(Status(ops_->status()));
  INGOT_TRY(Check(batch, wanted));
  INGOT_TRY(MakeRoom(batch));
  const DeviceTensor* logits = &logits_;
  if (CanReplay(batch, wanted)) {
    INGOT_ASSIGN(logits, Replay(batch, wanted));
  } else {
    logits_ = model::Forward(model_->architecture(), *ops_, batch, wanted);
    INGOT_TRY(Status(ops_->status()));
  }
  for (std::size_t i = 0; i < batch.ids.size(); ++i)
    open_[batch.rows[i].sequence]->ids.push_back(batch.ids[i]);
  return logits;
}

Result<std::vector<float>> CudaRunner::Step(const model::Batch& batch,
                                            std::span<const std::uint32_t> wanted) {
  INGOT_ASSIGN(const DeviceTensor* logits, Logits(batch, wanted));
  return ops_->Read(*logits);
}

Result<std::vector<model::TokenId>> CudaRunner::Next(const model::Batch& batch,
                                                     std::span<const std::uint32_t> wanted,
                                                     const DeviceDraws& draws) {
  if (draws.rows.size() != wanted.size())
    return InvalidArgument(std::to_string(draws.rows.size()) + " draws of " +
                           std::to_string(wanted.size()) + " rows");
  INGOT_TRY(loader::Sampler::Make(draws.options).status());
  INGOT_ASSIGN(const DeviceTensor* logits, Logits(batch, wanted));
  return DrawRows(*logits, draws, pool_, stream_.get());
}

}  // namespace ingot::cuda
