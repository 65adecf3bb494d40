// Runs a kernel's grid on the processor, one thread: blocks one after another, the threads of a
// block as fibers, both in an order that a seed shuffles. What would be wrong on a device, or right
// by luck, ends the launch with a line that says which thread, what and where:
//
//   - a barrier that not all threads of the block reach, or reach at different places
//   - a warp's exchange that not all of its lanes join, or join for different ones
//   - shared memory out of bounds, not aligned, read before anyone wrote it
//   - a race in shared memory: two threads at the same bytes, one of them writing, no barrier
//     between them (of the block; or of the warp, where both are in it)
//   - an asynchronous copy that nobody waited for
//   - a vector access to memory that is not aligned for it
//
// Global memory is plain memory: AddressSanitizer finds what leaves it.
//
// Thread rule: a thread runs one grid at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "loader/cuda/grid_types.h"
#include "loader/cuda/host/shared_access.h"

namespace ingot::cuda::host {

struct Stream;

// What was recorded, in order.
using Graph = std::vector<std::function<int(Stream*)>>;

// Where launches go. The first failure stays, and no launch runs after it.
struct Stream {
  std::uint64_t seed = 1;  // of the order of blocks and threads
  std::string failure;
  std::uint64_t launches = 0;
  std::unique_ptr<Graph> recording;  // null: what is given runs
};

inline constexpr int kFailed = 1;  // what a launch returns

// `stream` may be null: its failures then end the process, as nobody would hear of them.
int RunGrid(const Shape& shape, Stream* stream, void (*body)(const void* args), const void* args);
int Refuse(Stream* stream, const std::string& why);

// For grid_host.h: what a body's thread asks of the block it runs in.

// Of the running thread. REQUIRES: called from a body.
struct ThreadPlace {
  unsigned thread = 0, threads = 0;
  unsigned x = 0, y = 0, z = 0;         // of the block
  unsigned blocks_x = 0, blocks_y = 0;  // of the grid
};
const ThreadPlace& Place();

void Barrier(const char* file, int line);
void WarpBarrier();

// An exchange among the lanes of a warp: each brings a frame on its own stack, and the last one to
// come serves all of them. Returns when that is done.
using Exchange = void (*)(void* const frames[kLanes]);
void Join(Exchange exchange, const char* name, void* frame);

// The launch ends here.
[[noreturn]] void Fail(const std::string& what);

unsigned char* SharedMemory(std::size_t offset, std::size_t bytes, std::size_t align);
// `element`: size of the array's elements.
void Check(Access access, const unsigned char* at, std::size_t bytes, std::size_t element);

void CopyLater(unsigned char* to, const void* from, std::size_t bytes, std::size_t element);
void CommitCopies();
void WaitCopies(int groups);

}  // namespace ingot::cuda::host
