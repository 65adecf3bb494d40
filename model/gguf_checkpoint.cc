// A GGUF file as a checkpoint.
#include "model/checkpoint_sources.h"

namespace ingot::model {

Result<std::unique_ptr<Checkpoint>> OpenGgufCheckpoint(const std::string& path) {
  return Unsupported(path + ": not a directory with config.json");
}

}  // namespace ingot::model
