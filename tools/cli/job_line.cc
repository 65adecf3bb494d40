#include "tools/cli/job_line.h"

#include <fmt/format.h>

#include "inspect/text_format.h"

namespace ingot::cli {

JobLine::JobLine(Quiet quiet) : quiet_(quiet) {}

jobs::Monitor JobLine::monitor() {
  jobs::Monitor monitor;
  if (!quiet_.progress) monitor.progress = [this](const jobs::Progress& now) { Show(now); };
  monitor.warning = [this](const std::string& text) {
    Clear();
    Warn(text);
  };
  if (!quiet_.notes) monitor.note = monitor.warning;
  return monitor;
}

void JobLine::Show(const jobs::Progress& now) {
  if (now.resumed > 0 && !said_resumed_) {
    said_resumed_ = true;
    Clear();
    PrintError("ingot: going on where an earlier run stopped: {} of {} are done\n",
               inspect::HumanBytes(now.resumed), inspect::HumanBytes(now.total));
  }
  if (!line_.has_value() || phase_ != now.phase || now.done < done_) {
    line_.emplace(/*quiet=*/false);
    phase_ = now.phase;
  }
  done_ = now.done;
  if (now.unit != jobs::kBytes)
    line_->Count(now.done, now.total,
                 std::string(now.unit) + (now.item.empty() ? "" : ", " + now.item));
  else
    line_->Update(now.done, now.total, now.resumed, now.item.empty() ? phase_ : now.item);
}

}  // namespace ingot::cli
