#include "model/source/gguf/gguf_pretokenizers.h"

#include <fmt/format.h>

#include <initializer_list>
#include <string_view>

namespace ingot::model {
namespace {

using Json = nlohmann::json;

Json ByteLevel(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json Split(std::string_view regex) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", regex}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

Json Digits() { return {{"type", "Digits"}, {"individual_digits", true}}; }

Json Sequence(std::initializer_list<Json> parts) {
  Json list = Json::array();
  for (const Json& part : parts) list.push_back(part);
  return {{"type", "Sequence"}, {"pretokenizers", std::move(list)}};
}

// Splits by one expression, then maps bytes.
Json ByRegex(std::string_view regex) { return Sequence({Split(regex), ByteLevel(false)}); }

constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDeepseekV3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Of a Hugging Face tokenizer.json or, where none is known to differ, llama.cpp's own expressions.
constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kNoContractions =
    R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kJais2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})";
constexpr std::string_view kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kMiniCpm5 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kExaoneMoe =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kSpark =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kYoutu =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Letters with a case, as DeepSeek LLM's pre-tokenizer lists them; those that have a canonical form
// of another number by their own.
constexpr std::string_view kCasedLetters =
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-"
    "ᴫᵫ"
    "-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\\x{1F7D}ᾀ-ᾴᾶ-ᾼ\\x{1FBE}ῂ-ῄῆ-ῌῐ-\\x{1FD3}ῖ-\\x{1FDB}"
    "ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\\x{2126}ℨ\\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-"
    "ꝯ"
    "ꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-"
    "𞥃";
constexpr std::string_view kAsian =
    "[一-鿿㐀-䶿\\x{F900}-\\x{FAFF}぀-ゟ゠-ヿ･-ﾟ⼀-⿟เ-๿຀-໿ក-៿က-႟ꩠ-ꩿꧠ-꧿가-힯ᄀ-"
    "ᇿ]+";
// Kimi K2: GPT-4o's, with words of Han characters apart.
constexpr std::string_view kKimiK2 =
    R"(\p{Han}+|[^
\p{L}\p{N}]?(?:(?!\p{Han})[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])*(?:(?!\p{Han})[\p{Ll}\p{Lm}\p{Lo}\p{M}])+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^
\p{L}\p{N}]?(?:(?!\p{Han})[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])+(?:(?!\p{Han})[\p{Ll}\p{Lm}\p{Lo}\p{M}])*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[
]*|\s*[
]+|\s+(?!\S)|\s+)";
constexpr std::string_view kHan = "[一-龥぀-ゟ゠-ヿ]+";
constexpr std::string_view kWords = " ?[^(\\s|.,!?…。，、।۔،)]+";

// How a text is cut, by names as llama.cpp's converter writes them.
enum class Kind {
  kDefault,
  kGpt2,
  kLlama3,
  kQwen2,
  kStarcoder,
  kTekken,
  kGpt4o,
  kDeepseekCoder,
  kDeepseekV3,
  kFalcon,
  kQwen35,
  kWords,
  kViking,
  kJais2,
  kSeedCoder,
  kBailing,
  kMiniCpm5,
  kExaoneMoe,
  kSpark,
  kYoutu,
  kSuper,
  kTinyAya,
  kNoContractions,
  kLaguna,
  kDeepseekLlm,
  kChameleon,
  kKimiK2,
  kAfMoe,
  kLines,
  kWhitespace,
};

struct NameRow {
  std::string_view name;
  Kind kind;
  bool ignore_merges = false;
  bool add_bos = false;
};

