#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "codecs/attributes.h"
#include "codecs/planes/int_plane.h"

namespace ingot::codecs {
namespace {

Result<IntLevels> ParseLevels(const PlaneSpec& spec, const std::string& name) {
  if (name == "symmetric") return IntLevels::kSymmetric;
  if (name == "asymmetric") return IntLevels::kAsymmetric;
  if (name == "log") return IntLevels::kLog;
  if (name == "normal") return IntLevels::kNormal;
  if (name == "minimum") return IntLevels::kMinimum;
  return BadAttribute(spec, "levels",
                      "is '" + name + "' (known: symmetric, asymmetric, log, normal, minimum)");
}

Result<ScaleFormat> ParseScales(const PlaneSpec& spec, const std::string& name) {
  if (name == "f16") return ScaleFormat::kF16;
  if (name == "q8") return ScaleFormat::kQ8;
  if (name == "f32") return ScaleFormat::kF32;
  return BadAttribute(spec, "scales", "is '" + name + "' (known: f16, q8, f32)");
}

// 2^(-k / 16).
float LogPower(int k) {
  return std::bit_cast<float>(kLogTable[k % 16] - (static_cast<std::uint32_t>(k / 16) << 23));
}

float Minimum(const IntLayout& layout, const PlaneView& plane, std::uint64_t r, std::uint64_t g) {
  const std::uint8_t* minima =
      plane.streams[layout.minima_stream()].data() + (r * layout.groups + g) * layout.scale_bytes();
  return layout.scales == ScaleFormat::kF32 ? LoadLe<float>(minima)
                                            : FromFp16(LoadLe<std::uint16_t>(minima));
}

void DecodeRow(const IntLayout& layout, const PlaneView& plane, std::uint64_t r,
               const float* levels, std::uint8_t* codes, float* acc) {
  UnpackCodes(plane.streams[0].data() + r * layout.code_row_bytes, layout.bits, layout.cols, codes);
  for (std::uint64_t g = 0, begin = 0; g < layout.groups; ++g) {
    const std::uint64_t n = std::min(layout.group, layout.cols - begin);
    const float scale = IntScale(layout, plane, r, g);
    const float zero =
        layout.has_zeros()
            ? IntZero(plane.streams[layout.zeros_stream()][r * layout.groups + g], layout.bits)
            : 0.0f;
    const float minimum = layout.has_minima() ? Minimum(layout, plane, r, g) : 0.0f;
    for (std::uint64_t i = begin; i < begin + n; ++i) {
      const float value = (levels[codes[i]] - zero) * scale;
      acc[i] += layout.has_minima() ? value + minimum : value;
    }
    begin += n;
  }
}

}  // namespace

Result<IntLayout> IntLayout::Parse(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_TRY(CheckCols(cols));
  IntLayout layout;
  AttributeReader reader(spec);
  INGOT_ASSIGN(const std::string levels, reader.Text("levels"));
  INGOT_ASSIGN(layout.levels, ParseLevels(spec, levels));
  const bool log = layout.levels == IntLevels::kLog;
  INGOT_ASSIGN(const std::int64_t bits, reader.Integer("bits", log ? 2 : 1, 8));
  if (layout.levels == IntLevels::kNormal && bits != kNormalBits)
    return BadAttribute(spec, "bits", "is " + std::to_string(bits) + "; normal levels have 4 bits");
  INGOT_ASSIGN(const std::int64_t group, reader.Integer("group", 1, INT64_MAX));
  INGOT_ASSIGN(const std::string scales, reader.Text("scales"));
  INGOT_ASSIGN(layout.scales, ParseScales(spec, scales));
  if (layout.has_minima() && layout.has_row_scales())
    return BadAttribute(spec, "scales", "is 'q8'; levels with minima have scales f16 or f32");
  if (log) {
    INGOT_ASSIGN(const std::int64_t steps, reader.Integer("steps", 1, 16));
    layout.steps = static_cast<int>(steps);
    if (!std::has_single_bit(static_cast<unsigned>(layout.steps)))
      return BadAttribute(spec, "steps", "is not a power of two");
  }
  INGOT_TRY(reader.Finish());
  layout.bits = static_cast<int>(bits);
  layout.group = static_cast<std::uint64_t>(group);
  layout.refines = spec.level > 0;
  layout.cols = cols;
  layout.groups = CeilDiv(cols, layout.group);
  layout.code_row_bytes = CodeRowBytes(layout.bits, cols);
  return layout;
}

void IntLevelTable(const IntLayout& layout, float* levels) {
  const int half = 1 << (layout.bits - 1);
  for (int c = 0; c < 2 * half; ++c) {
    switch (layout.levels) {
      case IntLevels::kSymmetric:
        levels[c] = static_cast<float>(c - half);
        break;
      case IntLevels::kAsymmetric:
      case IntLevels::kMinimum:
        levels[c] = static_cast<float>(c);
        break;
      case IntLevels::kLog: {
        const int m = c % half;
        const float magnitude = m == 0 ? 0.0f : LogPower((half - 1 - m) * (16 / layout.steps));
        levels[c] = c >= half ? -magnitude : magnitude;
        break;
      }
      case IntLevels::kNormal:
        levels[c] = static_cast<float>(kNormalLevels[c]) / kNormalUnits;
        break;
    }
  }
}

PlaneSpec IntSpec(std::int64_t bits, std::int64_t group, const std::string& levels,
                  const std::string& scales, int level) {
  // Levels an octave of log grids: about three to eight octaves below the largest level.
  constexpr std::array<std::int64_t, 9> kSteps = {1, 1, 1, 1, 2, 4, 4, 8, 16};
  PlaneSpec spec{kIntKind, {}, level};
  spec.attributes["bits"] = bits;
  spec.attributes["group"] = group;
  spec.attributes["levels"] = levels;
  spec.attributes["scales"] = scales;
  if (levels == "log")
    spec.attributes["steps"] =
        kSteps[static_cast<std::size_t>(std::clamp<std::int64_t>(bits, 0, 8))];
  return spec;
}

int IntCodeBits(const PlaneSpec& spec) {
  const Result<IntLayout> layout = IntLayout::Parse(spec, 1);
  return layout.ok() ? layout->bits : 0;
}

Result<std::vector<StreamSpec>> IntStreams(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_ASSIGN(const IntLayout layout, IntLayout::Parse(spec, cols));
  // f32 holds numbers of fewer bits than its own.
  const StreamHint numbers =
      layout.scales == ScaleFormat::kF32 ? StreamHint::kGeneral : StreamHint::kRaw;
  std::vector<StreamSpec> streams = {{"codes", layout.code_row_bytes, StreamHint::kRaw},
                                     {"scales", layout.groups * layout.scale_bytes(), numbers}};
  if (layout.has_zeros()) streams.push_back({"zeros", layout.groups, StreamHint::kRaw});
  if (layout.has_minima())
    streams.push_back({"minima", layout.groups * layout.scale_bytes(), numbers});
  if (layout.has_row_scales()) streams.push_back({"row_scales", 2, StreamHint::kRaw});
  return streams;
}

Status IntValidate(const PlaneView& plane) {
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, IntStreams(*plane.spec, plane.cols));
  return CheckStreamSizes(plane, streams);
}

void IntDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                   float* acc) {
  const Result<IntLayout> layout = IntLayout::Parse(*plane.spec, plane.cols);
  INGOT_CHECK(layout.ok());
  float levels[256];
  IntLevelTable(*layout, levels);
  std::vector<std::uint8_t> codes(plane.cols);
  for (std::uint64_t r = row_begin; r < row_end; ++r)
    DecodeRow(*layout, plane, r, levels, codes.data(), acc + (r - row_begin) * plane.cols);
}

}  // namespace ingot::codecs
