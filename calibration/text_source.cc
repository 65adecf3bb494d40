#include "calibration/text_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <utility>

#include "model/text/json_text.h"
#include "untrusted/text_input.h"

namespace ingot::calibration {
namespace {

Result<std::vector<std::string>> ParseLines(std::string_view text) {
  std::vector<std::string> documents;
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    INGOT_ASSIGN(const nlohmann::json json,
                 model::ParseJson(line).At(fmt::format("line {}", number)));
    if (!json.is_object() || !json.contains("text") || !json["text"].is_string())
      return InvalidArgument(fmt::format("line {} is no object with a \"text\"", number));
    documents.push_back(json["text"].get<std::string>());
  }
  return documents;
}

Result<std::vector<model::TokenId>> TokensOf(std::span<const std::string> documents,
                                             const model::Tokenizer& tokenizer) {
  std::vector<model::TokenId> ids;
  for (const std::string& document : documents) {
    if (!ids.empty() && !tokenizer.eos_ids().empty()) ids.push_back(tokenizer.eos_ids().front());
    INGOT_ASSIGN(const std::vector<model::TokenId> more, tokenizer.Encode(document, false));
    ids.insert(ids.end(), more.begin(), more.end());
  }
  return ids;
}

}  // namespace

Result<TextSpec> ParseTextSpec(std::string_view argument) {
  TextSpec spec{std::string(argument)};
  const std::size_t colon = argument.rfind(':');
  if (argument.empty() || colon == 0) return InvalidArgument("a text has no name");
  if (colon == std::string_view::npos) return spec;
  const std::string_view number = argument.substr(colon + 1);
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), spec.weight);
  if (error != std::errc() || end != number.data() + number.size() || !(spec.weight > 0) ||
      !std::isfinite(spec.weight))
    return InvalidArgument(
        fmt::format("'{}': the weight '{}' is no number above zero", argument, number));
  spec.path = argument.substr(0, colon);
  return spec;
}

Result<std::vector<std::string>> ReadDocuments(const std::string& path) {
  INGOT_ASSIGN(std::string text, untrusted::ReadText(path));
  std::vector<std::string> documents;
  if (path.ends_with(".jsonl")) {
    INGOT_ASSIGN(documents, ParseLines(text).At(untrusted::TextName(path)));
  } else {
    documents.push_back(std::move(text));
  }
  std::erase(documents, "");
  if (documents.empty()) return InvalidArgument(untrusted::TextName(path) + ": the text is empty");
  return documents;
}

std::vector<std::size_t> ShareWindows(std::span<const double> weights,
                                      std::span<const std::size_t> available, std::size_t wanted) {
  std::vector<std::size_t> shares(weights.size(), 0);
  for (; wanted > 0; --wanted) {
    std::size_t next = weights.size();
    const auto fill = [&](std::size_t i) {
      return (static_cast<double>(shares[i]) + 0.5) / weights[i];
    };
    for (std::size_t i = 0; i < weights.size(); ++i)
      if (shares[i] < available[i] && (next == weights.size() || fill(i) < fill(next))) next = i;
    if (next == weights.size()) break;
    ++shares[next];
  }
  return shares;
}

std::vector<std::size_t> SpreadEvenly(std::size_t available, std::size_t count) {
  std::vector<std::size_t> picks(count);
  for (std::size_t i = 0; i < count; ++i)
    picks[i] = count == 1 ? (available - 1) / 2 : i * (available - 1) / (count - 1);
  return picks;
}

Result<TokenWindows> CutWindows(std::span<const TextSpec> texts, const model::Tokenizer& tokenizer,
                                std::uint64_t tokens, std::size_t context) {
  if (context < 2) return InvalidArgument(fmt::format("windows of {} tokens", context));
  if (tokens < context)
    return InvalidArgument(
        fmt::format("{} tokens are less than one window of {}", tokens, context));
  INGOT_ASSIGN(const std::vector<model::TokenId> with_bos, tokenizer.Encode("", true));
  const bool has_bos = !with_bos.empty() && with_bos.front() == tokenizer.bos_id();
  std::vector<std::vector<model::TokenId>> ids;
  std::vector<double> weights;
  std::vector<std::size_t> available;
  for (const TextSpec& text : texts) {
    INGOT_ASSIGN(const std::vector<std::string> documents, ReadDocuments(text.path));
    const std::string name = untrusted::TextName(text.path);
    INGOT_ASSIGN(std::vector<model::TokenId> tokens, TokensOf(documents, tokenizer).At(name));
    ids.push_back(std::move(tokens));
    weights.push_back(text.weight);
    available.push_back(ids.back().size() / context);
    if (available.back() == 0)
      return InvalidArgument(fmt::format("{}: {} tokens are less than one window of {}", name,
                                         ids.back().size(), context));
  }
  TokenWindows result;
  result.context = context;
  const std::vector<std::size_t> shares = ShareWindows(weights, available, tokens / context);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    for (const std::size_t pick : SpreadEvenly(available[i], shares[i])) {
      const auto begin = ids[i].begin() + static_cast<std::ptrdiff_t>(pick * context);
      auto& window =
          result.windows.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(context));
      if (has_bos) window.front() = tokenizer.bos_id();
    }
    const std::string name = untrusted::TextName(texts[i].path);
    const std::size_t slash = name.rfind('/');
    result.sources.push_back(fmt::format("{}: {} of {} windows",
                                         name.substr(slash == std::string::npos ? 0 : slash + 1),
                                         shares[i], available[i]));
  }
  return result;
}

}  // namespace ingot::calibration
