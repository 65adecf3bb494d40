// 8-bit product of an int plane, AVX2: as int_matvec_avx512.cc with a part of a block in two halves
// of 32 codes, vpmaddubsw and vpmaddwd for the products. Codes of 8 bits go as two nibbles: 255 *
// 127 twice does not fit the 16 bits that vpmaddubsw adds in. Floor: reading the plane's bytes
// once. Bench: INGOT_ISA=avx2 linear_bench
#include <immintrin.h>

#include "loader/kernels/int_matvec.h"

namespace ingot::loader {
namespace {

constexpr int kRows = static_cast<int>(kMatvecRows);
constexpr std::size_t kPrefetchBytes = 8192;

float ScaleOf(const PlaneOperand& plane, std::uint64_t row, std::uint64_t group) {
  const std::uint64_t index = row * plane.groups + group;
  std::uint16_t half;
  if (plane.row_scales == nullptr) {
    __builtin_memcpy(&half, plane.scales + 2 * index, 2);
    return _cvtsh_ss(half);
  }
  __builtin_memcpy(&half, plane.row_scales + 2 * row, 2);
  return static_cast<float>(static_cast<std::int8_t>(plane.scales[index])) * _cvtsh_ss(half);
}

struct RowTile {
  const std::uint8_t* codes[kRows];
  const float* scales[kRows];
  const float* zeros[kRows];
  const InputRecord* x;
};

// Lane groups of one part: where its 16 lanes find their scales.
struct PartGroups {
  bool uniform;
  std::size_t first;
  const std::int32_t* lanes;
  __m256 Of(const float* row, int half) const {
    if (uniform) return _mm256_set1_ps(row[first]);
    const __m256i index = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes + 8 * half));
    return _mm256_i32gather_ps(row + first, index, 4);
  }
};

// Sums of four neighbouring products, 32 codes to 8 lanes. `table`: in each 16 bytes its levels, of
// which vpmaddubsw takes the magnitudes and the inputs the signs (127 * 127 twice fits its 16
// bits).
template <int kWidth, Codes kCodes>
inline __m256i Dot(__m256i bytes, int part, __m256i q, __m256i table) {
  const __m256i ones = _mm256_set1_epi16(1);
  if constexpr (kWidth == 8) {
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i low = _mm256_and_si256(bytes, nibble);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
    return _mm256_add_epi32(
        _mm256_madd_epi16(_mm256_maddubs_epi16(low, q), ones),
        _mm256_madd_epi16(_mm256_maddubs_epi16(high, q), _mm256_set1_epi16(16)));
  } else {
    const __m256i mask = _mm256_set1_epi8(static_cast<char>((1 << kWidth) - 1));
    const __m256i codes = _mm256_and_si256(_mm256_srli_epi16(bytes, part * kWidth), mask);
    if constexpr (kCodes == Codes::kTable) {
      const __m256i levels = _mm256_shuffle_epi8(table, codes);
      return _mm256_madd_epi16(
          _mm256_maddubs_epi16(_mm256_abs_epi8(levels), _mm256_sign_epi8(q, levels)), ones);
    }
    return _mm256_madd_epi16(_mm256_maddubs_epi16(codes, q), ones);
  }
}

