// Ids of a text that must encode.
#pragma once

#include <gtest/gtest.h>

#include <string_view>
#include <utility>
#include <vector>

#include "model/tokenizer/tokenizer.h"

namespace ingot::model {

inline std::vector<TokenId> Encoded(const Tokenizer& tokenizer, std::string_view text,
                                    bool add_special) {
  auto ids = tokenizer.Encode(text, add_special);
  EXPECT_TRUE(ids.ok()) << ids.status().message();
  return ids.ok() ? *std::move(ids) : std::vector<TokenId>();
}

}  // namespace ingot::model
