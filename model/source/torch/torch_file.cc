#include "model/source/torch/torch_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "model/source/safetensors.h"
#include "model/source/torch/torch_pickle.h"
#include "model/source/torch/torch_state_dict.h"
#include "model/source/torch/torch_zip.h"

namespace ingot::model {
namespace {

constexpr std::string_view kPickleRecord = "/data.pkl";
// 0x1950a86a20f9469cfc6c as a pickled integer.
constexpr std::string_view kLegacyMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr std::int64_t kLegacyProtocol = 1001;
constexpr std::uint64_t kCountBytes = 8;

using StorageOffsets = std::map<std::string, std::uint64_t, std::less<>>;

bool IsContiguous(const StateDictTensor& tensor) {
  if (std::ranges::find(tensor.shape, 0u) != tensor.shape.end()) return true;  // nothing to gather
  std::uint64_t step = 1;
  for (std::size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] > 1 && tensor.strides[i] != step) return false;
    step *= tensor.shape[i];
  }
  return true;
}

// REQUIRES: every storage of `state` lies at its offset, with its bytes.
std::vector<TorchEntry> Resolve(StateDict state, const StorageOffsets& offsets) {
  std::vector<TorchEntry> entries;
  entries.reserve(state.tensors.size());
  for (StateDictTensor& tensor : state.tensors) {
    TorchEntry entry;
    const std::uint64_t element = SafetensorsDtypeBytes(tensor.dtype);
    entry.bytes = element;
    for (const std::uint64_t n : tensor.shape) entry.bytes *= n;
    // An empty tensor may start anywhere; it is given its storage's start.
    entry.offset =
        offsets.find(tensor.storage)->second + (entry.bytes > 0 ? tensor.first * element : 0);
    if (!IsContiguous(tensor)) entry.strides = std::move(tensor.strides);
    entry.name = std::move(tensor.name);
    entry.dtype = std::move(tensor.dtype);
    entry.shape = std::move(tensor.shape);
    entries.push_back(std::move(entry));
  }
  return entries;
}

// "archive", where archive/data.pkl is the one pickle of that name.
Result<std::string> FindRoot(const std::vector<ZipRecord>& records) {
  std::optional<std::string> root;
  for (const ZipRecord& record : records) {
    if (!record.name.ends_with(kPickleRecord)) continue;
    std::string directory = record.name.substr(0, record.name.size() - kPickleRecord.size());
    if (directory.find('/') != std::string::npos) continue;
    if (root) return Corruption("a zip archive with two pickles data.pkl");
    root = std::move(directory);
  }
  if (!root) return Unsupported("a zip archive without NAME/data.pkl; torch.save did not write it");
  return *std::move(root);
}

Result<std::vector<TorchEntry>> ParseZipFile(ByteSpan file) {
  INGOT_ASSIGN(const std::vector<ZipRecord> records, ParseTorchZip(file));
  INGOT_ASSIGN(const std::string root, FindRoot(records));
  if (const ZipRecord* order = FindRecord(records, root + "/byteorder"); order != nullptr) {
    if (const auto text = AsText(file.subspan(order->offset, order->bytes)); text != "little")
      return Unsupported(
          fmt::format("byte order {}, only 'little' is read", QuoteForMessage(text)));
  }
  const ZipRecord& record = *FindRecord(records, root + std::string(kPickleRecord));
  INGOT_ASSIGN(StateDict state,
               ParseStateDict(file.subspan(record.offset, record.bytes)).At(record.name));
  if (state.consumed != record.bytes)
    return Corruption(
        fmt::format("{}: {} bytes follow the pickle", record.name, record.bytes - state.consumed));
  StorageOffsets offsets;
  for (const auto& [key, storage] : state.storages) {
    const ZipRecord* data = FindRecord(records, fmt::format("{}/data/{}", root, key));
    if (data == nullptr)
      return Corruption(fmt::format("storage {} is not in the archive", QuoteForMessage(key)));
    if (data->bytes != storage.bytes())
      return Corruption(fmt::format("{}: has {} bytes, the pickle claims {} elements of {} bytes",
                                    data->name, data->bytes, storage.elements,
                                    storage.element_bytes));
    offsets.emplace(key, data->offset);
  }
  return Resolve(std::move(state), offsets);
}

// Takes one pickle from the front of `rest`.
Result<Pickle> TakePickle(ByteSpan& rest, const char* what) {
  INGOT_ASSIGN(Pickle pickle, Unpickle(rest).At(what));
  rest = rest.subspan(pickle.consumed);
  return pickle;
}

