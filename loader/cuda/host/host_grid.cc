#include "loader/cuda/host/host_grid.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "loader/cuda/host/fiber.h"
#include "loader/cuda/host/shared_shadow.h"

namespace ingot::cuda::host {
namespace {

constexpr unsigned kMostThreads = 1024;
constexpr std::size_t kMostShared = 227 << 10;  // of sm_90; sm_80 has 163 KiB

struct PendingCopy {
  unsigned char* to;
  const void* from;
  std::size_t bytes;
  std::size_t element;
  unsigned group;
};

// A thread that failed.
struct Ended {};

enum class Wait { kNone, kBarrier, kExchange };

struct Thread {
  std::unique_ptr<Fiber> fiber = std::make_unique<Fiber>();
  Moment moment;
  Wait wait = Wait::kNone;
  const char* file = nullptr;  // of the barrier it waits at
  int line = 0;
  Exchange exchange = nullptr;
  const char* exchange_name = nullptr;
  void* frame = nullptr;
  std::vector<PendingCopy> copies;
  unsigned groups = 0;  // committed
};

// xorshift64*; std::shuffle differs between libraries.
class Order {
 public:
  explicit Order(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull + 1) {}
  template <class T>
  void Shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[Next() % i]);
  }

 private:
  std::uint64_t Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return (state_ * 0x2545f4914f6cdd1dull) >> 33;
  }
  std::uint64_t state_;
};

class Grid {
 public:
  void Run(const Shape& shape, std::uint64_t seed, void (*body)(const void*), const void* args);

  std::string failure;

  // What the running thread asks.
  ThreadPlace place;
  void Barrier(const char* file, int line);
  void Join(Exchange exchange, const char* name, void* frame);
  void WarpBarrier();
  [[noreturn]] void Fail(const std::string& what);
  unsigned char* Shared(std::size_t offset, std::size_t bytes, std::size_t align);
  void Check(Access access, const unsigned char* at, std::size_t bytes, std::size_t element);
  Thread& running() { return threads_[place.thread]; }
  void Land(const PendingCopy& copy);

 private:
  static void Main(void* grid);
  void RunBlock(Order& order);
  void ReleaseBarrier();
  std::string Stuck() const;
  std::string Where(unsigned thread) const;

  Shape shape_;
  void (*body_)(const void*) = nullptr;
  const void* args_ = nullptr;
  std::vector<Thread> threads_;
  std::vector<unsigned> ready_, next_;
  unsigned live_ = 0, at_barrier_ = 0;
  SharedShadow shadow_;
  std::unique_ptr<unsigned char[]> shared_;
};

thread_local Grid* grid = nullptr;

void Grid::Main(void* self) {
  auto& g = *static_cast<Grid*>(self);
  try {
    g.body_(g.args_);
    if (!g.running().copies.empty())
      g.Fail("ends with asynchronous copies that it did not wait for");
  } catch (const Ended&) {
  }
}

std::string Grid::Where(unsigned thread) const {
  return "block (" + std::to_string(place.x) + ", " + std::to_string(place.y) + ", " +
         std::to_string(place.z) + "), thread " + std::to_string(thread) + ": ";
}

void Grid::Fail(const std::string& what) {
  failure = Where(place.thread) + what;
  throw Ended();  // caught where the thread began: what its frames own is freed
}

void Grid::Barrier(const char* file, int line) {
  Thread& self = running();
  self.wait = Wait::kBarrier;
  self.file = file;
  self.line = line;
  ++at_barrier_;
  self.fiber->Yield();
}

void Grid::ReleaseBarrier() {
  const Thread& first = threads_[0];
  for (unsigned t = 0; t < threads_.size(); ++t) {
    Thread& thread = threads_[t];
    if (thread.line != first.line || std::strcmp(thread.file, first.file) != 0) {
      failure = Where(t) + "waits at the barrier of " + thread.file + ":" +
                std::to_string(thread.line) + ", thread 0 at that of " + first.file + ":" +
                std::to_string(first.line);
      return;
    }
  }
  for (unsigned t = 0; t < threads_.size(); ++t) {
    threads_[t].wait = Wait::kNone;
    ++threads_[t].moment.barriers;
    next_.push_back(t);
  }
  at_barrier_ = 0;
}

