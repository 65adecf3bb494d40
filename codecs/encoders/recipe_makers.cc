#include "codecs/encoders/recipe_makers.h"

#include <algorithm>
#include <optional>

#include "codecs/attributes.h"
#include "codecs/encoders/codebook_encode.h"
#include "codecs/encoders/entropy_encode.h"
#include "codecs/encoders/guided_awq.h"
#include "codecs/encoders/guided_fp8.h"
#include "codecs/encoders/guided_int.h"
#include "codecs/encoders/slab_encoders.h"
#include "codecs/encoders/transformed_encoder.h"
#include "codecs/encoders/trellis_encode.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/fp8_plane.h"
#include "codecs/planes/int_plane.h"
#include "codecs/planes/lowrank_plane.h"
#include "codecs/planes/raw_plane.h"
#include "codecs/planes/raw_split_plane.h"
#include "codecs/planes/remainder_plane.h"
#include "codecs/planes/sparse_plane.h"
#include "codecs/planes/transform.h"
#include "codecs/planes/trellis_plane.h"
#include "codecs/planes/vq_plane.h"

namespace ingot::codecs {
namespace {

constexpr double kOutlierDeviations = 3.0;
constexpr double kAwqOutlierShare = 0.005;
constexpr int kAwqRounds = 5;
// Of tenpak_x_v1: rank, and a codebook of 256 words of 4 weights.
constexpr std::int64_t kTenpakRank = 32, kTenpakDimension = 4, kTenpakIndexBits = 8;
// A codebook has at most this many words where its dimension is left open: f16 words of small
// matrices would cost more than they gain.
constexpr std::int64_t kUsualIndexBits = 8;
// Bits of a trellis state of trellis_v1.
constexpr std::int64_t kUsualState = 14, kLongState = 16;
constexpr RoundingEffort kLongEffort{.rounds = 2, .turns = 3, .descents = 2, .refits = 2};

// Effort of the other guided recipes. A sweep's cost a weight grows with the width: wide matrices
// do without.
RoundingEffort UsualEffort(std::uint64_t cols) { return {.rounds = 1, .turns = cols <= 1536}; }

// Levels of a plane beside or in place of one of 4 bits, which alone has normal ones.
std::string LevelsAt(std::int64_t bits, const std::string& levels) {
  return levels == "normal" && bits != kNormalBits ? "symmetric" : levels;
}

Status CheckRounded(const RecipeOptions& options, const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_ASSIGN(const IntLayout layout, IntLayout::Parse(spec, cols));
  if (layout.is_rounded()) return OkStatus();
  return InvalidArgument(
      "codec " + options.codec +
      " rounds to levels symmetric, asymmetric, log or normal under scales f16 or "
      "q8; minima and scales f32 are what lossless_v1 keeps of a source in codes");
}

Result<std::unique_ptr<TensorEncoder>> NearestInts(const RecipeOptions& options,
                                                   std::vector<PlaneSpec> specs, bool exact,
                                                   std::uint64_t cols, DType dtype) {
  for (const PlaneSpec& spec : specs) {
    INGOT_ASSIGN(const PlaneKind* kind, FindPlaneKind(spec.kind));
    const Result<std::vector<StreamSpec>> streams = kind->streams(spec, cols);
    if (!streams.ok()) return streams.status();
    if (spec.kind == kIntKind) INGOT_TRY(CheckRounded(options, spec, cols));
  }
  if (options.transform != "hadamard") return MakeIntEncoder(std::move(specs), exact, cols, dtype);
  PlaneSpec rotation = HadamardSpec(cols);
  INGOT_TRY(MakeHadamard(rotation, cols).status());
  std::optional<PlaneSpec> remainder;
  if (exact) {
    remainder = std::move(specs.back());
    specs.pop_back();
  }
  return MakeRotatedEncoder(MakeIntEncoder(std::move(specs), false, cols, DType::kF32),
                            std::move(rotation), std::move(remainder), dtype);
}

// Int planes rounded by statistics where there are some, else as NearestInts does.
Result<std::unique_ptr<TensorEncoder>> GuidedInts(const RecipeOptions& options,
                                                  std::vector<PlaneSpec> specs, bool exact,
                                                  RoundingEffort effort, std::uint64_t cols,
                                                  DType dtype) {
  INGOT_ASSIGN(std::unique_ptr<TensorEncoder> plain,
               NearestInts(options, specs, exact, cols, dtype));
  if (options.levels == "log") return plain;
  if (options.transform == "hadamard") InsertTransform(specs, HadamardSpec(cols));
  return MakeGuidedIntEncoder(std::move(specs), std::move(plain), effort, cols, dtype);
}

Status RefuseLog(const RecipeOptions& o) {
  if (o.levels != "log") return OkStatus();
  return InvalidArgument("codec " + o.codec +
                         " has levels symmetric, asymmetric and normal, not log");
}

// Whether every plane can have rows of this width.
Status CheckWidth(const std::vector<PlaneSpec>& specs, std::uint64_t cols) {
  for (const PlaneSpec& spec : specs) INGOT_TRY(PlaneFixedBytes(spec, 1, cols).status());
  return OkStatus();
}

PlaneSpec OneIntSpec(const RecipeOptions& o) {
  return IntSpec(o.bits, o.group, o.levels, o.scales, 0);
}

}  // namespace

Result<std::unique_ptr<TensorEncoder>> MakeNearestInts(const RecipeOptions& o, std::uint64_t cols,
                                                       DType dtype) {
  return NearestInts(o, {OneIntSpec(o)}, false, cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeGuidedInts(const RecipeOptions& o, std::uint64_t cols,
                                                      DType dtype) {
  INGOT_TRY(RefuseLog(o));
  return GuidedInts(o, {OneIntSpec(o)}, false, UsualEffort(cols), cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeLongGuidedInts(const RecipeOptions& o,
                                                          std::uint64_t cols, DType dtype) {
  INGOT_TRY(RefuseLog(o));
  return GuidedInts(o, {OneIntSpec(o)}, false, kLongEffort, cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeResidual(const RecipeOptions& o, std::uint64_t cols,
                                                    DType dtype) {
  std::vector<PlaneSpec> specs = {OneIntSpec(o),
                                  IntSpec(2, o.group, LevelsAt(2, o.levels), o.scales, 1)};
  return GuidedInts(o, std::move(specs), false, UsualEffort(cols), cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeNested(const RecipeOptions& o, std::uint64_t cols,
                                                  DType dtype) {
  if (o.bits != 4 && o.bits != 8)
    return InvalidArgument("codec " + o.codec + ": bits " + std::to_string(o.bits) +
                           " at the first level, 4 or 8 allowed");
  if (DTypeBytes(dtype) == 1)
    return InvalidArgument("codec " + o.codec + " refines to 16 or 32 bits, the source is " +
                           std::string(DTypeName(dtype)) + "; use raw or lossless_v1");
  // With 8 bits from the start, the second level adds nothing.
  std::vector<PlaneSpec> specs = {
      IntSpec(o.bits, o.group, LevelsAt(o.bits, o.levels), o.scales, 0)};
  if (o.bits != 8) specs.push_back(IntSpec(4, o.group, o.levels, o.scales, 1));
  specs.push_back(RemainderSpec(dtype, 2));
  return GuidedInts(o, std::move(specs), true, UsualEffort(cols), cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeAwq(const RecipeOptions& o, std::uint64_t cols,
                                               DType dtype) {
  INGOT_TRY(RefuseLog(o));
  std::vector<PlaneSpec> specs = {OneIntSpec(o), ColumnScaleSpec(), SparseSpec()};
  INGOT_TRY(CheckRounded(o, specs[0], cols));
  INGOT_TRY(CheckWidth(specs, cols));
  RoundingEffort effort = UsualEffort(cols);
  effort.rounds = kAwqRounds;
  return MakeAwqEncoder(std::move(specs), kAwqOutlierShare, effort, cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeFp8Hybrid(const RecipeOptions& o, std::uint64_t cols,
                                                     DType dtype) {
  const std::vector<PlaneSpec> specs = {Fp8Spec(o.group), SparseSpec()};
  INGOT_TRY(CheckWidth(specs, cols));
  return MakeGuidedFp8Encoder(specs, MakeFp8HybridEncoder(specs, kOutlierDeviations, cols, dtype),
                              kOutlierDeviations, cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeCalibratedVq(const RecipeOptions& o, std::uint64_t cols,
                                                        DType dtype) {
  if (o.bits < 1 || o.bits > 8)
    return InvalidArgument("codec " + o.codec + ": bits " + std::to_string(o.bits) +
                           " of a weight, 1 to 8 allowed");
  std::int64_t dimension = o.dimension;
  if (dimension == 0)
    dimension = 4 * o.bits <= kUsualIndexBits ? 4 : 2 * o.bits <= kUsualIndexBits ? 2 : 1;
  if (dimension * o.bits > kMaxVqIndexBits)
    return InvalidArgument("codec " + o.codec + ": " + std::to_string(o.bits) +
                           " bits a weight in " + std::to_string(dimension) +
                           " dimensions are an index of " + std::to_string(dimension * o.bits) +
                           " bits, at most " + std::to_string(kMaxVqIndexBits));
  INGOT_TRY(CheckCols(cols));
  const std::int64_t group = o.group == 0 ? static_cast<std::int64_t>(cols) : o.group;
  std::vector<PlaneSpec> specs = {VqSpec(dimension, dimension * o.bits, group, 0)};
  if (o.transform == "hadamard") InsertTransform(specs, HadamardSpec(cols));
  return MakeCodebookEncoder(std::move(specs), UsualEffort(cols), cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeTenpakX(const RecipeOptions& o, std::uint64_t cols,
                                                   DType dtype) {
  INGOT_TRY(RefuseLog(o));
  INGOT_TRY(CheckCols(cols));
  const auto width = static_cast<std::int64_t>(cols);
  std::vector<PlaneSpec> specs = {
      LowRankSpec(std::min(kTenpakRank, width), o.scales == "f16" ? "f16" : "i8", 0),
      VqSpec(kTenpakDimension, kTenpakIndexBits, width, 0),
      IntSpec(o.bits, o.group, LevelsAt(o.bits, o.levels), o.scales, 1)};
  if (o.transform == "hadamard") InsertTransform(specs, HadamardSpec(cols));
  return MakeCodebookEncoder(std::move(specs), UsualEffort(cols), cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeTrellis(const RecipeOptions& o, std::uint64_t cols,
                                                   DType dtype) {
  if (o.bits < kLeastTrellisBits || o.bits > kMostTrellisBits)
    return InvalidArgument("codec " + o.codec + ": bits " + std::to_string(o.bits) +
                           ", 2 to 4 allowed");
  std::optional<PlaneSpec> rotation;
  if (o.transform == "hadamard") rotation = HadamardSpec(cols);
  return MakeTrellisEncoder(TrellisSpec(o.bits, o.effort == "high" ? kLongState : kUsualState),
                            std::move(rotation), cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeEntropy(const RecipeOptions& o, std::uint64_t cols,
                                                   DType dtype) {
  return MakeEntropyEncoder({}, o.step, o.rate, cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeLossless(const RecipeOptions&, std::uint64_t cols,
                                                    DType dtype) {
  INGOT_TRY(CheckCols(cols));
  return MakeExactEncoder(DTypeBytes(dtype) == 1 ? RawSpec(dtype) : RawSplitSpec(dtype), cols,
                          dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeRaw(const RecipeOptions&, std::uint64_t cols,
                                               DType dtype) {
  INGOT_TRY(CheckCols(cols));
  return MakeExactEncoder(RawSpec(dtype), cols, dtype);
}

}  // namespace ingot::codecs
