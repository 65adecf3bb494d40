// The reference of the trellis planes' product: the same inputs, one level after the other, in
// double.
#include "base/bytes.h"
#include "base/float_formats.h"
#include "codecs/planes/bitshift_levels.h"
#include "loader/kernels/trellis_matvec.h"

namespace ingot::loader {
namespace {

// A row of [begin, end) of the levels.
constexpr std::size_t kLevels = kTrellisScratch * sizeof(float);

void RowTimes(const TrellisMatvec& m, const TrellisRun& run, std::size_t r, float* y) {
  const TrellisOperand& plane = *m.plane;
  auto* levels = reinterpret_cast<std::uint8_t*>(m.scratch);
  const auto scale =
      static_cast<double>(FromFp16(LoadLe<std::uint16_t>(plane.scales + 2 * (m.row_begin + r))));
  for (std::uint64_t begin = 0; begin < plane.cols; begin += kLevels) {
    const std::uint64_t end = begin + kLevels < plane.cols ? begin + kLevels : plane.cols;
    for (std::uint64_t j = begin; j < end; ++j)
      levels[j - begin] = codecs::BitshiftByte(TrellisStateOf(plane, run, run.first, j));
    for (std::size_t t = 0; t < m.tokens; ++t) {
      const InputLine* token = m.x + t * m.x_lines;
      const std::int8_t* q = InputCodes(token);
      const float* scales = InputScales(token, plane.cols);
      double sum = 0;
      for (std::uint64_t j = begin; j < end; ++j)
        sum += (levels[j - begin] - 128) * q[j] * static_cast<double>(scales[j / kScaleInputs]);
      y[t * m.y_stride] += static_cast<float>(sum * scale);
    }
  }
}

}  // namespace

void TrellisMatvecScalar(const TrellisMatvec& matvec) {
  for (std::size_t r = 0; r < matvec.rows; ++r)
    RowTimes(matvec, NextTrellisRun(matvec, r), r, matvec.y + r);
}

}  // namespace ingot::loader
