#include "codecs/recipe.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>

#include "codecs/attributes.h"
#include "codecs/encoders/entropy_encode.h"
#include "codecs/encoders/guided_awq.h"
#include "codecs/encoders/guided_fp8.h"
#include "codecs/encoders/guided_int.h"
#include "codecs/encoders/slab_encoders.h"
#include "codecs/encoders/transformed_encoder.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/int_plane.h"
#include "codecs/planes/transform.h"

namespace ingot::codecs {
namespace {

constexpr double kOutlierDeviations = 3.0;
constexpr double kAwqOutlierShare = 0.005;
constexpr int kAwqRounds = 5;
constexpr RoundingEffort kLongEffort{.rounds = 2, .turns = 3, .descents = 2, .refits = 2};

// Effort of the other guided recipes. A sweep's cost a weight grows with the width: wide matrices
// do without.
RoundingEffort UsualEffort(std::uint64_t cols) { return {.rounds = 1, .turns = cols <= 1536}; }

// What a recipe makes of options; every row below is one function.
using Maker = Result<std::unique_ptr<TensorEncoder>> (*)(const RecipeOptions& options,
                                                         std::uint64_t cols, DType dtype);

// Which options a recipe takes.
struct Takes {
  bool group = false, bits = false, levels = false, scales = false;
  bool hadamard = false;  // transform=hadamard
  bool rate = false;      // step and rate
};

Status CheckOptions(const RecipeOptions& options, Takes takes) {
  const auto refuse = [&](const char* name) {
    return InvalidArgument("codec " + options.codec + " takes no option '" + name + "'");
  };
  if (options.group != 0 && !takes.group) return refuse("group");
  if (options.bits != 0 && !takes.bits) return refuse("bits");
  if (!options.levels.empty() && !takes.levels) return refuse("levels");
  if (!options.scales.empty() && !takes.scales) return refuse("scales");
  if (options.step != 0 && !takes.rate) return refuse("step");
  if (options.rate != 0 && !takes.rate) return refuse("rate");
  const std::string& transform = options.transform;
  if (!transform.empty() && transform != "none" && transform != "hadamard" && transform != "awq")
    return InvalidArgument("transform '" + transform + "' (known: none, hadamard, awq)");
  if ((transform == "hadamard" && !takes.hadamard) || transform == "awq")
    return InvalidArgument("codec " + options.codec + " takes no transform '" + transform + "'");
  if (options.group < 0)
    return InvalidArgument("group " + std::to_string(options.group) + ": at least 1 weight");
  return OkStatus();
}

// Levels an octave of log grids: about three to eight octaves below the largest level.
std::int64_t LogSteps(std::int64_t bits) {
  constexpr std::array<std::int64_t, 9> kSteps = {1, 1, 1, 1, 2, 4, 4, 8, 16};
  return kSteps[static_cast<std::size_t>(std::clamp<std::int64_t>(bits, 0, 8))];
}

PlaneSpec IntSpec(std::int64_t bits, std::int64_t group, const std::string& levels,
                  const std::string& scales, int level) {
  PlaneSpec spec{"int", {}, level};
  spec.attributes["bits"] = bits;
  spec.attributes["group"] = group;
  spec.attributes["levels"] = levels;
  spec.attributes["scales"] = scales;
  if (levels == "log") spec.attributes["steps"] = LogSteps(bits);
  return spec;
}

// Levels of a plane beside or in place of one of 4 bits, which alone has normal ones.
std::string LevelsAt(std::int64_t bits, const std::string& levels) {
  return levels == "normal" && bits != kNormalBits ? "symmetric" : levels;
}

PlaneSpec DTypeSpec(const char* kind, DType dtype, int level) {
  return {kind, {{"dtype", std::string(DTypeName(dtype))}}, level};
}

Result<std::unique_ptr<TensorEncoder>> MakeInts(const RecipeOptions& options,
                                                std::vector<PlaneSpec> specs, bool exact,
                                                std::uint64_t cols, DType dtype) {
  for (const PlaneSpec& spec : specs) {
    INGOT_ASSIGN(const PlaneKind* kind, FindPlaneKind(spec.kind));
    const Result<std::vector<StreamSpec>> streams = kind->streams(spec, cols);
    if (!streams.ok()) return streams.status();
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

// Int planes rounded by statistics where there are some, else as MakeInts does.
Result<std::unique_ptr<TensorEncoder>> MakeGuidedInts(const RecipeOptions& options,
                                                      std::vector<PlaneSpec> specs, bool exact,
                                                      RoundingEffort effort, std::uint64_t cols,
                                                      DType dtype) {
  INGOT_ASSIGN(std::unique_ptr<TensorEncoder> plain, MakeInts(options, specs, exact, cols, dtype));
  if (options.levels == "log") return plain;
  if (options.transform == "hadamard") InsertTransform(specs, HadamardSpec(cols));
  return MakeGuidedIntEncoder(std::move(specs), std::move(plain), effort, cols, dtype);
}

template <int kBits>
Result<std::unique_ptr<TensorEncoder>> MakeRtn(const RecipeOptions& o, std::uint64_t cols,
                                               DType dtype) {
  INGOT_TRY(CheckOptions(
      o, {.group = true, .bits = true, .levels = true, .scales = true, .hadamard = true}));
  const std::int64_t bits = o.bits != 0 ? o.bits : kBits;
  const std::string levels = !o.levels.empty() ? o.levels : "symmetric";
  return MakeInts(
      o,
      {IntSpec(bits, o.group != 0 ? o.group : 128, levels, o.scales.empty() ? "f16" : o.scales, 0)},
      false, cols, dtype);
}

template <int kBits>
Result<std::unique_ptr<TensorEncoder>> MakeGptq(const RecipeOptions& o, std::uint64_t cols,
                                                DType dtype) {
  INGOT_TRY(CheckOptions(
      o, {.group = true, .bits = true, .levels = true, .scales = true, .hadamard = true}));
  if (o.levels == "log")
    return InvalidArgument("codec " + o.codec +
                           " has levels symmetric, asymmetric and normal, not log");
  return MakeGuidedInts(
      o,
      {IntSpec(o.bits != 0 ? o.bits : kBits, o.group != 0 ? o.group : 128,
               o.levels.empty() ? "symmetric" : o.levels, o.scales.empty() ? "f16" : o.scales, 0)},
      false, UsualEffort(cols), cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeG8(const RecipeOptions& o, std::uint64_t cols,
                                              DType dtype) {
  INGOT_TRY(CheckOptions(o, {.levels = true, .hadamard = true}));
  return MakeInts(o, {IntSpec(4, 8, o.levels.empty() ? "symmetric" : o.levels, "f16", 0)}, false,
                  cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeResidual(const RecipeOptions& o, std::uint64_t cols,
                                                    DType dtype) {
  INGOT_TRY(CheckOptions(o, {.group = true, .levels = true, .scales = true, .hadamard = true}));
  const std::int64_t group = o.group != 0 ? o.group : 16;
  const std::string levels = o.levels.empty() ? "symmetric" : o.levels;
  const std::string scales = o.scales.empty() ? "f16" : o.scales;
  return MakeGuidedInts(
      o, {IntSpec(4, group, levels, scales, 0), IntSpec(2, group, LevelsAt(2, levels), scales, 1)},
      false, UsualEffort(cols), cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeNested(const RecipeOptions& o, std::uint64_t cols,
                                                  DType dtype) {
  INGOT_TRY(CheckOptions(o, {.group = true, .bits = true, .levels = true, .hadamard = true}));
  if (o.bits != 0 && o.bits != 4 && o.bits != 8)
    return InvalidArgument("codec nested_v1: bits " + std::to_string(o.bits) +
                           " at the first level, 4 or 8 allowed");
  if (DTypeBytes(dtype) == 1)
    return InvalidArgument("codec nested_v1 refines to 16 or 32 bits, the source is " +
                           std::string(DTypeName(dtype)) + "; use raw or lossless_v1");
  const std::int64_t group = o.group != 0 ? o.group : 128;
  const std::string levels = o.levels.empty() ? "symmetric" : o.levels;
  const char* kind = dtype == DType::kF32 ? "remainder32" : "remainder16";
  // With 8 bits from the start, the second level adds nothing.
  const std::int64_t bits = o.bits == 8 ? 8 : 4;
  std::vector<PlaneSpec> specs = {IntSpec(bits, group, LevelsAt(bits, levels), "f16", 0)};
  if (o.bits != 8) specs.push_back(IntSpec(4, group, levels, "f16", 1));
  specs.push_back(DTypeSpec(kind, dtype, 2));
  return MakeGuidedInts(o, std::move(specs), true, UsualEffort(cols), cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeAwq(const RecipeOptions& o, std::uint64_t cols,
                                               DType dtype) {
  INGOT_TRY(CheckOptions(o, {.group = true, .levels = true, .scales = true}));
  if (o.levels == "log")
    return InvalidArgument("codec " + o.codec +
                           " has levels symmetric, asymmetric and normal, not log");
  const PlaneSpec base =
      IntSpec(4, o.group != 0 ? o.group : 256, o.levels.empty() ? "symmetric" : o.levels,
              o.scales.empty() ? "f16" : o.scales, 0);
  const PlaneSpec sparse{"sparse", {{"format", "f16"}}, 0};
  for (const PlaneSpec* spec : std::initializer_list<const PlaneSpec*>{&base, &sparse}) {
    const Result<std::uint64_t> bytes = PlaneFixedBytes(*spec, 1, cols);
    if (!bytes.ok()) return bytes.status();
  }
  RoundingEffort effort = UsualEffort(cols);
  effort.rounds = kAwqRounds;
  return MakeAwqEncoder({base, ColumnScaleSpec(), sparse}, kAwqOutlierShare, effort, cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeOptLlama(const RecipeOptions& o, std::uint64_t cols,
                                                    DType dtype) {
  INGOT_TRY(CheckOptions(o, {.group = true, .levels = true, .scales = true, .hadamard = true}));
  if (o.levels == "log")
    return InvalidArgument("codec " + o.codec +
                           " has levels symmetric, asymmetric and normal, not log");
  return MakeGuidedInts(
      o,
      {IntSpec(4, o.group != 0 ? o.group : 128, o.levels.empty() ? "asymmetric" : o.levels,
               o.scales.empty() ? "f16" : o.scales, 0)},
      false, kLongEffort, cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeFp8(const RecipeOptions& o, std::uint64_t cols,
                                               DType dtype) {
  INGOT_TRY(CheckOptions(o, {.group = true}));
  PlaneSpec fp8{"fp8", {}, 0};
  fp8.attributes["format"] = "e4m3";
  fp8.attributes["block"] = o.group != 0 ? o.group : std::int64_t{128};
  const PlaneSpec sparse{"sparse", {{"format", "f16"}}, 0};
  for (const PlaneSpec* spec : std::initializer_list<const PlaneSpec*>{&fp8, &sparse}) {
    const Result<std::uint64_t> bytes = PlaneFixedBytes(*spec, 1, cols);
    if (!bytes.ok()) return bytes.status();
  }
  return MakeGuidedFp8Encoder({fp8, sparse},
                              MakeFp8HybridEncoder({fp8, sparse}, kOutlierDeviations, cols, dtype),
                              kOutlierDeviations, cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeEntropy(const RecipeOptions& o, std::uint64_t cols,
                                                   DType dtype) {
  INGOT_TRY(CheckOptions(o, {.rate = true}));
  return MakeEntropyEncoder(o.step, o.rate, cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeRaw(const RecipeOptions& o, std::uint64_t cols,
                                               DType dtype) {
  INGOT_TRY(CheckOptions(o, {}));
  INGOT_TRY(CheckCols(cols));
  return MakeExactEncoder(DTypeSpec("raw", dtype, 0), cols, dtype);
}

Result<std::unique_ptr<TensorEncoder>> MakeLossless(const RecipeOptions& o, std::uint64_t cols,
                                                    DType dtype) {
  INGOT_TRY(CheckOptions(o, {}));
  INGOT_TRY(CheckCols(cols));
  const char* kind = DTypeBytes(dtype) == 1 ? "raw" : "raw_split";
  return MakeExactEncoder(DTypeSpec(kind, dtype, 0), cols, dtype);
}

constexpr std::array kRecipes = {
    RecipeInfo{"int4_rtn", "4-bit (or --bits) nearest rounding, best clip range a group of 128"},
    RecipeInfo{"int2_rtn", "int4_rtn with 2 bits"},
    RecipeInfo{"int3_rtn", "int4_rtn with 3 bits"},
    RecipeInfo{"int8_rtn", "int4_rtn with 8 bits"},
    RecipeInfo{"int4_gptq", "4-bit (or --bits) rounding that compensates its errors by statistics"},
    RecipeInfo{"int2_gptq", "int4_gptq with 2 bits"},
    RecipeInfo{"int3_gptq", "int4_gptq with 3 bits"},
    RecipeInfo{"int5_gptq", "int4_gptq with 5 bits"},
    RecipeInfo{"int6_gptq", "int4_gptq with 6 bits"},
    RecipeInfo{"int8_gptq", "int4_gptq with 8 bits"},
    RecipeInfo{"int4_g8_fp16_v1", "4 bits, an fp16 scale every 8 weights: 6 bits per weight"},
    RecipeInfo{"int4_awq_v1", "4 bits g256 under activation-aware channel scales; 0.5 % in fp16"},
    RecipeInfo{"int4_opt_llama_v1",
               "4 bits; scales, zero points and codes improved in turns until the loss stays"},
    RecipeInfo{"int4_residual_v1", "4 bits g16, then 2 bits g16 of the residual as level 1"},
    RecipeInfo{"fp8_hybrid_v1", "fp8 e4m3 in blocks of 128; |z| > 3 outliers in fp16"},
    RecipeInfo{"nested_v1", "4 bits, 8 bits, then the exact source, as three levels"},
    RecipeInfo{"entropy_v1",
               "integers of any rate (--rate, --step), entropy-coded: smallest on disk"},
    RecipeInfo{"lossless_v1", "bit-exact; exponents apart, for entropy coding"},
    RecipeInfo{"raw", "the source's own values"},
};
constexpr std::array<Maker, kRecipes.size()> kMakers = {
    MakeRtn<4>,  MakeRtn<2>,  MakeRtn<3>,  MakeRtn<8>,   MakeGptq<4>, MakeGptq<2>,  MakeGptq<3>,
    MakeGptq<5>, MakeGptq<6>, MakeGptq<8>, MakeG8,       MakeAwq,     MakeOptLlama, MakeResidual,
    MakeFp8,     MakeNested,  MakeEntropy, MakeLossless, MakeRaw};

}  // namespace

std::span<const RecipeInfo> Recipes() { return kRecipes; }

Result<std::unique_ptr<TensorEncoder>> MakeEncoder(const RecipeOptions& options, std::uint64_t cols,
                                                   DType dtype) {
  std::string known;
  for (std::size_t i = 0; i < kRecipes.size(); ++i) {
    if (kRecipes[i].name == options.codec) return kMakers[i](options, cols, dtype);
    known += (known.empty() ? "" : ", ") + std::string(kRecipes[i].name);
  }
  return NotFound("codec '" + options.codec + "' (known: " + known + ")");
}

bool RotatesByDefault(const RecipeOptions& options) {
  return options.transform.empty() && options.levels != "log" &&
         (options.codec.ends_with("_gptq") || options.codec == "nested_v1");
}

}  // namespace ingot::codecs
