// A job's monitor at the command line: progress as a line on stderr that is rewritten in place,
// notes and warnings as lines of their own.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "jobs/job.h"
#include "tools/cli/common.h"

namespace ingot::cli {

class JobLine {
 public:
  struct Quiet {
    bool progress = false;
    bool notes = false;
  };
  explicit JobLine(Quiet quiet);
  JobLine(const JobLine&) = delete;
  // Borrows this.
  jobs::Monitor monitor();
  void Clear();

 private:
  void Show(const jobs::Progress& now);
  const Quiet quiet_;
  // Phases may take turns, so each keeps its clock: one that no line was due of in its own turn
  // would be silent for ever.
  struct Phase {
    ProgressLine line{/*quiet=*/false};
    std::uint64_t done = 0;
  };
  std::map<std::string, Phase, std::less<>> phases_;
  std::string phase_;  // that was told of last
  bool said_resumed_ = false;
};

}  // namespace ingot::cli
