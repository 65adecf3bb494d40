#include "codecs/planes/dependent_row.h"
#include "codecs/planes/dependent_row_body.h"

namespace ingot::codecs {

void DependentRowScalar(const std::uint8_t* codes, std::size_t count, const TrellisCode& code,
                        std::uint16_t* states, std::int16_t* levels) {
  RunRow(codes, count, code, states, levels);
}

}  // namespace ingot::codecs
