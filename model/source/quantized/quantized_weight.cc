#include "model/source/quantized/quantized_weight.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace ingot::model {
namespace {

constexpr std::uint64_t kSlabFloats = 1u << 18;  // of codes, read at once

class GroupedDecoder final : public RowDecoder {
 public:
  explicit GroupedDecoder(GroupedWeight weight) : weight_(std::move(weight)) {}

  Status Read(std::uint64_t begin, std::uint64_t end, float* out) const override {
    const std::uint64_t cols = weight_.codes.cols();
    const std::uint64_t step = std::max<std::uint64_t>(1, kSlabFloats / std::max(cols, kOne));
    for (std::uint64_t row = begin; row < end; row += step)
      INGOT_TRY(ReadSlab(row, std::min(end, row + step), out + (row - begin) * cols));
    return OkStatus();
  }

  std::optional<CodedForm> Coded() const override;
  Result<CodedRows> ReadCoded(std::uint64_t begin, std::uint64_t end) const override;

 private:
  static constexpr std::uint64_t kOne = 1;

  // Of the blocks of rows that [begin, end) lies in, from the first on.
  struct Groups {
    std::uint64_t first = 0;
    std::vector<float> scales, zeros;  // the latter empty where there are none
  };
  Result<Groups> ReadGroups(std::uint64_t begin, std::uint64_t end) const;
  Status ReadSlab(std::uint64_t begin, std::uint64_t end, float* out) const;
  // The coded form as far as it can be told without reading zero points.
  std::optional<CodedForm> Form() const;
  // The smallest level, which is code 0 of the coded form.
  float LowestLevel() const {
    return *std::min_element(weight_.codes.levels().begin(), weight_.codes.levels().end());
  }

  GroupedWeight weight_;
};

Result<GroupedDecoder::Groups> GroupedDecoder::ReadGroups(std::uint64_t begin,
                                                          std::uint64_t end) const {
  Groups read;
  read.first = begin / weight_.block_rows;
  const std::uint64_t last = CeilDiv(end, weight_.block_rows);
  read.scales.resize((last - read.first) * weight_.scales.cols());
  INGOT_TRY(weight_.scales.Read(read.first, last, read.scales.data()));
  if (weight_.scale_factor != 1)
    for (float& scale : read.scales) scale *= weight_.scale_factor;
  if (weight_.scale_divisor != 1)
    for (float& scale : read.scales) scale /= weight_.scale_divisor;
  if (weight_.zeros) {
    read.zeros.resize(read.scales.size());
    INGOT_TRY(weight_.zeros->Read(read.first, last, read.zeros.data()));
  }
  return read;
}

// Whole numbers of a range that `bits` bits count.
bool AreIntegers(const std::vector<float>& levels, int bits) {
  if (levels.empty()) return false;
  for (const float level : levels)
    if (level != std::floor(level)) return false;  // NaN as well
  const auto [low, high] = std::minmax_element(levels.begin(), levels.end());
  return *high - *low < static_cast<float>(1 << bits);
}

std::optional<CodedForm> GroupedDecoder::Form() const {
  const CodeMatrix& codes = weight_.codes;
  const int bits = codes.bits();
  if (!weight_.group_of_col.empty() || weight_.factor != 1 || weight_.zeros_are_weights ||
      !AreIntegers(codes.levels(), bits))
    return std::nullopt;
  CodedForm form;
  form.bits = bits;
  form.group = std::min(weight_.block_cols, std::max(codes.cols(), kOne));
  form.half_scales =
      weight_.scales.is_half() && weight_.scale_factor == 1 && weight_.scale_divisor == 1;
  const float low = LowestLevel();
  const auto middle = static_cast<float>(1 << (bits - 1));
  const bool symmetric = !weight_.zeros && low == -middle;
  form.origin = symmetric ? CodedForm::Origin::kMiddle : CodedForm::Origin::kZero;
  if (!weight_.zeros && (low > 0 || low < -2 * middle + 1)) return std::nullopt;
  return form;
}

std::optional<CodedForm> GroupedDecoder::Coded() const {
  const auto form = Form();
  if (!form || !weight_.zeros) return form;
  const auto groups = ReadGroups(0, weight_.codes.rows());
  if (!groups.ok()) return std::nullopt;  // ReadRows says why
  const float low = LowestLevel();
  const auto steps = static_cast<float>(1 << (8 - form->bits));
  for (const float zero : groups->zeros) {
    const float byte = (zero - low) * steps;
    if (!(byte >= 0 && byte <= 255) || byte != std::floor(byte)) return std::nullopt;
  }
  return form;
}

Result<CodedRows> GroupedDecoder::ReadCoded(std::uint64_t begin, std::uint64_t end) const {
  const auto form = Form();
  INGOT_CHECK(form.has_value());
  const std::uint64_t cols = weight_.codes.cols(), groups = CeilDiv(cols, form->group);
  const std::uint64_t stored_groups = weight_.scales.cols();
  const float low = LowestLevel();
  CodedRows rows;
  std::vector<float> levels((end - begin) * cols);
  INGOT_TRY(weight_.codes.Read(begin, end, levels.data()));
  rows.codes.reserve(levels.size());
  for (const float level : levels) rows.codes.push_back(static_cast<std::uint8_t>(level - low));
  INGOT_ASSIGN(const Groups read, ReadGroups(begin, end));
  for (std::uint64_t r = begin; r < end; ++r) {
    const std::uint64_t at = (r / weight_.block_rows - read.first) * stored_groups;
    for (std::uint64_t g = 0; g < groups; ++g) {
      rows.scales.push_back(read.scales[at + g]);
      if (form->origin == CodedForm::Origin::kZero)
        rows.offsets.push_back((read.zeros.empty() ? 0.0f : read.zeros[at + g]) - low);
    }
  }
  return rows;
}

Status GroupedDecoder::ReadSlab(std::uint64_t begin, std::uint64_t end, float* out) const {
  const std::uint64_t cols = weight_.codes.cols(), groups = weight_.scales.cols();
  INGOT_ASSIGN(const Groups read, ReadGroups(begin, end));
  INGOT_TRY(weight_.codes.Read(begin, end, out));
  for (std::uint64_t r = begin; r < end; ++r, out += cols) {
    const std::uint64_t at = (r / weight_.block_rows - read.first) * groups;
    for (std::uint64_t c = 0; c < cols; ++c) {
      const std::uint64_t g =
          weight_.group_of_col.empty() ? c / weight_.block_cols : weight_.group_of_col[c];
      const float zero = read.zeros.empty() ? 0.0f : read.zeros[at + g];
      float value = weight_.zeros_are_weights ? out[c] * read.scales[at + g] + zero
                                              : (out[c] - zero) * read.scales[at + g];
      if (weight_.factor != 1) value *= weight_.factor;
      out[c] = value;
    }
  }
  return OkStatus();
}

}  // namespace

