#include "model/tokenizer/unicode_form.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "model/text/unicode_class.h"
#include "model/text/utf8.h"

namespace ingot::model {
namespace {

// Unicode normalization. Only spans that can change go through utf8proc: a span begins at a
// character that nothing before it can compose with and ends before the next such one.
class UnicodeForm : public Normalizer {
 public:
  UnicodeForm(bool compose, bool compatibility)
      : compose_(compose), compatibility_(compatibility) {}

  Result<std::string_view> Apply(std::string_view text, std::string& storage,
                                 TextScratch& scratch) const override {
    bool copied = false;
    std::size_t done = 0;  // text before it is in storage, once copied
    std::size_t i = SkipAscii(text, 0);
    while (i < text.size()) {
      const std::size_t at = i;
      const char32_t c = NextCodePoint(text, i);
      if (!Changes(c)) {
        if (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) i = SkipAscii(text, i);
        continue;
      }
      const std::size_t begin = at > done ? PreviousStart(text, at) : at;
      while (i < text.size()) {
        std::size_t next = i;
        if (!Changes(NextCodePoint(text, next))) break;
        i = next;
      }
      if (!copied) storage.clear();
      copied = true;
      storage.append(text, done, begin - done);
      AppendSpan(text.substr(begin, i - begin), storage);
      done = i;
    }
    if (!copied) return text;
    storage.append(text, done);
    INGOT_TRY(scratch.growth.Take(text.size(), storage.size()));
    return std::string_view(storage);
  }

 private:
  // Whether the character may differ after normalization, by itself or through what is before it.
  bool Changes(char32_t c) const {
    if (c < 0x80) return false;
    // Only NFC leaves precomposed characters as they are.
    if (compose_ && !compatibility_) return c >= 0x300 && NeedsNormalizationCare(c);
    return true;
  }

  // Characters the reference does not know are starters that never compose: they cut a span.
  void AppendSpan(std::string_view span, std::string& out) const {
    std::vector<utf8proc_int32_t> run;
    for (std::size_t i = 0; i < span.size();) {
      const std::size_t at = i;
      const char32_t c = NextCodePoint(span, i);
      if (IsNormalizationOpaque(c)) {
        Flush(run, out);
        out.append(span, at, i - at);
      } else {
        Decompose(c, run);
      }
    }
    Flush(run, out);
  }

  void Decompose(char32_t c, std::vector<utf8proc_int32_t>& run) const {
    utf8proc_int32_t buffer[32];  // the longest decomposition has 18
    int boundary = 0;
    const int options =
        UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (compatibility_ ? UTF8PROC_COMPAT : 0);
    const utf8proc_ssize_t n =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), buffer, 32,
                                static_cast<utf8proc_option_t>(options), &boundary);
    if (n < 0 || n > 32) {
      run.push_back(static_cast<utf8proc_int32_t>(c));
    } else {
      run.insert(run.end(), buffer, buffer + n);
    }
  }

  void Flush(std::vector<utf8proc_int32_t>& run, std::string& out) const {
    if (run.empty()) return;
    SortMarks(run);
    auto count = static_cast<utf8proc_ssize_t>(run.size());
    if (compose_) {
      count = utf8proc_normalize_utf32(
          run.data(), count, static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    }
    for (utf8proc_ssize_t i = 0; i < count; ++i) AppendUtf8(static_cast<char32_t>(run[i]), out);
    run.clear();
  }

  // Canonical ordering: a stable sort of each stretch of characters with a combining class.
  static void SortMarks(std::vector<utf8proc_int32_t>& run) {
    const auto rank = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
    for (std::size_t begin = 0; begin < run.size();) {
      if (rank(run[begin]) == 0) {
        ++begin;
        continue;
      }
      std::size_t end = begin;
      while (end < run.size() && rank(run[end]) != 0) ++end;
      std::stable_sort(run.begin() + static_cast<std::ptrdiff_t>(begin),
                       run.begin() + static_cast<std::ptrdiff_t>(end),
                       [&](auto a, auto b) { return rank(a) < rank(b); });
      begin = end;
    }
  }

  bool compose_;
  bool compatibility_;
};

}  // namespace

std::unique_ptr<Normalizer> MakeUnicodeForm(bool compose, bool compatibility) {
  return std::make_unique<UnicodeForm>(compose, compatibility);
}

}  // namespace ingot::model
