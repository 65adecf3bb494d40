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

enum class Kind {
  kGpt2,
  kLlama3,
  kQwen2,
  kStarcoder,
  kTekken,
  kGpt4o,
  kDeepseekCoder,
  kDeepseekV3
};

struct NameRow {
  std::string_view name;
  Kind kind;
};

// Names as llama.cpp's converter writes them, by the expression they stand for.
constexpr NameRow kNames[] = {
    {"", Kind::kGpt2},
    {"default", Kind::kGpt2},
    {"gpt-2", Kind::kGpt2},
    {"gpt2", Kind::kGpt2},
    {"gpt-neox", Kind::kGpt2},
    {"olmo", Kind::kGpt2},
    {"mpt", Kind::kGpt2},
    {"phi-2", Kind::kGpt2},
    {"roberta-bpe", Kind::kGpt2},
    {"llama-bpe", Kind::kLlama3},
    {"llama3", Kind::kLlama3},
    {"llama-v3", Kind::kLlama3},
    {"falcon3", Kind::kLlama3},
    {"pixtral", Kind::kLlama3},
    {"dbrx", Kind::kLlama3},
    {"smaug-bpe", Kind::kLlama3},
    {"qwen2", Kind::kQwen2},
    {"deepseek-r1-qwen", Kind::kQwen2},
    {"stablelm2", Kind::kQwen2},
    {"megrez", Kind::kQwen2},
    {"smollm", Kind::kStarcoder},
    {"starcoder", Kind::kStarcoder},
    {"refact", Kind::kStarcoder},
    {"command-r", Kind::kStarcoder},
    {"codeshell", Kind::kStarcoder},
    {"exaone", Kind::kStarcoder},
    {"minerva-7b", Kind::kStarcoder},
    {"tekken", Kind::kTekken},
    {"gpt-4o", Kind::kGpt4o},
    {"llama4", Kind::kGpt4o},
    {"deepseek-coder", Kind::kDeepseekCoder},
    {"deepseek-v3", Kind::kDeepseekV3},
};

Json PreTokenizerOf(Kind kind) {
  switch (kind) {
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
                       Split("[一-龥ࠀ-一가-퟿]+"), Digits(), ByteLevel(false)});
    case Kind::kDeepseekV3:
      return Sequence({Split(R"(\p{N}{1,3})"), Split("[一-龥぀-ゟ゠-ヿ]+"),
                       Split(kDeepseekV3), ByteLevel(false)});
  }
  return nullptr;
}

}  // namespace

Result<GgufPreTokenizer> MakePreTokenizer(const std::string& name) {
  for (const NameRow& row : kNames) {
    if (row.name != name) continue;
    GgufPreTokenizer result;
    result.pre_tokenizer = PreTokenizerOf(row.kind);
    if (row.kind == Kind::kQwen2) result.normalizer = {{"type", "NFC"}};
    const bool llama3 = row.kind == Kind::kLlama3 && name != "dbrx" && name != "smaug-bpe";
    result.ignore_merges = llama3 || row.kind == Kind::kTekken;
    result.add_bos = llama3 || row.kind == Kind::kTekken;
    return result;
  }
  return Unsupported(fmt::format("pre-tokenizer '{}' (tokenizer.ggml.pre) is not supported", name));
}

}  // namespace ingot::model
