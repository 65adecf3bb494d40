// The tensors that an architecture uses, and their comparison with those that a file has.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "model/architecture/architecture.h"
#include "model/architecture/walk.h"
#include "model/source/tensor_names.h"

namespace ingot::model {
namespace {

// Collects uses in the order they are first met; rows of a fused matrix extend its shape.
class UseList : public PartVisitor {
 public:
  void Table(const std::string& name, std::uint64_t rows, std::uint64_t cols) override {
    Matrix(name, rows, cols, TensorRole::kEmbedding);
  }

  void Linear(const LinearRef& ref, std::uint64_t /*rows*/, std::uint64_t /*cols*/,
              LinearUse use) override {
    Matrix(ref.weight, ref.row_begin + ref.rows, ref.matrix_cols(),
           use.head ? TensorRole::kHead : TensorRole::kLinear, ref.transposed);
    Vector(ref.bias, ref.row_begin + ref.rows);
  }

  void Norm(const NormSpec& norm, std::uint64_t size) override {
    Vector(norm.weight, size);
    for (const std::string& weight : norm.head_weights) Vector(weight, size);
    Vector(norm.bias, size);
  }

  // A vector, or of any shape: stored as the checkpoint has it.
  void Values(const std::string& name, std::initializer_list<std::uint64_t> shape) override {
    if (shape.size() == 1) return Vector(name, *shape.begin());
    if (name.empty() || !index_.emplace(name, uses_.size()).second) return;
    TensorUse& use = uses_.emplace_back();
    use.name = name;
    use.shape = shape;
    use.layer = layer_;
  }

  void set_layer(int layer) { layer_ = layer; }
  std::vector<TensorUse> Take() { return std::move(uses_); }

 private:
  void Matrix(const std::string& name, std::uint64_t rows, std::uint64_t cols, TensorRole role,
              bool transposed = false) {
    if (name.empty()) return;
    const auto [it, inserted] = index_.emplace(name, uses_.size());
    if (inserted) {
      TensorUse use;
      use.name = name;
      use.shape = {rows, cols};
      if (transposed) use.shape = {cols, rows};
      use.role = role;
      use.layer = layer_;
      use.transposed = transposed;
      uses_.push_back(std::move(use));
      return;
    }
    std::uint64_t& known = uses_[it->second].shape[transposed ? 1 : 0];
    known = std::max(known, rows);
  }

  void Vector(const std::string& name, std::uint64_t size) {
    if (name.empty()) return;
    const auto [it, inserted] = index_.emplace(name, uses_.size());
    if (inserted) {
      TensorUse use;
      use.name = name;
      use.shape = {size};
      use.layer = layer_;
      uses_.push_back(std::move(use));
    } else {
      std::uint64_t& known = uses_[it->second].shape[0];
      known = std::max(known, size);
    }
  }

  std::vector<TensorUse> uses_;
  std::unordered_map<std::string, std::size_t> index_;
  int layer_ = -1;
};

std::string ShapeText(const std::vector<std::uint64_t>& shape) {
  return shape.empty() ? "scalar" : fmt::format("{}", fmt::join(shape, " x "));
}

}  // namespace

std::vector<TensorUse> TensorUses(const Architecture& a) {
  UseList list;
  VisitEmbeddingParts(a, list);
  for (std::size_t i = 0; i < a.layers.size(); ++i) {
    list.set_layer(static_cast<int>(i));
    VisitLayerParts(a, i, list);
  }
  list.set_layer(-1);
  VisitHeadParts(a, list);
  return list.Take();
}

Status CheckTensors(const Architecture& architecture, std::span<const TensorInfo> tensors,
                    bool allow_unused) {
  std::unordered_map<std::string_view, const TensorInfo*> by_name;
  for (const TensorInfo& tensor : tensors) by_name.emplace(tensor.name, &tensor);
  std::unordered_set<std::string_view> used;
  const std::vector<TensorUse> uses = TensorUses(architecture);
  for (const TensorUse& use : uses) {
    const auto it = by_name.find(use.name);
    if (it == by_name.end())
      return NotFound(fmt::format("tensor '{}' ({}) is missing, though config.json asks for it",
                                  use.name, ShapeText(use.shape)));
    const TensorInfo& tensor = *it->second;
    if (IsIntegerBuffer(tensor.name, tensor.stored_type))
      return Unsupported(fmt::format("{}: tensor '{}': weights of dtype {}", tensor.file,
                                     tensor.name, tensor.stored_type));
    if (tensor.shape != use.shape)
      return InvalidArgument(fmt::format("{}: tensor '{}' is {}, config.json asks for {}",
                                         tensor.file, tensor.name, ShapeText(tensor.shape),
                                         ShapeText(use.shape)));
    used.insert(use.name);
  }
  if (allow_unused) return OkStatus();
  const TensorInfo* first = nullptr;
  std::size_t unused = 0;
  for (const TensorInfo& tensor : tensors) {
    if (used.contains(tensor.name) || IsKnownBuffer(tensor.name)) continue;
    if (architecture.masked && IsUnusedEncoderHead(tensor.name)) continue;
    if (unused++ == 0) first = &tensor;
  }
  if (unused == 0) return OkStatus();
  return InvalidArgument(
      fmt::format("{}: tensor '{}' ({}) has no use in architecture '{}'{}", first->file,
                  first->name, ShapeText(first->shape), architecture.family,
                  unused > 1 ? fmt::format(", nor have {} others", unused - 1) : ""));
}

}  // namespace ingot::model
