#include "loader/loaded_model.h"

#include <map>
#include <set>

#include "artifact/decoded_size.h"
#include "artifact/format.h"
#include "base/file.h"
#include "loader/exit_specs.h"
#include "model/source/asset_names.h"
#include "model/source/generation_config.h"
#include "model/source/tokenizer_status.h"

namespace ingot::loader {
namespace {

// Whether the file starts with the artifact's magic. A directory or an unreadable file does not.
bool LooksLikeArtifact(const std::string& path) {
  auto file = File::OpenRead(path);
  if (!file.ok()) return false;
  std::uint8_t head[sizeof artifact::kMagic];
  return file->ReadAt(0, head).ok() && std::memcmp(head, artifact::kMagic.data(), sizeof head) == 0;
}

// What a file says of itself is never the caller's mistake, and what it lacks is no file of his.
Status BadArtifact(Status status) {
  const bool blames =
      status.code() == StatusCode::kInvalidArgument || status.code() == StatusCode::kNotFound;
  return blames ? Corruption(status.message()) : status;
}

// The tensors that the model reads. One that nothing uses is not worth its memory, however it came
// there; parts of roles that the architecture does not list are their users' to ask for.
std::set<std::string, std::less<>> UsedTensors(const model::Architecture& architecture,
                                               const artifact::Manifest& manifest) {
  std::set<std::string, std::less<>> used;
  for (model::TensorUse& use : model::TensorUses(architecture)) used.insert(std::move(use.name));
  for (const artifact::TensorRecord& tensor : manifest.tensors)
    if (tensor.role == "router" || tensor.role == "shared") used.insert(tensor.name);
  for (const artifact::ExitRecord& exit : manifest.exits)
    used.insert({exit.norm, exit.up, exit.down});
  return used;
}

// Those that a tokenizer may be made of, bounded as pack bounds them.
Result<std::map<std::string, std::string>> ReadAssets(const artifact::ArtifactReader& reader) {
  std::map<std::string, std::string> assets;
  for (const artifact::AssetRecord& asset : reader.manifest().assets) {
    if (!model::IsAssetName(asset.name)) continue;
    if (asset.stream.bytes > model::kMaxAssetBytes)
      return LimitExceeded("asset '" + asset.name + "' of " + std::to_string(asset.stream.bytes) +
                           " bytes, at most " + std::to_string(model::kMaxAssetBytes));
    INGOT_ASSIGN(assets[asset.name], reader.ReadAsset(asset.name).At(asset.name));
  }
  return assets;
}

}  // namespace

Result<std::shared_ptr<const Model>> Model::Finish(
    std::shared_ptr<Model> model, const std::map<std::string, std::string>& assets) {
  INGOT_ASSIGN(model->bound_, BoundWeights::Make(model->architecture_, *model->weights_));
  auto tokenizer = model::Tokenizer::FromAssets(assets);
  if (tokenizer.ok())
    model->tokenizer_ = *std::move(tokenizer);
  else if (model->tokenizer_status_.ok())
    model->tokenizer_status_ = std::move(tokenizer).status();
  return std::shared_ptr<const Model>(std::move(model));
}

Result<std::shared_ptr<const Model>> Model::FromReader(
    std::shared_ptr<const artifact::ArtifactReader> reader, const ModelOptions& options,
    const std::string& source) {
  std::shared_ptr<Model> model(new Model);
  model->source_ = source;
  model->compute_ = options.compute;
  const artifact::Manifest& manifest = reader->manifest();
  std::set<std::string, std::less<>> names;
  for (const artifact::TensorRecord& tensor : manifest.tensors) names.insert(tensor.name);
  // What a cut file holds is too little for what it says of itself: that is not its fault.
  if (reader->complete_level() < 0)
    return Corruption("is cut short: not even level 0 is complete; fetch it again");
  INGOT_TRY(artifact::CheckDecodedSize(*reader, options.max_decoded_bytes));
  auto architecture = model::BuildArchitecture(
      manifest.config, [&](std::string_view name) { return names.contains(name); });
  if (!architecture.ok()) return BadArtifact(std::move(architecture).status());
  model->architecture_ = *std::move(architecture);
  AddExits(manifest, model->architecture_);
  model->architecture_.draft_layers.assign(manifest.draft_layers.begin(),
                                           manifest.draft_layers.end());
  stored::Selection selection = options.selection;
  if (!selection.tensors) selection.tensors = UsedTensors(model->architecture_, manifest);
  if (options.early && options.verify == Verify::kLazy)
    return InvalidArgument("early opens and lazy verification exclude each other");
  if (options.early && reader->level_count() > 1 && selection.levels != 1) {
    model->rest_.reset(new Rest{selection, options.max_decoded_bytes, nullptr});
    selection.levels = 1;
  }
  INGOT_ASSIGN(model->weights_, WeightSet::FromArtifact(reader, selection, options.verify));
  INGOT_ASSIGN(const auto assets, ReadAssets(*reader));
  auto finished = Finish(model, model::TokenizerAssets(manifest.config, assets));
  model->artifact_ = std::move(reader);
  if (!finished.ok()) return BadArtifact(std::move(finished).status());
  return finished;
}

Result<std::shared_ptr<const Model>> Model::FromArtifact(
    std::shared_ptr<const artifact::ArtifactReader> reader, const ModelOptions& options,
    const std::string& source) {
  return FromReader(std::move(reader), options, source).At(source);
}

Result<std::shared_ptr<const Model>> Model::FromCheckpoint(
    std::shared_ptr<const model::Checkpoint> checkpoint, const ModelOptions& options) {
  std::shared_ptr<Model> model(new Model);
  model->source_ = checkpoint->path();
  model->compute_ = options.compute;
  INGOT_ASSIGN(model->architecture_,
               model::BuildArchitecture(checkpoint->config(), [&](std::string_view name) {
                 return checkpoint->Find(name) != nullptr;
               }).At(checkpoint->path()));
  INGOT_TRY(model::CheckTensors(model->architecture_, checkpoint->tensors(), true)
                .At(checkpoint->path()));
  INGOT_ASSIGN(model->weights_, WeightSet::FromCheckpoint(checkpoint, model->architecture_));
  model->checkpoint_ = checkpoint;
  model->tokenizer_status_ = model::TokenizerStatus(*checkpoint).At(checkpoint->path());
  return Finish(std::move(model),
                model::TokenizerAssets(checkpoint->config(), checkpoint->assets()))
      .At(checkpoint->path());
}

Result<std::shared_ptr<const Model>> Model::Open(const std::string& path,
                                                 const ModelOptions& options) {
  if (LooksLikeArtifact(path)) {
    artifact::OpenOptions open;
    open.key = options.key;
    open.allow_truncated = options.allow_truncated;
    INGOT_ASSIGN(std::shared_ptr<const artifact::ArtifactReader> reader,
                 artifact::ArtifactReader::Open(path, open));
    return FromArtifact(std::move(reader), options, path);
  }
  if (options.key != nullptr)
    return Untrusted(path + ": is not an artifact, so no signature can be checked with the key");
  INGOT_ASSIGN(std::shared_ptr<const model::Checkpoint> checkpoint, model::Checkpoint::Open(path));
  return FromCheckpoint(std::move(checkpoint), options);
}

Result<std::shared_ptr<const Model>> Model::OpenPipe(int fd, const ModelOptions& options) {
  artifact::OpenOptions open;
  open.key = options.key;
  open.allow_truncated = options.allow_truncated;
  open.early = options.early;
  INGOT_ASSIGN(std::shared_ptr<const artifact::ArtifactReader> reader,
               artifact::ArtifactReader::OpenPipe(fd, open));
  return FromReader(std::move(reader), options, "standard input");
}

Status Model::ReadRest() const {
  if (rest_ == nullptr) return OkStatus();
  INGOT_TRY(artifact_->ReadRest());
  if (rest_->selection.levels < 0 && artifact_->complete_level() == 0) return OkStatus();
  INGOT_TRY(artifact::CheckDecodedSize(*artifact_, rest_->max_decoded_bytes));
  INGOT_ASSIGN(rest_->weights, WeightSet::FromArtifact(artifact_, rest_->selection));
  return OkStatus();
}

void Model::StopReading() const {
  if (artifact_ != nullptr) artifact_->StopReading();
}

bool Model::Refine() const {
  if (rest_ == nullptr || rest_->weights == nullptr) return false;
  weights_->TakePlanes(std::move(*rest_->weights));
  rest_.reset();
  return true;
}

Result<const model::Tokenizer*> Model::tokenizer() const {
  if (tokenizer_ == nullptr) return Status(tokenizer_status_);
  return const_cast<const model::Tokenizer*>(tokenizer_.get());
}

}  // namespace ingot::loader
