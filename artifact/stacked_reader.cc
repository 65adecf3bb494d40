#include "artifact/stacked_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace ingot::artifact {
namespace {

Status CheckBase(const ArtifactReader& base, const ArtifactReader& delta) {
  const std::string& wanted = delta.manifest().base_root;
  if (wanted.empty())
    return InvalidArgument("the second artifact is not a delta: it names no base");
  if (!base.manifest().base_root.empty())
    return InvalidArgument("the base is a delta itself; give the artifact that it is over");
  if (HexOf(base.root()) == wanted) return OkStatus();
  return InvalidArgument(fmt::format("the delta is over the artifact of root {}, the base has {}",
                                     wanted, HexOf(base.root())));
}

Status CheckPair(const TensorRecord& base, const TensorRecord& delta) {
  if (base.shape != delta.shape)
    return Corruption(fmt::format("tensor {} is {}, the base's {}", delta.name,
                                  fmt::join(delta.shape, "x"), fmt::join(base.shape, "x")));
  if (base.role != delta.role)
    return Corruption(
        fmt::format("tensor {} has role {}, the base's {}", delta.name, delta.role, base.role));
  return OkStatus();
}

}  // namespace

Result<std::unique_ptr<StackedReader>> StackedReader::Open(
    std::shared_ptr<const ArtifactReader> base, std::shared_ptr<const ArtifactReader> delta) {
  INGOT_TRY(CheckBase(*base, *delta));
  std::unique_ptr<StackedReader> stack(new StackedReader(std::move(base), std::move(delta)));
  INGOT_TRY(stack->Pair().At("delta"));
  return stack;
}

Status StackedReader::Pair() {
  std::map<std::string_view, std::size_t> of_base;
  for (const TensorRecord& tensor : base_->manifest().tensors) {
    of_base[tensor.name] = tensors_.size();
    tensors_.push_back({&tensor, nullptr});
  }
  for (const TensorRecord& tensor : delta_->manifest().tensors) {
    const auto it = of_base.find(tensor.name);
    if (it != of_base.end()) {
      INGOT_TRY(CheckPair(*tensors_[it->second].base, tensor));
      tensors_[it->second].delta = &tensor;
    } else if (tensor.role == kRouterRole || tensor.role == kSharedRole) {
      tensors_.push_back({nullptr, &tensor});
    } else {
      return Corruption(fmt::format("tensor {} is not in the base", tensor.name));
    }
  }
  return OkStatus();
}

Result<std::string> StackedReader::ReadAsset(std::string_view name) const {
  auto found = delta_->ReadAsset(name);
  return found.status().code() == StatusCode::kNotFound ? base_->ReadAsset(name) : std::move(found);
}

}  // namespace ingot::artifact
