// The sources behind Checkpoint::Open.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "model/source/checkpoint.h"

namespace ingot::model {

Result<std::unique_ptr<Checkpoint>> OpenHfCheckpoint(const std::string& directory);
// One file of torch.save, with config.json beside it.
Result<std::unique_ptr<Checkpoint>> OpenTorchCheckpoint(const std::string& path);
Result<std::unique_ptr<Checkpoint>> OpenGgufCheckpoint(const std::string& path);

// A file of rwkv.cpp, FP32 or FP16; its magic number, and its reader.
bool IsRwkvCppFile(const std::string& path);
Result<std::unique_ptr<Checkpoint>> OpenRwkvCppCheckpoint(const std::string& path);

}  // namespace ingot::model
