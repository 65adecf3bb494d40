// 8-bit product of an int plane, AVX-512 VNNI: 4 rows at once, in place on the stored codes.
//
//   64-byte block of a row (4 bits: 128 codes)     records of x, lane i = inputs 4i ... 4i + 3
//     load, AND 15       -> codes 0 ... 63   . record 2b      vpdpbusd -> 16 lanes
//     shift 4, AND 15    -> codes 64 ... 127 . record 2b + 1  vpdpbusd -> 16 lanes
//     lanes * input scales, summed over the parts, times the group's scale, into the row's sum
//
// Floor: reading the plane's bytes once from memory; about 11 operations a 64-byte load keep a core
// above that. Bench: linear_bench --benchmark_filter=Decode
#include <immintrin.h>

#include "loader/kernels/int_matvec.h"

namespace ingot::loader {
namespace {

constexpr int kRows = static_cast<int>(kMatvecRows);
constexpr int kMaxTokens = 4;
constexpr std::size_t kPrefetchBytes = 8192;

inline __m128 Sum4(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  const __m512 low =
      _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd)));
  const __m512 high =
      _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd)));
  const __m512 quads = _mm512_add_ps(low, high);
  const __m256 halves =
      _mm256_add_ps(_mm512_castps512_ps256(quads), _mm512_extractf32x8_ps(quads, 1));
  return _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
}

// What a pass over four rows needs; pointers of absent rows repeat the last one.
struct RowTile {
  const std::uint8_t* codes[kRows];
  const float* scales[kRows];
  const float* shifts[kRows];  // asymmetric: -zero of each group, else nullptr
  const InputRecord* x;
  std::size_t record_stride;
};

// Scales times 2^shift, and -zero, of one row.
void ExpandRow(const PlaneOperand& plane, std::uint64_t row, float factor, float* scales,
               float* zeros) {
  const std::uint64_t base = row * plane.groups;
  __m512 scale_factor = _mm512_set1_ps(factor);
  if (plane.row_scales != nullptr) {
    std::uint16_t half;
    __builtin_memcpy(&half, plane.row_scales + 2 * row, 2);
    scale_factor = _mm512_mul_ps(scale_factor, _mm512_set1_ps(_cvtsh_ss(half)));
  }
  const __m512 zero_factor = _mm512_set1_ps(-1.0f / static_cast<float>(1 << (8 - plane.bits)));
  for (std::uint64_t g = 0; g < plane.groups; g += 16) {
    const std::uint64_t left = plane.groups - g;
    const auto live = static_cast<__mmask16>(left >= 16 ? 0xffffu : (1u << left) - 1u);
    __m512 values;
    if (plane.row_scales != nullptr) {
      values = _mm512_cvtepi32_ps(
          _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(live, plane.scales + base + g)));
    } else {
      values = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(live, plane.scales + 2 * (base + g)));
    }
    _mm512_store_ps(scales + g, _mm512_mul_ps(values, scale_factor));
    if (plane.zeros != nullptr) {
      const __m512i z = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(live, plane.zeros + base + g));
      _mm512_store_ps(zeros + g, _mm512_mul_ps(_mm512_cvtepi32_ps(z), zero_factor));
    }
  }
}

// How a code's lane finds its scale (and -zero) in a row's expanded array.
struct Uniform {
  std::size_t group;
  __m512 operator()(const float* row) const { return _mm512_set1_ps(row[group]); }
};
struct Permuted {
  std::size_t first;
  __m512i lanes;
  __m512 operator()(const float* row) const {
    return _mm512_permutexvar_ps(lanes, _mm512_loadu_ps(row + first));
  }
};

template <int kWidth>
inline __m512i Bits(__m512i bytes, int part) {
  if constexpr (kWidth == 8) return bytes;
  const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << kWidth) - 1));
  return _mm512_and_si512(
      part == 0 ? bytes : _mm512_srli_epi16(bytes, static_cast<unsigned>(part * kWidth)), mask);
}

