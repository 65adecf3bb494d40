// Rounding for `entropy_v2`: the steps and the feedback of entropy_v1 (entropy_round.h), the codes
// those of a trellis down the rows of each column (trellis_search.h). First every weight is rounded
// by itself, which tells how its targets spread, in steps: that makes the classes of rows and
// columns, and so which weights keep a zero. Then column after column, all rows of a run that
// begins with a fresh state together, takes the codes of least squared error plus price of bits;
// prices follow the counts of the run's earlier columns.
//
// Thread rule: functions parallelise over runs of rows.
#pragma once

#include <vector>

#include "codecs/planes/trellis_code.h"
#include "codecs/rounding/entropy_pack.h"
#include "codecs/rounding/entropy_round.h"

namespace ingot::codecs {

struct DependentRoundOptions {
  double step = 0;  // c
  TrellisCode code;
  std::uint64_t restart = 0;  // rows of a run
  bool fit_rows = true;       // rescale each row's factor by least squares after rounding
};

// The band's codes are the k of the plane's levels, its row factors those of a quarter of a step.
// REQUIRES: step > 0; restart > 0; the guide is of the matrix.
EntropyRounded RoundDependent(const EntropyRows& rows, const EntropyGuide& guide,
                              const DependentRoundOptions& options);

// Bytes that a run of `rows` takes while it is rounded.
std::uint64_t DependentRunBytes(std::uint64_t rows, std::uint64_t cols, const TrellisCode& code);

// Line classes from the root mean squares of the targets of rows and columns, in steps: 4 of them
// an octave, and that of a weight kDependentScalar where its deviation, row's times column's over
// the matrix's, is just above what a zero is better for.
LineClasses ClassifySpreads(const std::vector<double>& rows, const std::vector<double>& columns);
// The deviation in steps at the middle of a weight's class.
double SpreadOfClass(int weight_class);

}  // namespace ingot::codecs
