// How a codec's streams are stored, in the container's words.
//
// Thread rule: stateless.
#pragma once

#include "artifact/writer.h"
#include "codecs/plane.h"

namespace ingot::pack {

inline artifact::CodingHint HintOf(codecs::StreamHint hint) {
  switch (hint) {
    case codecs::StreamHint::kRaw:
      return artifact::CodingHint::kRaw;
    case codecs::StreamHint::kGeneral:
      return artifact::CodingHint::kGeneral;
    case codecs::StreamHint::kEntropy:
      return artifact::CodingHint::kEntropy;
  }
  return artifact::CodingHint::kRaw;
}

}  // namespace ingot::pack
