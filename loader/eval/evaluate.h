// What compression cost: perplexity of an artifact and of its reference over the same windows of
// the same tokens, their Kullback-Leibler divergence and agreement, each with its standard error.
// An encoder's perplexity is the masked pseudo-perplexity of Salazar et al. (2020): exp of the mean
// negative log-likelihood of tokens, each masked alone and predicted from all others.
//
// Both models are run window by window, so memory is bounded by one window's logits twice.
//
// Thread rule: Evaluate belongs to the thread that calls it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace ingot::loader {

// Whatever gives logits for a window of tokens.
class LogitSource {
 public:
  virtual ~LogitSource() = default;
  virtual std::size_t vocab_size() const = 0;
  // Runs `window` from an empty context and delivers the logits after its tokens
  // [first, window.size() - 1): (window.size() - 1 - first) x vocab_size, row-major, valid until
  // the next call. REQUIRES: first + 1 < window.size().
  virtual Result<std::span<const float>> Logits(std::span<const std::int32_t> window,
                                                std::size_t first) = 0;
  // An encoder's: for each of `positions`, runs `window` with only that token replaced by mask_id
  // and delivers the logits there: positions.size() x vocab_size. REQUIRES: positions inside.
  virtual Result<std::span<const float>> MaskedLogits(std::span<const std::int32_t> /*window*/,
                                                      std::span<const std::uint32_t> /*positions*/,
                                                      std::int32_t /*mask_id*/) {
    return Unsupported("this source of logits masks no tokens");
  }
};

enum class WindowKind {
  // llama-perplexity's: back to back, each begun by BOS where the model adds one, scored on its
  // second half (tokens context/2 + 1 ... context - 1). A remainder shorter than a window is left
  // out.
  kLlama,
  // Hugging Face's sliding windows: every `stride` tokens a window of up to `context`, scored on
  // the
  // tokens that no window before it scored. Every token but the first is scored once (with stride =
  // context, the first of each window is not scored: nothing predicts it).
  kStrided,
  // An encoder's: back to back, each between `before` and `after`, scored at masked positions of
  // its text. A remainder shorter than a window is left out, but for a text that is all one
  // remainder.
  kMasked,
};

struct EvalOptions {
  WindowKind windows = WindowKind::kLlama;
  std::size_t context = 512;
  std::size_t stride = 256;    // kStrided
  std::int32_t bos_id = -1;    // kLlama; -1: the model adds none
  std::size_t max_tokens = 0;  // use only the first tokens of the text; 0: all
  // kMasked: the mask token, what the model puts around a text ([CLS] and [SEP]), and how many
  // positions of each window are masked, drawn by `seed`; 0: every one in turn.
  std::int32_t mask_id = -1;
  std::vector<std::int32_t> before, after;
  std::size_t masked_positions = 0;
  std::uint64_t seed = 1;
  // Keeps the reference's log-probabilities of every scored position in this file; a file made with
  // another key is made anew. Empty: none. Log-probabilities are kept as float16 and renormalised,
  // which moves the divergence by less than 1e-4 of itself; negative log-likelihoods are kept
  // exactly.
  std::string cache_path;
  std::string cache_key;  // names reference, text and options
  bool replace_cache = false;  // one that holds other answers is replaced, not refused
  // After every window; may be empty. An error that it returns ends the evaluation.
  std::function<Status(std::size_t windows_done, std::size_t windows)> progress;
};

struct EvalResult {
  double perplexity = 0, perplexity_stderr = 0;
  double reference_perplexity = 0, reference_perplexity_stderr = 0;
  double delta_perplexity_percent = 0, delta_perplexity_percent_stderr = 0;  // paired
  double kl_mean = 0, kl_mean_stderr = 0;                // KL(reference || artifact), nats
  double kl_p99 = 0;                                     // 99th percentile over positions
  double top1_agreement = 0, top1_agreement_stderr = 0;  // same first choice, a fraction
  std::size_t tokens = 0;                                // scored positions
  std::size_t context = 0;
  bool reference_from_cache = false;
};

// A stretch of tokens to run, and the first of its positions whose successor is scored (kMasked:
// 0, the positions are MaskedPositions).
struct EvalWindow {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t first = 0;  // relative to begin
};
std::vector<EvalWindow> CutWindows(std::size_t tokens, const EvalOptions& options);
// The tokens of a window as the models see them: BOS, or what stands around, where it belongs.
std::vector<std::int32_t> WindowTokens(std::span<const std::int32_t> tokens,
                                       const EvalWindow& window, const EvalOptions& options);

// kMasked: the positions of window `index` that are masked, ascending, relative to its `tokens`
// tokens of text (without `before`). The same for the same seed and index.
std::vector<std::uint32_t> MaskedPositions(std::size_t index, std::size_t tokens,
                                           const EvalOptions& options);

// InvalidArgument: vocabularies differ, an option out of range, a text shorter than one window
// (with the number of tokens it has). Corruption: logits that are not finite.
Result<EvalResult> Evaluate(LogitSource& reference, LogitSource& artifact,
                            std::span<const std::int32_t> tokens, const EvalOptions& options);
// A model's perplexity alone, with its error; the rest of the result is zero. The same errors.
Result<EvalResult> EvaluateAlone(LogitSource& model, std::span<const std::int32_t> tokens,
                                 const EvalOptions& options);

}  // namespace ingot::loader