Status TakeLegacyHead(ByteSpan& rest) {
  INGOT_ASSIGN(const Pickle magic, TakePickle(rest, "magic number"));
  const PickleObject& number = magic.objects.at(magic.root);
  if (number.kind != PickleKind::kBigInt || number.text != kLegacyMagic)
    return Unsupported("a pickle that torch.save did not write");
  INGOT_ASSIGN(const Pickle protocol, TakePickle(rest, "protocol"));
  const PickleObject& version = protocol.objects.at(protocol.root);
  if (version.kind != PickleKind::kInt || version.number != kLegacyProtocol)
    return Unsupported(
        fmt::format("protocol {} of torch.save, only {} is read", version.number, kLegacyProtocol));
  INGOT_ASSIGN(const Pickle system, TakePickle(rest, "system"));
  const PickleObject& facts = system.objects.at(system.root);
  for (std::size_t i = 0; i + 1 < facts.items.size(); i += 2) {
    const PickleObject& value = system.objects.at(facts.items[i + 1]);
    if (system.objects.at(facts.items[i]).text == "little_endian" && value.number != 1)
      return Unsupported("written on a big-endian machine");
  }
  return OkStatus();
}

// The storages lie one after the other in the order of the list of keys.
Result<StorageOffsets> LegacyOffsets(ByteSpan file, ByteSpan rest, const Pickle& keys,
                                     const StateDict& state) {
  const PickleObject& list = keys.objects.at(keys.root);
  if (list.kind != PickleKind::kList) return Corruption("the storage keys are not a list");
  StorageOffsets offsets;
  for (const PickleId id : list.items) {
    const PickleObject& key = keys.objects.at(id);
    const auto storage = state.storages.find(key.text);
    if (key.kind != PickleKind::kString || storage == state.storages.end())
      return Corruption(fmt::format("storage {} belongs to no tensor", QuoteForMessage(key.text)));
    const std::string where = fmt::format("storage {}", QuoteForMessage(key.text));
    if (rest.size() < kCountBytes) return Corruption(where + ": missing: truncated?");
    const auto elements = LoadLe<std::uint64_t>(rest.data());
    rest = rest.subspan(kCountBytes);
    if (elements != storage->second.elements)
      return Corruption(fmt::format("{}: has {} elements, the pickle claims {}", where, elements,
                                    storage->second.elements));
    if (storage->second.bytes() > rest.size())
      return Corruption(fmt::format("{}: {} bytes, but {} are left: truncated?", where,
                                    storage->second.bytes(), rest.size()));
    if (!offsets.emplace(key.text, file.size() - rest.size()).second)
      return Corruption(where + ": is there twice");
    rest = rest.subspan(storage->second.bytes());
  }
  if (!rest.empty())
    return Corruption(fmt::format("{} bytes at the end belong to no storage", rest.size()));
  for (const auto& [key, storage] : state.storages)
    if (!offsets.contains(key))
      return Corruption(fmt::format("storage {} is not in the file", QuoteForMessage(key)));
  return offsets;
}

Result<std::vector<TorchEntry>> ParseLegacyFile(ByteSpan file) {
  ByteSpan rest = file;
  INGOT_TRY(TakeLegacyHead(rest));
  INGOT_ASSIGN(StateDict state, ParseStateDict(rest));
  rest = rest.subspan(state.consumed);
  INGOT_ASSIGN(const Pickle keys, TakePickle(rest, "storage keys"));
  INGOT_ASSIGN(const StorageOffsets offsets, LegacyOffsets(file, rest, keys, state));
  return Resolve(std::move(state), offsets);
}

}  // namespace

bool HasTorchExtension(std::string_view file_name) {
  return file_name.ends_with(".bin") || file_name.ends_with(".pth") || file_name.ends_with(".pt");
}

Result<std::vector<TorchEntry>> ParseTorchFile(ByteSpan file) {
  if (LooksLikeZip(file)) return ParseZipFile(file);
  if (!file.empty() && file[0] == 0x80) return ParseLegacyFile(file);
  const std::string_view start = AsText(file.first(std::min<std::size_t>(file.size(), 4)));
  if (start == "fmgg" || start == "lmgg" || start == "tjgg")
    return Unsupported(
        "a ggml file (of rwkv.cpp or the like), not a checkpoint of PyTorch: pack the "
        "checkpoint that it was made from");
  if (start == "GGUF") return Unsupported("a GGUF file: name it .gguf");
  return Corruption("neither a zip archive nor a pickle: not a checkpoint of PyTorch");
}

void GatherStrided(ByteSpan file, const TorchEntry& entry, std::uint64_t begin,
                   MutableByteSpan out) {
  const std::uint64_t element = SafetensorsDtypeBytes(entry.dtype);
  const std::size_t dims = entry.shape.size();
  std::array<std::uint64_t, kMaxTensorDims> index{};
  std::uint64_t at = entry.offset, rest = begin;
  for (std::size_t i = dims; i-- > 0;) {
    index[i] = rest % entry.shape[i];
    rest /= entry.shape[i];
    at += index[i] * entry.strides[i] * element;
  }
  // A dimension of one element may have any stride; its wrapped sum is taken back at once.
  for (std::uint64_t done = 0; done < out.size(); done += element) {
    std::memcpy(out.data() + done, file.data() + at, element);
    for (std::size_t i = dims; i-- > 0;) {
      at += entry.strides[i] * element;
      if (++index[i] < entry.shape[i]) break;
      at -= entry.shape[i] * entry.strides[i] * element;
      index[i] = 0;
    }
  }
}

}  // namespace ingot::model
