// What asks for all weights of a model: shape checks, an op set's store, the packer's plan,
// calibration's stages. Each is a visitor of parts; which parts there are only a mixer's own file
// and model/architecture/walk.cc know.
//
// Thread rule: a visitor belongs to one walk.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "base/status.h"
#include "model/architecture/layer_parts.h"
#include "model/architecture/rope_spec.h"

namespace ingot::model {

// What a mixer's shapes depend on beside its own numbers.
struct MixerContext {
  std::uint64_t hidden = 0;
  std::span<const RopeSpec> ropes;
};

// How a matrix is used.
struct LinearUse {
  bool first = true;    // no matrix met before it reads the same input
  bool expert = false;  // of a mixture: it sees some of the tokens
  bool head = false;
};
inline constexpr LinearUse kNewInput{};
inline constexpr LinearUse kSameInput{.first = false};

// Parts come in execution order, an absent optional one never. One that the description needs comes
// even where it has no name, so that a check refuses it; other visitors leave it out.
class PartVisitor {
 public:
  virtual ~PartVisitor() = default;
  // Rows of it are looked up: embeddings.
  virtual void Table(const std::string& /*name*/, std::uint64_t /*rows*/, std::uint64_t /*cols*/) {}
  // rows x cols is what the description needs it to be.
  virtual void Linear(const LinearRef& /*ref*/, std::uint64_t /*rows*/, std::uint64_t /*cols*/,
                      LinearUse /*use*/) {}
  // The size of one weight; present().
  virtual void Norm(const NormSpec& /*norm*/, std::uint64_t /*size*/) {}
  // A small tensor that is no matrix product: of a convolution, a scan, a token mix.
  virtual void Values(const std::string& /*name*/, std::initializer_list<std::uint64_t> /*shape*/) {
  }

  void OptionalLinear(const LinearRef& ref, std::uint64_t rows, std::uint64_t cols, LinearUse use) {
    if (ref.present()) Linear(ref, rows, cols, use);
  }
  void OptionalNorm(const NormSpec& norm, std::uint64_t size) {
    if (norm.present()) Norm(norm, size);
  }
  void OptionalValues(const std::string& name, std::initializer_list<std::uint64_t> shape) {
    if (!name.empty()) Values(name, shape);
  }
};

// InvalidArgument "architecture: <what>": numbers of a description that do not fit together.
inline Status Misfit(const std::string& what) { return InvalidArgument("architecture: " + what); }

// The state of one layer: factors multiply to at most this, and none is 0.
inline constexpr std::uint64_t kMaxStateValues = std::uint64_t{1} << 28;
Status CheckState(std::initializer_list<std::uint64_t> factors);

}  // namespace ingot::model