// "gpt-neox" and the like are of converters older than tokenizer.ggml.pre's list.
constexpr NameRow kNames[] = {
    {"", Kind::kGpt2},  // a file that does not say
    {"default", Kind::kDefault},
    {"gpt-2", Kind::kGpt2},
    {"gpt2", Kind::kGpt2},
    {"gpt-neox", Kind::kGpt2},
    {"olmo", Kind::kGpt2},
    {"mpt", Kind::kGpt2},
    {"jais", Kind::kGpt2},
    {"trillion", Kind::kGpt2},
    {"granite-docling", Kind::kGpt2},
    {"phi-2", Kind::kGpt2},
    {"roberta-bpe", Kind::kGpt2},
    {"jina-es", Kind::kGpt2},
    {"jina-de", Kind::kGpt2},
    {"jina-v1-en", Kind::kGpt2},
    {"jina-v2-es", Kind::kGpt2},
    {"jina-v2-de", Kind::kGpt2},
    {"jina-v2-code", Kind::kGpt2},
    {"gigachat", Kind::kGpt2},
    {"a.x-4.0", Kind::kGpt2},
    {"mellum", Kind::kGpt2},
    {"modern-bert", Kind::kGpt2},
    {"exaone4", Kind::kGpt2},
    {"llama-bpe", Kind::kLlama3, true, true},
    {"llama3", Kind::kLlama3, true, true},
    {"llama-v3", Kind::kLlama3, true, true},
    {"falcon3", Kind::kLlama3, true, true},
    {"falcon-h1", Kind::kLlama3, true, true},
    {"pixtral", Kind::kLlama3, true, true},
    {"midm-2.0", Kind::kLlama3, true, true},
    {"lfm2", Kind::kLlama3, true, true},
    {"jina-v5-nano", Kind::kLlama3, true, true},
    {"dbrx", Kind::kLlama3},
    {"smaug-bpe", Kind::kLlama3},
    {"glm4", Kind::kLlama3},
    {"chatglm-bpe", Kind::kLlama3},
    {"qwen2", Kind::kQwen2},
    {"deepseek-r1-qwen", Kind::kQwen2},
    {"kormo", Kind::kQwen2},
    {"f2llmv2", Kind::kQwen2},
    {"stablelm2", Kind::kQwen2},
    {"megrez", Kind::kQwen2},
    {"hunyuan", Kind::kQwen2},
    {"solar-open", Kind::kQwen2},
    {"grok-2", Kind::kQwen2},
    {"qwen35", Kind::kQwen35},
    {"ufakzeka", Kind::kNoContractions},
    {"laguna", Kind::kLaguna},
    {"smollm", Kind::kStarcoder},
    {"starcoder", Kind::kStarcoder},
    {"refact", Kind::kStarcoder},
    {"command-r", Kind::kStarcoder},
    {"codeshell", Kind::kStarcoder},
    {"exaone", Kind::kStarcoder},
    {"minerva-7b", Kind::kStarcoder},
    {"mellum2", Kind::kStarcoder},
    {"exaone-moe", Kind::kExaoneMoe},
    {"tekken", Kind::kTekken, true, true},
    {"gpt-4o", Kind::kGpt4o},
    {"llama4", Kind::kGpt4o},
    {"kanana2", Kind::kGpt4o},
    {"talkie", Kind::kGpt4o},
    {"minimax-m2", Kind::kGpt4o},
    {"tiny_aya", Kind::kTinyAya},
    {"cohere2moe", Kind::kTinyAya},
    {"deepseek-coder", Kind::kDeepseekCoder},
    {"deepseek-v3", Kind::kDeepseekV3},
    {"hunyuan-dense", Kind::kDeepseekV3},
    {"joyai-llm", Kind::kDeepseekV3},
    {"hy_v4", Kind::kDeepseekV3},
    {"spark2_5", Kind::kSpark},
    {"youtu", Kind::kYoutu, true},
    {"falcon", Kind::kFalcon},
    {"bloom", Kind::kWords},
    {"poro-chat", Kind::kWords},
    {"gpt3-finnish", Kind::kWords},
    {"viking", Kind::kViking},
    {"jais-2", Kind::kJais2},
    {"superbpe", Kind::kSuper},
    {"bailingmoe", Kind::kBailing},
    {"bailingmoe2", Kind::kBailing},
    {"llada-moe", Kind::kBailing},
    {"seed-coder", Kind::kSeedCoder},
    {"minicpm5", Kind::kMiniCpm5, true},
    {"deepseek-llm", Kind::kDeepseekLlm},
    {"chameleon", Kind::kChameleon, false, true},
    {"kimi-k2", Kind::kKimiK2},
    {"afmoe", Kind::kAfMoe},
    {"granite-embed-multi-97m", Kind::kGpt4o, true},
    {"granite-embed-multi-311m", Kind::kLines},
    {"gemma4", Kind::kLines},
    {"sarvam-moe", Kind::kLines},
    {"whitespace", Kind::kWhitespace},
};

