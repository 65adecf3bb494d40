#include "loader/fill_mask.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace ingot::loader {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool IsAsciiPunctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~');
}

// Appends a token where a mask stood. The blanks before the mask belong to it: a token that begins
// a word brings one of its own ("the [MASK]" + " end"), one that continues a word joins ("play
// [MASK]" + "ing"). What begins a text or stands behind an opening mark has no blank before it.
void AppendFilled(std::string_view bytes, std::string& text) {
  const bool had_blank = !text.empty() && IsBlank(text.back());
  const bool brings_blank = !bytes.empty() && bytes.front() == ' ';
  if (had_blank && !brings_blank) {
    while (!text.empty() && IsBlank(text.back())) text.pop_back();
  } else if (brings_blank && (text.empty() || had_blank || IsAsciiPunctuation(text.back()))) {
    bytes.remove_prefix(1);
  }
  text += bytes;
}

FilledMask Likeliest(std::span<const float> logits) {
  FilledMask best;
  const auto top = std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - static_cast<double>(*top));
  best.id = static_cast<model::TokenId>(top - logits.begin());
  best.probability = 1 / sum;
  return best;
}

std::string FilledText(const model::Tokenizer& tokenizer, std::string_view prompt,
                       std::string_view mask, const std::vector<FilledMask>& filled) {
  std::string text;
  std::size_t done = 0;
  for (const FilledMask& one : filled) {
    const std::size_t at = prompt.find(mask, done);
    if (at == std::string_view::npos) break;
    text.append(prompt, done, at - done);
    AppendFilled(tokenizer.TokenBytes(one.id), text);
    done = at + mask.size();
  }
  text.append(prompt, done);
  return text;
}

}  // namespace

Result<FillResult> FillMasks(Session& session, std::string_view prompt) {
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, session.model().tokenizer());
  if (!session.model().architecture().masked)
    return InvalidArgument("the model is no encoder: it continues texts and fills no masks");
  const model::TokenId mask = tokenizer->mask_id();
  if (mask < 0) return InvalidArgument("the model's tokenizer has no mask token");
  const std::string mask_text = tokenizer->TokenBytes(mask);
  INGOT_ASSIGN(const std::vector<model::TokenId> ids, tokenizer->Encode(prompt, true));
  FillResult result;
  result.tokens = ids.size();
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (ids[i] == mask) result.masks.push_back({i, -1, 0});
  if (result.masks.empty())
    return InvalidArgument("the prompt has no " + mask_text +
                           ": an encoder fills masks, it does not continue a text");
  const auto start = std::chrono::steady_clock::now();
  session.Reset();
  const std::size_t first = result.masks.front().position;
  INGOT_ASSIGN(const Tensor hidden, session.Hidden(ids, first).At("prompt"));
  for (FilledMask& one : result.masks) {
    const std::size_t row = one.position - first;
    const Tensor logits = session.Logits(hidden, row, row + 1);
    INGOT_TRY(Status(session.runner().status()));
    const FilledMask best = Likeliest({logits.data(), logits.size()});
    one.id = best.id;
    one.probability = best.probability;
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.text = FilledText(*tokenizer, prompt, mask_text, result.masks);
  return result;
}

}  // namespace ingot::loader
