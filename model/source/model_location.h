// What a person means by a model's name: a path, a file of a folder, a folder of the Hub's cache,
// or the name on the Hub of what is in that cache. Nothing is ever downloaded.
//
// Thread rule: look at the file system and the environment.
#pragma once

#include <string>

#include "base/status.h"

namespace ingot::model {

// The folder or file to open for `model`:
//   a folder models--ORG--NAME (of a cache)   its snapshot of refs/main, else its only one
//   DIR/config.json, DIR/*.index.json         DIR
//   DIR/*.safetensors                         DIR where it is a checkpoint whose file this is
//   ORG/NAME or NAME that is no path          the same in the cache of HF_HUB_CACHE, HF_HOME or
//                                             ~/.cache/huggingface
//   anything else                             itself
// NotFound for what is none of them says where was looked.
Result<std::string> LocateModel(const std::string& model);

// Corruption where the file is not what its name says but stands for it: a pointer of Git LFS. OK
// for everything else, and for what cannot be read.
Status CheckIsNoPointer(const std::string& file);

// Unsupported where `file` is an Ingot artifact: what is made from a model, not one.
Status CheckIsNoArtifact(const std::string& file);

// Unsupported where a folder holds a LoRA adapter and no model.
Status CheckIsNoAdapter(const std::string& folder);

}  // namespace ingot::model