void Grid::Join(Exchange exchange, const char* name, void* frame) {
  Thread& self = running();
  self.wait = Wait::kExchange;
  self.exchange = exchange;
  self.exchange_name = name;
  self.frame = frame;
  const unsigned first = place.thread / kLanes * kLanes;
  void* frames[kLanes];
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const Thread& other = threads_[first + lane];
    if (other.wait == Wait::kExchange && other.exchange != exchange)
      Fail(std::string("joins ") + name + ", and lane " + std::to_string(lane) + " of its warp " +
           other.exchange_name);
    if (other.wait != Wait::kExchange) return self.fiber->Yield();
    frames[lane] = other.frame;
  }
  if (exchange != nullptr) exchange(frames);
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    threads_[first + lane].wait = Wait::kNone;
    if (exchange == nullptr) ++threads_[first + lane].moment.warp_barriers;
    if (first + lane != place.thread) next_.push_back(first + lane);
  }
}

void Grid::WarpBarrier() { Join(nullptr, "a barrier of the warp", nullptr); }

unsigned char* Grid::Shared(std::size_t offset, std::size_t bytes, std::size_t align) {
  if (offset > shape_.shared_bytes || bytes > shape_.shared_bytes - offset)
    Fail("takes bytes " + std::to_string(offset) + " to " + std::to_string(offset + bytes) +
         " of " + std::to_string(shape_.shared_bytes) + " of shared memory");
  if (offset % align != 0)
    Fail("takes an array at byte " + std::to_string(offset) +
         " of shared memory, which is not aligned for it");
  return shared_.get() + offset;
}

void Grid::Check(Access access, const unsigned char* at, std::size_t bytes, std::size_t element) {
  const std::string wrong = shadow_.Touch(access, static_cast<std::size_t>(at - shared_.get()),
                                          bytes, element, running().moment);
  if (!wrong.empty()) Fail(wrong);
}

void Grid::Land(const PendingCopy& copy) {
  Check(Access::kWrite, copy.to, copy.bytes, copy.element);
  std::memcpy(copy.to, copy.from, copy.bytes);
}

std::string Grid::Stuck() const {
  for (unsigned t = 0; t < threads_.size(); ++t) {
    const Thread& thread = threads_[t];
    if (thread.wait == Wait::kBarrier)
      return Where(t) + "waits at the barrier of " + thread.file + ":" +
             std::to_string(thread.line) + ", where " +
             std::to_string(threads_.size() - at_barrier_) + " of " +
             std::to_string(threads_.size()) + " threads never come";
  }
  for (unsigned t = 0; t < threads_.size(); ++t)
    if (threads_[t].wait == Wait::kExchange)
      return Where(t) + "waits for lanes that never join " + threads_[t].exchange_name;
  return "";
}

void Grid::RunBlock(Order& order) {
  shadow_.Reset(shape_.shared_bytes);
  // What is read before it is written shows in results, too, where the check is not asked.
  std::memset(shared_.get(), 0xff, shape_.shared_bytes);
  live_ = static_cast<unsigned>(threads_.size());
  at_barrier_ = 0;
  ready_.clear();
  for (unsigned t = 0; t < threads_.size(); ++t) {
    Thread& thread = threads_[t];
    thread.moment = {.thread = t};
    thread.wait = Wait::kNone;
    thread.copies.clear();
    thread.groups = 0;
    thread.fiber->Start(&Grid::Main, this);
    ready_.push_back(t);
  }
  while (live_ > 0 && failure.empty()) {
    order.Shuffle(ready_);
    next_.clear();
    for (const unsigned t : ready_) {
      place.thread = t;
      threads_[t].fiber->Resume();
      if (!failure.empty()) return;
      if (threads_[t].fiber->done()) --live_;
    }
    if (at_barrier_ == threads_.size()) ReleaseBarrier();
    if (next_.empty() && live_ > 0 && failure.empty()) failure = Stuck();
    ready_.swap(next_);
  }
}

