// The loops behind int_tile_kernels.h over base/simd's F. Included once by each int_tile_*.cc;
// everything here is in that file's unnamed namespace.
namespace ingot::codecs {
namespace {

// Ratios by which the grid's reach over the largest weight is divided, per bit width: first and
// step of kCandidates equally spaced ones. Targets spread wider than weights, by what was fed back.
constexpr int kCandidates = 12, kAtOnce = 4;
struct ClipRange {
  float first, step;
};
constexpr ClipRange kClip[9] = {{},
                                {0.6f, 0.2f},
                                {0.7f, 0.15f},
                                {0.75f, 0.085f},
                                {0.8f, 0.055f},
                                {0.88f, 0.03f},
                                {0.93f, 0.015f},
                                {0.96f, 0.008f},
                                {0.98f, 0.004f}};

// Weights below this are zero to any fp16 scale, and their inverse would overflow.
constexpr float kTiny = 1e-30f;
constexpr float kMagic = 12582912.0f;  // adding 1.5 * 2^23 rounds to nearest even

struct Range {
  F low, high;
};

Range LaneRange(const GroupColumns& group, std::size_t lane) {
  Range range = {F::Load(group.x + group.positions[0] * kTileRows + lane), {}};
  range.high = range.low;
  for (std::size_t i = 1; i < group.count; ++i) {
    const F x = F::Load(group.x + group.positions[i] * kTileRows + lane);
    range.low = F::Min(x, range.low);
    range.high = F::Max(x, range.high);
  }
  return range;
}

// The scale, of all clip ranges', with the least weighted error after the refit of its codes: with
// inverse = reach * ratio / extreme, take(x, inverse) is what x is rounded to. Zero where `largest`
// is next to nothing.
template <typename Take>
void FitClips(const GroupColumns& group, int bits, std::size_t lane, F largest, F extreme,
              float reach, Take take, GridFit* fit) {
  const F nothing = F::Set(0), tiny = F::Set(kTiny);
  F best = F::Set(-1), best_scale = nothing;
  for (int first = 0; first < kCandidates; first += kAtOnce) {
    F inverse[kAtOnce], xq[kAtOnce], qq[kAtOnce];
    for (int k = 0; k < kAtOnce; ++k) {
      const float ratio = kClip[bits].first + static_cast<float>(first + k) * kClip[bits].step;
      inverse[k] = F::IfGreater(largest, tiny, F::Set(reach * ratio) / extreme, nothing);
      xq[k] = qq[k] = nothing;
    }
    for (std::size_t i = 0; i < group.count; ++i) {
      const std::size_t p = group.positions[i];
      const F x = F::Load(group.x + p * kTileRows + lane), weight = F::Set(group.weights[p]);
      for (int k = 0; k < kAtOnce; ++k) {
        const F q = take(x, inverse[k]);
        const F weighted = weight * q;
        xq[k] = F::MulAdd(x, weighted, xq[k]);
        qq[k] = F::MulAdd(q, weighted, qq[k]);
      }
    }
    for (int k = 0; k < kAtOnce; ++k) {
      const F scale = F::IfGreater(qq[k], nothing, xq[k] / qq[k], nothing);
      const F gain = scale * xq[k];
      best_scale = F::IfGreater(gain, best, scale, best_scale);
      best = F::IfGreater(gain, best, gain, best);
    }
  }
  best_scale.Store(fit->scale + lane);
  nothing.Store(fit->code_mean + lane);
  nothing.Store(fit->x_mean + lane);
}

void FitSymmetric(const GroupColumns& group, int bits, std::size_t lane, GridFit* fit) {
  const Range range = LaneRange(group, lane);
  const F below = F::Set(0) - range.low;
  // The extreme weight takes the side with one level more: code -half.
  const F largest = F::Max(below, range.high);
  const F extreme = F::IfGreater(below, range.high, range.low, range.high);
  const float half = static_cast<float>(1 << (bits - 1));
  const F magic = F::Set(kMagic), low = F::Set(kMagic - half), high = F::Set(kMagic - 1 + half);
  const auto take = [=](F x, F inverse) {
    return F::Min(F::Max(F::MulAdd(x, inverse, magic), low), high) - magic;
  };
  FitClips(group, bits, lane, largest, extreme, -half, take, fit);
}

// Weighted sums of a lane's weights and codes, and the line through them.
struct LineSums {
  F x = F::Set(0), q = F::Set(0), xq = F::Set(0), qq = F::Set(0);

