// tokenize: ids of a file's text by the tokenizer in a directory, or a GGUF.
// usage: tokenize DIR|GGUF TEXT [--special] [--lines] [--list] [--repeat N] [--spm]
//        --lines: every line is a text of its own
//        --list: TEXT is a JSON list of texts; prints a list with the ids of each
//        prints an id a line; with --repeat seconds of loading and of the best encode on stderr, by
//        the clock and of the processor
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "model/source/checkpoint.h"
#include "model/text/rwkv_vocabulary_name.h"
#include "model/tokenizer/tokenizer.h"

namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

ingot::Result<std::vector<ingot::model::TokenId>> EncodeAll(
    const ingot::model::Tokenizer& tokenizer, std::string_view text, bool special, bool lines) {
  if (!lines) return tokenizer.Encode(text, special);
  std::vector<ingot::model::TokenId> all;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    INGOT_ASSIGN(const auto ids, tokenizer.Encode(text.substr(0, end), special));
    all.insert(all.end(), ids.begin(), ids.end());
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return all;
}

// Each text's ids, or the reason why there are none.
int EncodeList(const ingot::model::Tokenizer& tokenizer, const std::string& list, bool special) {
  const nlohmann::json texts = nlohmann::json::parse(list, nullptr, /*allow_exceptions=*/false);
  if (!texts.is_array()) {
    std::fprintf(stderr, "tokenize: TEXT is no JSON list\n");
    return 2;
  }
  nlohmann::json all = nlohmann::json::array();
  for (const nlohmann::json& text : texts) {
    const auto ids = tokenizer.Encode(text.get<std::string>(), special);
    all.push_back(ids.ok() ? nlohmann::json(*ids) : nlohmann::json(ids.status().message()));
  }
  std::printf("%s\n", all.dump().c_str());
  return 0;
}

// The tokenizer's files of a folder.
std::map<std::string, std::string> AssetsOfFolder(const std::string& folder, bool spm) {
  std::map<std::string, std::string> assets;
  for (const char* name :
       {"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "generation_config.json",
        "chat_template.jinja", "vocab.txt", "vocab.json", "merges.txt", "added_tokens.json",
        "special_tokens_map.json", "tekken.json"}) {
    if (spm && std::strcmp(name, "tokenizer.model") != 0) continue;
    auto bytes = ingot::ReadFileToString(folder + "/" + name);
    if (bytes.ok()) assets[name] = *std::move(bytes);
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!ingot::model::IsRwkvVocabulary(name)) continue;
    auto bytes = ingot::ReadFileToString(entry.path().string());
    if (bytes.ok()) assets[name] = *std::move(bytes);
  }
  return assets;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(
        stderr,
        "usage: tokenize DIR|GGUF TEXT [--special] [--lines] [--list] [--repeat N] [--spm]\n");
    return 2;
  }
  bool special = false;
  bool spm = false;
  bool lines = false, list = false;
  int repeat = 0;
  for (int i = 3; i < argc; ++i) {
    if (std::strcmp(argv[i], "--special") == 0) special = true;
    if (std::strcmp(argv[i], "--lines") == 0) lines = true;
    if (std::strcmp(argv[i], "--spm") == 0) spm = true;
    if (std::strcmp(argv[i], "--list") == 0) list = true;
    if (std::strcmp(argv[i], "--repeat") == 0 && i + 1 < argc) repeat = std::atoi(argv[++i]);
  }
  std::map<std::string, std::string> assets;
  if (std::string_view(argv[1]).ends_with(".gguf")) {
    const auto checkpoint = ingot::model::Checkpoint::Open(argv[1]);
    if (!checkpoint.ok()) {
      std::fprintf(stderr, "tokenize: %s\n", checkpoint.status().message().c_str());
      return 1;
    }
    assets = (*checkpoint)->assets();
  } else {
    assets = AssetsOfFolder(argv[1], spm);
  }
  const double start = Seconds();
  const std::clock_t start_cpu = std::clock();
  auto tokenizer = ingot::model::Tokenizer::FromAssets(assets);
  const double loaded = Seconds() - start;
  const double loaded_cpu = static_cast<double>(std::clock() - start_cpu) / CLOCKS_PER_SEC;
  auto text = ingot::ReadFileToString(argv[2]);
  if (!tokenizer.ok() || !text.ok()) {
    const auto& status = tokenizer.ok() ? text.status() : tokenizer.status();
    std::fprintf(stderr, "tokenize: %s\n", status.message().c_str());
    return 1;
  }
  if (list) return EncodeList(**tokenizer, *text, special);
  double best = 1e9, best_cpu = 1e9;
  for (int i = 0; i < repeat; ++i) {
    const double begin = Seconds();
    const std::clock_t begin_cpu = std::clock();
    (void)EncodeAll(**tokenizer, *text, special, lines);
    best = std::min(best, Seconds() - begin);
    best_cpu = std::min(best_cpu, static_cast<double>(std::clock() - begin_cpu) / CLOCKS_PER_SEC);
  }
  if (repeat > 0)
    std::fprintf(stderr, "load %.4f encode %.6f load_cpu %.4f encode_cpu %.6f\n", loaded, best,
                 loaded_cpu, best_cpu);
  const auto ids = EncodeAll(**tokenizer, *text, special, lines);
  if (!ids.ok()) {
    std::fprintf(stderr, "tokenize: %s\n", ids.status().message().c_str());
    return 1;
  }
  for (const auto id : *ids) std::printf("%d\n", id);
  return 0;
}
