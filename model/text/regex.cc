#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/text/regex.h"

#include <pcre2.h>

#include <algorithm>

#include "model/text/regex_translate.h"
#include "model/text/unicode_class.h"
#include "model/text/utf8.h"

namespace ingot::model {
namespace {

constexpr std::size_t kMaxPatternBytes = 64 << 10;
// Backtracking steps of one search: ordinary patterns need a few per character of a match, and one
// match may be a whole text.
constexpr std::size_t kMatchSteps = 2'000'000;
constexpr std::size_t kMatchStepsPerByte = 32;
constexpr std::size_t kMatchStepsMax = 1'000'000'000;
// Memory of the interpreter, which keeps a frame per step that it may go back to.
constexpr std::uint32_t kHeapLimitKib = 256 << 10;
constexpr std::size_t kJitStackStart = 32 << 10;
constexpr std::size_t kJitStackMax = 8 << 20;
constexpr int kBackwards = 1;  // beside PCRE2's codes, which are negative

std::uint32_t StepsFor(std::size_t subject_bytes) {
  return static_cast<std::uint32_t>(
      std::min(kMatchStepsMax, kMatchSteps + kMatchStepsPerByte * subject_bytes));
}

}  // namespace

RegexScratch::RegexScratch()
    : data_(pcre2_match_data_create(1, nullptr)),
      context_(pcre2_match_context_create(nullptr)),
      stack_(pcre2_jit_stack_create(kJitStackStart, kJitStackMax, nullptr)) {
  INGOT_CHECK(data_ != nullptr && context_ != nullptr);
  pcre2_set_heap_limit(context_, kHeapLimitKib);
  // Without a stack of its own (no JIT on this machine) PCRE2 uses 32 KiB of the machine's.
  if (stack_ != nullptr) pcre2_jit_stack_assign(context_, nullptr, stack_);
}

RegexScratch::~RegexScratch() {
  pcre2_match_data_free(data_);
  pcre2_match_context_free(context_);
  if (stack_ != nullptr) pcre2_jit_stack_free(stack_);
}

void Regex::CodeDeleter::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

Result<Regex> Regex::Compile(std::string_view oniguruma_pattern) {
  if (oniguruma_pattern.size() > kMaxPatternBytes) {
    return LimitExceeded("regular expression of " + std::to_string(oniguruma_pattern.size()) +
                         " bytes, at most " + std::to_string(kMaxPatternBytes));
  }
  INGOT_ASSIGN(const std::string pattern, TranslateRegex(oniguruma_pattern));
  return CompileTranslated(pattern, oniguruma_pattern);
}

Result<Regex> Regex::CompileLiteral(std::string_view literal) {
  if (literal.size() > kMaxPatternBytes) {
    return LimitExceeded("pattern of " + std::to_string(literal.size()) + " bytes, at most " +
                         std::to_string(kMaxPatternBytes));
  }
  std::string pattern;
  for (const char c : literal) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x80 || (byte >= '0' && byte <= '9') ||
                       (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
    if (!plain && byte >= 0x20 && byte != 0x7F) pattern += '\\';
    pattern += c;
  }
  return CompileTranslated(pattern, literal);
}

Result<Regex> Regex::CompileTranslated(const std::string& pattern, std::string_view original) {
  std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  INGOT_CHECK(context != nullptr);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.get(), 100);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                    &offset, context.get());
  if (code == nullptr) {
    PCRE2_UCHAR message[160] = "";
    pcre2_get_error_message(error, message, sizeof(message));
    return Unsupported("regular expression " + std::string(original) + ": " +
                       reinterpret_cast<const char*>(message));
  }
  // Where there is no JIT the interpreter runs.
  (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return Regex(code);
}

std::string_view Regex::Prepare(std::string_view text, std::string& storage) {
  std::size_t i = SkipAscii(text, 0);
  bool copied = false;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0xE0) {  // no stand-ins below U+0800
      i = lead < 0x80 ? SkipAscii(text, i) : i + 2;
      continue;
    }
    const std::size_t begin = i;
    const char32_t c = NextCodePoint(text, i);
    if (!BlockHasStandIns(c)) continue;
    const char32_t stand_in = RegexStandIn(c);
    if (stand_in == c) continue;
    if (!copied) storage.assign(text);
    copied = true;
    std::string encoded;
    AppendUtf8(stand_in, encoded);
    storage.replace(begin, i - begin, encoded);  // as long as what it replaces
  }
  return copied ? std::string_view(storage) : text;
}

std::size_t Regex::NextStart(std::string_view text, std::size_t position) {
  return position < text.size() ? position + Utf8Length(static_cast<unsigned char>(text[position]))
                                : position + 1;
}

Regex::Outcome Regex::Search(std::string_view subject, std::size_t from, RegexScratch& scratch,
                             Match& match) const {
  const auto* text = reinterpret_cast<PCRE2_SPTR>(subject.data());
  pcre2_set_match_limit(scratch.context_, StepsFor(subject.size()));
  int count = pcre2_match(code_.get(), text, subject.size(), from, PCRE2_NO_UTF_CHECK,
                          scratch.data_, scratch.context_);
  if (count == PCRE2_ERROR_JIT_STACKLIMIT) {  // the interpreter keeps its frames on the heap
    count = pcre2_match(code_.get(), text, subject.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                        scratch.data_, scratch.context_);
  }
  if (count == PCRE2_ERROR_NOMATCH) return Outcome::kNone;
  const PCRE2_SIZE* span = pcre2_get_ovector_pointer(scratch.data_);
  // \K in a lookahead can put the start behind the end.
  const bool backwards = count >= 0 && (span[0] > span[1] || span[0] < from);
  if (count < 0 || backwards) {
    scratch.error_ = backwards ? kBackwards : count;
    return Outcome::kFailed;
  }
  match = {span[0], span[1]};
  return Outcome::kFound;
}

Status Regex::SearchError(std::string_view subject, std::size_t from,
                          const RegexScratch& scratch) {
  const std::string place = "regular expression at byte " + std::to_string(from) + " of a text of " +
                            std::to_string(subject.size()) + ": ";
  switch (scratch.error_) {
    case kBackwards:
      return Unsupported(place + "a match ends before it begins");
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT:
      return LimitExceeded(place + "no match found or ruled out in " +
                           std::to_string(StepsFor(subject.size())) + " steps");
    case PCRE2_ERROR_HEAPLIMIT:
    case PCRE2_ERROR_NOMEMORY:
      return LimitExceeded(place + "a match needs more than " +
                           std::to_string(kHeapLimitKib >> 10) + " MiB");
    default:
      break;
  }
  PCRE2_UCHAR message[160] = "";
  pcre2_get_error_message(scratch.error_, message, sizeof(message));
  return Unsupported(place + reinterpret_cast<const char*>(message));
}

}  // namespace ingot::model
