// What belongs to a model's folder. A folder from elsewhere may hold links to anything its user can
// read; packing must not carry that into an artifact.
//
// Thread rule: pure but for looking at the file system.
#pragma once

#include <string>

#include "base/status.h"

namespace ingot::model {

// Unsupported where `folder`/`name` is a link that leads out of the folder. Links to the blobs/ beside
// a snapshots/ that the folder lies in are of Hugging Face's cache and lead where they should.
Status CheckInFolder(const std::string& folder, const std::string& name);

}  // namespace ingot::model
