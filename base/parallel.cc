#include "base/parallel.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <memory>
#include <thread>

namespace ingot {
namespace {

std::unique_ptr<tbb::global_control>& Control() {
  static std::unique_ptr<tbb::global_control> control;
  return control;
}

}  // namespace

void SetThreads(std::size_t threads) {
  Control().reset();
  if (threads > 0)
    Control() = std::make_unique<tbb::global_control>(
        tbb::global_control::max_allowed_parallelism, threads);
}

std::size_t Threads() {
  return tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism);
}

void ParallelFor(std::size_t count, std::size_t grain,
                 const std::function<void(std::size_t, std::size_t)>& body) {
  if (count == 0) return;
  grain = std::max<std::size_t>(grain, 1);
  if (count <= grain || Threads() == 1) {
    body(0, count);
    return;
  }
  tbb::parallel_for(tbb::blocked_range<std::size_t>(0, count, grain),
                    [&](const tbb::blocked_range<std::size_t>& range) {
                      body(range.begin(), range.end());
                    });
}

}  // namespace ingot
