// Why a source's assets lack a tokenizer that the source has: the weights are read all the same.
// Thread rule: const methods may be called from several threads.
#pragma once

#include "base/status.h"
#include "model/source/checkpoint.h"

namespace ingot::model {

// A Checkpoint that may have one that is not understood.
class HasTokenizerStatus {
 public:
  virtual ~HasTokenizerStatus() = default;
  virtual const Status& tokenizer_status() const = 0;
};

// OK where nothing is amiss.
inline Status TokenizerStatus(const Checkpoint& checkpoint) {
  const auto* source = dynamic_cast<const HasTokenizerStatus*>(&checkpoint);
  return source == nullptr ? OkStatus() : source->tokenizer_status();
}

}  // namespace ingot::model
