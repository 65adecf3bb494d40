// What an artifact was made of, as its provenance says, and how its size stands against that.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "inspect/summary.h"

namespace ingot::inspect {

// The files that were read; 0 bytes where provenance does not say.
struct SourceFiles {
  std::uint64_t bytes = 0;
  std::string name;  // "model.safetensors and 2 more", as the file has it: not printable as it is
};
SourceFiles SourceFilesOf(const Json& provenance);

// ", 1.09x smaller than m.gguf (98.4 MB)" or ", 1.32x the size of m.gguf (98.4 MB)"; empty where
// either size is 0.
std::string AgainstSource(std::uint64_t file_bytes, const SourceFiles& source);

}  // namespace ingot::inspect
