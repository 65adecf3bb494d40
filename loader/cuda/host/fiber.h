// A stack of its own that a function runs on, stopping and going on where it says so: what a thread
// of the host grid is.
//
// Thread rule: fibers run on the thread that resumes them, one at a time.
#pragma once

#include <cstddef>

namespace ingot::cuda::host {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next Resume begins `entry`. A function that was left in the middle is forgotten: nothing on
  // its stack is destroyed.
  void Start(void (*entry)(void*), void* arg);
  // Runs until the function yields or ends.
  void Resume();
  bool done() const { return done_; }

  // Back to Resume. REQUIRES: called on this fiber.
  void Yield();

 private:
  static void Main(Fiber* fiber);
  static void Begin();
  void SwitchIn();
  void SwitchOut();

  unsigned char* stack_ = nullptr;  // above a page that cannot be touched
  void (*entry_)(void*) = nullptr;
  void* arg_ = nullptr;
  bool done_ = true;
  void* own_ = nullptr;  // of who stands still, as the switch takes it
  void* caller_ = nullptr;
  void* own_fake_ = nullptr;  // AddressSanitizer's
  const void* caller_stack_ = nullptr;
  std::size_t caller_bytes_ = 0;
};

}  // namespace ingot::cuda::host