  void Add(F value, F code, F weight) {
    const F weighted = weight * code;
    x = F::MulAdd(weight, value, x);
    q = q + weighted;
    xq = F::MulAdd(value, weighted, xq);
    qq = F::MulAdd(code, weighted, qq);
  }
};

void FitAsymmetric(const GroupColumns& group, int bits, std::size_t lane, GridFit* fit) {
  const Range range = LaneRange(group, lane);
  const F nothing = F::Set(0), one_half = F::Set(0.5f);
  const float top = static_cast<float>((1 << bits) - 1);
  const F width = range.high - range.low, middle = one_half * (range.high + range.low);
  float total = 0;
  for (std::size_t i = 0; i < group.count; ++i) total += group.weights[group.positions[i]];
  const F sum = F::Set(total), tops = F::Set(top), tiny = F::Set(kTiny);
  const F magic = F::Set(kMagic);
  // All weights alike: the highest code of a grid from zero. Else at first the plain range.
  F best = F::Set(-1);
  F scale_out = F::IfGreater(width, tiny, width / tops, middle / tops);
  F mean_out = F::IfGreater(width, tiny, (nothing - range.low) / scale_out, nothing);
  F x_out = nothing;
  for (int k = 0; k < kCandidates; ++k) {
    const float ratio = kClip[bits].first + static_cast<float>(k) * kClip[bits].step;
    const F inverse = F::IfGreater(width, tiny, F::Set(top * ratio) / width, nothing);
    const F zero = F::Set(0.5f * top) - middle * inverse;
    LineSums sums;
    for (std::size_t i = 0; i < group.count; ++i) {
      const std::size_t p = group.positions[i];
      const F x = F::Load(group.x + p * kTileRows + lane);
      const F t = F::Min(F::Max(x * inverse + zero, nothing), tops);
      sums.Add(x, (t + magic) - magic, F::Set(group.weights[p]));
    }
    const F mean_q = sums.q / sum, mean_x = sums.x / sum;
    const F covariance = sums.xq - sums.x * mean_q, variance = sums.qq - sums.q * mean_q;
    const F scale = F::IfGreater(variance, nothing, covariance / variance, nothing);
    const F gain = F::IfGreater(width, tiny, scale * covariance, F::Set(-2));
    const F better = F::IfGreater(scale, nothing, gain, F::Set(-2));
    scale_out = F::IfGreater(better, best, scale, scale_out);
    mean_out = F::IfGreater(better, best, mean_q, mean_out);
    x_out = F::IfGreater(better, best, mean_x, x_out);
    best = F::IfGreater(better, best, better, best);
  }
  scale_out.Store(fit->scale + lane);
  mean_out.Store(fit->code_mean + lane);
  x_out.Store(fit->x_mean + lane);
}

// Magnitudes of kNormalLevels, ascending.
constexpr float kNormal[8] = {0.375f, 1.125f, 1.875f, 2.75f, 3.625f, 4.6875f, 6, 7.9375f};
static_assert(kNormalLevels[8] == 6 && kNormalLevels[15] == 127 && kNormalUnits == 16);

// The place in kNormal of the magnitude nearest to `size` >= 0: bent by a cubic, so that the
// middles between magnitudes come to lie on whole numbers, within 3 % of a step (at 16 levels under
// a group's own scale 1e-3 of the squared error), then rounded down.
F NormalPlace(F size) {
  const F t = F::Min(size, F::Set(7.9375f));
  const F bend = F::MulAdd(t, F::Set(-0.00497696f), F::Set(-0.01641957f));
  const F bent = F::Min(t * F::MulAdd(t, bend, F::Set(1.3581882f)), F::Set(7.25f));
  const F magic = F::Set(kMagic);
  return ((bent - F::Set(0.5f)) + magic) - magic;
}

F Magnitude(F x) { return F::Max(x, F::Set(0) - x); }

void FitNormal(const GroupColumns& group, std::size_t lane, GridFit* fit) {
  const Range range = LaneRange(group, lane);
  const F largest = F::Max(F::Set(0) - range.low, range.high);
  const auto take = [](F x, F inverse) {
    const F t = x * inverse;
    const F level = F::Lookup8(kNormal, NormalPlace(Magnitude(t)));
    return F::IfGreater(F::Set(0), t, F::Set(0) - level, level);
  };
  FitClips(group, kNormalBits, lane, largest, largest, 7.9375f, take, fit);
}

// The level of a code of a symmetric, asymmetric (zero point 0) or normal grid.
F LevelOf(F code, int bits, IntLevels levels) {
  if (levels == IntLevels::kAsymmetric) return code;
  if (levels == IntLevels::kSymmetric) return code - F::Set(static_cast<float>(1 << (bits - 1)));
  const F above = code - F::Set(8), below = F::Set(7) - code;
  const F magnitude = F::Lookup8(kNormal, F::Max(above, below));
  return F::IfGreater(F::Set(0), above, F::Set(0) - magnitude, magnitude);
}

void FitGroup(const GroupColumns& group, int bits, IntLevels levels, GridFit* fit) {
  for (std::size_t lane = 0; lane < kTileRows; lane += F::kLanes) {
    if (levels == IntLevels::kNormal)
      FitNormal(group, lane, fit);
    else if (levels == IntLevels::kAsymmetric)
      FitAsymmetric(group, bits, lane, fit);
    else
      FitSymmetric(group, bits, lane, fit);
  }
}

void RefitGroup(const GroupColumns& group, const std::uint8_t* codes, int bits, IntLevels levels,
                GridFit* fit) {
  const bool asymmetric = levels == IntLevels::kAsymmetric;
  const F nothing = F::Set(0);
  float total = 0;
  for (std::size_t i = 0; i < group.count; ++i) total += group.weights[group.positions[i]];
  const F sum = F::Set(total);
  for (std::size_t lane = 0; lane < kTileRows; lane += F::kLanes) {
    LineSums sums;
    for (std::size_t i = 0; i < group.count; ++i) {
      const std::size_t p = group.positions[i];
      sums.Add(F::Load(group.x + p * kTileRows + lane),
               LevelOf(F::LoadBytes(codes + p * kTileRows + lane), bits, levels),
               F::Set(group.weights[p]));
    }
    const F mean_q = asymmetric ? sums.q / sum : nothing;
    const F mean_x = asymmetric ? sums.x / sum : nothing;
    const F covariance = sums.xq - sums.x * mean_q, variance = sums.qq - sums.q * mean_q;
    F::IfGreater(variance, nothing, covariance / variance, nothing).Store(fit->scale + lane);
    mean_q.Store(fit->code_mean + lane);
    mean_x.Store(fit->x_mean + lane);
  }
}

void RoundToNormal(const ColumnJob& job) {
  const F nothing = F::Set(0);
  for (std::size_t l = 0; l < kTileRows; l += F::kLanes) {
    const F at = F::Load(job.targets + l) * F::Load(job.inverses + l);
    const F place = NormalPlace(Magnitude(at));
    const F magnitude = F::Lookup8(kNormal, place) * F::Load(job.scales + l);
    F::IfGreater(nothing, at, nothing - magnitude, magnitude).Store(job.values + l);
    F::IfGreater(nothing, at, F::Set(7) - place, F::Set(8) + place).StoreBytes(job.codes + l);
  }
}

void RoundColumn(const ColumnJob& job) {
  if (job.levels == IntLevels::kNormal) return RoundToNormal(job);
  const float half =
      job.levels == IntLevels::kAsymmetric ? 0.0f : static_cast<float>(1 << (job.bits - 1));
  const F low = F::Set(-half), high = F::Set(static_cast<float>((1 << job.bits) - 1) - half);
  const F offset = F::Set(half), magic = F::Set(kMagic);
  for (std::size_t l = 0; l < kTileRows; l += F::kLanes) {
    const F zero = F::Load(job.zeros + l);
    const F at = F::Load(job.targets + l) * F::Load(job.inverses + l) + zero;
    const F q = (F::Min(F::Max(at, low), high) + magic) - magic;
    ((q - zero) * F::Load(job.scales + l)).Store(job.values + l);
    (q + offset).StoreBytes(job.codes + l);
  }
}

constexpr IntTileKernels kTable = {FitGroup, RefitGroup, RoundColumn};

}  // namespace
}  // namespace ingot::codecs
