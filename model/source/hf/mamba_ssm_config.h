// The config.json of Mamba's original implementation (state-spaces/mamba), as transformers would
// have it. Its tensors keep their names, which the family knows.
//
// Thread rule: pure functions.
#pragma once

#include <optional>

#include "base/status.h"
#include "model/source/checkpoint.h"

namespace ingot::model {

// Nothing where `config` is not of that implementation: it has no model_type, but d_model and
// n_layer. Unsupported for what transformers' models cannot do either (attention layers, MLPs).
Result<std::optional<Json>> FromMambaSsmConfig(const Json& config);

}  // namespace ingot::model