void Grid::Run(const Shape& shape, std::uint64_t seed, void (*body)(const void*),
               const void* args) {
  shape_ = shape;
  body_ = body;
  args_ = args;
  failure.clear();
  place = {.threads = shape.threads, .blocks_x = shape.x, .blocks_y = shape.y};
  threads_.resize(shape.threads);
  shared_ = std::make_unique<unsigned char[]>(shape.shared_bytes + 16);
  std::vector<std::uint64_t> blocks;
  for (std::uint64_t b = 0; b < std::uint64_t{shape.x} * shape.y * shape.z; ++b)
    blocks.push_back(b);
  Order order(seed);
  order.Shuffle(blocks);
  for (const std::uint64_t b : blocks) {
    place.x = static_cast<unsigned>(b % shape.x);
    place.y = static_cast<unsigned>(b / shape.x % shape.y);
    place.z = static_cast<unsigned>(b / shape.x / shape.y);
    RunBlock(order);
    if (!failure.empty()) return;
  }
}

}  // namespace

int Refuse(Stream* stream, const std::string& why) {
  if (stream == nullptr) {
    std::fprintf(stderr, "host grid: %s\n", why.c_str());
    std::abort();
  }
  if (stream->failure.empty()) stream->failure = why;
  return kFailed;
}

int RunGrid(const Shape& shape, Stream* stream, void (*body)(const void*), const void* args) {
  if (stream != nullptr && !stream->failure.empty()) return kFailed;
  if (shape.threads == 0 || shape.threads % kLanes != 0 || shape.threads > kMostThreads)
    return Refuse(stream, "a block of " + std::to_string(shape.threads) +
                              " threads: whole warps up to " + std::to_string(kMostThreads));
  if (shape.y > 65535 || shape.z > 65535 || shape.shared_bytes > kMostShared)
    return Refuse(stream, "a grid or its shared memory is larger than a device has");
  if (std::uint64_t{shape.x} * shape.y * shape.z == 0) return 0;
  thread_local Grid instance;
  grid = &instance;
  instance.Run(shape, stream == nullptr ? 1 : stream->seed + stream->launches, body, args);
  grid = nullptr;
  if (stream != nullptr) ++stream->launches;
  return instance.failure.empty() ? 0 : Refuse(stream, instance.failure);
}

const ThreadPlace& Place() { return grid->place; }
void Barrier(const char* file, int line) { grid->Barrier(file, line); }
void WarpBarrier() { grid->WarpBarrier(); }
void Join(Exchange exchange, const char* name, void* frame) { grid->Join(exchange, name, frame); }
void Fail(const std::string& what) { grid->Fail(what); }
unsigned char* SharedMemory(std::size_t offset, std::size_t bytes, std::size_t align) {
  return grid->Shared(offset, bytes, align);
}
void Check(Access access, const unsigned char* at, std::size_t bytes, std::size_t element) {
  grid->Check(access, at, bytes, element);
}

void CopyLater(unsigned char* to, const void* from, std::size_t bytes, std::size_t element) {
  Thread& self = grid->running();
  self.copies.push_back({to, from, bytes, element, self.groups});
}

void CommitCopies() { ++grid->running().groups; }

void WaitCopies(int groups) {
  Thread& self = grid->running();
  std::vector<PendingCopy> left;
  for (const PendingCopy& copy : self.copies) {
    if (copy.group + static_cast<unsigned>(groups) < self.groups)
      grid->Land(copy);
    else
      left.push_back(copy);
  }
  self.copies = std::move(left);
}

}  // namespace ingot::cuda::host
