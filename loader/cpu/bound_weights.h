// The CPU op set's own store of weights: an architecture's references resolved to resident matrices
// once, after every shape was checked, so that a forward neither looks up names nor can meet a
// weight that does not fit; and what kernels want in another form than a model stores it.
//
// Thread rule: immutable once made.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "loader/cpu/value_table.h"
#include "loader/weights/resident.h"
#include "model/architecture/architecture.h"

namespace ingot::loader {

class BoundWeights {
 public:
  struct Linear {
    const ResidentMatrix* matrix = nullptr;
    const float* bias = nullptr;
  };
  struct Norm {
    const float* weight = nullptr;  // ones where the norm has none
    const float* bias = nullptr;
    std::size_t size = 0;
    std::size_t parts = 1;  // weights of a norm over heads that has one for each, one after another
    // The weight of part `row` of what a norm over heads gets.
    const float* Weight(std::size_t row) const {
      return parts == 1 ? weight : weight + row % parts * size;
    }
  };

  // Both must outlive the result, and the architecture must not move: references are found by
  // address. As CheckArchitecture; Unsupported names a range of columns.
  static Result<std::unique_ptr<BoundWeights>> Make(const model::Architecture& architecture,
                                                    const WeightSet& weights);
  // The same for one of its stages alone, which needs no other's weights. The whole description was
  // checked before, against the model that the weights are from (model::CheckArchitecture).
  // REQUIRES: `weights` hold what the stage uses. Unsupported as Make.
  enum class Stage { kEmbedding, kLayers, kHead };
  static Result<std::unique_ptr<BoundWeights>> MakeStage(const model::Architecture& architecture,
                                                         const WeightSet& weights, Stage stage);

  // REQUIRES: the argument lies inside the architecture given to Make.
  const Linear& Of(const model::LinearRef& ref) const { return linears_.at(&ref); }
  const Norm& Of(const model::NormSpec& norm) const { return norms_.at(&norm); }
  const ResidentMatrix& Table(const std::string& name) const { return *tables_.at(&name); }
  // A small tensor as float32, row-major, in the form that its mixer's kernels take
  // (derived_values.h).
  const float* Values(const std::string& name) const { return values_.Of(name); }
  // Positions a learned table has room for; UINT64_MAX without one.
  std::uint64_t position_limit() const { return position_limit_; }

 private:
  friend class Resolver;
  void DeriveMixers(const model::Architecture& architecture);
  void Derive(const model::Architecture& architecture);
  std::unordered_map<const model::LinearRef*, Linear> linears_;
  std::unordered_map<const model::NormSpec*, Norm> norms_;
  std::unordered_map<const std::string*, const ResidentMatrix*> tables_;
  ValueTable values_;
  std::map<std::string, AlignedBuffer<float>, std::less<>> vectors_;  // as stored, by name
  std::vector<AlignedBuffer<float>> head_vectors_;
  std::uint64_t position_limit_ = UINT64_MAX;
};

}  // namespace ingot::loader
