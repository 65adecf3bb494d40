// Writes the logits of every position as float32, vocab_size a row, to stdout.
//   logits MODEL ID...        one sequence
//   logits MODEL < FILE       a sequence of ids a line, each from an empty context
// With INGOT_COMPUTE=fast the activations are int8 where the kernels have that.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "loader/loaded_model.h"
#include "loader/session.h"

namespace {

using ingot::Status;
using ingot::loader::Session;
using ingot::model::TokenId;

constexpr std::size_t kRowsAtOnce = 64;

Status WriteLogits(Session& session, const std::vector<TokenId>& ids) {
  session.Reset();
  INGOT_ASSIGN(const auto hidden, session.Hidden(ids, 0));
  for (std::size_t begin = 0; begin < ids.size(); begin += kRowsAtOnce) {
    const auto logits = session.Logits(hidden, begin, std::min(begin + kRowsAtOnce, ids.size()));
    if (std::fwrite(logits.data(), sizeof(float), logits.size(), stdout) != logits.size())
      return ingot::IoError("stdout: write failed");
  }
  return ingot::OkStatus();
}

Status Run(int argc, char** argv) {
  if (argc < 2) return ingot::InvalidArgument("usage: logits MODEL [ID...]");
  const char* compute = std::getenv("INGOT_COMPUTE");
  ingot::loader::ModelOptions options;
  options.compute = compute != nullptr && std::string(compute) == "fast"
                        ? ingot::loader::Compute::kFast
                        : ingot::loader::Compute::kExact;
  INGOT_ASSIGN(auto model, ingot::loader::Model::Open(argv[1], options));
  // Keys and values are float32 either way: what differs is the products' own.
  ingot::loader::SessionOptions session_options;
  session_options.cache = ingot::loader::SessionOptions::Cache::kF32;
  Session session(model, session_options);
  if (argc > 2) {
    std::vector<TokenId> ids;
    for (int i = 2; i < argc; ++i) ids.push_back(std::atoi(argv[i]));
    return WriteLogits(session, ids);
  }
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::vector<TokenId> ids;
    for (TokenId id; words >> id;) ids.push_back(id);
    INGOT_TRY(WriteLogits(session, ids));
  }
  return ingot::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  const Status status = Run(argc, argv);
  if (status.ok()) return 0;
  std::fprintf(stderr, "logits: %s\n", status.message().c_str());
  return 1;
}
