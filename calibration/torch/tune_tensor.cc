#include "calibration/torch/tune_tensor.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/dependent_plane.h"
#include "codecs/planes/entropy_plane.h"
#include "codecs/planes/int_plane.h"
#include "codecs/planes/raw_plane.h"

namespace ingot::calibration {
namespace {

constexpr std::uint64_t kTaskWeights = std::uint64_t{64} << 10;
// Rows whose columns' gradients are summed as one: fixed, so that sums do not depend on threads.
constexpr std::uint64_t kSumRows = 128;

std::uint64_t RowGrain(std::uint64_t cols) {
  return std::max<std::uint64_t>(1, kTaskWeights / std::max<std::uint64_t>(cols, 1));
}

// The whole numbers of entropy and dependent planes, row by row, in the order of band.order().
class EntropyRowReader {
 public:
  EntropyRowReader(const codecs::PlaneSpec& spec, std::uint64_t cols) : cols_(cols) {
    if (spec.kind == "dependent") {
      dependent_ = *codecs::DependentLayout::Parse(spec, cols);
      layout_ = dependent_->entropy;
    } else {
      layout_ = *codecs::EntropyLayout::Parse(spec, cols);
    }
  }

  const codecs::EntropyLayout& layout() const { return layout_; }
  // From a band's first row on, rows that are read at no cost for those before them.
  std::uint64_t rows_together() const { return dependent_ ? dependent_->restart : kSumRows; }

  template <typename Take>
  void Read(const codecs::EntropyBand& band, std::uint64_t first, std::uint64_t last,
            Take&& take) const {
    std::vector<std::int32_t> codes(cols_);
    if (dependent_) {
      codecs::DependentReader reader(band, *dependent_, first);
      for (std::uint64_t r = first; r < last; ++r) {
        reader.Next();
        std::copy(reader.levels().begin(), reader.levels().end(), codes.begin());
        for (const auto& far : reader.far()) codes[far.place] = far.level;
        take(r, codes.data());
      }
      return;
    }
    std::vector<std::uint8_t> bytes(cols_);
    codecs::EntropyCursors cursors = band.Seek(first);
    for (std::uint64_t r = first; r < last; ++r) {
      const codecs::EntropyCursors before = cursors;
      band.ReadBytes(r, cursors, bytes.data());
      for (std::uint64_t p = 0; p < cols_; ++p)
        codes[p] = bytes[p] != 0 ? bytes[p] - 128 : band.Escape(r, before, p);
      take(r, codes.data());
    }
  }

 private:
  std::uint64_t cols_;
  codecs::EntropyLayout layout_;
  std::optional<codecs::DependentLayout> dependent_;
};

}  // namespace

Result<std::unique_ptr<TuneTensor>> TuneTensor::Make(PackedTensor packed, Use use, double offset) {
  std::unique_ptr<TuneTensor> tensor(new TuneTensor);
  tensor->packed_ = std::move(packed);
  PackedTensor& p = tensor->packed_;
  for (std::size_t i = 0; i < p.specs.size(); ++i) {
    tensor->views_.push_back({&p.specs[i], p.rows, p.cols, p.streams[i]});
    const std::string place = "plane " + std::to_string(i) + " (" + p.specs[i].kind + ")";
    INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::FindPlaneKind(p.specs[i].kind).At(place));
    INGOT_TRY(kind->validate(tensor->views_[i]).At(place));
  }
  INGOT_TRY(codecs::CheckPlaneList(tensor->views_));
  tensor->rows_together_ = RowGrain(p.cols);
  for (const codecs::PlaneSpec& spec : p.specs)
    if (spec.kind == "dependent")
      tensor->rows_together_ =
          std::max(tensor->rows_together_, EntropyRowReader(spec, p.cols).rows_together());
  INGOT_TRY(tensor->AddFields(use, offset));
  return tensor;
}

