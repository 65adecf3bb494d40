#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "artifact/source.h"

namespace ingot::artifact {
namespace {

constexpr int kPipeBytes = 1 << 20;
constexpr int kStopMilliseconds = 50;  // until a Fetch that waits sees Stop

class Pipe final : public Source {
 public:
  explicit Pipe(int fd) : fd_(fd) {
#ifdef F_SETPIPE_SZ
    ::fcntl(fd, F_SETPIPE_SZ, kPipeBytes);  // a hint: fewer switches between writer and reader
#endif
  }

  bool sequential() const override { return true; }
  std::optional<std::uint64_t> Size() const override { return std::nullopt; }
  bool Has(std::uint64_t, std::uint64_t) const override { return false; }  // what was not kept
  Result<std::size_t> Fetch(std::uint64_t offset, MutableByteSpan out) override {
    INGOT_CHECK(offset == position_);
    std::size_t done = 0;
    while (done < out.size()) {
      INGOT_TRY(Wait());
      const ssize_t n = ::read(fd_, out.data() + done, out.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return IoError(fmt::format("cannot read the pipe: {}", std::strerror(errno)));
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    position_ += done;
    return done;
  }
  void Stop() override { stopped_.store(true, std::memory_order_relaxed); }
  Result<std::optional<Region>> Map() const override { return std::optional<Region>(); }

 private:
  // Until there is something to read, or an end or an error, which the read will tell.
  Status Wait() const {
    while (!stopped_.load(std::memory_order_relaxed)) {
      pollfd ready{fd_, POLLIN, 0};
      if (::poll(&ready, 1, kStopMilliseconds) != 0) return OkStatus();
    }
    return {StatusCode::kCancelled, "reading the pipe was stopped"};
  }

  int fd_;
  std::atomic<bool> stopped_{false};
  std::uint64_t position_ = 0;
};

}  // namespace

std::unique_ptr<Source> PipeSource(int fd) { return std::make_unique<Pipe>(fd); }

}  // namespace ingot::artifact