template <int kWidth, Codes kCodes>
inline void OnePart(const RowTile& tile, __m256i table, const __m256i (&bytes)[kRows][2],
                    std::size_t record, int part, int offset_shift, const PartGroups& groups,
                    __m256 (&sums)[kRows]) {
  const InputRecord& x = tile.x[record];
  for (int half = 0; half < 2; ++half) {
    const __m256i q = _mm256_load_si256(reinterpret_cast<const __m256i*>(x.q) + half);
    const __m256i negative =
        _mm256_load_si256(reinterpret_cast<const __m256i*>(x.negative_sum) + half);
    const __m256i start =
        offset_shift < 0 ? _mm256_setzero_si256() : _mm256_slli_epi32(negative, offset_shift);
    const __m256 input_scale = _mm256_load_ps(x.scale + 8 * half);
    for (int r = 0; r < kRows; ++r) {
      const __m256i dot =
          _mm256_add_epi32(start, Dot<kWidth, kCodes>(bytes[r][half], part, q, table));
      __m256 value = _mm256_cvtepi32_ps(dot);
      if constexpr (kCodes == Codes::kZero)
        value =
            _mm256_fmadd_ps(groups.Of(tile.zeros[r], half), _mm256_cvtepi32_ps(negative), value);
      const __m256 scale = _mm256_mul_ps(groups.Of(tile.scales[r], half), input_scale);
      sums[r] = _mm256_fmadd_ps(value, scale, sums[r]);
    }
  }
}

inline float Sum(__m256 v) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

template <int kWidth, Codes kCodes>
void RowsPass(const PlaneOperand& plane, const IntField& field, const RowTile& tile, float* y,
              std::size_t rows) {
  constexpr int kParts = 8 / kWidth;
  const int offset_shift = field.shift == 0 && plane.offset > 0 ? plane.bits - 1 : -1;
  __m256i table = _mm256_setzero_si256();
  if constexpr (kCodes == Codes::kTable)
    table =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(plane.table)));
  __m256 sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = _mm256_setzero_ps();
  std::int32_t lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = static_cast<std::int32_t>(4u * i / plane.group);
  __m256i bytes[kRows][2];
  for (std::size_t b = 0; b < field.full_blocks; ++b) {
    for (int r = 0; r < kRows; ++r) {
      const auto* at = reinterpret_cast<const __m256i*>(tile.codes[r] + b * 64);
      _mm_prefetch(reinterpret_cast<const char*>(tile.codes[0]) + kPrefetchBytes +
                       (b * kMatvecRows + static_cast<std::size_t>(r)) * 64,
                   _MM_HINT_T0);
      bytes[r][0] = _mm256_loadu_si256(at);
      bytes[r][1] = _mm256_loadu_si256(at + 1);
    }
    for (int p = 0; p < kParts; ++p) {
      const std::size_t record = b * kParts + static_cast<std::size_t>(p);
      const std::size_t group = plane.groups == 1 ? 0 : record * kRecordInputs / plane.group;
      const PartGroups groups{field.mode != GroupMode::kLane, group, lanes};
      OnePart<kWidth, kCodes>(tile, table, bytes, record, p, offset_shift, groups, sums);
    }
  }
  if (field.tail_codes > 0) {
    for (int r = 0; r < kRows; ++r) {
      alignas(32) std::uint8_t tail[64] = {};
      __builtin_memcpy(tail, tile.codes[r] + field.full_blocks * 64, field.tail_bytes);
      bytes[r][0] = _mm256_load_si256(reinterpret_cast<const __m256i*>(tail));
      bytes[r][1] = _mm256_load_si256(reinterpret_cast<const __m256i*>(tail) + 1);
    }
    const std::size_t record =
        kParts == 1 ? field.full_blocks : TailRecord(plane.cols, static_cast<std::size_t>(kParts));
    for (int p = 0; p < kParts; ++p)
      OnePart<kWidth, kCodes>(
          tile, table, bytes, record + static_cast<std::size_t>(p), p, offset_shift,
          {field.tail.uniform[p], field.tail.first[p], field.tail.lane[p]}, sums);
  }
  for (std::size_t r = 0; r < rows; ++r) y[r] += Sum(sums[r]);
}

using PassFn = void (*)(const PlaneOperand&, const IntField&, const RowTile&, float*, std::size_t);

template <Codes kCodes>
PassFn PassForWidth(int width) {
  switch (width) {
    case 8:
      return RowsPass<8, kCodes>;
    case 4:
      return RowsPass<4, kCodes>;
    case 2:
      return RowsPass<2, kCodes>;
    default:
      return RowsPass<1, kCodes>;
  }
}

