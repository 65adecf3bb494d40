// Who touched each element of a block's shared memory last: finds accesses that no barrier orders.
// An element is known by its first byte: memory that is used as arrays of elements of other sizes
// is seen as other elements.
//
// Thread rule: belongs to a grid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "loader/cuda/grid_types.h"
#include "loader/cuda/host/shared_access.h"

namespace ingot::cuda::host {

// Who accesses, and how many barriers lie behind: of the block, and of the thread's warp.
struct Moment {
  std::uint32_t thread = 0;
  std::uint32_t barriers = 0;
  std::uint32_t warp_barriers = 0;
};

class SharedShadow {
 public:
  // A new block: nothing is written.
  void Reset(std::size_t bytes);
  // What is wrong with the access, empty where nothing is. REQUIRES: within the bytes.
  std::string Touch(Access access, std::size_t offset, std::size_t bytes, std::size_t element,
                    const Moment& now);

 private:
  static constexpr std::uint32_t kNobody = UINT32_MAX, kManyOfWarp = UINT32_MAX - 1,
                                 kMany = UINT32_MAX - 2;
  struct Element {
    std::uint32_t block = 0;  // generation; another one: as new
    Moment writer{kNobody, 0, 0};
    Moment reader{kNobody, 0, 0};  // thread: one, many of one warp, or many
    std::uint32_t reader_warp = 0;
    bool atomic = false;  // the last write
  };
  static bool Ordered(const Moment& before, std::uint32_t warp, const Moment& now);
  void NoteReader(Element& element, const Moment& now);

  std::vector<Element> elements_;  // by first byte
  std::uint32_t block_ = 0;
};

}  // namespace ingot::cuda::host
