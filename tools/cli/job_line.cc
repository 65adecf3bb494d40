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

void JobLine::Clear() {
  if (const auto shown = phases_.find(phase_); shown != phases_.end()) shown->second.line.Clear();
}

void JobLine::Show(const jobs::Progress& now) {
  if (now.resumed > 0 && !said_resumed_) {
    said_resumed_ = true;
    Clear();
    PrintError("ingot: going on where an earlier run stopped: {} of {} are done\n",
               inspect::HumanBytes(now.resumed), inspect::HumanBytes(now.total));
  }
  if (phase_ != now.phase) Clear();
  phase_ = now.phase;
  // From its beginning again: another run of it.
  if (const auto known = phases_.find(phase_);
      known != phases_.end() && now.done < known->second.done)
    phases_.erase(known);
  Phase& phase = phases_.try_emplace(phase_).first->second;
  phase.done = now.done;
  if (now.unit != jobs::kBytes)
    phase.line.Count(now.done, now.total,
                     std::string(now.unit) + (now.item.empty() ? "" : ", " + now.item));
  else
    phase.line.Update(now.done, now.total, now.resumed, now.item.empty() ? phase_ : now.item);
}

}  // namespace ingot::cli
