// A job's monitor at the command line: progress as a line on stderr that is rewritten in place,
// notes and warnings as lines of their own.
#pragma once

#include <cstdint>
#include <optional>
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
  void Clear() { line_.reset(); }

 private:
  void Show(const jobs::Progress& now);
  const Quiet quiet_;
  std::optional<ProgressLine> line_;  // of the phase under way: its clock starts with it
  std::string phase_;
  std::uint64_t done_ = 0;
  bool said_resumed_ = false;
};

}  // namespace ingot::cli
