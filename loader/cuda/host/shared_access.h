// How a thread touches shared memory.
#pragma once

namespace ingot::cuda::host {

enum class Access { kRead, kWrite, kAtomic };

}  // namespace ingot::cuda::host
