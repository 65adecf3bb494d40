// A model of the fixtures, packed by a codec and opened.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "loader/loaded_model.h"
#include "pack/pipeline.h"
#include "pack/rewrite.h"

namespace ingot::loader {

// The packed file again, with these layers for drafts to leave out.
inline Status ListDraftLayers(const std::string& path, std::vector<int> layers) {
  INGOT_ASSIGN(const auto reader, artifact::ArtifactReader::Open(path, {}));
  pack::RewriteOptions rewrite;
  rewrite.target = path;
  rewrite.force = true;
  rewrite.patch = [&](artifact::Manifest& manifest) { manifest.draft_layers = layers; };
  return pack::Rewrite(*reader, {}, rewrite).status();
}

// `source`: a checkpoint's path. The artifact, or nothing, with a failure said, where it cannot be.
inline std::string PackedFile(const std::string& source, const std::string& codec) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("ingot-packed-" + std::to_string(getpid()) + ".ingot");
  const auto checkpoint = model::Checkpoint::Open(source);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  const auto recipe = pack::ParseRecipe(codec);
  if (!checkpoint.ok() || !recipe.ok()) return {};
  pack::PlanOptions options;
  options.preset = pack::CodecPreset(*recipe);
  options.require_tokenizer = false;
  const auto plan = pack::MakePlan(**checkpoint, options);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  if (!plan.ok()) return {};
  pack::PackOptions to;
  to.target = path.string();
  to.force = true;
  const auto report = pack::Pack(**checkpoint, *plan, to);
  EXPECT_TRUE(report.ok()) << report.status().message();
  return report.ok() ? to.target : std::string();
}

// `draft_layers`: that drafts leave out. Null, with a failure said, where it cannot be.
inline std::shared_ptr<const Model> Packed(const std::string& source, const std::string& codec,
                                           Compute compute,
                                           const std::vector<int>& draft_layers = {}) {
  const std::string path = PackedFile(source, codec);
  if (path.empty()) return nullptr;
  if (!draft_layers.empty()) {
    const Status listed = ListDraftLayers(path, draft_layers);
    EXPECT_TRUE(listed.ok()) << listed.message();
  }
  ModelOptions open;
  open.compute = compute;
  auto model = Model::Open(path, open);
  EXPECT_TRUE(model.ok()) << model.status().message();
  std::filesystem::remove(path);
  return model.ok() ? *model : nullptr;
}

}  // namespace ingot::loader
