#include "loader/eval_windows.h"

#include <algorithm>

#include "base/random.h"
#include "loader/sampler.h"
#include "loader/session.h"

namespace ingot::loader {
namespace {

using model::TokenId;

std::vector<EvalWindow> LlamaWindows(const std::vector<TokenId>& ids, TokenId bos,
                                     std::uint64_t context) {
  std::vector<EvalWindow> windows;
  for (std::uint64_t begin = 0; context <= ids.size() - begin; begin += context) {
    EvalWindow& window = windows.emplace_back();
    const auto first = ids.begin() + static_cast<std::ptrdiff_t>(begin);
    window.ids.assign(first, first + static_cast<std::ptrdiff_t>(context));
    if (bos >= 0) window.ids[0] = bos;
    window.first_target = context / 2 + 1;
  }
  return windows;
}

std::vector<EvalWindow> StridedWindows(const std::vector<TokenId>& ids, std::uint64_t context,
                                       std::uint64_t stride) {
  std::vector<EvalWindow> windows;
  std::uint64_t scored_to = 0;
  for (std::uint64_t begin = 0; scored_to < ids.size(); begin += stride) {
    const std::uint64_t end = std::min<std::uint64_t>(begin + context, ids.size());
    EvalWindow& window = windows.emplace_back();
    window.ids.assign(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                      ids.begin() + static_cast<std::ptrdiff_t>(end));
    window.first_target = std::max<std::uint64_t>(scored_to - begin, 1);
    scored_to = end;
    if (window.first_target >= window.ids.size()) windows.pop_back();
  }
  return windows;
}

// BOS when the tokenizer itself puts it in front of text, as llama.cpp's add_bos.
TokenId AddedBos(const model::Tokenizer& tokenizer) {
  const std::vector<TokenId> ids = tokenizer.Encode("a", true);
  return !ids.empty() && ids[0] == tokenizer.bos_id() ? tokenizer.bos_id() : -1;
}

}  // namespace

Result<std::vector<EvalWindow>> IdWindows(std::vector<TokenId> ids, TokenId bos,
                                          const WindowOptions& options) {
  const std::uint64_t stride = options.stride > 0 ? options.stride : options.context / 2;
  if (options.context < 4 || stride == 0 || stride > options.context)
    return InvalidArgument("windows of " + std::to_string(options.context) + " tokens, stride " +
                           std::to_string(stride) +
                           ": a context is at least 4, a stride at most the context");
  const std::uint64_t least = options.kind == WindowKind::kLlama ? options.context : 2;
  if (ids.size() < least)
    return InvalidArgument("the text has " + std::to_string(ids.size()) + " tokens, one window " +
                           std::to_string(least) + "; take a longer text or a shorter context");
  std::vector<EvalWindow> windows = options.kind == WindowKind::kLlama
                                        ? LlamaWindows(ids, bos, options.context)
                                        : StridedWindows(ids, options.context, stride);
  if (options.max_windows > 0 && windows.size() > options.max_windows)
    windows.resize(options.max_windows);
  return windows;
}

Result<std::vector<EvalWindow>> TextWindows(const model::Tokenizer& tokenizer,
                                            std::string_view text, const WindowOptions& options) {
  return IdWindows(tokenizer.Encode(text, true), AddedBos(tokenizer), options);
}

Result<std::vector<EvalWindow>> SampledWindows(std::shared_ptr<const Model> model,
                                               const SampleOptions& options) {
  if (options.sequences == 0 || options.length < 2)
    return InvalidArgument("sampled text of " + std::to_string(options.sequences) + " x " +
                           std::to_string(options.length) + " tokens holds nothing to score");
  const auto tokenizer = model->tokenizer();
  const TokenId bos = tokenizer.ok() ? (*tokenizer)->bos_id() : -1;
  const std::vector<TokenId> ends =
      tokenizer.ok() ? (*tokenizer)->eos_ids() : std::vector<TokenId>{};
  SamplerOptions sampling;
  sampling.seed = options.seed;
  INGOT_ASSIGN(Sampler sampler, Sampler::Make(sampling));
  Random random(options.seed);
  Session session(model);
  std::vector<EvalWindow> windows;
  // A model that ends at once every time must not keep us for ever.
  std::uint64_t attempts = options.sequences * 16;
  for (std::uint64_t left = options.sequences * options.length; left >= 2 && attempts > 0;
       --attempts) {
    EvalWindow window;
    window.ids.push_back(
        bos >= 0 ? bos : static_cast<TokenId>(random.Below(model->architecture().vocab_size)));
    const std::uint64_t length = std::min(left, options.length);
    session.Reset();
    while (window.ids.size() < length) {
      INGOT_ASSIGN(const auto logits, session.Decode(window.ids.back()));
      INGOT_ASSIGN(const TokenId id, sampler.Sample(logits, window.ids));
      if (std::find(ends.begin(), ends.end(), id) != ends.end()) break;
      window.ids.push_back(id);
    }
    if (window.ids.size() < 2) continue;
    left -= window.ids.size();
    windows.push_back(std::move(window));
  }
  if (windows.empty()) return InvalidArgument("the reference ends every text it samples at once");
  return windows;
}

}  // namespace ingot::loader
