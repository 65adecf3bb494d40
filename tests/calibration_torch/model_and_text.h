// Tests of runs over a model and windows of random tokens of its vocabulary.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "base/random.h"
#include "calibration/text_source.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"

namespace ingot::calibration {

class ModelAndTextTest : public ::testing::Test {
 protected:
  void OpenWithText(const std::string& path, std::size_t context, std::size_t windows) {
    auto opened = model::Checkpoint::Open(path);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    checkpoint_ = *std::move(opened);
    auto built = model::BuildArchitecture(checkpoint_->config(), [&](std::string_view tensor) {
      return checkpoint_->Find(tensor) != nullptr;
    });
    ASSERT_TRUE(built.ok()) << built.status().message();
    architecture_ = *std::move(built);
    Random random(7);
    text_.context = context;
    text_.windows.assign(windows, {});
    for (auto& window : text_.windows)
      for (std::size_t i = 0; i < context; ++i)
        window.push_back(static_cast<model::TokenId>(random.Below(architecture_.vocab_size)));
  }

  std::unique_ptr<model::Checkpoint> checkpoint_;
  model::Architecture architecture_;
  TokenWindows text_;
};

}  // namespace ingot::calibration