// One part's codes as vpdpbusd takes them, unsigned; a table's levels 128 up. `table` holds those
// in each 16 bytes.
template <int kWidth, Codes kCodes>
inline __m512i Part(__m512i bytes, int part, __m512i table) {
  const __m512i codes = Bits<kWidth>(bytes, part);
  if constexpr (kCodes == Codes::kTable) return _mm512_shuffle_epi8(table, codes);
  return codes;
}

template <Codes kCodes>
inline __m512i TableOf(const PlaneOperand& plane) {
  if constexpr (kCodes != Codes::kTable) return _mm512_setzero_si512();
  const __m128i levels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(plane.table));
  return _mm512_broadcast_i32x4(_mm_xor_si128(levels, _mm_set1_epi8(-128)));
}

// Lanes of one part: sum of (code - offset) * q over the lane's four inputs, times the input scale,
// added to `sum`; with kZero also the inputs' own sums times -zero.
template <bool kZero>
inline __m512 AddPart(__m512i codes, const InputRecord& record, __m512i start, __m512 zero,
                      __m512 sum) {
  const __m512i dot = _mm512_dpbusd_epi32(start, codes, _mm512_load_si512(record.q));
  __m512 value = _mm512_cvtepi32_ps(dot);
  if constexpr (kZero) {
    const __m512 inputs = _mm512_cvtepi32_ps(_mm512_load_si512(record.negative_sum));
    value = _mm512_fnmadd_ps(zero, inputs, value);
  }
  return _mm512_fmadd_ps(value, _mm512_load_ps(record.scale), sum);
}

