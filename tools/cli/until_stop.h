// Texts that end what a model writes.
//
// Thread rule: an object belongs to one thread.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ingot::cli {

// Text as it comes, up to the first of the texts that end it. What may be the beginning of one
// waits.
class UntilStop {
 public:
  UntilStop(std::vector<std::string> stops, std::function<bool(std::string_view)> write)
      : stops_(std::move(stops)), write_(std::move(write)) {}

  // False once nothing more is wanted.
  bool Add(std::string_view piece) {
    waiting_ += piece;
    std::size_t first = std::string::npos;
    for (const std::string& stop : stops_) first = std::min(first, waiting_.find(stop));
    if (first != std::string::npos) {
      stopped_ = true;
      return Write(first) && false;
    }
    return Write(waiting_.size() - Held());
  }
  // What waited is no end after all.
  bool Finish() { return stopped_ || Write(waiting_.size()); }
  bool stopped() const { return stopped_; }
  bool failed() const { return failed_; }

 private:
  // Bytes at the end that a stop may begin with.
  std::size_t Held() const {
    std::size_t held = 0;
    for (const std::string& stop : stops_)
      for (std::size_t n = std::min(stop.size() - 1, waiting_.size()); n > held; --n)
        if (waiting_.ends_with(std::string_view(stop).substr(0, n))) held = n;
    return held;
  }
  bool Write(std::size_t bytes) {
    if (bytes > 0 && !write_(std::string_view(waiting_).substr(0, bytes))) failed_ = true;
    waiting_.erase(0, bytes);
    return !failed_;
  }
  std::vector<std::string> stops_;
  std::function<bool(std::string_view)> write_;
  std::string waiting_;
  bool stopped_ = false, failed_ = false;
};

}  // namespace ingot::cli
