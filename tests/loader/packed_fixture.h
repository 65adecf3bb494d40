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

// `source`: a checkpoint's path. Null, with a failure said, where it cannot be.
inline std::shared_ptr<const Model> Packed(const std::string& source, const std::string& codec,
                                           Compute compute) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("ingot-packed-" + std::to_string(getpid()) + ".ingot");
  const auto checkpoint = model::Checkpoint::Open(source);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  const auto recipe = pack::ParseRecipe(codec);
  if (!checkpoint.ok() || !recipe.ok()) return nullptr;
  pack::PlanOptions options;
  options.preset = pack::CodecPreset(*recipe);
  options.require_tokenizer = false;
  const auto plan = pack::MakePlan(**checkpoint, options);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  if (!plan.ok()) return nullptr;
  pack::PackOptions to;
  to.target = path.string();
  to.force = true;
  const auto report = pack::Pack(**checkpoint, *plan, to);
  EXPECT_TRUE(report.ok()) << report.status().message();
  ModelOptions open;
  open.compute = compute;
  auto model = Model::Open(to.target, open);
  EXPECT_TRUE(model.ok()) << model.status().message();
  std::filesystem::remove(path);
  return model.ok() ? *model : nullptr;
}

}  // namespace ingot::loader
