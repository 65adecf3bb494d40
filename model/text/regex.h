// Regular expressions with Oniguruma's syntax, as tokenizer.json files carry them, run by PCRE2.
//
// Compile rewrites what the two read differently (character class operators, \h, \w, POSIX
// brackets, interval possessives); PreparedText replaces characters younger than PCRE2's Unicode
// data by older ones of the same category and length, so that matches are those of the reference's
// Unicode 16.
//
// A pattern comes from a file and may be hostile: matching is bounded, and a search that exceeds
// the bound is an error, never a search that found nothing.
//
// Thread rule: a Regex may be shared; a RegexScratch belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;
struct pcre2_real_jit_stack_8;

namespace ingot::model {

struct Match {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// Working memory of searches: reused, so that a search allocates nothing.
class RegexScratch {
 public:
  RegexScratch();
  ~RegexScratch();
  RegexScratch(const RegexScratch&) = delete;
  RegexScratch& operator=(const RegexScratch&) = delete;

 private:
  friend class Regex;
  pcre2_real_match_data_8* data_;
  pcre2_real_match_context_8* context_;
  pcre2_real_jit_stack_8* stack_;
  int error_ = 0;  // PCRE2's code of the last search that failed
};

class Regex {
 public:
  // Unsupported where the pattern uses what cannot be translated, Corruption where it is malformed.
  static Result<Regex> Compile(std::string_view oniguruma_pattern);
  // Matches `literal` itself.
  static Result<Regex> CompileLiteral(std::string_view literal);

  // All matches in order, without overlap, by Oniguruma's rule for empty ones. `sink` takes a
  // Match. Limit where a search would take more steps than its bound: what was found until then has
  // reached the sink. REQUIRES: text is valid UTF-8.
  template <typename Sink>
  Status ForEachMatch(std::string_view text, RegexScratch& scratch, Sink&& sink) const {
    std::string storage;
    const std::string_view subject = Prepare(text, storage);
    std::size_t from = 0;
    std::optional<std::size_t> last_end;
    while (from <= subject.size()) {
      Match match;
      const Outcome outcome = Search(subject, from, scratch, match);
      if (outcome != Outcome::kFound)
        return outcome == Outcome::kNone ? OkStatus() : SearchError(subject, from, scratch);
      // An empty match right behind the last one is skipped.
      if (match.begin == match.end && last_end == match.end) {
        from = NextStart(subject, from);
        continue;
      }
      from = match.end;
      last_end = match.end;
      sink(match);
    }
    return OkStatus();
  }

 private:
  struct CodeDeleter {
    void operator()(pcre2_real_code_8* code) const;
  };
  explicit Regex(pcre2_real_code_8* code) : code_(code) {}

  static Result<Regex> CompileTranslated(const std::string& pattern, std::string_view original);
  static std::string_view Prepare(std::string_view text, std::string& storage);
  static std::size_t NextStart(std::string_view text, std::size_t position);
  enum class Outcome { kFound, kNone, kFailed };
  // The leftmost match that starts at or after `from`.
  Outcome Search(std::string_view subject, std::size_t from, RegexScratch& scratch,
                 Match& match) const;
  // Why a search failed, from what it left in the scratch.
  static Status SearchError(std::string_view subject, std::size_t from,
                            const RegexScratch& scratch);

  std::unique_ptr<pcre2_real_code_8, CodeDeleter> code_;
};

}  // namespace ingot::model
