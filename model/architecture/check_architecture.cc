#include "model/architecture/check_architecture.h"

#include <fmt/format.h>

#include <string>

#include "model/architecture/walk.h"

namespace ingot::model {
namespace {

// Keeps the first error of a walk.
class ShapeChecker : public PartVisitor {
 public:
  explicit ShapeChecker(const ShapeOf& shape_of) : shape_of_(shape_of) {}

  void Table(const std::string& name, std::uint64_t /*rows*/, std::uint64_t cols) override {
    const auto shape = Find(name);
    if (shape && shape->cols != cols)
      Fail(Misfit(fmt::format("{} is {} wide, expected {}", name, shape->cols, cols)));
  }

  void Linear(const LinearRef& ref, std::uint64_t rows, std::uint64_t cols,
              LinearUse use) override {
    if (!status_.ok()) return;
    CheckLinear(ref, rows, cols);
    if (use.head) status_ = std::move(status_).At("head");
  }

  void Norm(const NormSpec& norm, std::uint64_t size) override {
    for (const std::string& weight : norm.head_weights) CheckSize(weight, size);
    if (norm.head_weights.empty() && !norm.weight.empty()) CheckSize(norm.weight, size);
    if (!norm.bias.empty()) CheckSize(norm.bias, size);
  }

  void Values(const std::string& name, std::initializer_list<std::uint64_t> shape) override {
    std::uint64_t size = 1;
    for (const std::uint64_t factor : shape) size *= factor;
    CheckSize(name, size);
  }

  std::optional<MatrixShape> Find(const std::string& name) {
    if (!status_.ok()) return std::nullopt;
    const auto shape = shape_of_(name);
    if (!shape) Fail(NotFound("tensor '" + name + "' is not in the model"));
    return shape;
  }

  void Fail(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }
  // The first error; asked once.
  Status Take() { return std::move(status_); }

 private:
  void CheckLinear(const LinearRef& ref, std::uint64_t rows, std::uint64_t cols) {
    const auto shape = Find(ref.weight);
    if (!shape) return;
    const std::uint64_t stored = ref.matrix_cols();
    if (ref.rows != rows || ref.cols != cols || shape->cols != stored || cols > stored ||
        ref.col_begin > stored - cols || ref.rows > shape->rows ||
        ref.row_begin > shape->rows - ref.rows)
      return Fail(
          Misfit(fmt::format("{} is {} x {}, rows [{}, {}) of {} columns are used as {} x "
                             "{}",
                             ref.weight, shape->rows, shape->cols, ref.row_begin,
                             ref.row_begin + ref.rows, cols, rows, cols)));
    if (ref.bias.empty()) return;
    if (ref.col_begin > 0)
      return Fail(Misfit(ref.bias + " is added with columns that are not a product's first"));
    const auto bias = Find(ref.bias);
    if (bias && bias->rows * bias->cols < ref.row_begin + ref.rows)
      Fail(Misfit(fmt::format("{} has {} values, {} are used", ref.bias, bias->rows * bias->cols,
                              ref.row_begin + ref.rows)));
  }

  void CheckSize(const std::string& name, std::uint64_t size) {
    const auto shape = Find(name);
    if (shape && shape->rows * shape->cols != size)
      Fail(Misfit(
          fmt::format("{} has {} values, expected {}", name, shape->rows * shape->cols, size)));
  }

