// The public API in one program: continues a prompt.
//   generate MODEL PROMPT [TOKENS]      MODEL: m.ingot, a Hugging Face directory or a .gguf
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "loader/ingot.h"

namespace {

ingot::Status Run(int argc, char** argv) {
  using namespace ingot::loader;  // NOLINT: an example reads better so
  if (argc < 3) return ingot::InvalidArgument("usage: generate MODEL PROMPT [TOKENS]");

  INGOT_ASSIGN(const auto model, Model::Open(argv[1]));
  Session session(model);
  GenerateOptions options;
  options.max_tokens = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 100;
  options.sampler.temperature = 0;  // greedy

  INGOT_ASSIGN(const GenerateResult result,
               Generate(session, argv[2], options, [](std::string_view piece) {
                 std::fwrite(piece.data(), 1, piece.size(), stdout);
                 return std::fflush(stdout) == 0;
               }));
  const double decode = static_cast<double>(result.decode_tokens) / result.decode_seconds;
  std::fprintf(stderr, "\n%zu tokens, %.1f a second%s\n", result.tokens.size(), decode,
               result.beyond_trained_length ? " (beyond the trained length)" : "");
  return ingot::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  const ingot::Status status = Run(argc, argv);
  if (status.ok()) return 0;
  std::fprintf(stderr, "generate: %s\n", status.message().c_str());
  return 1;
}
