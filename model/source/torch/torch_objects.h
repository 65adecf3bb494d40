// What a restricted unpickler may build: plain data, and descriptions of tensors and storages. No
// class of the file is ever looked up and nothing is ever called: the few names that torch.save
// writes around tensors are an enumeration here, and every other name is refused.
//
// Thread rule: one owner at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ingot::model {

inline constexpr std::size_t kMaxTensorDims = 8;
inline constexpr std::size_t kMaxPickleObjects = 2'000'000;
inline constexpr std::size_t kMaxPickledTensors = 500'000;
inline constexpr std::size_t kMaxStorageKeyBytes = 255;

// The names that are understood.
enum class PickleName {
  kOrderedDict,      // collections.OrderedDict
  kSize,             // torch.Size
  kRebuildTensor,    // torch._utils._rebuild_tensor(storage, offset, size, stride)
  kRebuildTensorV2,  // torch._utils._rebuild_tensor_v2(.., requires_grad, hooks[, metadata])
  kRebuildTensorV3,  // torch._utils._rebuild_tensor_v3(.., requires_grad, hooks, dtype[, metadata])
  kRebuildParameter,  // torch._utils._rebuild_parameter(tensor, requires_grad, hooks)
  kStorageClass,      // torch.FloatStorage and its like; torch.storage.UntypedStorage
  kDtype,             // torch.float32 and its like
};

enum class PickleKind {
  kNone,
  kBool,
  kInt,
  kBigInt,
  kFloat,
  kString,
  kBytes,
  kTuple,
  kList,
  kDict,
  kSet,
  kName,
  kStorage,
  kTensor
};
std::string_view PickleKindName(PickleKind kind);

using PickleId = std::uint32_t;

// dtypes have safetensors' names; UntypedStorage has an empty one.
struct PickleObject {
  PickleKind kind = PickleKind::kNone;
  PickleName name = PickleName::kOrderedDict;  // kName
  std::int64_t number = 0;                     // kBool, kInt
  std::string_view text;        // kString, kBytes, kBigInt (little-endian two's complement): into
                                // the pickle; kName: its dtype; kStorage: key
  std::string_view dtype;       // kStorage (empty: untyped), kTensor
  std::vector<PickleId> items;  // kTuple, kList, kSet; kDict: key, value, key, value
  std::uint32_t detail = 0;     // kTensor: which of `tensors`
};

struct PickledStorage {
  std::uint64_t element_bytes = 0;
  std::uint64_t elements = 0;
  std::uint64_t bytes() const { return element_bytes * elements; }  // checked when it was read
};

struct PickledTensor {
  std::string_view storage;                   // key
  std::string_view dtype;                     // "F32"
  std::uint64_t first = 0;                    // in elements of dtype, from the storage's start
  std::vector<std::uint64_t> shape, strides;  // in elements
};

// Everything that one pickle made. Views point into the pickle's bytes.
class PickleObjects {
 public:
  // Limit past kMaxPickleObjects.
  Result<PickleId> Add(PickleObject object);
  const PickleObject& at(PickleId id) const { return objects_[id]; }
  PickleObject& at(PickleId id) { return objects_[id]; }

  // A global of the file. Unsupported, naming it, for all that is not a PickleName.
  Result<PickleId> AddName(std::string_view module, std::string_view name);
  // What REDUCE makes of a name and its arguments.
  Result<PickleId> Call(PickleId callee, PickleId arguments);
  // What a persistent id stands for: ('storage', class, key, location, elements).
  Result<PickleId> AddStorage(PickleId persistent_id);

  const std::map<std::string, PickledStorage, std::less<>>& storages() const { return storages_; }
  const std::vector<PickledTensor>& tensors() const { return tensors_; }

 private:
  Result<PickleId> CallOrderedDict(const std::vector<PickleId>& arguments);
  Result<PickleId> CallRebuild(PickleName name, const std::vector<PickleId>& arguments);
  Result<std::vector<std::uint64_t>> Unsigneds(PickleId id, const char* what) const;
  Status CheckTensor(const PickledTensor& tensor, const PickledStorage& storage) const;

  std::vector<PickleObject> objects_;
  std::vector<PickledTensor> tensors_;
  std::map<std::string, PickledStorage, std::less<>> storages_;
  std::size_t copied_items_ = 0;
};

// Text of a file in a message: quoted, at most 80 characters, nothing but printable ASCII.
std::string QuoteForMessage(std::string_view text);

}  // namespace ingot::model