Json PreTokenizerOf(Kind kind) {
  const Json bytes = ByteLevel(false);
  switch (kind) {
    case Kind::kDefault:
      return Sequence({Split(R"([\p{P}\$\+<=>\^~\|]+)"), Split(kGpt2), Split(R"(\p{N}+)"),
                       Split("[0-9][0-9][0-9]"), bytes});
    case Kind::kGpt2:
      return ByteLevel(true);
    case Kind::kLlama3:
      return ByRegex(kLlama3);
    case Kind::kQwen2:
      return ByRegex(kQwen2);
    case Kind::kStarcoder:
      return Sequence({Digits(), ByteLevel(true)});
    case Kind::kTekken:
      return ByRegex(kTekken);
    case Kind::kGpt4o:
      return ByRegex(kGpt4o);
    case Kind::kDeepseekCoder:
      return Sequence({Split("[\r\n]"), Split(R"(\s?\p{L}+)"), Split(R"(\s?\p{P}+)"),
                       Split("[一-龥ࠀ-一가-퟿]+"), Digits(), bytes});
    case Kind::kDeepseekV3:
      return Sequence({Split(R"(\p{N}{1,3})"), Split(kHan), Split(kDeepseekV3), bytes});
    case Kind::kFalcon:
      return Sequence(
          {Split(R"([\p{P}\$\+<=>\^~\|`]+)"), Split(kGpt2), Split("[0-9][0-9][0-9]"), bytes});
    case Kind::kQwen35:
      return ByRegex(kQwen35);
    case Kind::kWords:
      return ByRegex(kWords);
    case Kind::kViking:
      return Sequence({Split(kWords), Split(R"(\p{N})"), bytes});
    case Kind::kJais2:
      return ByRegex(kJais2);
    case Kind::kSeedCoder:
      return ByRegex(kSeedCoder);
    case Kind::kBailing:
      return ByRegex(kBailing);
    case Kind::kMiniCpm5:
      return Sequence({Split(R"(\p{N}{1,3})"), Split(kMiniCpm5), bytes});
    case Kind::kExaoneMoe:
      return ByRegex(kExaoneMoe);
    case Kind::kSpark:
      return Sequence(
          {Split(R"(\p{N}{1,3})"), Split(kHan), Split(kSpark), Split(R"(\p{N})"), bytes});
    case Kind::kYoutu:
      return Sequence({Split("[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-"
                             "ヿ]"
                             "+"),
                       Split(kYoutu), bytes});
    case Kind::kSuper:
      return Sequence({Split(R"(\p{N}+)"), Split(R"((?=(\d{3})+(?!\d)))"), bytes});
    case Kind::kTinyAya:
      return Sequence({Split(R"(\d{1,3}(?=(?:\d{3})*\b))"), Split(kGpt4o), bytes});
    case Kind::kNoContractions:
      return ByRegex(kNoContractions);
    case Kind::kLaguna:
      return Sequence({Split("[^\\n]+|[\\n]+"), Split(kQwen2), bytes});
    case Kind::kDeepseekLlm:
      return Sequence({Split("[\r\n]"), Split(fmt::format("\\s?[{}]+", kCasedLetters)),
                       Split(R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)"), Split(R"(\s+$)"),
                       Split("[一-龥ࠀ-一가-퟿]+"), Split(R"(\p{N}+)"), bytes});
    case Kind::kChameleon:
      return Sequence({Split("<sentinel:[0-9]+>"), Split("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"),
                       Split(R"([\t\n]|    |  )"), Split(R"(\p{N})"),
                       Split(R"([\p{P}!-/:-@\[-`{-~])"), ByteLevel(true)});
    case Kind::kKimiK2:
      return ByRegex(kKimiK2);
    case Kind::kAfMoe:
      // Digits in threes from the right.
      return Sequence({Split(R"(\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N})))"), Split(kAsian),
                       Split(kDeepseekV3), bytes});
    case Kind::kLines:
      return Split("[^\\n]+|[\\n]+");
    case Kind::kWhitespace:
      return {{"type", "WhitespaceSplit"}};
  }
  return nullptr;
}

}  // namespace

Result<GgufPreTokenizer> MakePreTokenizer(const std::string& name) {
  for (const NameRow& row : kNames) {
    if (row.name != name) continue;
    GgufPreTokenizer result;
    result.pre_tokenizer = PreTokenizerOf(row.kind);
    // Qwen's own files compose characters first; llama.cpp leaves that out.
    for (const std::string_view qwen : {"qwen2", "deepseek-r1-qwen", "f2llmv2"})
      if (name == qwen) result.normalizer = {{"type", "NFC"}};
    result.ignore_merges = row.ignore_merges;
    result.add_bos = row.add_bos;
    result.always_bos = name == "gemma4" || name == "granite-embed-multi-311m";
    using enum GgufPreTokenizer::Alphabet;
    if (row.kind == Kind::kLines) result.alphabet = kMarkedSpaces;
    if (row.kind == Kind::kWhitespace) result.alphabet = kNoSpaces;
    return result;
  }
  return Unsupported(fmt::format("pre-tokenizer '{}' (tokenizer.ggml.pre) is not supported", name));
}

}  // namespace ingot::model
