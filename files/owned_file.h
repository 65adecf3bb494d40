// Files that nobody but the caller may have put there.
//
// Thread rule: the functions share nothing.
#pragma once

#include <string>

#include "base/file.h"
#include "base/status.h"

namespace ingot::files {

// Opens `path` for reading and writing, or makes it, readable by the caller alone. Follows no link
// and waits for nothing. InvalidArgument unless it is a regular file of the caller's, under this
// name only, that nobody else may write: it is left as it is.
Result<File> OpenOwned(const std::string& path);

// InvalidArgument unless `path` is a directory, no link to one, of the caller's that nobody else may
// write: what lies in it was put there by the caller.
Status CheckOwnDirectory(const std::string& path);

// Whether `path` is still the name of this open file.
bool IsNamed(const File& file, const std::string& path);

}  // namespace ingot::files
