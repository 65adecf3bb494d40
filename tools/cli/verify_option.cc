#include "tools/cli/verify_option.h"

#include <map>
#include <string>

#include "tools/cli/name_choice.h"

namespace ingot::cli {

void AddVerifyOption(CLI::App* command, loader::Verify& verify) {
  command
      ->add_option("--verify", verify,
                   "eager: every byte of an artifact's weights first; lazy: those of a matrix "
                   "before its first use; by default eager")
      ->type_name("WHEN")
      ->transform(NameOf("time to verify",
                         std::map<std::string, loader::Verify>{{"eager", loader::Verify::kEager},
                                                               {"lazy", loader::Verify::kLazy}}));
}

}  // namespace ingot::cli
