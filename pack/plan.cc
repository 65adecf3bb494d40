#include "pack/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "codecs/plane_codec.h"
#include "model/source/tokenizer_status.h"
#include "model/tokenizer/tokenizer.h"
#include "pack/kept_codes.h"

namespace ingot::pack {
namespace {

constexpr std::size_t kMostNamed = 5;  // of tensors without a use

const codecs::RecipeOptions& RoleRecipe(const RolePreset& preset, model::TensorRole role) {
  switch (role) {
    case model::TensorRole::kEmbedding:
      return preset.embedding;
    case model::TensorRole::kHead:
      return preset.head;
    default:
      return preset.linear;
  }
}

// A vector, or a matrix whose role says so: stored as it is, untouched by presets and rules.
bool KeptAsIs(const model::TensorUse& use, const model::TensorInfo& source) {
  return use.role == model::TensorRole::kVector || source.shape.size() < 2;
}

Result<PlannedBytes> PlanBytes(const PlannedTensor& tensor, std::uint64_t& resident) {
  PlannedBytes bytes;
  for (const codecs::PlaneSpec& plane : tensor.encoder->planes()) {
    INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::FindPlaneKind(plane.kind));
    INGOT_ASSIGN(const std::vector<codecs::StreamSpec> streams, kind->streams(plane, tensor.cols));
    for (const codecs::StreamSpec& stream : streams) {
      bytes.data_dependent |= stream.extent == codecs::StreamExtent::kData;
      INGOT_ASSIGN(const std::uint64_t size,
                   codecs::StreamBytes(stream, tensor.rows).At(plane.kind));
      resident += size;
      (stream.hint == codecs::StreamHint::kRaw ? bytes.exact : bytes.at_most) += size;
    }
  }
  return bytes;
}

// A codec's rotation by default, where the statistics have what it pays for: a Hessian.
Status SetTransform(const calibration::Statistics* statistics, bool to_come,
                    PlannedTensor& tensor) {
  if (!codecs::RotatesByDefault(tensor.recipe)) return OkStatus();
  if (to_come && tensor.role != model::TensorRole::kEmbedding) tensor.recipe.transform = "hadamard";
  if (statistics == nullptr) return OkStatus();
  INGOT_ASSIGN(const codecs::TensorGuide guide,
               statistics->Guide(tensor.source.name, tensor.rows, tensor.cols));
  if (!guide.hessian.empty()) tensor.recipe.transform = "hadamard";
  return OkStatus();
}

// A codec whose method is what it does with statistics is not written under its name where there
// are none.
Status CheckKnown(const calibration::Statistics* statistics, const PlannedTensor& tensor) {
  const auto recipe = codecs::FindRecipe(tensor.recipe.codec);
  if (!recipe.ok() || !(*recipe)->needs_statistics) return OkStatus();
  if (statistics == nullptr)
    return InvalidArgument(
        fmt::format("codec {} rounds by statistics of what each matrix is fed, and there are none: "
                    "take them now with --calib self or --calib FILE, or give --stats FILE; "
                    "int{}_rtn needs none",
                    tensor.recipe.codec,
                    (*recipe)->defaults.bits == 2 || (*recipe)->defaults.bits == 3 ||
                            (*recipe)->defaults.bits == 8
                        ? (*recipe)->defaults.bits
                        : 4));
  INGOT_ASSIGN(const codecs::TensorGuide guide,
               statistics->Guide(tensor.source.name, tensor.rows, tensor.cols));
  if (guide.known()) return OkStatus();
  return InvalidArgument(
      fmt::format("codec {} rounds by statistics, which know nothing of this matrix: another codec "
                  "for it (--rule '{}=int8_rtn')",
                  tensor.recipe.codec, tensor.source.name));
}

Result<std::shared_ptr<const codecs::TensorEncoder>> EncoderOf(const model::Checkpoint& checkpoint,
                                                               const PlannedTensor& tensor) {
  auto encoder = codecs::MakeEncoder(tensor.recipe, tensor.cols, tensor.source.dtype);
  if (!encoder.ok()) {
    // An unknown codec is a wrong option, not an absent file.
    Status status = std::move(encoder).status();
    if (status.code() == StatusCode::kNotFound) status = InvalidArgument(status.message());
    return status;
  }
  INGOT_ASSIGN(const codecs::Recipe* recipe, codecs::FindRecipe(tensor.recipe.codec));
  if (recipe->keeps_codes && !tensor.transposed)
    if (auto kept = MakeKeptCodes(checkpoint, tensor.source))
      return std::shared_ptr<const codecs::TensorEncoder>(std::move(kept));
  return std::shared_ptr<const codecs::TensorEncoder>(*std::move(encoder));
}

Result<PlannedTensor> PlanTensor(const model::Checkpoint& checkpoint, const model::TensorUse& use,
                                 const model::TensorInfo& source,
                                 const codecs::RecipeOptions& recipe,
                                 const calibration::Statistics* statistics, bool to_come) {
  PlannedTensor tensor;
  tensor.source = source;
  tensor.role = use.role;
  tensor.layer = use.layer;
  tensor.transposed = use.transposed && source.shape.size() == 2;
  tensor.shape = source.shape;
  tensor.rows = source.rows();
  tensor.cols = source.cols();
  if (tensor.transposed) {
    std::swap(tensor.shape[0], tensor.shape[1]);
    std::swap(tensor.rows, tensor.cols);
  }
  tensor.recipe = recipe;
  if (!to_come) INGOT_TRY(CheckKnown(statistics, tensor).At(source.name));
  INGOT_TRY(SetTransform(statistics, to_come, tensor).At(source.name));
  INGOT_ASSIGN(tensor.encoder, EncoderOf(checkpoint, tensor).At(source.name));
  tensor.slab_rows = tensor.encoder->slab_rows(tensor.rows);
  tensor.slab_count = static_cast<std::uint32_t>(CeilDiv(tensor.rows, tensor.slab_rows));
  INGOT_ASSIGN(tensor.bytes, PlanBytes(tensor, tensor.resident_bytes).At(source.name));
  return tensor;
}

Status CheckRulesUsed(const std::vector<Rule>& rules, const std::vector<int>& matrices,
                      const std::vector<int>& vectors, const model::Architecture& architecture) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (matrices[i] > 0) continue;
    std::string why = "matches no tensor; `ingot pack --dry-run` lists them";
    if (vectors[i] > 0) why = "matches only vectors, which are stored as they are";
    if (GlobMatches(rules[i].glob, "lm_head.weight") &&
        architecture.head.weight == architecture.embedding)
      why = fmt::format("the model has no head of its own, it uses {}", architecture.embedding);
    return InvalidArgument(fmt::format("rule '{}': {}", rules[i].text, why));
  }
  return OkStatus();
}