// A whole block whose parts share the group `at`.
template <int kWidth, Codes kCodes, int T, typename At>
inline void SharedBlock(const RowTile& tile, __m512i table, const __m512i (&bytes)[kRows],
                        std::size_t record, int offset_shift, const At& at,
                        __m512 (&sums)[T][kRows]) {
  constexpr int kParts = 8 / kWidth;
  constexpr bool kZero = kCodes == Codes::kZero;
  for (int t = 0; t < T; ++t) {
    const InputRecord* x = tile.x + t * tile.record_stride + record;
    __m512 lanes[kRows];
    for (int r = 0; r < kRows; ++r) lanes[r] = _mm512_setzero_ps();
#pragma GCC unroll 8
    for (int p = 0; p < kParts; ++p) {
      const __m512i start = offset_shift < 0
                                ? _mm512_setzero_si512()
                                : _mm512_slli_epi32(_mm512_load_si512(x[p].negative_sum),
                                                    static_cast<unsigned>(offset_shift));
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        lanes[r] = AddPart<kZero>(Part<kWidth, kCodes>(bytes[r], p, table), x[p], start,
                                  kZero ? at(tile.shifts[r]) : _mm512_setzero_ps(), lanes[r]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
      sums[t][r] = _mm512_fmadd_ps(lanes[r], at(tile.scales[r]), sums[t][r]);
  }
}

// One part whose lanes find their groups by `at`.
template <int kWidth, Codes kCodes, int T, typename At>
inline void OnePart(const RowTile& tile, __m512i table, const __m512i (&bytes)[kRows],
                    std::size_t record, int part, int offset_shift, const At& at,
                    __m512 (&sums)[T][kRows]) {
  constexpr bool kZero = kCodes == Codes::kZero;
  for (int t = 0; t < T; ++t) {
    const InputRecord& x = tile.x[t * tile.record_stride + record];
    const __m512i start = offset_shift < 0 ? _mm512_setzero_si512()
                                           : _mm512_slli_epi32(_mm512_load_si512(x.negative_sum),
                                                               static_cast<unsigned>(offset_shift));
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const __m512 lanes =
          AddPart<kZero>(Part<kWidth, kCodes>(bytes[r], part, table), x, start,
                         kZero ? at(tile.shifts[r]) : _mm512_setzero_ps(), _mm512_setzero_ps());
      sums[t][r] = _mm512_fmadd_ps(lanes, at(tile.scales[r]), sums[t][r]);
    }
  }
}

template <int kWidth, Codes kCodes, int T>
void RowsPass(const PlaneOperand& plane, const IntField& field, const RowTile& tile, float* y,
              std::size_t y_stride, __mmask8 live) {
  constexpr int kParts = 8 / kWidth;
  const int offset_shift = kCodes == Codes::kTable                ? 7
                           : field.shift == 0 && plane.offset > 0 ? plane.bits - 1
                                                                  : -1;
  const __m512i table = TableOf<kCodes>(plane);
  __m512 sums[T][kRows];
  for (int t = 0; t < T; ++t)
    for (int r = 0; r < kRows; ++r) sums[t][r] = _mm512_setzero_ps();
  const std::size_t block_groups = plane.group / (kRecordInputs * kParts);
  std::size_t group = 0, in_group = 0;  // kBlock: the running group
  __m512i pattern = _mm512_setzero_si512();
  if (field.mode == GroupMode::kLane)
    pattern = _mm512_srlv_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60),
        _mm512_set1_epi32(__builtin_ctzll(plane.group)));
  __m512i bytes[kRows];
  for (std::size_t b = 0; b < field.full_blocks; ++b) {
    // The four rows lie one after the other: ask for what follows in that order, not row by row.
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r)
      _mm_prefetch(
          reinterpret_cast<const char*>(tile.codes[0] + kPrefetchBytes + (b * kRows + r) * 64),
          _MM_HINT_T0);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const std::uint8_t* at = tile.codes[r] + b * 64;
      bytes[r] = _mm512_loadu_si512(at);
    }
    if (field.mode == GroupMode::kBlock) {
      SharedBlock<kWidth, kCodes, T>(tile, table, bytes, b * kParts, offset_shift, Uniform{group},
                                     sums);
      if (++in_group == block_groups) {
        in_group = 0;
        ++group;
      }
      continue;
    }
    for (int p = 0; p < kParts; ++p) {
      const std::size_t record = b * kParts + static_cast<std::size_t>(p);
      const std::size_t first = record * kRecordInputs / plane.group;
      if (field.mode == GroupMode::kRecord)
        OnePart<kWidth, kCodes, T>(tile, table, bytes, record, p, offset_shift, Uniform{first},
                                   sums);
      else
        OnePart<kWidth, kCodes, T>(tile, table, bytes, record, p, offset_shift,
                                   Permuted{first, pattern}, sums);
    }
  }
  if (field.tail_codes > 0) {
    const auto mask =
        field.tail_bytes >= 64 ? ~__mmask64{0} : (__mmask64{1} << field.tail_bytes) - 1u;
    for (int r = 0; r < kRows; ++r)
      bytes[r] = _mm512_maskz_loadu_epi8(mask, tile.codes[r] + field.full_blocks * 64);
    const std::size_t record =
        kParts == 1 ? field.full_blocks : TailRecord(plane.cols, static_cast<std::size_t>(kParts));
    for (int p = 0; p < kParts; ++p) {
      const std::size_t first = field.tail.first[p];
      if (field.tail.uniform[p])
        OnePart<kWidth, kCodes, T>(tile, table, bytes, record + static_cast<std::size_t>(p), p,
                                   offset_shift, Uniform{first}, sums);
      else
        OnePart<kWidth, kCodes, T>(tile, table, bytes, record + static_cast<std::size_t>(p), p,
                                   offset_shift,
                                   Permuted{first, _mm512_loadu_si512(field.tail.lane[p])}, sums);
    }
  }
  for (int t = 0; t < T; ++t) {
    float* out = y + static_cast<std::size_t>(t) * y_stride;
    const __m128 sum = Sum4(sums[t][0], sums[t][1], sums[t][2], sums[t][3]);
    _mm_mask_storeu_ps(out, live, _mm_add_ps(_mm_maskz_loadu_ps(live, out), sum));
  }
}

using PassFn = void (*)(const PlaneOperand&, const IntField&, const RowTile&, float*, std::size_t,
                        __mmask8);

template <int kWidth, Codes kCodes>
PassFn PassForTokens(std::size_t tokens) {
  switch (tokens) {
    case 1:
      return RowsPass<kWidth, kCodes, 1>;
    case 2:
      return RowsPass<kWidth, kCodes, 2>;
    case 3:
      return RowsPass<kWidth, kCodes, 3>;
    default:
      return RowsPass<kWidth, kCodes, 4>;
  }
}

