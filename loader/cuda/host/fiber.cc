#include "loader/cuda/host/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define INGOT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define INGOT_ASAN 1
#endif
#endif
#if defined(INGOT_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Saves what the ABI says a callee keeps, and the stack; takes up another.
extern "C" void ingot_switch_stack(void** save, void* load);
asm(R"(
.text
.globl ingot_switch_stack
.type ingot_switch_stack, @function
ingot_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size ingot_switch_stack, .-ingot_switch_stack
)");
#endif

namespace ingot::cuda::host {
namespace {

#if defined(INGOT_ASAN)
constexpr std::size_t kStackBytes = 256 << 10;  // frames grow by their red zones
#else
constexpr std::size_t kStackBytes = 64 << 10;
#endif

// Whom the next Begin is for.
thread_local Fiber* starting = nullptr;

std::size_t PageBytes() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

Fiber::Fiber() {
  const std::size_t guard = PageBytes();
  void* memory = mmap(nullptr, kStackBytes + guard, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, guard, PROT_NONE) != 0) throw std::bad_alloc();
  stack_ = static_cast<unsigned char*>(memory) + guard;
#if !defined(__x86_64__)
  own_ = new ucontext_t();
  caller_ = new ucontext_t();
#endif
}

Fiber::~Fiber() {
#if !defined(__x86_64__)
  delete static_cast<ucontext_t*>(own_);
  delete static_cast<ucontext_t*>(caller_);
#endif
  munmap(stack_ - PageBytes(), kStackBytes + PageBytes());
}

void Fiber::Begin() { Main(starting); }

void Fiber::Start(void (*entry)(void*), void* arg) {
  entry_ = entry;
  arg_ = arg;
  done_ = false;
  own_fake_ = nullptr;
#if defined(INGOT_ASAN)
  // Frames of a function that was left in the middle are still marked.
  __asan_unpoison_memory_region(stack_, kStackBytes);
#endif
#if defined(__x86_64__)
  // As ingot_switch_stack leaves a stack: six registers, then where to go on; there the stack is as
  // a call leaves it, 8 bytes off a multiple of 16.
  auto* top = reinterpret_cast<std::uintptr_t*>(stack_ + kStackBytes);
  *--top = 0;
  *--top = reinterpret_cast<std::uintptr_t>(&Fiber::Begin);
  for (int i = 0; i < 6; ++i) *--top = 0;
  own_ = top;
#else
  auto* context = static_cast<ucontext_t*>(own_);
  getcontext(context);
  context->uc_stack.ss_sp = stack_;
  context->uc_stack.ss_size = kStackBytes;
  context->uc_link = nullptr;
  makecontext(context, &Fiber::Begin, 0);
#endif
}

void Fiber::SwitchIn() {
#if defined(__x86_64__)
  ingot_switch_stack(&caller_, own_);
#else
  swapcontext(static_cast<ucontext_t*>(caller_), static_cast<ucontext_t*>(own_));
#endif
}

void Fiber::SwitchOut() {
#if defined(__x86_64__)
  ingot_switch_stack(&own_, caller_);
#else
  swapcontext(static_cast<ucontext_t*>(own_), static_cast<ucontext_t*>(caller_));
#endif
}

void Fiber::Resume() {
  starting = this;
#if defined(INGOT_ASAN)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack_, kStackBytes);
#endif
  SwitchIn();
#if defined(INGOT_ASAN)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void Fiber::Yield() {
#if defined(INGOT_ASAN)
  __sanitizer_start_switch_fiber(&own_fake_, caller_stack_, caller_bytes_);
#endif
  SwitchOut();
#if defined(INGOT_ASAN)
  __sanitizer_finish_switch_fiber(own_fake_, &caller_stack_, &caller_bytes_);
#endif
}

void Fiber::Main(Fiber* fiber) {
#if defined(INGOT_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, &fiber->caller_stack_, &fiber->caller_bytes_);
#endif
  fiber->entry_(fiber->arg_);
  fiber->done_ = true;
#if defined(INGOT_ASAN)
  __sanitizer_start_switch_fiber(nullptr, fiber->caller_stack_, fiber->caller_bytes_);
#endif
  fiber->SwitchOut();
  std::abort();  // nobody resumes a fiber that is done
}

}  // namespace ingot::cuda::host