Result<CodedRows> RowDecoder::ReadCoded(std::uint64_t, std::uint64_t) const {
  return Unsupported("not held in integer codes");
}

Result<std::unique_ptr<RowDecoder>> GroupedWeight::Make(GroupedWeight weight) {
  const std::uint64_t rows = weight.codes.rows(), cols = weight.codes.cols();
  const std::uint64_t groups = weight.scales.cols();
  if (weight.block_rows == 0 || weight.block_cols == 0)
    return Corruption("scales in blocks of 0 weights");
  if (weight.scales.rows() != CeilDiv(rows, weight.block_rows))
    return Corruption(fmt::format("{} rows of scales for {} rows in blocks of {}",
                                  weight.scales.rows(), rows, weight.block_rows));
  if (weight.group_of_col.empty() ? groups < CeilDiv(cols, weight.block_cols)
                                  : weight.group_of_col.size() != cols)
    return Corruption(fmt::format("{} groups of scales do not fit {} columns", groups, cols));
  for (const std::uint32_t g : weight.group_of_col)
    if (g >= groups) return Corruption(fmt::format("a column of group {} of {}", g, groups));
  if (weight.zeros &&
      (weight.zeros->rows() != weight.scales.rows() || weight.zeros->cols() != groups))
    return Corruption(fmt::format("{} x {} zero points for {} x {} scales", weight.zeros->rows(),
                                  weight.zeros->cols(), weight.scales.rows(), groups));
  return std::unique_ptr<RowDecoder>(std::make_unique<GroupedDecoder>(std::move(weight)));
}

Result<ScaleLayout> LayOutScales(const StoredPart& scales, std::uint64_t rows, std::uint64_t cols,
                                 std::uint64_t block_rows, std::uint64_t block_cols) {
  const std::vector<std::uint64_t>& shape = scales.shape;
  ScaleLayout layout;
  const bool one_column = shape.size() == 1 || (shape.size() == 2 && shape[1] == 1);
  if (scales.elements() == 1) {
    layout.block_rows = std::max<std::uint64_t>(rows, 1);
    layout.block_cols = std::max<std::uint64_t>(cols, 1);
    return layout;
  }
  if (one_column && shape[0] == rows) {
    layout.scale_rows = rows;
    layout.block_cols = std::max<std::uint64_t>(cols, 1);
    return layout;
  }
  if (shape.size() == 2) {
    layout.scale_rows = shape[0];
    layout.scale_cols = shape[1];
    layout.block_rows = block_rows;
    layout.block_cols = block_cols;
    if (block_cols == 0 && shape[0] == rows && shape[1] != 0 && cols % shape[1] == 0) {
      layout.block_rows = 1;
      layout.block_cols = cols / shape[1];
    }
    if (layout.block_rows != 0 && layout.block_cols != 0 &&
        shape[0] == CeilDiv(rows, layout.block_rows) &&
        shape[1] == CeilDiv(cols, layout.block_cols))
      return layout;
    if (layout.block_cols != 0 && shape[0] == rows &&
        shape[1] == CeilDiv(cols, layout.block_cols)) {
      layout.block_rows = 1;
      return layout;
    }
  }
  const std::string blocks = block_cols == 0
                                 ? std::string()
                                 : fmt::format(" in blocks of {} x {}", block_rows, block_cols);
  return Corruption(fmt::format("tensor '{}': scales of shape [{}] do not fit {} x {} weights{}",
                                scales.name, fmt::join(shape, ", "), rows, cols, blocks));
}

}  // namespace ingot::model