PassFn FindPass(const PlaneOperand& plane, const IntField& field) {
  if (plane.table != nullptr) return RowsPass<4, Codes::kTable>;
  return plane.zeros != nullptr && field.shift == 0 ? PassForWidth<Codes::kZero>(field.width)
                                                    : PassForWidth<Codes::kOffset>(field.width);
}

void FieldPass(const IntMatvec& m, const IntField& field) {
  const PlaneOperand& plane = *m.plane;
  const bool zero = plane.zeros != nullptr && field.shift == 0;
  const std::size_t stride = ScaleStride(plane.groups);
  const float zero_step = 1.0f / static_cast<float>(1 << (8 - plane.bits));
  const float factor = FieldFactor(plane, field);
  RowTile tile;
  for (std::size_t r = 0; r < m.rows; r += kMatvecRows) {
    const std::size_t rows = m.rows - r < kMatvecRows ? m.rows - r : kMatvecRows;
    for (std::size_t i = 0; i < kMatvecRows; ++i) {
      const std::size_t own = i < rows ? i : rows - 1;
      const std::uint64_t row = m.row_begin + r + own;
      float* scales = m.scratch + own * stride;
      float* zeros = m.scratch + (kMatvecRows + own) * stride;
      tile.codes[i] = plane.codes + row * plane.row_bytes + field.offset_bytes;
      tile.scales[i] = scales;
      tile.zeros[i] = zeros;
      if (i != own) continue;
      for (std::uint64_t g = 0; g < plane.groups; ++g) {
        scales[g] = ScaleOf(plane, row, g) * factor;
        if (zero) zeros[g] = static_cast<float>(plane.zeros[row * plane.groups + g]) * zero_step;
      }
    }
    for (std::size_t t = 0; t < m.tokens; ++t) {
      tile.x = m.x + t * m.record_stride;
      FindPass(plane, field)(plane, field, tile, m.y + t * m.y_stride + r, rows);
    }
  }
}

}  // namespace

void QuantizeRecordAvx2(const float* x, std::size_t n, InputRecord* record) {
  alignas(32) float values[64] = {};
  __builtin_memcpy(values, x, n * sizeof(float));
  const __m256 sign = _mm256_set1_ps(-0.0f);
  for (int half = 0; half < 2; ++half) {
    __m256 v[4];
    __m256 largest = _mm256_setzero_ps();
    for (int i = 0; i < 4; ++i) {
      v[i] = _mm256_load_ps(values + 32 * half + 8 * i);
      largest = _mm256_max_ps(largest, _mm256_andnot_ps(sign, v[i]));
    }
    __m128 top = _mm_max_ps(_mm256_castps256_ps128(largest), _mm256_extractf128_ps(largest, 1));
    top = _mm_max_ps(top, _mm_movehl_ps(top, top));
    const float amax = _mm_cvtss_f32(_mm_max_ss(top, _mm_movehdup_ps(top)));
    const __m256 inverse = _mm256_set1_ps(amax > 0 ? 127.0f / amax : 0.0f);
    __m256i q[4];
    for (int i = 0; i < 4; ++i) q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
    // The packs work within 128-bit halves; the permutation puts groups of four back in order.
    const __m256i packed = _mm256_permutevar8x32_epi32(
        _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3])),
        _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_store_si256(reinterpret_cast<__m256i*>(record->q) + half, packed);
    const __m256i sums =
        _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), packed), _mm256_set1_epi16(1));
    _mm256_store_si256(reinterpret_cast<__m256i*>(record->negative_sum) + half,
                       _mm256_sub_epi32(_mm256_setzero_si256(), sums));
    _mm256_store_ps(record->scale + 8 * half, _mm256_set1_ps(amax / 127.0f));
  }
}

void IntMatvecAvx2(const IntMatvec& matvec) {
  for (int f = 0; f < matvec.fields->count; ++f) FieldPass(matvec, matvec.fields->field[f]);
}

}  // namespace ingot::loader
