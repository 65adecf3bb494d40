// What an exit's head sees instead of the state that a row left with: that state brought nearer to
// what the last layer would have given, n + up (down n) + bias, n being the state over its root
// mean square. Tensors of role `router`, named after the exit's `up`: NAME.translator_down [rank,
// width], NAME.translator_up [width, rank], NAME.translator_bias [width].
//
// Thread rule: immutable once made.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "loader/cpu/tensor_pool.h"
#include "loader/loaded_model.h"

namespace ingot::loader {

inline constexpr const char *kTranslatorDown = ".translator_down",
                            *kTranslatorUp = ".translator_up",
                            *kTranslatorBias = ".translator_bias";

class ExitTranslator {
 public:
  // nullopt where the exit has none; Corruption for tensors that do not fit.
  static Result<std::optional<ExitTranslator>> Of(const Model& model, const model::ExitSpec& exit);
  // REQUIRES: rank x width, width x rank and width values.
  ExitTranslator(std::vector<float> down, std::vector<float> up, std::vector<float> bias)
      : down_(std::move(down)), up_(std::move(up)), bias_(std::move(bias)) {}

  // Every row of x.
  void Apply(Tensor& x) const;
  void Apply(float* state) const;

 private:
  std::vector<float> down_, up_, bias_;
};

}  // namespace ingot::loader
