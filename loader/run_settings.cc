#include "loader/run_settings.h"

#include <algorithm>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "model/families/known_keys.h"
#include "model/source/checkpoint.h"
#include "model/source/checkpoint_note.h"

namespace ingot::loader {
namespace {

constexpr std::string_view kGenerationFiles[] = {"generation_config.json"};
constexpr std::string_view kChatFiles[] = {"chat_template.jinja", "tokenizer_config.json",
                                           "special_tokens_map.json"};

// Those of an artifact's assets that are there.
Result<model::Assets> ReadAssets(const artifact::ArtifactReader& reader,
                                 std::span<const std::string_view> names) {
  model::Assets assets;
  for (const artifact::AssetRecord& asset : reader.manifest().assets)
    if (std::ranges::find(names, asset.name) != names.end()) {
      INGOT_ASSIGN(assets[asset.name], reader.ReadAsset(asset.name).At(asset.name));
    }
  return assets;
}

}  // namespace

Result<model::GenerationConfig> GenerationOf(const Model& model) {
  const artifact::ArtifactReader* reader = model.artifact();
  if (reader == nullptr) {
    INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(model.source()));
    return model::ReadGenerationConfig(checkpoint->config(), checkpoint->assets());
  }
  INGOT_ASSIGN(const model::Assets assets, ReadAssets(*reader, kGenerationFiles));
  return model::ReadGenerationConfig(reader->manifest().config, assets);
}

Result<model::ChatFormat> ChatFormatOf(const Model& model, const std::string& name,
                                       const std::optional<std::string>& source) {
  model::Assets assets;
  if (const artifact::ArtifactReader* reader = model.artifact()) {
    INGOT_ASSIGN(assets, ReadAssets(*reader, kChatFiles));
  } else {
    INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(model.source()));
    assets = checkpoint->assets();
  }
  if (source.has_value()) return model::ChatFormat::FromText(*source, assets);
  return model::ChatFormat::FromAssets(assets, name);
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
