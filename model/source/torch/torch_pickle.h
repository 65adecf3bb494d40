// A restricted unpickler for what torch.save writes (pickle protocols 2 to 5): it walks the opcodes
// and builds plain data and descriptions of tensors, never a class of the file. Text opcodes of
// protocols 0 and 1, instances, extensions and out-of-band buffers are refused. Source of the
// opcodes: Python's documentation of pickletools; PEP 307, 3154, 574.
//
// Thread rule: values, no sharing.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/status.h"
#include "model/source/torch/torch_objects.h"

namespace ingot::model {

inline constexpr std::uint64_t kMaxPickleBytes = 64u << 20;

struct Pickle {
  PickleObjects objects;
  PickleId root = 0;
  std::uint64_t consumed = 0;  // bytes up to and with STOP; others may follow
};

// Runs one pickle at the start of `bytes`, which must outlive the result. Time and memory are
// linear in the bytes. Unsupported names a global or an opcode that is not read; Corruption names
// the byte; Limit: more than kMaxPickleBytes before STOP, kMaxPickleObjects.
Result<Pickle> Unpickle(ByteSpan bytes);

}  // namespace ingot::model
