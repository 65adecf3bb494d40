#include "model/tokenizer/bert_normalizer.h"

#include <array>
#include <utility>

#include "model/text/json_fields.h"
#include "model/text/unicode_class.h"
#include "model/text/utf8.h"
#include "model/tokenizer/unicode_form.h"

namespace ingot::model {
namespace {

struct Steps {
  bool clean_text = true;
  bool spaces_around_chinese = true;
  bool strip_accents = true;
  bool lowercase = true;
};

class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(const Steps& steps)
      : steps_(steps), decompose_(MakeUnicodeForm(false, false)) {
    for (unsigned c = 0; c < 128; ++c) {
      char mapped = static_cast<char>(c);
      if (steps.lowercase) mapped = static_cast<char>(LowercaseOf(c));
      if (steps.clean_text && IsWhitespace(c)) mapped = ' ';
      ascii_[c] = mapped;
      kept_[c] = !(steps.clean_text && IsBertDropped(c));
    }
  }

  Result<std::string_view> Apply(std::string_view text, std::string& storage,
                                 TextScratch& scratch) const override {
    storage.clear();
    storage.reserve(text.size() + text.size() / 8);
    std::string run, decomposed;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t end = SkipAscii(text, i);
      AppendAscii(text.substr(i, end - i), storage);
      i = end;
      if (i == text.size()) break;
      i = Collect(text, i, run);
      INGOT_TRY(AppendRun(run, decomposed, scratch, storage));
    }
    INGOT_TRY(scratch.growth.Take(text.size(), storage.size()));
    return std::string_view(storage);
  }

 private:
  void AppendAscii(std::string_view text, std::string& out) const {
    const std::size_t before = out.size();
    out.resize(before + text.size());
    char* to = out.data() + before;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      *to = ascii_[byte];
      to += kept_[byte];
    }
    out.resize(static_cast<std::size_t>(to - out.data()));
  }

  // A stretch of characters beyond ASCII into `run`, cleaned; returns where it ends.
  std::size_t Collect(std::string_view text, std::size_t i, std::string& run) const {
    run.clear();
    while (i < text.size() && static_cast<unsigned char>(text[i]) >= 0x80) {
      const std::size_t at = i;
      const char32_t c = NextCodePoint(text, i);
      if (steps_.clean_text && IsBertDropped(c)) continue;
      if (steps_.clean_text && IsWhitespace(c)) {
        run += ' ';
      } else if (steps_.spaces_around_chinese && IsBertChinese(c)) {
        run += ' ';
        run.append(text, at, i - at);
        run += ' ';
      } else {
        run.append(text, at, i - at);
      }
    }
    return i;
  }

  Status AppendRun(std::string_view run, std::string& decomposed, TextScratch& scratch,
                   std::string& out) const {
    if (steps_.strip_accents) {
      decomposed.clear();
      INGOT_ASSIGN(run, decompose_->Apply(run, decomposed, scratch));
    }
    if (!steps_.strip_accents && !steps_.lowercase) {
      out += run;
      return OkStatus();
    }
    for (std::size_t i = 0; i < run.size();) {
      const std::size_t at = i;
      const char32_t c = NextCodePoint(run, i);
      if (steps_.strip_accents && IsBertMark(c)) continue;
      const char32_t lower = steps_.lowercase ? LowercaseOf(c) : c;
      if (lower == c) {
        out.append(run, at, i - at);
      } else {
        AppendUtf8(lower, out);
        if (c == 0x130) AppendUtf8(0x307, out);
      }
    }
    return OkStatus();
  }

  Steps steps_;
  std::unique_ptr<Normalizer> decompose_;
  std::array<char, 128> ascii_{};
  std::array<bool, 128> kept_{};
};

}  // namespace

Result<std::unique_ptr<Normalizer>> ParseBertNormalizer(const nlohmann::json& spec) {
  Steps steps;
  INGOT_ASSIGN(steps.clean_text, BoolField(spec, "clean_text", true));
  INGOT_ASSIGN(steps.spaces_around_chinese, BoolField(spec, "handle_chinese_chars", true));
  INGOT_ASSIGN(steps.lowercase, BoolField(spec, "lowercase", true));
  INGOT_ASSIGN(steps.strip_accents, BoolField(spec, "strip_accents", steps.lowercase));
  return std::unique_ptr<Normalizer>(std::make_unique<BertNormalizer>(steps));
}

}  // namespace ingot::model
