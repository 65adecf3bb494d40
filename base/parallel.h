// Data parallelism over oneTBB. Results must not depend on the thread count: a body writes only what
// its own index range owns, and reductions are done by the caller in index order.
#pragma once

#include <cstddef>
#include <functional>

namespace ingot {

// Caps the threads of every parallel call in the process, 0 = one per processor. Call before work
// starts; also what --threads sets.
void SetThreads(std::size_t threads);
std::size_t Threads();

// Calls body(begin, end) over disjoint ranges that cover [0, count), each at least `grain` long but
// the last. Runs in the caller when one range is enough. Nests.
void ParallelFor(std::size_t count, std::size_t grain,
                 const std::function<void(std::size_t begin, std::size_t end)>& body);

}  // namespace ingot
