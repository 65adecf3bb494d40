// SentencePiece's model files (tokenizer.model): a protocol buffer of scored pieces, of how text is
// normalized before it is cut, and of how it was trained.
//
//   ModelProto        1: piece (repeated), 2: trainer_spec, 3: normalizer_spec
//   SentencePiece     1: piece, 2: score (float32), 3: type
//   TrainerSpec       3: model_type, 24: treat_whitespace_as_suffix, 35: byte_fallback,
//                     40...43: unk, bos, eos, pad id, 44: unk_surface
//   NormalizerSpec    2: precompiled_charsmap, 3: add_dummy_prefix, 4: remove_extra_whitespaces,
//                     5: escape_whitespaces
//
// Thread rule: values; functions without state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/token_id.h"

namespace ingot::model {

enum class PieceType {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

struct ScoredPiece {
  std::string_view text;
  float score = 0;
  PieceType type = PieceType::kNormal;
};

enum class SegmentKind { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

// REQUIRES: the bytes it was read from outlive it.
struct SentencePieceFile {
  std::vector<ScoredPiece> pieces;  // by id
  SegmentKind kind = SegmentKind::kUnigram;
  bool space_as_suffix = false;
  bool byte_fallback = false;
  TokenId unknown_id = 0, bos_id = 1, eos_id = 2;  // as trained; of which the pieces may have none
  std::string_view unknown_surface = " \xE2\x81\x87 ";
  std::string_view charsmap;  // empty: text stays as it is
  bool dummy_prefix = true;
  bool remove_extra_spaces = true;
  bool escape_spaces = true;
};

// Corruption where the bytes are no such message: a field that is cut off or of another type, a
// piece without text, an unknown kind.
Result<SentencePieceFile> ParseSentencePieceFile(std::string_view bytes);

}  // namespace ingot::model
