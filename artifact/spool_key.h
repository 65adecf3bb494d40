// The key that says "this user wrote it": what a spool's journal is authenticated with. 32 random
// bytes in $XDG_STATE_HOME/ingot/spool.key (~/.local/state/ingot/spool.key), readable by the user
// alone, made at first use. It never leaves the machine and protects nothing but unfinished packs:
// who deletes it loses the work of those and no more.
//
// Thread rule: pure but for the file.
#pragma once

#include "artifact/format.h"

namespace ingot::artifact {

// The user's key. Where there can be none (no home, a file that others can read, a read-only disk),
// a random one: journals that are written with it verify for nobody, so spools are not resumed.
Digest SpoolKey();

}  // namespace ingot::artifact
