#include "model/source/torch/torch_state_dict.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "model/source/torch/torch_pickle.h"
#include "model/text/utf8.h"

namespace ingot::model {
namespace {

// Keys below which training programs put the weights, the likeliest first.
constexpr std::array<std::string_view, 4> kWrappers = {"state_dict", "model", "module",
                                                       "model_state_dict"};
constexpr std::size_t kMaxNameBytes = 4096;

// The dict that `dict` holds under `key`.
std::optional<PickleId> Below(const PickleObjects& objects, const PickleObject& dict,
                              std::string_view key) {
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const PickleObject& name = objects.at(dict.items[i]);
    if (name.kind == PickleKind::kString && name.text == key &&
        objects.at(dict.items[i + 1]).kind == PickleKind::kDict)
      return dict.items[i + 1];
  }
  return std::nullopt;
}

// Goes down through wrappers; a cycle ends it after as many steps as there are wrappers.
Result<PickleId> FindStateDict(const PickleObjects& objects, PickleId root) {
  PickleId found = root;
  for (std::size_t depth = 0; depth <= kWrappers.size(); ++depth) {
    const PickleObject& object = objects.at(found);
    if (object.kind != PickleKind::kDict)
      return Unsupported(
          fmt::format("holds {}, not a mapping of names to tensors", PickleKindName(object.kind)));
    std::optional<PickleId> below;
    for (const std::string_view wrapper : kWrappers)
      if (!below) below = Below(objects, object, wrapper);
    if (!below) return found;
    found = *below;
  }
  return Corruption("the state dict is nested too deep");
}

Result<StateDictTensor> ReadEntry(const PickleObjects& objects, const PickleObject& key,
                                  const PickleObject& value) {
  if (key.kind != PickleKind::kString)
    return Unsupported(fmt::format("the state dict has {} as a name", PickleKindName(key.kind)));
  if (key.text.size() > kMaxNameBytes || !IsUtf8(key.text))
    return Corruption(fmt::format("the name {} is not UTF-8 or longer than {} bytes",
                                  QuoteForMessage(key.text), kMaxNameBytes));
  if (value.kind != PickleKind::kTensor)
    return Unsupported(fmt::format("the state dict's {} is {}; only tensors are read",
                                   QuoteForMessage(key.text), PickleKindName(value.kind)));
  const PickledTensor& tensor = objects.tensors()[value.detail];
  return StateDictTensor{std::string(key.text),
                         std::string(tensor.storage),
                         std::string(tensor.dtype),
                         tensor.first,
                         tensor.shape,
                         tensor.strides};
}

}  // namespace

Result<StateDict> ParseStateDict(ByteSpan bytes) {
  INGOT_ASSIGN(const Pickle pickle, Unpickle(bytes));
  INGOT_ASSIGN(const PickleId root, FindStateDict(pickle.objects, pickle.root));
  const PickleObject& dict = pickle.objects.at(root);
  if (dict.items.empty()) return Unsupported("holds an empty dict, no tensor");
  if (dict.items.size() / 2 > kMaxPickledTensors)
    return LimitExceeded(fmt::format("a state dict of {} entries, at most {} are read",
                                     dict.items.size() / 2, kMaxPickledTensors));
  StateDict state;
  state.storages = pickle.objects.storages();
  state.consumed = pickle.consumed;
  std::unordered_set<std::string_view> names;
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const PickleObject& key = pickle.objects.at(dict.items[i]);
    INGOT_ASSIGN(StateDictTensor tensor,
                 ReadEntry(pickle.objects, key, pickle.objects.at(dict.items[i + 1])));
    if (!names.insert(key.text).second)
      return Corruption(fmt::format("tensor {} is there twice", QuoteForMessage(key.text)));
    state.tensors.push_back(std::move(tensor));
  }
  std::sort(state.tensors.begin(), state.tensors.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return state;
}

}  // namespace ingot::model
