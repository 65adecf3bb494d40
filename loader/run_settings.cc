#include "loader/run_settings.h"

#include <memory>
#include <utility>

#include "model/families/known_keys.h"
#include "model/source/checkpoint.h"
#include "model/source/checkpoint_note.h"

namespace ingot::loader {
namespace {

constexpr const char* kAsset = "generation_config.json";

}  // namespace

Result<model::GenerationConfig> GenerationOf(const Model& model) {
  const artifact::ArtifactReader* reader = model.artifact();
  if (reader == nullptr) {
    INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(model.source()));
    return model::ReadGenerationConfig(checkpoint->config(), checkpoint->assets());
  }
  model::Assets assets;
  for (const artifact::AssetRecord& asset : reader->manifest().assets)
    if (asset.name == kAsset) {
      INGOT_ASSIGN(assets[kAsset], reader->ReadAsset(kAsset).At(kAsset));
    }
  return model::ReadGenerationConfig(reader->manifest().config, assets);
}

Result<std::vector<std::string>> NotesOf(const Model& model) {
  std::vector<std::string> notes;
  if (model.artifact() != nullptr) return notes;
  INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(model.source()));
  const auto has = [&](std::string_view name) { return checkpoint->Find(name) != nullptr; };
  for (std::string note :
       {model::NoteOf(*checkpoint), model::NoteOnKeys(checkpoint->config(), has)})
    if (!note.empty()) notes.push_back(std::move(note));
  return notes;
}

}  // namespace ingot::loader