  const ShapeOf& shape_of_;
  Status status_;
};

// Tables of embeddings have the rows that are looked up.
Status CheckTables(const Architecture& a, ShapeChecker& checker) {
  if (const auto table = checker.Find(a.embedding); table && table->rows != a.vocab_size)
    return Misfit(fmt::format("{} has {} rows for a vocabulary of {}", a.embedding, table->rows,
                              a.vocab_size));
  if (a.position_embedding.empty()) return OkStatus();
  if (const auto table = checker.Find(a.position_embedding);
      table && table->rows <= a.position_offset)
    return Misfit(fmt::format("position table has {} rows", table->rows));
  return OkStatus();
}

Status CheckRopes(const Architecture& a) {
  for (const RopeSpec& rope : a.ropes)
    if (rope.dims % 2 != 0 || rope.inv_freq.size() != rope.dims / 2 ||
        (!rope.long_inv_freq.empty() && rope.long_inv_freq.size() != rope.dims / 2) ||
        (rope.dynamic_factor > 0 && rope.switch_length == 0))
      return Misfit(fmt::format("rotary embedding of {} dimensions has {} frequencies", rope.dims,
                                rope.inv_freq.size()));
  return OkStatus();
}

Status CheckExits(const Architecture& a) {
  for (std::size_t i = 0; i < a.exits.size(); ++i) {
    const std::size_t layer = a.exits[i].layer;
    if (layer >= a.layers.size())
      return Misfit(fmt::format("an exit after layer {}, which a model of {} layers has not", layer,
                                a.layers.size()));
    if (i > 0 && layer <= a.exits[i - 1].layer)
      return Misfit(fmt::format("an exit after layer {} follows one after layer {}", layer,
                                a.exits[i - 1].layer));
    if (a.exits[i].up.rows == 0) return Misfit(a.exits[i].up.weight + " has no rows");
  }
  return OkStatus();
}

Status CheckDraftLayers(const Architecture& a) {
  std::size_t last = 0;
  for (const std::size_t layer : a.draft_layers) {
    if (layer >= a.layers.size())
      return Misfit(fmt::format("a draft without layer {}, which a model of {} layers has not",
                                layer, a.layers.size()));
    if (layer <= last)
      return Misfit(fmt::format("a draft without layer {} after layer {}", layer, last));
    last = layer;
  }
  return OkStatus();
}

bool IsDense(const MlpSpec& mlp) {
  return mlp.kind == MlpKind::kGated || mlp.kind == MlpKind::kPlain;
}

Status CheckMlp(const LayerSpec& layer) {
  if (layer.mlp.kind == MlpKind::kRwkvChannelMix) return layer.channel_mix.Check();
  if (layer.mlp.kind != MlpKind::kMoe) return OkStatus();
  const std::uint64_t experts = layer.mlp.experts.size(), used = layer.mlp.experts_per_token;
  bool dense = true;
  for (const auto* mlps : {&layer.mlp.experts, &layer.mlp.shared_expert})
    for (const MlpSpec& mlp : *mlps) dense = dense && IsDense(mlp);
  if (dense && used > 0 && used <= experts) return OkStatus();
  return Misfit(fmt::format("{} of {} experts per token", used, experts));
}

Status CheckLayer(const Architecture& a, std::size_t index, ShapeChecker& checker) {
  const LayerSpec& layer = a.layers[index];
  INGOT_TRY(VisitMixer(layer, [&](const auto& mixer) { return mixer.Check(ContextOf(a)); }));
  INGOT_TRY(CheckMlp(layer));
  VisitLayerParts(a, index, checker);
  return checker.Take();
}

}  // namespace

Status CheckArchitecture(const Architecture& a, const ShapeOf& shape_of) {
  if (a.hidden_size == 0 || a.vocab_size == 0 || a.vocab_size > INT32_MAX)
    return Misfit(fmt::format("hidden size {} and vocabulary {} must be positive", a.hidden_size,
                              a.vocab_size));
  ShapeChecker checker(shape_of);
  VisitEmbeddingParts(a, checker);
  INGOT_TRY(checker.Take());
  INGOT_TRY(CheckTables(a, checker));
  INGOT_TRY(CheckRopes(a));
  INGOT_TRY(CheckExits(a));
  INGOT_TRY(CheckDraftLayers(a));
  for (std::size_t i = 0; i < a.layers.size(); ++i)
    INGOT_TRY(CheckLayer(a, i, checker).At(fmt::format("layer {}", i)));
  VisitHeadParts(a, checker);
  return checker.Take();
}

}  // namespace ingot::model
