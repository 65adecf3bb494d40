#include "pack/allocate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <utility>

#include "base/bytes.h"
#include "base/parallel.h"
#include "codecs/encoders/entropy_rate.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/int_levels.h"
#include "codecs/step_recipe.h"
#include "pack/guide_cache.h"
#include "pack/monotone_cubic.h"
#include "pack/pipeline.h"
#include "pack/recipe_rules.h"
#include "pack/slab_source.h"

namespace ingot::pack {
namespace {

// Rows tried of a matrix: an eighth, at least this many.
constexpr std::uint64_t kSampleRows = 96;
constexpr std::uint64_t kSampleShare = 8;
// Steps of the entropy grid, as the model's predicted loss: nats a token, each twice the last where
// codes reach their widest and curves bend, then four times.
constexpr double kFirstLoss = 1e-5;
constexpr int kFineSteps = 7, kGridSteps = 15;
// The rungs of a recipe that has any bits: those of the ladders by recipes.
constexpr std::array<std::int64_t, 6> kOwnBits = {2, 3, 4, 5, 6, 8};
// Of sampled estimates against what is stored: measured .007 bit at 4 bits.
constexpr double kBitMargin = 0.008, kByteMargin = 0.002;

bool BySteps(const std::vector<codecs::RecipeOptions>& ladder) {
  const auto row = codecs::FindRecipe(ladder.front().codec);
  return row.ok() && (*row)->ladder == codecs::RecipeLadder::kSteps;
}

bool IsExact(const codecs::RecipeOptions& recipe) {
  const auto row = codecs::FindRecipe(recipe.codec);
  return row.ok() && (*row)->exact;
}

// Rows spread evenly over a matrix, gathered, with their share of the Fisher weights.
struct Sample {
  std::vector<std::uint8_t> bytes;
  std::vector<float> row_fisher;
  std::uint64_t rows = 0;
  double loss_scale = 1;  // the matrix's loss over the sample's
};

std::uint64_t SampledRows(const PlannedTensor& tensor) {
  return std::min(tensor.rows, std::max(kSampleRows, tensor.rows / kSampleShare));
}

Result<Sample> TakeSample(const model::Checkpoint& checkpoint, const PlannedTensor& tensor,
                          const codecs::TensorGuide& guide) {
  Sample sample;
  sample.rows = SampledRows(tensor);
  const std::uint64_t row_bytes = tensor.cols * DTypeBytes(tensor.source.dtype);
  AlignedBuffer<std::uint8_t> slab_bytes(tensor.slab_rows * row_bytes);
  std::uint64_t loaded = UINT64_MAX;
  double all = 0, taken = 0;
  for (const float g : guide.row_fisher) all += g;
  for (std::uint64_t i = 0; i < sample.rows; ++i) {
    const std::uint64_t row = (2 * i + 1) * tensor.rows / (2 * sample.rows);
    const auto slab = static_cast<std::uint32_t>(row / tensor.slab_rows);
    if (slab != loaded) {
      INGOT_TRY(ReadSlab(checkpoint, tensor, slab, slab_bytes.span()).status());
      loaded = slab;
    }
    const std::uint8_t* from = slab_bytes.data() + (row - tensor.SlabBegin(slab)) * row_bytes;
    sample.bytes.insert(sample.bytes.end(), from, from + row_bytes);
    if (guide.row_fisher.empty()) continue;
    sample.row_fisher.push_back(guide.row_fisher[row]);
    taken += guide.row_fisher[row];
  }
  const double share = static_cast<double>(tensor.rows) / static_cast<double>(sample.rows);
  sample.loss_scale = taken > 0 ? all / taken : share;
  return sample;
}

// Stored bytes of the whole matrix, told from an encoded sample of its rows.
Result<double> StoredBytes(const codecs::TensorEncoder& encoder, const codecs::EncodedSlab& encoded,
                           const PlannedTensor& tensor, std::uint64_t sample_rows) {
  const double share = static_cast<double>(tensor.rows) / static_cast<double>(sample_rows);
  double bytes = 0;
  for (std::size_t p = 0; p < encoder.planes().size(); ++p) {
    const codecs::PlaneSpec& spec = encoder.planes()[p];
    INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::FindPlaneKind(spec.kind));
    INGOT_ASSIGN(const std::vector<codecs::StreamSpec> streams, kind->streams(spec, tensor.cols));
    for (std::size_t s = 0; s < streams.size(); ++s) {
      const auto size = static_cast<double>(encoded.planes[p][s].size());
      bytes += streams[s].extent == codecs::StreamExtent::kTensor ? size : size * share;
    }
  }
  return bytes;
}

Result<calibration::Candidate> Try(const codecs::RecipeOptions& recipe, const PlannedTensor& tensor,
                                   const codecs::TensorGuide& guide, const Sample& sample) {
  INGOT_ASSIGN(const auto encoder, codecs::MakeEncoder(recipe, tensor.cols, tensor.source.dtype));
  codecs::TensorGuide part = guide;
  part.rows = sample.rows;
  if (!guide.row_fisher.empty()) part.row_fisher = sample.row_fisher;
  const codecs::WeightSlab slab{tensor.source.dtype, sample.rows, tensor.cols, sample.bytes};
  codecs::WholeSlab rows(slab);
  INGOT_ASSIGN(const auto prepared, encoder->Prepare(part, rows));
  INGOT_ASSIGN(codecs::EncodedSlab encoded, encoder->EncodeGuided(slab, 0, *prepared));
  codecs::AddTensorStreams(*prepared, encoded);
  INGOT_ASSIGN(const double bytes, StoredBytes(*encoder, encoded, tensor, sample.rows));
  return calibration::Candidate{bytes, encoded.predicted_loss * sample.loss_scale};
}

// The whole matrix at every step of an entropy ladder: one factorisation, one sample.
Result<calibration::Candidates> EntropyCandidates(
    const model::Checkpoint& checkpoint, const PlannedTensor& tensor,
    const codecs::TensorGuide& guide, const std::vector<codecs::RecipeOptions>& ladder) {
  const std::uint64_t row_bytes = tensor.cols * DTypeBytes(tensor.source.dtype);
  AlignedBuffer<std::uint8_t> bytes(tensor.rows * row_bytes);
  for (std::uint32_t slab = 0; slab < tensor.slab_count; ++slab) {
    const std::uint64_t begin = tensor.SlabBegin(slab) * row_bytes;
    const MutableByteSpan out =
        bytes.span().subspan(begin, tensor.SlabEnd(slab) * row_bytes - begin);
    INGOT_TRY(ReadSlab(checkpoint, tensor, slab, out).status());
  }
  INGOT_ASSIGN(const auto prepared, codecs::EntropyGuide::Make(guide));
  INGOT_ASSIGN(const codecs::EntropyMethod method, codecs::StepMethodOf(ladder.front()));
  std::vector<double> steps;
  for (const codecs::RecipeOptions& recipe : ladder) steps.push_back(recipe.step);
  INGOT_ASSIGN(
      const std::vector<codecs::EntropyEstimate> estimates,
      codecs::EstimateEntropy({tensor.source.dtype, tensor.rows, tensor.cols, bytes.span()},
                              *prepared, method, steps));
  calibration::Candidates candidates;
  for (const codecs::EntropyEstimate& estimate : estimates)
    candidates.push_back({estimate.stored_bytes, estimate.predicted_loss});
  DropGuide(guide);
  return candidates;
}

Result<TensorCurve> CurveOf(const model::Checkpoint& checkpoint, const PackPlan& plan,
                            const PlannedTensor& tensor,
                            const std::vector<codecs::RecipeOptions>& ladder,
                            InputFactors& inputs) {
  TensorCurve curve;
  curve.tensor = tensor.source.name;
  curve.role = tensor.role;
  curve.weights = tensor.weights();
  curve.recipes = ladder;
  INGOT_ASSIGN(MatrixGuide known, GuideOf(plan, tensor));
  const auto factors = inputs.Of(plan.statistics->InputOf(curve.tensor));
  known.view.factors = factors.get();
  const codecs::TensorGuide& guide = known.view;
  if (BySteps(ladder)) {
    INGOT_ASSIGN(curve.candidates, EntropyCandidates(checkpoint, tensor, guide, ladder));
    return curve;
  }
  INGOT_ASSIGN(const Sample sample, TakeSample(checkpoint, tensor, guide));
  for (const codecs::RecipeOptions& recipe : ladder) {
    INGOT_ASSIGN(const calibration::Candidate candidate, Try(recipe, tensor, guide, sample));
    curve.candidates.push_back(candidate);
  }
  DropGuide(guide);
  return curve;
}

// Bytes that trying one matrix takes, at most.
Result<std::uint64_t> TryMemory(const PlannedTensor& tensor,
                                const std::vector<codecs::RecipeOptions>& ladder) {
  const std::uint64_t row_bytes = tensor.cols * DTypeBytes(tensor.source.dtype);
  std::uint64_t rows = SampledRows(tensor), source = (rows + tensor.slab_rows) * row_bytes;
  if (BySteps(ladder)) {
    rows = std::min(tensor.rows, std::max<std::uint64_t>(codecs::kTileRows,
                                                         codecs::kEntropySample / tensor.cols));
    source = tensor.rows * row_bytes;
  }
  std::uint64_t most = 0;
  for (const codecs::RecipeOptions& recipe : ladder) {
    INGOT_ASSIGN(const auto encoder, codecs::MakeEncoder(recipe, tensor.cols, tensor.source.dtype));
    most = std::max(most, encoder->guide_bytes() + encoder->scratch_bytes(rows));
  }
  // The Hessian's own pages, and what the sample encodes to.
  return most + source + tensor.cols * tensor.cols * sizeof(float) + 4 * rows * tensor.cols;
}

Result<std::size_t> MatricesInFlight(const model::Checkpoint& checkpoint,
                                     const std::vector<const PlannedTensor*>& matrices,
                                     const std::vector<codecs::RecipeOptions>& ladder,
                                     std::uint64_t memory_bytes) {
  std::uint64_t most = 1;
  const PlannedTensor* largest = matrices.front();
  for (const PlannedTensor* tensor : matrices) {
    INGOT_ASSIGN(const std::uint64_t bytes, TryMemory(*tensor, ladder).At(tensor->source.name));
    if (bytes > most) largest = tensor;
    most = std::max(most, bytes);
  }
  const std::uint64_t least = BaseMemory(checkpoint) + most;
  if (memory_bytes < least)
    return LimitExceeded(fmt::format(
        "a memory limit of {} bytes is too small: to try recipes on {} needs at least "
        "{} ({} MiB)",
        memory_bytes, largest->source.name, least, CeilDiv(least, std::uint64_t{1} << 20)));
  return std::min<std::size_t>(1 + (memory_bytes - least) / most, Threads());
}

// The curve's candidate at any step: bytes, and the loss's logarithm, against the step's logarithm.
calibration::Candidate AtStep(const TensorCurve& curve, double step) {
  constexpr double kTiny = 1e-30;
  std::vector<double> steps, bytes, losses;
  for (std::size_t i = 0; i < curve.recipes.size(); ++i) {
    steps.push_back(std::log(curve.recipes[i].step));
    bytes.push_back(curve.candidates[i].bytes);
    losses.push_back(std::log(curve.candidates[i].loss + kTiny));
  }
  const double at = std::log(step);
  return {std::max(0.0, MonotoneCubic(steps, bytes, at)),
          std::exp(MonotoneCubic(steps, losses, at))};
}

Assignment AtModelStep(const std::vector<TensorCurve>& curves, double step) {
  Assignment assignment;
  for (const TensorCurve& curve : curves) {
    const calibration::Candidate candidate = AtStep(curve, step);
    assignment.recipes.push_back(curve.recipes.front());
    assignment.recipes.back().step = step;
    assignment.bytes += candidate.bytes;
    if (curve.role == model::TensorRole::kLinear) assignment.linear_bytes += candidate.bytes;
    assignment.predicted_loss += candidate.loss;
  }
  return assignment;
}

double LinearWeights(const std::vector<TensorCurve>& curves) {
  double weights = 0;
  for (const TensorCurve& curve : curves)
    if (curve.role == model::TensorRole::kLinear) weights += static_cast<double>(curve.weights);
  return weights;
}

// What of an assignment the budget limits; larger is over.
double Spent(const Assignment& assignment, const Budget& budget, double linear_weights) {
  switch (budget.kind) {
    case Budget::Kind::kLinearBits:
      return assignment.linear_bytes * 8 / linear_weights;
    case Budget::Kind::kBytes:
      return assignment.bytes;
    case Budget::Kind::kKl:
      return assignment.predicted_loss;
  }
  return 0;
}

Status TooSmall(const Budget& budget, double possible) {
  const char* unit = budget.kind == Budget::Kind::kLinearBits ? "bits per linear weight"
                     : budget.kind == Budget::Kind::kBytes    ? "bytes for all matrices"
                                                              : "nats of divergence";
  return InvalidArgument(fmt::format("a budget of {:.6g} {} cannot be met: {:.6g} is possible",
                                     budget.value, unit, possible));
}

// One step for the whole model: bytes fall and loss grows with it. Curves are estimates: what is
// spent stays a little below the budget.
Result<Assignment> AssignStep(const std::vector<TensorCurve>& curves, Budget budget) {
  if (budget.kind == Budget::Kind::kBytes) budget.value *= 1 - kByteMargin;
  if (budget.kind == Budget::Kind::kLinearBits) budget.value -= kBitMargin;
  const double weights = LinearWeights(curves);
  double fine = curves.front().recipes.front().step / 4,
         coarse = curves.front().recipes.back().step;
  const bool kl = budget.kind == Budget::Kind::kKl;
  const auto over = [&](double step) {
    return Spent(AtModelStep(curves, step), budget, weights) > budget.value;
  };
  const double extreme = kl ? fine : coarse;
  if (over(extreme)) return TooSmall(budget, Spent(AtModelStep(curves, extreme), budget, weights));
  for (int i = 0; i < 60; ++i) {
    const double middle = std::sqrt(fine * coarse);
    (over(middle) != kl ? fine : coarse) = middle;
  }
  // The side that keeps the budget, to six digits, so that the recipe can be written down.
  const double step = kl ? fine : coarse;
  const double unit = std::pow(10.0, std::floor(std::log10(step)) - 5);
  return AtModelStep(curves, (kl ? std::floor(step / unit) : std::ceil(step / unit)) * unit);
}

Assignment FromChoice(const std::vector<TensorCurve>& curves,
                      const std::vector<std::size_t>& choice) {
  Assignment assignment;
  for (std::size_t t = 0; t < curves.size(); ++t) {
    const calibration::Candidate& candidate = curves[t].candidates[choice[t]];
    assignment.recipes.push_back(curves[t].recipes[choice[t]]);
    assignment.bytes += candidate.bytes;
    if (curves[t].role == model::TensorRole::kLinear) assignment.linear_bytes += candidate.bytes;
    assignment.predicted_loss += candidate.loss;
  }
  return assignment;
}

// Linear matrices under their budget; the others at the price that their last byte had.
Result<Assignment> AssignLinear(const std::vector<TensorCurve>& curves, double budget_bytes) {
  std::vector<calibration::Candidates> linear, other;
  for (const TensorCurve& curve : curves)
    (curve.role == model::TensorRole::kLinear ? linear : other).push_back(curve.candidates);
  INGOT_ASSIGN(const calibration::Allocation first,
               calibration::AllocateBytes(linear, budget_bytes));
  const calibration::Allocation second = calibration::AllocateAtPrice(other, first.price);
  std::vector<std::size_t> choice;
  std::size_t l = 0, o = 0;
  for (const TensorCurve& curve : curves)
    choice.push_back(curve.role == model::TensorRole::kLinear ? first.choice[l++]
                                                              : second.choice[o++]);
  return FromChoice(curves, choice);
}

Result<Assignment> AssignLadder(const std::vector<TensorCurve>& curves, const Budget& budget) {
  if (budget.kind == Budget::Kind::kLinearBits)
    return AssignLinear(curves, budget.value * LinearWeights(curves) / 8);
  std::vector<calibration::Candidates> all;
  for (const TensorCurve& curve : curves) all.push_back(curve.candidates);
  if (budget.kind == Budget::Kind::kBytes) {
    INGOT_ASSIGN(const auto allocation, calibration::AllocateBytes(all, budget.value));
    return FromChoice(curves, allocation.choice);
  }
  INGOT_ASSIGN(const auto allocation, calibration::AllocateLoss(all, budget.value));
  return FromChoice(curves, allocation.choice);
}

std::vector<codecs::RecipeOptions> StepLadder(const codecs::RecipeOptions& codec, double weights) {
  // A uniform step s costs s² / 12 a weight: half of it, Fisher-weighted, is c² / 24.
  std::vector<codecs::RecipeOptions> ladder;
  double loss = kFirstLoss;
  for (int i = 0; i < kGridSteps; loss *= ++i <= kFineSteps ? 2 : 4) {
    ladder.push_back(codec);
    ladder.back().step = std::sqrt(24 * loss / weights);
  }
  return ladder;
}

// The recipe's own bits, then those of the recipe that goes on where they end.
std::vector<codecs::RecipeOptions> OwnLadder(const codecs::RecipeOptions& codec,
                                             const codecs::Recipe& recipe) {
  std::vector<codecs::RecipeOptions> ladder;
  for (const std::int64_t bits : kOwnBits) {
    codecs::RecipeOptions rung = codec;
    rung.bits = bits;
    // Some recipes have fewer.
    if (codecs::MakeEncoder(rung, 1, DType::kF32).ok()) ladder.push_back(std::move(rung));
  }
  const auto finer = codecs::FindRecipe(recipe.finer);
  if (!finer.ok() || ladder.empty()) return ladder;
  const std::int64_t most = ladder.back().bits;
  codecs::RecipeOptions rung = LadderCodec(
      {.codec = std::string(recipe.finer), .group = codec.group, .transform = codec.transform});
  for (const codecs::Recipe* next : codecs::RungsOf(**finer)) {
    if (next->defaults.bits <= most) continue;
    rung.codec = next->name;
    ladder.push_back(rung);
  }
  return ladder;
}

Result<std::vector<codecs::RecipeOptions>> BitsLadder(const codecs::RecipeOptions& codec,
                                                      const codecs::Recipe& recipe) {
  if (codec.bits != 0)
    return InvalidArgument("a budget chooses the bits of every matrix: give it without --bits");
  if (recipe.ladder == codecs::RecipeLadder::kOwnBits) return OwnLadder(codec, recipe);
  std::vector<codecs::RecipeOptions> ladder;
  for (const codecs::Recipe* rung : codecs::RungsOf(recipe)) {
    ladder.push_back(codec);
    ladder.back().codec = rung->name;
    if (rung->defaults.bits == codecs::kNormalBits && codec.levels.empty())
      ladder.back().levels = "normal";
  }
  return ladder;
}

// The first recipe of each ladder.
std::vector<std::string_view> WithLadder() {
  std::vector<std::string_view> names;
  std::vector<codecs::RecipeMaker> makers;
  for (const codecs::Recipe& recipe : codecs::Recipes()) {
    const bool first = std::find(makers.begin(), makers.end(), recipe.make) == makers.end();
    makers.push_back(recipe.make);
    if (recipe.ladder != codecs::RecipeLadder::kNone && first) names.push_back(recipe.name);
  }
  return names;
}

}  // namespace

