#include "model/source/torch/torch_objects.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "model/source/safetensors.h"

namespace ingot::model {
namespace {

constexpr std::size_t kMaxQuotedCharacters = 80;

struct KnownName {
  std::string_view module, name;
  PickleName meaning;
  std::string_view dtype = {};  // of storage classes and dtypes, in safetensors' names
};

using enum PickleName;
constexpr KnownName kKnownNames[] = {
    {"collections", "OrderedDict", kOrderedDict},
    {"torch", "Size", kSize},
    {"torch._utils", "_rebuild_tensor", kRebuildTensor},
    {"torch._utils", "_rebuild_tensor_v2", kRebuildTensorV2},
    {"torch._utils", "_rebuild_tensor_v3", kRebuildTensorV3},
    {"torch._utils", "_rebuild_parameter", kRebuildParameter},
    {"torch.storage", "UntypedStorage", kStorageClass},
    {"torch", "UntypedStorage", kStorageClass},
    {"torch", "DoubleStorage", kStorageClass, "F64"},
    {"torch", "FloatStorage", kStorageClass, "F32"},
    {"torch", "HalfStorage", kStorageClass, "F16"},
    {"torch", "BFloat16Storage", kStorageClass, "BF16"},
    {"torch", "LongStorage", kStorageClass, "I64"},
    {"torch", "IntStorage", kStorageClass, "I32"},
    {"torch", "ShortStorage", kStorageClass, "I16"},
    {"torch", "CharStorage", kStorageClass, "I8"},
    {"torch", "ByteStorage", kStorageClass, "U8"},
    {"torch", "BoolStorage", kStorageClass, "BOOL"},
    {"torch", "ComplexFloatStorage", kStorageClass, "C64"},
    {"torch", "float64", kDtype, "F64"},
    {"torch", "float32", kDtype, "F32"},
    {"torch", "float16", kDtype, "F16"},
    {"torch", "bfloat16", kDtype, "BF16"},
    {"torch", "float8_e4m3fn", kDtype, "F8_E4M3"},
    {"torch", "float8_e5m2", kDtype, "F8_E5M2"},
    {"torch", "float8_e8m0fnu", kDtype, "F8_E8M0"},
    {"torch", "complex64", kDtype, "C64"},
    {"torch", "int64", kDtype, "I64"},
    {"torch", "int32", kDtype, "I32"},
    {"torch", "int16", kDtype, "I16"},
    {"torch", "int8", kDtype, "I8"},
    {"torch", "uint64", kDtype, "U64"},
    {"torch", "uint32", kDtype, "U32"},
    {"torch", "uint16", kDtype, "U16"},
    {"torch", "uint8", kDtype, "U8"},
    {"torch", "bool", kDtype, "BOOL"},
};

PickleObject Container(PickleKind kind, std::vector<PickleId> items = {}) {
  PickleObject object;
  object.kind = kind;
  object.items = std::move(items);
  return object;
}

bool IsName(const PickleObject& object, PickleName name) {
  return object.kind == PickleKind::kName && object.name == name;
}

// How many arguments a rebuilding name takes.
struct RebuildShape {
  std::size_t least, most;
};
constexpr RebuildShape RebuildArguments(PickleName name) {
  return name == kRebuildTensor     ? RebuildShape{4, 4}
         : name == kRebuildTensorV2 ? RebuildShape{6, 7}
                                    : RebuildShape{7, 8};
}

}  // namespace

std::string_view PickleKindName(PickleKind kind) {
  static constexpr std::string_view kNames[] = {
      "None",    "a bool", "a number", "a number", "a number", "text",      "bytes",
      "a tuple", "a list", "a dict",   "a set",    "a class",  "a storage", "a tensor"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string QuoteForMessage(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text.substr(0, kMaxQuotedCharacters))
    quoted += c >= 0x20 && c < 0x7f ? c : '?';
  return quoted + (text.size() > kMaxQuotedCharacters ? "...'" : "'");
}

Result<PickleId> PickleObjects::Add(PickleObject object) {
  if (objects_.size() >= kMaxPickleObjects)
    return LimitExceeded(fmt::format("the pickle makes more than {} objects", kMaxPickleObjects));
  objects_.push_back(std::move(object));
  return static_cast<PickleId>(objects_.size() - 1);
}

Result<PickleId> PickleObjects::AddName(std::string_view module, std::string_view name) {
  for (const KnownName& known : kKnownNames) {
    if (known.module != module || known.name != name) continue;
    PickleObject object;
    object.kind = PickleKind::kName;
    object.name = known.meaning;
    object.text = known.dtype;
    return Add(std::move(object));
  }
  return Unsupported(fmt::format(
      "the pickle asks for {}; only tensors are read, and nothing in the file was executed: save "
      "model.state_dict() alone",
      QuoteForMessage(fmt::format("{}.{}", module, name))));
}

Result<std::vector<std::uint64_t>> PickleObjects::Unsigneds(PickleId id, const char* what) const {
  const PickleObject& tuple = at(id);
  if (tuple.kind != PickleKind::kTuple && tuple.kind != PickleKind::kList)
    return Corruption(fmt::format("a tensor's {} is {}", what, PickleKindName(tuple.kind)));
  if (tuple.items.size() > kMaxTensorDims)
    return LimitExceeded(fmt::format("a tensor of {} dimensions, at most {} are read",
                                     tuple.items.size(), kMaxTensorDims));
  std::vector<std::uint64_t> values;
  for (const PickleId item : tuple.items) {
    const PickleObject& value = at(item);
    if (value.kind != PickleKind::kInt || value.number < 0)
      return Corruption(
          fmt::format("a tensor's {} holds something that is not a number >= 0", what));
    values.push_back(static_cast<std::uint64_t>(value.number));
  }
  return values;
}

Status PickleObjects::CheckTensor(const PickledTensor& tensor,
                                  const PickledStorage& storage) const {
  if (tensor.shape.size() != tensor.strides.size())
    return Corruption(fmt::format("a tensor has {} dimensions but {} strides", tensor.shape.size(),
                                  tensor.strides.size()));
  const std::uint64_t available = storage.bytes() / SafetensorsDtypeBytes(tensor.dtype);
  const auto shape = [&] { return fmt::format("{}", fmt::join(tensor.shape, ", ")); };
  // A zero anywhere makes the tensor empty, but the others must not claim more than 2^63 either.
  std::uint64_t elements = 1, nonzero = 1;
  std::optional<std::uint64_t> last = tensor.first;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    const std::uint64_t n = tensor.shape[i];
    const auto product = CheckedMul(nonzero, std::max<std::uint64_t>(n, 1));
    if (!product || *product >> 59)
      return Corruption(fmt::format("a tensor's shape [{}] has more than 2^59 elements", shape()));
    nonzero = *product;
    elements *= n;
    const auto step =
        n == 0 ? std::optional<std::uint64_t>(0) : CheckedMul(n - 1, tensor.strides[i]);
    last = last && step ? CheckedAdd(*last, *step) : std::nullopt;
  }
  if (elements == 0) return OkStatus();
  if (!last || *last >= available)
    return Corruption(
        fmt::format("a tensor of shape [{}] and strides [{}] from element {} reaches "
                    "past its storage of {} elements",
                    shape(), fmt::join(tensor.strides, ", "), tensor.first, available));
  if (elements > available)
    return Unsupported(
        fmt::format("a tensor of shape [{}] is an expanded view of a storage of {} "
                    "elements: save it after .contiguous()",
                    shape(), available));
  return OkStatus();
}

Result<PickleId> PickleObjects::CallOrderedDict(const std::vector<PickleId>& arguments) {
  PickleObject dict = Container(PickleKind::kDict);
  if (arguments.size() > 1) return Corruption("OrderedDict with more than one argument");
  if (arguments.empty()) return Add(std::move(dict));
  const PickleObject& pairs = at(arguments[0]);  // [[key, value], ..], as Python 2 writes it
  if (pairs.kind != PickleKind::kList && pairs.kind != PickleKind::kTuple)
    return Corruption(fmt::format("OrderedDict made from {}", PickleKindName(pairs.kind)));
  copied_items_ += pairs.items.size();  // one list may be named by any number of calls
  if (copied_items_ > kMaxPickleObjects)
    return LimitExceeded(fmt::format("more than {} items copied into dicts", kMaxPickleObjects));
  for (const PickleId id : pairs.items) {
    const PickleObject& pair = at(id);
    if ((pair.kind != PickleKind::kList && pair.kind != PickleKind::kTuple) ||
        pair.items.size() != 2)
      return Corruption("OrderedDict made from something that is not pairs");
    dict.items.insert(dict.items.end(), pair.items.begin(), pair.items.end());
  }
  return Add(std::move(dict));
}

Result<PickleId> PickleObjects::CallRebuild(PickleName name,
                                            const std::vector<PickleId>& arguments) {
  const RebuildShape shape = RebuildArguments(name);
  if (arguments.size() < shape.least || arguments.size() > shape.most)
    return Corruption(fmt::format("a tensor made from {} arguments", arguments.size()));
  const PickleObject& storage = at(arguments[0]);
  const PickleObject& offset = at(arguments[1]);
  if (storage.kind != PickleKind::kStorage)
    return Corruption(fmt::format("a tensor made from {}", PickleKindName(storage.kind)));
  if (offset.kind != PickleKind::kInt || offset.number < 0)
    return Corruption("a tensor's offset is not a number >= 0");
  PickledTensor tensor;
  tensor.storage = storage.text;
  tensor.dtype = storage.dtype;
  tensor.first = static_cast<std::uint64_t>(offset.number);
  if (name == kRebuildTensorV3) {
    const PickleObject& dtype = at(arguments[6]);
    if (!IsName(dtype, kDtype)) return Corruption("a tensor's dtype is not a dtype");
    tensor.dtype = dtype.text;
  }
  if (tensor.dtype.empty()) tensor.dtype = "U8";  // untyped: bytes
  INGOT_ASSIGN(tensor.shape, Unsigneds(arguments[2], "size"));
  INGOT_ASSIGN(tensor.strides, Unsigneds(arguments[3], "stride"));
  // Metadata holds the conjugate and negative bits of lazy views: values would be wrong without.
  if (arguments.size() == shape.most && shape.most > shape.least) {
    const PickleObject& metadata = at(arguments.back());
    if (metadata.kind != PickleKind::kNone && !metadata.items.empty())
      return Unsupported("a tensor with a conjugate or negative bit: save it after .resolve_neg()");
  }
  const auto claimed = storages_.find(tensor.storage);
  INGOT_TRY(CheckTensor(tensor, claimed->second));
  if (tensors_.size() >= kMaxPickledTensors)
    return LimitExceeded(fmt::format("more than {} tensors", kMaxPickledTensors));
  PickleObject object;
  object.kind = PickleKind::kTensor;
  object.detail = static_cast<std::uint32_t>(tensors_.size());
  tensors_.push_back(std::move(tensor));
  return Add(std::move(object));
}

Result<PickleId> PickleObjects::Call(PickleId callee, PickleId arguments) {
  const PickleObject& function = at(callee);
  if (function.kind != PickleKind::kName)
    return Corruption(fmt::format("the pickle calls {}", PickleKindName(function.kind)));
  if (at(arguments).kind != PickleKind::kTuple)
    return Corruption("the pickle calls with arguments that are not a tuple");
  const std::vector<PickleId>& list = at(arguments).items;
  switch (function.name) {
    case kOrderedDict:
      return CallOrderedDict(list);
    case kRebuildTensor:
    case kRebuildTensorV2:
    case kRebuildTensorV3:
      return CallRebuild(function.name, list);
    case kSize:
      if (list.size() != 1 || at(list[0]).kind != PickleKind::kTuple)
        return Corruption("torch.Size made from something that is not a tuple");
      return list[0];
    case kRebuildParameter:
      if (list.size() != 3 || at(list[0]).kind != PickleKind::kTensor)
        return Corruption("a parameter made from something that is not a tensor");
      return list[0];
    case kStorageClass:
    case kDtype:
      break;
  }
  return Unsupported(
      "the pickle calls a storage class or a dtype; only tensors are read, and "
      "nothing in the file was executed");
}

Result<PickleId> PickleObjects::AddStorage(PickleId persistent_id) {
  const PickleObject& id = at(persistent_id);
  if (id.kind != PickleKind::kTuple || id.items.size() < 5 || id.items.size() > 6)
    return Corruption("a persistent id is not ('storage', class, key, location, elements)");
  const auto item = [&](std::size_t i) -> const PickleObject& { return at(id.items[i]); };
  if (item(0).kind != PickleKind::kString || item(0).text != "storage")
    return Unsupported(
        "a persistent id is not a 'storage'; only tensors are read, and nothing in "
        "the file was executed");
  if (!IsName(item(1), kStorageClass) || item(2).kind != PickleKind::kString ||
      item(4).kind != PickleKind::kInt || item(4).number < 0)
    return Corruption("a storage's class, key or number of elements is something else");
  if (item(2).text.empty() || item(2).text.size() > kMaxStorageKeyBytes)
    return Corruption(fmt::format("a storage's key has {} bytes (1 to {} are read)",
                                  item(2).text.size(), kMaxStorageKeyBytes));
  if (id.items.size() == 6 && item(5).kind != PickleKind::kNone)
    return Unsupported("a storage that is a view of another: load and torch.save it again");
  PickleObject object;
  object.kind = PickleKind::kStorage;
  object.text = item(2).text;
  object.dtype = item(1).text;
  PickledStorage storage;
  storage.element_bytes = object.dtype.empty() ? 1 : SafetensorsDtypeBytes(object.dtype);
  storage.elements = static_cast<std::uint64_t>(item(4).number);
  const auto bytes = CheckedMul(storage.element_bytes, storage.elements);
  if (!bytes || *bytes >> 63)
    return Corruption(fmt::format("storage {} claims {} elements", QuoteForMessage(object.text),
                                  storage.elements));
  const auto [it, inserted] = storages_.emplace(object.text, storage);
  if (!inserted && (it->second.element_bytes != storage.element_bytes ||
                    it->second.elements != storage.elements))
    return Corruption(fmt::format("storage {} is described in two ways: {} and {} elements",
                                  QuoteForMessage(object.text), it->second.elements,
                                  storage.elements));
  return Add(std::move(object));
}

}  // namespace ingot::model