// Every tensor is there that is used, and unless allowed none that is not: those are named.
Status CheckUses(const model::Architecture& architecture, const model::Checkpoint& checkpoint,
                 bool allow_unused) {
  INGOT_TRY(model::CheckTensors(architecture, checkpoint.tensors(), true));
  if (allow_unused) return OkStatus();
  const Status unused = model::CheckTensors(architecture, checkpoint.tensors(), false);
  if (unused.ok()) return OkStatus();
  std::set<std::string> used;
  for (model::TensorUse& use : model::TensorUses(architecture)) used.insert(std::move(use.name));
  std::string names;
  std::size_t count = 0;
  for (const model::TensorInfo& tensor : checkpoint.tensors()) {
    if (used.contains(tensor.name) || ++count == 1 || count > kMostNamed) continue;
    names += fmt::format("{}'{}'", count == 2 ? " (" : ", ", tensor.name);
  }
  if (!names.empty()) names += count > kMostNamed ? ", ...)" : ")";
  return {unused.code(),
          fmt::format("{}{}; --allow-unused leaves such tensors out", unused.message(), names)};
}

}  // namespace

std::string_view RoleName(model::TensorRole role) {
  switch (role) {
    case model::TensorRole::kEmbedding:
      return "embedding";
    case model::TensorRole::kLinear:
      return "linear";
    case model::TensorRole::kHead:
      return "head";
    case model::TensorRole::kVector:
      return "vector";
  }
  return "?";
}

Status ModelError(Status status) {
  if (status.code() != StatusCode::kInvalidArgument) return status;
  return Unsupported(status.message());
}

Result<PackPlan> MakePlan(const model::Checkpoint& checkpoint, const PlanOptions& options) {
  const auto has = [&](std::string_view name) { return checkpoint.Find(name) != nullptr; };
  auto built = model::BuildArchitecture(checkpoint.config(), has);
  if (!built.ok()) return ModelError(std::move(built).status()).At(checkpoint.path());
  const model::Architecture architecture = *std::move(built);
  INGOT_TRY(
      ModelError(CheckUses(architecture, checkpoint, options.allow_unused)).At(checkpoint.path()));
  if (const Status why = model::TokenizerStatus(checkpoint); options.require_tokenizer && !why.ok())
    return Status(why.code(), why.message() + "; pack without it by --no-tokenizer")
        .At(checkpoint.path());
  if (options.require_tokenizer && !model::Tokenizer::IsIn(checkpoint.assets()))
    return NotFound(
        fmt::format("{}: no tokenizer.json, tokenizer.model, tekken.json, vocab.txt, vocab.json "
                    "with merges.txt "
                    "or rwkv_vocab_*.txt; put one there or pack with "
                    "--no-tokenizer",
                    checkpoint.path()));

  PackPlan plan;
  plan.family = architecture.family;
  plan.nonfinite = options.nonfinite;
  plan.preset = options.preset;
  plan.rules = options.rules;
  plan.allocation = options.allocation;
  plan.statistics = options.statistics;
  if (plan.statistics != nullptr) INGOT_TRY(plan.statistics->CheckModel(checkpoint));
  std::vector<int> matrices(options.rules.size()), vectors(options.rules.size());
  std::set<std::string> used;
  for (const model::TensorUse& use : model::TensorUses(architecture)) {
    const model::TensorInfo* source = checkpoint.Find(use.name);
    if (source == nullptr || !used.insert(use.name).second) continue;
    const bool kept = KeptAsIs(use, *source);
    codecs::RecipeOptions recipe = RoleRecipe(options.preset, use.role);
    if (const auto it = options.chosen.find(use.name); it != options.chosen.end())
      recipe = it->second;
    for (std::size_t i = 0; i < options.rules.size(); ++i) {
      if (!GlobMatches(options.rules[i].glob, use.name)) continue;
      ++(kept ? vectors : matrices)[i];
      recipe = options.rules[i].recipe;
    }
    if (kept || options.nonfinite.contains(use.name)) {
      recipe = {};
      recipe.codec = kRawCodec;
    }
    INGOT_ASSIGN(PlannedTensor tensor,
                 PlanTensor(checkpoint, use, *source, recipe, plan.statistics.get(),
                            options.statistics_to_come));
    plan.tensors.push_back(std::move(tensor));
  }
  INGOT_TRY(CheckRulesUsed(options.rules, matrices, vectors, architecture));
  for (const model::TensorInfo& tensor : checkpoint.tensors())
    if (!used.contains(tensor.name)) plan.unused.push_back(tensor.name);
  return plan;
}

}  // namespace ingot::pack