Status TuneTensor::AddFields(Use use, double offset) {
  bool adds_only = true;
  for (const std::size_t p : codecs::DecodeOrder(views_)) {
    INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::FindPlaneKind(views_[p].spec->kind));
    if (kind->role == codecs::PlaneRole::kTransformsInputs) {
      INGOT_ASSIGN(auto transform, codecs::MakeTransform(views_[p]));
      transforms_.push_back(std::move(transform));
      transform_planes_.push_back(p);
    }
    adds_only = adds_only && kind->role != codecs::PlaneRole::kReplaces;
  }
  const bool one_level = std::all_of(packed_.specs.begin(), packed_.specs.end(),
                                     [](const codecs::PlaneSpec& spec) { return spec.level == 0; });
  if (use == Use::kNorm) {
    if (packed_.specs.size() != 1 || packed_.specs[0].kind != "raw") return OkStatus();
    INGOT_ASSIGN(const DType dtype, codecs::RawDType(packed_.specs[0]));
    if (dtype == DType::kF32) AddField(0, 0, Format::kF32);
    if (dtype == DType::kF16) AddField(0, 0, Format::kF16);
    if (dtype == DType::kBf16) AddField(0, 0, Format::kBf16);
    for (std::size_t i = 0; i < unit_.size(); ++i)
      unit_[i] = std::fabs(start_[i] + static_cast<float>(offset));
    return OkStatus();
  }
  if (!one_level || !adds_only) return OkStatus();
  for (std::size_t p = 0; p < packed_.specs.size(); ++p) {
    if (packed_.specs[p].kind == "int") INGOT_TRY(AddInt(p));
    if (packed_.specs[p].kind == "entropy" || packed_.specs[p].kind == "dependent") {
      AddField(p, 1, Format::kRecord);
      AddField(p, 2, Format::kRecord);
    }
  }
  return OkStatus();
}

Status TuneTensor::AddInt(std::size_t plane) {
  INGOT_ASSIGN(const codecs::IntLayout layout,
               codecs::IntLayout::Parse(packed_.specs[plane], packed_.cols));
  if (!layout.is_rounded()) return OkStatus();  // a source's own codes, kept
  AddField(plane, 1, layout.has_row_scales() ? Format::kSigned8 : Format::kF16);
  if (layout.has_row_scales()) AddField(plane, layout.row_scales_stream(), Format::kF16);
  if (!layout.has_zeros()) return OkStatus();
  const std::size_t begin = start_.size();
  AddField(plane, layout.zeros_stream(), Format::kZero,
           1.0f / static_cast<float>(1 << (8 - layout.bits)));
  // A zero point of its own size moves all weights of a group; a scale's share of that is about a
  // quarter of the levels.
  const float levels = static_cast<float>(1 << layout.bits) / 4;
  std::fill(unit_.begin() + static_cast<std::ptrdiff_t>(begin), unit_.end(), levels);
  return OkStatus();
}

void TuneTensor::AddField(std::size_t plane, std::size_t stream, Format format, float step) {
  const ByteSpan bytes = packed_.streams[plane][stream];
  Field field{plane, stream, format, step, start_.size(), 0, {bytes.begin(), bytes.end()}};
  const std::size_t size = format == Format::kF32                                  ? 4
                           : format == Format::kSigned8 || format == Format::kZero ? 1
                                                                                   : 2;
  field.count = bytes.size() / size;
  for (std::size_t i = 0; i < field.count; ++i) {
    start_.push_back(Load(field, field.bytes.data(), i));
    unit_.push_back(std::fabs(start_.back()));
  }
  fields_.push_back(std::move(field));
  views_[plane].streams[stream] = fields_.back().bytes;  // its heap block moves along
}

float TuneTensor::Load(const Field& field, const std::uint8_t* bytes, std::size_t i) const {
  switch (field.format) {
    case Format::kF32:
      return LoadLe<float>(bytes + 4 * i);
    case Format::kF16:
      return FromFp16(LoadLe<std::uint16_t>(bytes + 2 * i));
    case Format::kBf16:
      return FromBf16(LoadLe<std::uint16_t>(bytes + 2 * i));
    case Format::kSigned8:
      return static_cast<float>(static_cast<std::int8_t>(bytes[i]));
    case Format::kZero:
      return static_cast<float>(bytes[i]) * field.step;
    case Format::kRecord:
      return codecs::EntropyFactor(LoadLe<std::uint16_t>(bytes + 2 * i));
  }
  return 0;
}

