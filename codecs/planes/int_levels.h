// What the codes of an `int` plane stand for at scale 1 (docs/codecs.md, 3), without containers,
// for kernels.
//
// Thread rule: constants.
#pragma once

#include <cstdint>

namespace ingot::codecs {

enum class IntLevels : std::uint8_t { kSymmetric, kAsymmetric, kLog, kNormal, kMinimum };

// 2^(-j / 16), the levels of log planes; normative bits.
inline constexpr std::uint32_t kLogTable[16] = {
    0x3f800000, 0x3f75257d, 0x3f6ac0c7, 0x3f60ccdf, 0x3f5744fd, 0x3f4e248c, 0x3f45672a, 0x3f3d08a4,
    0x3f3504f3, 0x3f2d583f, 0x3f25fed7, 0x3f1ef532, 0x3f1837f0, 0x3f11c3d3, 0x3f0b95c2, 0x3f05aac3};

// The levels of normal planes, 4 bits: Lloyd's quantizer (1982) of normal numbers that come in
// groups of 64 to 128, each under its own scale, in sixteenths. Of such a group it leaves 15 % less
// squared error than 16 equal steps (tools/bench/normal_levels.py derives both).
inline constexpr int kNormalBits = 4, kNormalUnits = 16;
inline constexpr std::int8_t kNormalLevels[16] = {-127, -96, -75, -58, -44, -30, -18, -6,
                                                  6,    18,  30,  44,  58,  75,  96,  127};

}  // namespace ingot::codecs