Result<std::vector<codecs::RecipeOptions>> Ladder(const codecs::RecipeOptions& codec,
                                                  double weights) {
  const auto recipe = codecs::FindRecipe(codec.codec);
  const codecs::RecipeLadder kind = recipe.ok() ? (*recipe)->ladder : codecs::RecipeLadder::kNone;
  if (kind == codecs::RecipeLadder::kSteps) return StepLadder(codec, weights);
  if (kind != codecs::RecipeLadder::kNone) return BitsLadder(codec, **recipe);
  return InvalidArgument(
      fmt::format("codec {} has no ladder of rates to spend a budget on (those that have: {})",
                  codec.codec, fmt::join(WithLadder(), ", ")));
}

Result<std::vector<TensorCurve>> MeasureCurves(
    const model::Checkpoint& checkpoint, const PackPlan& plan, const codecs::RecipeOptions& codec,
    std::uint64_t memory_bytes,
    const std::function<Status(std::size_t done, std::size_t total)>& progress) {
  std::vector<const PlannedTensor*> matrices;
  double weights = 0;
  for (const PlannedTensor& tensor : plan.tensors) {
    const bool ruled = std::any_of(plan.rules.begin(), plan.rules.end(), [&](const Rule& rule) {
      return GlobMatches(rule.glob, tensor.source.name);
    });
    if (ruled || IsExact(tensor.recipe)) continue;
    INGOT_ASSIGN(const codecs::TensorGuide guide,
                 plan.statistics->Guide(tensor.source.name, tensor.rows, tensor.cols));
    DropGuide(guide);
    if (guide.hessian.empty() && guide.diagonal.empty()) continue;
    matrices.push_back(&tensor);
    weights += static_cast<double>(tensor.weights());
  }
  if (matrices.empty()) return InvalidArgument("the statistics know none of the model's matrices");
  INGOT_ASSIGN(const std::vector<codecs::RecipeOptions> ladder, Ladder(codec, weights));
  INGOT_ASSIGN(const std::size_t in_flight,
               MatricesInFlight(checkpoint, matrices, ladder, memory_bytes));
  std::vector<TensorCurve> curves(matrices.size());
  std::vector<Status> failures(matrices.size());
  Status stopped;
  InputFactors factors;
  for (const PlannedTensor* tensor : matrices)
    factors.Expect(plan.statistics->InputOf(tensor->source.name), 1);
  std::size_t begun = 0, done = 0;
  std::mutex mutex;
  const auto next = [&] {
    const std::scoped_lock lock(mutex);
    return begun < matrices.size() && stopped.ok() ? begun++ : matrices.size();
  };
  // In the plan's order, so that matrices of one input are under way together.
  ParallelFor(in_flight, 1, [&](std::size_t, std::size_t) {
    for (std::size_t i = next(); i < matrices.size(); i = next()) {
      // Waiting inside, a thread must not begin a second matrix.
      tbb::this_task_arena::isolate([&] {
        const PlannedTensor& tensor = *matrices[i];
        auto curve = CurveOf(checkpoint, plan, tensor, ladder, factors);
        factors.Release(plan.statistics->InputOf(tensor.source.name));
        if (curve.ok())
          curves[i] = *std::move(curve);
        else
          failures[i] = std::move(curve).status().At(tensor.source.name);
      });
      const std::scoped_lock lock(mutex);
      if (progress && stopped.ok()) stopped = progress(++done, matrices.size());
    }
  });
  INGOT_TRY(std::move(stopped));
  for (Status& failure : failures)
    if (!failure.ok()) return std::move(failure);
  return curves;
}

Result<Assignment> Assign(const std::vector<TensorCurve>& curves, const Budget& budget) {
  return BySteps(curves.front().recipes) ? AssignStep(curves, budget)
                                         : AssignLadder(curves, budget);
}

}  // namespace ingot::pack
