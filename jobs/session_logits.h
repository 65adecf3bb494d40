// A model as the evaluator wants it: windows in, float32 logits out.
//
// Thread rule: a source belongs to one thread.
#pragma once

#include <memory>

#include "loader/ingot.h"

namespace ingot::jobs {

// Each window of tokens from an empty context. With `exits`, which must outlive it, rows leave by
// that policy.
std::unique_ptr<loader::LogitSource> LogitsOf(std::shared_ptr<const loader::Model> model,
                                              loader::ExitPolicy* exits = nullptr);

// The same for windows that are asked for several times, as a reference is: their hidden states are
// kept, at `width` floats a scored token, and only the head runs again.
std::unique_ptr<loader::LogitSource> RememberedLogitsOf(std::shared_ptr<const loader::Model> model);

}  // namespace ingot::jobs
