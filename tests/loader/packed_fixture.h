// A model of the fixtures, packed by a codec and opened.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "loader/loaded_model.h"
#include "pack/pipeline.h"

namespace ingot::loader {

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

// Null, with a failure said, where it cannot be.
inline std::shared_ptr<const Model> Packed(const std::string& source, const std::string& codec,
                                           Compute compute) {
  const std::string path = PackedFile(source, codec);
  if (path.empty()) return nullptr;
  ModelOptions open;
  open.compute = compute;
  auto model = Model::Open(path, open);
  EXPECT_TRUE(model.ok()) << model.status().message();
  std::filesystem::remove(path);
  return model.ok() ? *model : nullptr;
}

}  // namespace ingot::loader