void TuneTensor::Store(Field& field, std::size_t i, float value) const {
  std::uint8_t* bytes = field.bytes.data();
  switch (field.format) {
    case Format::kF32:
      return StoreLe(bytes + 4 * i, value);
    case Format::kF16:
      return StoreLe(bytes + 2 * i, ToFp16(std::clamp(value, -65504.0f, 65504.0f)));
    case Format::kBf16:
      return StoreLe(bytes + 2 * i, ToBf16(value));
    case Format::kSigned8:
      bytes[i] = static_cast<std::uint8_t>(
          static_cast<std::int8_t>(std::clamp(std::nearbyint(value), -127.0f, 127.0f)));
      return;
    case Format::kZero:
      bytes[i] =
          static_cast<std::uint8_t>(std::clamp(std::nearbyint(value / field.step), 0.0f, 255.0f));
      return;
    case Format::kRecord: {
      const int line_class = codecs::EntropyClass(LoadLe<std::uint16_t>(bytes + 2 * i));
      return StoreLe(bytes + 2 * i, codecs::EntropyRecord(value, line_class));
    }
  }
}

const TuneTensor::Field* TuneTensor::FieldOf(std::size_t plane, std::size_t stream) const {
  for (const Field& field : fields_)
    if (field.plane == plane && field.stream == stream) return &field;
  return nullptr;
}

void TuneTensor::Set(std::span<const float> deltas) {
  for (Field& field : fields_) {
    const ByteSpan source = packed_.streams[field.plane][field.stream];
    std::copy(source.begin(), source.end(), field.bytes.begin());
    for (std::size_t i = 0; i < field.count; ++i) {
      const std::size_t k = field.begin + i;
      if (deltas[k] != 0) Store(field, i, start_[k] + unit_[k] * deltas[k]);
    }
  }
}

std::vector<NewStream> TuneTensor::Changed() const {
  std::vector<NewStream> changed;
  for (const Field& field : fields_)
    if (!std::ranges::equal(field.bytes, packed_.streams[field.plane][field.stream]))
      changed.push_back({field.plane, field.stream, field.bytes});
  return changed;
}

void TuneTensor::Decode(float* out) const {
  ParallelFor(CeilDiv(packed_.rows, rows_together_), 1, [&](std::size_t begin, std::size_t end) {
    const std::uint64_t first = begin * rows_together_;
    DecodeRows(first, std::min(end * rows_together_, packed_.rows), out + first * packed_.cols);
  });
}

void TuneTensor::DecodeRows(std::uint64_t begin, std::uint64_t end, float* out) const {
  codecs::ApplyPlanes(views_, begin, end, out);
}

void TuneTensor::Gradient(float* weights, std::span<float> out) const {
  const std::uint64_t cols = packed_.cols;
  // W = W' A: dL/dW' = dL/dW A^T. The rotation's transpose is its inverse, a scale's itself.
  for (std::size_t t = transforms_.size(); t-- > 0;) {
    const codecs::InputTransform& transform = *transforms_[t];
    const bool rotates = packed_.specs[transform_planes_[t]].kind == "hadamard";
    ParallelFor(packed_.rows, RowGrain(cols), [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = begin; r < end; ++r)
        rotates ? transform.EncodeRow(weights + r * cols) : transform.Restore(weights + r * cols);
    });
  }
  std::fill(out.begin(), out.end(), 0.0f);
  for (std::size_t p = 0; p < packed_.specs.size(); ++p) {
    if (packed_.specs[p].kind == "int" && !fields_.empty()) IntGradient(p, weights, out);
    const std::string& kind = packed_.specs[p].kind;
    if ((kind == "entropy" || kind == "dependent") && !fields_.empty())
      EntropyGradient(p, weights, out);
    if (packed_.specs[p].kind == "raw" && !fields_.empty())
      std::copy_n(weights, out.size(), out.begin());
  }
  for (std::size_t k = 0; k < out.size(); ++k) out[k] *= unit_[k];
}

