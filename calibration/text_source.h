// Calibration text: files of plain text or JSON lines, cut into windows of tokens that lie evenly
// over each text.
//
// Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/tokenizer.h"

namespace ingot::calibration {

struct TextSpec {
  std::string path;
  double weight = 1;  // its share of the windows
};

// "FILE" or "FILE:WEIGHT". InvalidArgument where the weight is not a number above zero. A name that
// itself ends in a colon and a number is reached by a weight behind it.
Result<TextSpec> ParseTextSpec(std::string_view argument);

// The documents of a text as untrusted::ReadText reads it (a file, a pipe, "-"): one for plain text,
// one a line for *.jsonl (the "text" of each object). Its errors; InvalidArgument where it is empty
// or a line is no object with a text (names the line).
Result<std::vector<std::string>> ReadDocuments(const std::string& path);

// Windows of `context` tokens each, text by text.
struct TokenWindows {
  std::size_t context = 0;
  std::vector<std::vector<model::TokenId>> windows;
  std::vector<std::string> sources;  // "wiki.txt: 42 of 282 windows", for people and provenance
};

// `tokens` / `context` windows in all, divided by the texts' weights; a text that is too short
// gives what it has and others more. In each text the windows are evenly spread, the first and the
// last included. Documents are joined by the end-of-text token; a BOS, where the tokenizer puts
// one, replaces each window's first token. InvalidArgument where a text is shorter than a window.
Result<TokenWindows> CutWindows(std::span<const TextSpec> texts, const model::Tokenizer& tokenizer,
                                std::uint64_t tokens, std::size_t context);

// How many windows each text gives: `wanted` in all, by weight (Webster's method), none more than
// it has.
std::vector<std::size_t> ShareWindows(std::span<const double> weights,
                                      std::span<const std::size_t> available, std::size_t wanted);
// `count` of [0, available), evenly spread. REQUIRES: count <= available.
std::vector<std::size_t> SpreadEvenly(std::size_t available, std::size_t count);

}  // namespace ingot::calibration
