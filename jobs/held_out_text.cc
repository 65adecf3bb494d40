#include "jobs/held_out_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "base/digest.h"

namespace ingot::jobs {

Result<calibration::TokenWindows> ReadWindows(std::span<const std::string> texts,
                                              std::uint64_t tokens, std::size_t context,
                                              const loader::Model& model) {
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, model.tokenizer());
  std::vector<calibration::TextSpec> specs;
  for (const std::string& text : texts) {
    INGOT_ASSIGN(calibration::TextSpec spec, calibration::ParseTextSpec(text));
    specs.push_back(std::move(spec));
  }
  INGOT_ASSIGN(calibration::TokenWindows windows,
               calibration::CutWindows(specs, *tokenizer, tokens, context));
  if (windows.windows.size() < 4)
    return InvalidArgument(
        fmt::format("{} windows of {} tokens: four are the least, one of them "
                    "held out",
                    windows.windows.size(), context));
  return windows;
}

std::size_t HoldOut(calibration::TokenWindows& text) {
  std::vector<std::vector<model::TokenId>> learned, held;
  for (std::size_t i = 0; i < text.windows.size(); ++i)
    (i % 4 == 3 ? held : learned).push_back(std::move(text.windows[i]));
  const std::size_t count = held.size();
  text.windows = std::move(learned);
  std::ranges::move(held, std::back_inserter(text.windows));
  return count;
}

std::string DigestOfWindows(const calibration::TokenWindows& text) {
  std::string ids;
  for (const auto& window : text.windows)
    ids.append(reinterpret_cast<const char*>(window.data()), window.size() * sizeof window[0]);
  return "blake3:" + HexOf(DigestOf(AsBytes(ids)));
}

}  // namespace ingot::jobs
