// A GGUF model in one file or several: NAME-00001-of-00003.gguf and so on, of which any one names
// them all. The first holds the metadata; each holds tensors of its own.
//
// Thread rule: const methods may be called from several threads.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "model/source/gguf/gguf.h"
#include "model/source/mapped_file.h"

namespace ingot::model {

struct GgufPart {
  std::string name;  // of the file, without its folder
  File file;
  MappedFile mapped;
};

struct GgufParts {
  std::vector<GgufPart> parts;
  Gguf gguf;  // the first part's metadata, all parts' tensors; views into the parts
};

// Errors of ParseGguf, with the part's name; NotFound names parts that are missing; Corruption
// where a part is not what its name says.
Result<GgufParts> OpenGgufParts(const std::string& path);

}  // namespace ingot::model
