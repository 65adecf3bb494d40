// `ingot keygen` and `ingot sign`.
#include <fmt/format.h>

#include <memory>

#include "artifact/signature.h"
#include "inspect/summary.h"
#include "tools/cli/common.h"
#include "untrusted/printable.h"

namespace ingot::cli {

void AddKeygenCommand(CLI::App& app, Outcome& outcome) {
  auto prefix = std::make_shared<std::string>();
  auto quiet = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("keygen", "make an Ed25519 key pair");
  command->add_option("PREFIX", *prefix, "writes PREFIX.key (keep it secret) and PREFIX.pub")
      ->required();
  command->add_flag("-q,--quiet", *quiet, "print nothing");
  OnRun(command, outcome, [prefix, quiet]() -> Status {
    if (prefix->empty()) return InvalidArgument("PREFIX: the key pair to write has no name");
    INGOT_TRY(artifact::GenerateEd25519(*prefix));
    INGOT_ASSIGN(const auto key, artifact::VerifyingKey::Load(*prefix + ".pub"));
    if (!*quiet)
      PrintPage("{0}.key (keep it secret), {0}.pub: ed25519 key {1}\n",
                untrusted::Printable(*prefix), key.key_id());
    return OkStatus();
  });
}

void AddSignCommand(CLI::App& app, Outcome& outcome) {
  struct Options {
    std::string file;
    KeyOption key;
    bool quiet = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("sign", "add a signature to an artifact, in place");
  command->add_option("FILE", options->file, "artifact")->required();
  AddSigningKeyOptions(command, "--key", options->key);
  command->add_flag("-q,--quiet", options->quiet, "print nothing");
  OnRun(command, outcome, [options]() -> Status {
    if (!options->key.given()) return InvalidArgument("--key or --hmac-key is required");
    if (options->file == "-")
      return InvalidArgument("-: sign adds to a file in place: give the name of one");
    INGOT_TRY(inspect::CheckNotAModel(options->file));
    INGOT_ASSIGN(const auto key, LoadSigningKey(options->key));
    INGOT_TRY(artifact::SignFile(options->file, *key));
    if (!options->quiet)
      PrintPage("{}: signed with {} key {}\n", untrusted::Printable(options->file),
                artifact::SignatureKindName(key->kind()), key->key_id());
    return OkStatus();
  });
}

}  // namespace ingot::cli
