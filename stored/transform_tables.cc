#include "stored/transform_tables.h"

#include <string>
#include <utility>

#include "codecs/plane_codec.h"

namespace ingot::stored {
namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{128} << 20;

}  // namespace

Status TransformTables::Add(std::shared_ptr<const codecs::InputTransform> transform) {
  const std::uint64_t bytes = transform->resident_bytes();
  if (held_.insert(std::move(transform)).second) bytes_ += bytes;
  if (bytes_ <= kMaxBytes) return OkStatus();
  return LimitExceeded("the transforms up to here need " + std::to_string(bytes_) +
                       " bytes of tables, at most " + std::to_string(kMaxBytes));
}

Status TransformTables::AddOf(const TensorPlanes& tensor) {
  for (const codecs::PlaneView& view : tensor.planes) {
    INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::FindPlaneKind(view.spec->kind));
    if (kind->role != codecs::PlaneRole::kTransformsInputs) continue;
    INGOT_ASSIGN(auto transform, codecs::MakeTransform(view));
    INGOT_TRY(Add(std::move(transform)));
  }
  return OkStatus();
}

}  // namespace ingot::stored
