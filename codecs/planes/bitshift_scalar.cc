#include "codecs/planes/bitshift_levels.h"

namespace ingot::codecs {

void BitshiftRowScalar(const std::uint8_t* codes, std::size_t count, int bits, std::uint16_t mask,
                       std::uint16_t* states, std::uint8_t* bytes) {
  for (std::size_t j = 0; j < count; ++j) {
    states[j] = static_cast<std::uint16_t>((states[j] << bits | codes[j]) & mask);
    bytes[j] = BitshiftByte(states[j]);
  }
}

}  // namespace ingot::codecs
