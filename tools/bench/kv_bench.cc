// What keys and values as codes cost: the KL divergence of next tokens under each page format
// against float16 pages, of the same weights over the same text, and the memory of the cache.
//   kv_bench MODEL TEXT [CONTEXT [WINDOWS]]      CONTEXT 2048, WINDOWS 4
// One JSON object. A window starts with an empty cache; positions from the second page on are
// scored, before that no row sees a code.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/file.h"
#include "loader/ingot.h"

namespace ingot::loader {
namespace {

constexpr std::size_t kBlock = 256;

// KL(softmax(a) || softmax(b)) in double.
double Divergence(const float* a, const float* b, std::size_t n) {
  const auto log_sum = [n](const float* x) {
    const double max = *std::max_element(x, x + n);
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(x[i]) - max);
    return max + std::log(sum);
  };
  const double za = log_sum(a), zb = log_sum(b);
  double kl = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double log_p = static_cast<double>(a[i]) - za;
    kl += std::exp(log_p) * (log_p - (static_cast<double>(b[i]) - zb));
  }
  return kl;
}

Status Run(const std::string& path, const std::string& text_path, std::size_t context,
           std::size_t windows) {
  INGOT_ASSIGN(const auto model, Model::Open(path));
  INGOT_ASSIGN(const std::string text, ReadFileToString(text_path));
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, model->tokenizer());
  INGOT_ASSIGN(const std::vector<model::TokenId> ids,
               tokenizer->Encode(std::string_view(text).substr(0, context * windows * 16), false));
  if (ids.size() < context * windows)
    return InvalidArgument(text_path + ": " + std::to_string(ids.size()) + " tokens, " +
                           std::to_string(context * windows) + " are needed");
  const std::string_view names[] = {"f16", "int8", "int4"};
  double kl[3] = {}, bytes[3] = {}, agree[3] = {};
  std::size_t scored = 0;
  for (std::size_t w = 0; w < windows; ++w) {
    std::vector<std::unique_ptr<Session>> sessions;
    for (std::size_t f = 0; f < 3; ++f) {
      SessionOptions options;
      options.cache = f == 0   ? SessionOptions::Cache::kF16
                      : f == 1 ? SessionOptions::Cache::kInt8
                               : SessionOptions::Cache::kInt4;
      sessions.push_back(std::make_unique<Session>(model, options));
    }
    for (std::size_t begin = 0; begin < context; begin += kBlock) {
      const std::size_t count = std::min(kBlock, context - begin);
      const std::span block(ids.data() + w * context + begin, count);
      Tensor reference;
      for (std::size_t f = 0; f < 3; ++f) {
        INGOT_ASSIGN(const Tensor hidden, sessions[f]->Hidden(block, 0));
        Tensor logits = sessions[f]->Logits(hidden, 0, count);
        if (f == 0) reference = std::move(logits);
        for (std::size_t r = 0; f > 0 && r < count; ++r) {
          if (begin + r < kPageTokens) continue;
          const float *a = reference.row(r), *b = logits.row(r);
          kl[f] += Divergence(a, b, reference.cols());
          agree[f] += std::max_element(a, a + reference.cols()) - a ==
                              std::max_element(b, b + reference.cols()) - b
                          ? 1
                          : 0;
          scored += f == 1 ? 1 : 0;
        }
      }
    }
    for (std::size_t f = 0; f < 3; ++f)
      bytes[f] = std::max(bytes[f], static_cast<double>(sessions[f]->cache_bytes()));
  }
  fmt::print("{{\"context\": {}, \"positions\": {}", context, scored);
  for (std::size_t f = 1; f < 3; ++f)
    fmt::print(", \"{}\": {{\"kl\": {:.6f}, \"top1\": {:.4f}, \"bytes_over_f16\": {:.4f}}}",
               names[f], kl[f] / static_cast<double>(scored),
               agree[f] / static_cast<double>(scored), bytes[f] / bytes[0]);
  fmt::print("}}\n");
  return OkStatus();
}

}  // namespace
}  // namespace ingot::loader

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: kv_bench MODEL TEXT [CONTEXT [WINDOWS]]\n");
    return 2;
  }
  const std::size_t context = argc > 3 ? std::stoul(argv[3]) : 2048;
  const std::size_t windows = argc > 4 ? std::stoul(argv[4]) : 4;
  const ingot::Status status = ingot::loader::Run(argv[1], argv[2], context, windows);
  if (status.ok()) return 0;
  fmt::print(stderr, "{}\n", status.message());
  return 1;
}
