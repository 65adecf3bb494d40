// The loop behind kDependentRow: in 16-bit lanes, a block of a constant size at a time, which every
// compiler turns into vectors of the instruction set that the including file is compiled for.
namespace ingot::codecs {
namespace {

constexpr std::size_t kRowBlock = 64;

inline void StepBlock(const std::uint8_t* __restrict codes, std::size_t count, TrellisCode code,
                      std::uint16_t* __restrict states, std::int16_t* __restrict levels) {
  const std::uint16_t feedback = code.feedback, input = code.input;
  for (std::size_t p = 0; p < count; ++p) {
    // Modulo 2^16 all along: levels of a byte are within +-511.
    const std::uint16_t k = static_cast<std::uint16_t>(codes[p] - 128);
    const std::uint16_t state = states[p];
    const auto negative = static_cast<std::uint16_t>(0 - (state & 1));
    const auto odd = static_cast<std::uint16_t>(0 - (k & 1));
    const auto level = static_cast<std::uint16_t>(4 * k + 1);
    levels[p] =
        static_cast<std::int16_t>(static_cast<std::uint16_t>((level ^ negative) - negative));
    states[p] = static_cast<std::uint16_t>((state >> 1) ^ (negative & feedback) ^ (odd & input));
  }
}

inline void RunRow(const std::uint8_t* codes, std::size_t count, const TrellisCode& code,
                   std::uint16_t* states, std::int16_t* levels) {
  std::size_t p = 0;
  for (; p + kRowBlock <= count; p += kRowBlock)
    StepBlock(codes + p, kRowBlock, code, states + p, levels + p);
  StepBlock(codes + p, count - p, code, states + p, levels + p);
}

}  // namespace
}  // namespace ingot::codecs