template <Codes kCodes>
PassFn PassForWidth(int width, std::size_t tokens) {
  switch (width) {
    case 8:
      return PassForTokens<8, kCodes>(tokens);
    case 4:
      return PassForTokens<4, kCodes>(tokens);
    case 2:
      return PassForTokens<2, kCodes>(tokens);
    default:
      return PassForTokens<1, kCodes>(tokens);
  }
}

PassFn FindPass(const PlaneOperand& plane, const IntField& field, std::size_t tokens) {
  if (plane.table != nullptr) return PassForTokens<4, Codes::kTable>(tokens);
  return plane.zeros != nullptr && field.shift == 0
             ? PassForWidth<Codes::kZero>(field.width, tokens)
             : PassForWidth<Codes::kOffset>(field.width, tokens);
}

void FieldPass(const IntMatvec& m, const IntField& field) {
  const PlaneOperand& plane = *m.plane;
  const std::size_t stride = ScaleStride(plane.groups);
  RowTile tile;
  tile.record_stride = m.record_stride;
  for (std::size_t r = 0; r < m.rows; r += kMatvecRows) {
    const std::size_t rows = m.rows - r < kMatvecRows ? m.rows - r : kMatvecRows;
    for (std::size_t i = 0; i < kMatvecRows; ++i) {
      const std::size_t own = i < rows ? i : rows - 1;
      const std::uint64_t row = m.row_begin + r + own;
      tile.codes[i] = plane.codes + row * plane.row_bytes + field.offset_bytes;
      tile.scales[i] = m.scratch + own * stride;
      tile.shifts[i] = m.scratch + (kMatvecRows + own) * stride;
      if (i == own)
        ExpandRow(plane, row, FieldFactor(plane, field), m.scratch + own * stride,
                  m.scratch + (kMatvecRows + own) * stride);
    }
    const auto live = static_cast<__mmask8>((1u << rows) - 1u);
    for (std::size_t t = 0; t < m.tokens; t += kMaxTokens) {
      const std::size_t tokens = m.tokens - t < kMaxTokens ? m.tokens - t : kMaxTokens;
      tile.x = m.x + t * m.record_stride;
      FindPass(plane, field, tokens)(plane, field, tile, m.y + t * m.y_stride + r, m.y_stride,
                                     live);
    }
  }
}

}  // namespace

void QuantizeRecordAvx512(const float* x, std::size_t n, InputRecord* record) {
  const __m512i ones = _mm512_set1_epi8(1);
  __m512 values[4];
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t left = n > 16 * i ? n - 16 * i : 0;
    const auto live = static_cast<__mmask16>(left >= 16 ? 0xffffu : (1u << left) - 1u);
    values[i] = _mm512_maskz_loadu_ps(live, x + 16 * i);
  }
  for (std::size_t half = 0; half < 2; ++half) {
    const __m512 a = values[2 * half], b = values[2 * half + 1];
    const float largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b)));
    const __m512 inverse = _mm512_set1_ps(largest > 0 ? 127.0f / largest : 0.0f);
    const __m128i low = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(a, inverse)));
    const __m128i high = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(b, inverse)));
    _mm_store_si128(reinterpret_cast<__m128i*>(record->q + 32 * half), low);
    _mm_store_si128(reinterpret_cast<__m128i*>(record->q + 32 * half + 16), high);
    _mm256_store_ps(record->scale + 8 * half, _mm256_set1_ps(largest / 127.0f));
  }
  const __m512i sums =
      _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, _mm512_load_si512(record->q));
  _mm512_store_si512(record->negative_sum, _mm512_sub_epi32(_mm512_setzero_si512(), sums));
}

void IntMatvecAvx512(const IntMatvec& matvec) {
  for (int f = 0; f < matvec.fields->count; ++f) FieldPass(matvec, matvec.fields->field[f]);
}

}  // namespace ingot::loader
