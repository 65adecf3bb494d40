// What a model says of how it wants to be run, beside its weights and its tokenizer: from an
// artifact, or from the checkpoint that it was opened from.
//
// Thread rule: functions without state.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "loader/loaded_model.h"
#include "model/chat/chat_format.h"
#include "model/source/generation_config.h"

namespace ingot::loader {

// How tokens are to be drawn where nobody says otherwise. InvalidArgument names a value that is out
// of its range.
Result<model::GenerationConfig> GenerationOf(const Model& model);

// How the model is talked to: its template of that name (empty: the default one), or with `source`
// that text instead. Errors are ChatFormat's.
Result<model::ChatFormat> ChatFormatOf(const Model& model, const std::string& name,
                                       const std::optional<std::string>& source = {});

// What of a checkpoint is left aside and a person should know, a line each; of an artifact nothing,
// since packing said it.
Result<std::vector<std::string>> NotesOf(const Model& model);

}  // namespace ingot::loader
