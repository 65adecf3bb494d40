// The one file that knows the commit: it alone is compiled anew with each.
#include "tools/cli/common.h"
#include "tools/cli/commit.h"

namespace ingot::cli {

std::string VersionLine() {
  const std::string commit = INGOT_COMMIT;
  return "ingot " INGOT_VERSION + (commit.empty() ? "" : " (" + commit + ")");
}

}  // namespace ingot::cli
