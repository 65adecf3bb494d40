// Keys of a config.json that are not asked for: which of them say nothing about what a model
// computes, and what is to be said about the rest.
//
// Thread rule: pure functions.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/architecture/config_reader.h"

namespace ingot::model {

// Who defines what a family's keys mean.
enum class KeysOf {
  kTransformers,  // a class of transformers, which ignores what it does not know
  kOwnCode        // code that comes with the checkpoint
};

// Of training, generation, bookkeeping and speed; of every family.
bool IsHarmlessKey(std::string_view key);

// Settles what nobody asked for: Fails for a number or flag of `kOwnCode` that may be part of the
// forward, by name. `harmless` are the family's own, separated by spaces. Gives what a person
// should know of the rest, one line; empty: nothing.
std::string SettleUnheardKeys(ConfigReader& config, KeysOf keys, std::string_view model_type,
                              std::string_view harmless);

// What BuildArchitecture left aside of a config.json that it takes: a line for a person, empty
// where there is nothing to say.
std::string NoteOnKeys(const nlohmann::json& config,
                       const std::function<bool(std::string_view)>& has_tensor);

}  // namespace ingot::model