// w = scale * (level - zero), scale being f16 or a byte times its row's.
void TuneTensor::IntGradient(std::size_t plane, const float* weights, std::span<float> out) const {
  const auto layout = codecs::IntLayout::Parse(packed_.specs[plane], packed_.cols);
  INGOT_CHECK(layout.ok());
  const codecs::PlaneView& view = views_[plane];
  const Field& scales = *FieldOf(plane, 1);
  const Field* zeros = layout->has_zeros() ? FieldOf(plane, layout->zeros_stream()) : nullptr;
  const Field* lines =
      layout->has_row_scales() ? FieldOf(plane, layout->row_scales_stream()) : nullptr;
  float levels[256];
  codecs::IntLevelTable(*layout, levels);
  const std::uint64_t cols = packed_.cols, groups = layout->groups;
  ParallelFor(packed_.rows, RowGrain(cols), [&](std::size_t begin, std::size_t end) {
    std::vector<std::uint8_t> codes(cols);
    for (std::size_t r = begin; r < end; ++r) {
      codecs::UnpackCodes(view.streams[0].data() + r * layout->code_row_bytes, layout->bits, cols,
                          codes.data());
      const float* w = weights + r * cols;
      const float line = lines == nullptr ? 1.0f : Load(*lines, lines->bytes.data(), r);
      double row = 0;
      for (std::uint64_t g = 0; g < groups; ++g) {
        const std::uint64_t first = g * layout->group;
        const std::uint64_t last = std::min(first + layout->group, cols);
        double by_level = 0, total = 0;
        for (std::uint64_t j = first; j < last; ++j) {
          by_level += static_cast<double>(w[j] * levels[codes[j]]);
          total += static_cast<double>(w[j]);
        }
        const std::size_t at = r * groups + g;
        if (zeros != nullptr) {
          by_level -= total * Load(*zeros, zeros->bytes.data(), at);
          out[zeros->begin + at] =
              static_cast<float>(-total * codecs::IntScale(*layout, view, r, g));
        }
        out[scales.begin + at] = static_cast<float>(by_level * line);
        if (lines != nullptr) row += by_level * Load(scales, scales.bytes.data(), at);
      }
      if (lines != nullptr) out[lines->begin + r] = static_cast<float>(row);
    }
  });
}

// w = code (or level) * row factor * column factor of the row's band.
void TuneTensor::EntropyGradient(std::size_t plane, const float* weights,
                                 std::span<float> out) const {
  const EntropyRowReader source(packed_.specs[plane], packed_.cols);
  const codecs::PlaneView& view = views_[plane];
  const Field& rows = *FieldOf(plane, 1);
  const Field& columns = *FieldOf(plane, 2);
  const std::uint64_t cols = packed_.cols, rows_together = source.rows_together();
  for (std::uint64_t top = 0, index = 0; top < packed_.rows; ++index) {
    const codecs::EntropyBand band(view, source.layout(), top);
    const std::uint64_t blocks = CeilDiv(band.row_end() - top, rows_together);
    std::vector<std::vector<double>> sums(blocks);
    ParallelFor(blocks, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t b = begin; b < end; ++b) {
        sums[b].assign(cols, 0.0);
        const std::uint64_t first = top + b * rows_together;
        const std::uint64_t last = first + std::min(rows_together, band.row_end() - first);
        source.Read(band, first, last, [&](std::uint64_t r, const std::int32_t* codes) {
          const float* w = weights + r * cols;
          const double factor = codecs::EntropyFactor(band.row_record(r));
          double row = 0;
          for (std::uint64_t p = 0; p < cols; ++p) {
            if (codes[p] == 0) continue;
            const std::uint32_t j = band.order()[p];
            const double product = static_cast<double>(w[j]) * codes[p];
            row += product * codecs::EntropyFactor(band.column_record(j));
            sums[b][j] += product * factor;
          }
          out[rows.begin + r] = static_cast<float>(row);
        });
      }
    });
    for (std::uint64_t j = 0; j < cols; ++j) {
      double sum = 0;
      for (const auto& block : sums) sum += block[j];
      out[columns.begin + index * cols + j] = static_cast<float>(sum);
    }
    top = band.row_end();
  }
}

}  // namespace ingot::calibration
