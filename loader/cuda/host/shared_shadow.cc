#include "loader/cuda/host/shared_shadow.h"

namespace ingot::cuda::host {
namespace {

std::string Thread(std::uint32_t thread) { return "thread " + std::to_string(thread); }

}  // namespace

void SharedShadow::Reset(std::size_t bytes) {
  if (elements_.size() < bytes) elements_.resize(bytes);
  ++block_;
}

// Of an access of a thread of `warp`.
bool SharedShadow::Ordered(const Moment& before, std::uint32_t warp, const Moment& now) {
  if (before.barriers < now.barriers) return true;
  return warp == now.thread / kLanes && before.warp_barriers < now.warp_barriers;
}

void SharedShadow::NoteReader(Element& element, const Moment& now) {
  const std::uint32_t warp = now.thread / kLanes;
  const bool old =
      element.reader.thread == kNobody || Ordered(element.reader, element.reader_warp, now);
  if (old || element.reader.thread == now.thread) {
    element.reader = now;
    element.reader_warp = warp;
    return;
  }
  element.reader.thread =
      element.reader.thread == kMany || element.reader_warp != warp ? kMany : kManyOfWarp;
  if (element.reader.thread == kManyOfWarp) element.reader.warp_barriers = now.warp_barriers;
}

std::string SharedShadow::Touch(Access access, std::size_t offset, std::size_t bytes,
                                std::size_t step, const Moment& now) {
  for (std::size_t i = offset; i < offset + bytes; i += step) {
    Element& element = elements_[i];
    if (element.block != block_) element = {.block = block_};
    const auto at = [&] { return "shared memory at byte " + std::to_string(i); };
    if (access != Access::kWrite && element.writer.thread == kNobody)
      return at() + " is read and nobody wrote it";
    const bool both_atomic = access == Access::kAtomic && element.atomic;
    if (element.writer.thread != kNobody && element.writer.thread != now.thread && !both_atomic &&
        !Ordered(element.writer, element.writer.thread / kLanes, now))
      return "race: " + at() + " was written by " + Thread(element.writer.thread) +
             " and no barrier follows";
    if (access == Access::kRead) {
      NoteReader(element, now);
      continue;
    }
    if (element.reader.thread != kNobody && element.reader.thread != now.thread &&
        (element.reader.thread == kMany ? element.reader.barriers == now.barriers
                                        : !Ordered(element.reader, element.reader_warp, now)))
      return "race: " + at() + " was read by " +
             (element.reader.thread >= kMany ? "other threads" : Thread(element.reader.thread)) +
             " and no barrier follows";
    element.writer = now;
    element.atomic = access == Access::kAtomic;
  }
  return "";
}

}  // namespace ingot::cuda::host
