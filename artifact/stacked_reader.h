// A base and a delta over it, read as one (docs/FORMAT.md, section 9): which tensors and assets
// stand where, and that both belong together. What the planes of both give is the codecs' business.
//
// Thread rule: const methods may be called from several threads.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/manifest.h"
#include "artifact/reader.h"
#include "base/status.h"

namespace ingot::artifact {

class StackedReader {
 public:
  // A tensor of either: the planes of `base` come first. One of them may be null.
  struct Tensor {
    const TensorRecord* base = nullptr;
    const TensorRecord* delta = nullptr;
    const TensorRecord& record() const { return base != nullptr ? *base : *delta; }
  };

  // InvalidArgument where the delta is none or over another base, or the base is a delta itself;
  // Corruption where a tensor of the delta does not fit the base's.
  static Result<std::unique_ptr<StackedReader>> Open(std::shared_ptr<const ArtifactReader> base,
                                                     std::shared_ptr<const ArtifactReader> delta);

  const ArtifactReader& base() const { return *base_; }
  const ArtifactReader& delta() const { return *delta_; }
  const Json& config() const { return delta_->manifest().config; }
  const std::vector<ExitRecord>& exits() const { return delta_->manifest().exits; }
  // The base's in its order, then what only the delta has.
  std::span<const Tensor> tensors() const { return tensors_; }
  // The delta's, else the base's. NotFound.
  Result<std::string> ReadAsset(std::string_view name) const;

 private:
  StackedReader(std::shared_ptr<const ArtifactReader> base,
                std::shared_ptr<const ArtifactReader> delta)
      : base_(std::move(base)), delta_(std::move(delta)) {}
  Status Pair();

  std::shared_ptr<const ArtifactReader> base_;
  std::shared_ptr<const ArtifactReader> delta_;
  std::vector<Tensor> tensors_;
};

}  // namespace ingot::artifact
