#include "model/tokenizer/sentencepiece_file.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>

#include "model/tokenizer/vocabulary.h"

namespace ingot::model {
namespace {

// A field of a protocol buffer: its number, and its value or its bytes.
struct Field {
  std::uint32_t number = 0;
  std::uint64_t value = 0;  // of a varint, or 32 or 64 bits as they are
  std::string_view bytes;   // of a length-delimited one
  enum class Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 } wire = Wire::kVarint;
};

// Walks the fields of one message.
class FieldReader {
 public:
  explicit FieldReader(std::string_view message) : rest_(message), size_(message.size()) {}

  bool done() const { return rest_.empty(); }
  Result<Field> Next() {
    Field field;
    std::uint64_t tag = 0;
    if (!Varint(tag)) return Broken();
    field.number = static_cast<std::uint32_t>(tag >> 3);
    field.wire = static_cast<Field::Wire>(tag & 7);
    switch (field.wire) {
      case Field::Wire::kVarint:
        if (!Varint(field.value)) return Broken();
        return field;
      case Field::Wire::kFixed64:
        if (!Fixed(8, field.value)) return Broken();
        return field;
      case Field::Wire::kFixed32:
        if (!Fixed(4, field.value)) return Broken();
        return field;
      case Field::Wire::kBytes: {
        std::uint64_t n = 0;
        if (!Varint(n) || n > rest_.size()) return Broken();
        field.bytes = rest_.substr(0, n);
        rest_.remove_prefix(n);
        return field;
      }
    }
    return Broken();
  }

 private:
  Status Broken() const {
    return Corruption("no SentencePiece model: broken at byte " +
                      std::to_string(size_ - rest_.size()) + " of a message of " +
                      std::to_string(size_));
  }
  bool Varint(std::uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool Fixed(std::size_t n, std::uint64_t& value) {
    if (rest_.size() < n) return false;
    value = 0;
    std::memcpy(&value, rest_.data(), n);
    rest_.remove_prefix(n);
    return true;
  }

  std::string_view rest_;
  std::size_t size_;
};

using Wire = Field::Wire;

Status WrongType(const char* what) {
  return Corruption(std::string("no SentencePiece model: ") + what + " has another type");
}

Result<ScoredPiece> ParsePiece(std::string_view message, std::size_t index) {
  ScoredPiece piece;
  const std::string place = "piece " + std::to_string(index);
  for (FieldReader reader(message); !reader.done();) {
    INGOT_ASSIGN(const Field field, reader.Next().At(place));
    if (field.number == 1) {
      if (field.wire != Wire::kBytes) return WrongType("a piece's text");
      piece.text = field.bytes;
    } else if (field.number == 2) {
      if (field.wire != Wire::kFixed32) return WrongType("a piece's score");
      const auto bits = static_cast<std::uint32_t>(field.value);
      std::memcpy(&piece.score, &bits, sizeof(bits));
    } else if (field.number == 3) {
      if (field.wire != Wire::kVarint || field.value < 1 || field.value > 6)
        return WrongType("a piece's type");
      piece.type = static_cast<PieceType>(field.value);
    }
  }
  if (piece.text.empty()) return Corruption(place + " is empty");
  if (!std::isfinite(piece.score)) return Corruption(place + " has a score that is not finite");
  return piece;
}

// An id of 32 bits; negative where there is none.
TokenId IdOf(std::uint64_t value) {
  const auto id = static_cast<std::int32_t>(static_cast<std::uint32_t>(value));
  return id < 0 || id > kMaxTokenId ? -1 : id;
}

Status ParseTrainer(std::string_view message, SentencePieceFile& file) {
  for (FieldReader reader(message); !reader.done();) {
    INGOT_ASSIGN(const Field field, reader.Next().At("trainer_spec"));
    const bool number = field.wire == Wire::kVarint;
    switch (field.number) {
      case 3:
        if (!number || field.value < 1 || field.value > 4) return WrongType("the kind of model");
        file.kind = static_cast<SegmentKind>(field.value);
        break;
      case 24:
        if (!number) return WrongType("treat_whitespace_as_suffix");
        file.space_as_suffix = field.value != 0;
        break;
      case 35:
        if (!number) return WrongType("byte_fallback");
        file.byte_fallback = field.value != 0;
        break;
      case 40:
      case 41:
      case 42:
        if (!number) return WrongType("the id of a special piece");
        (field.number == 40   ? file.unknown_id
         : field.number == 41 ? file.bos_id
                              : file.eos_id) = IdOf(field.value);
        break;
      case 44:
        if (field.wire != Wire::kBytes) return WrongType("unk_surface");
        file.unknown_surface = field.bytes;
        break;
      default:
        break;
    }
  }
  return OkStatus();
}

Status ParseNormalizer(std::string_view message, SentencePieceFile& file) {
  for (FieldReader reader(message); !reader.done();) {
    INGOT_ASSIGN(const Field field, reader.Next().At("normalizer_spec"));
    if (field.number == 2) {
      if (field.wire != Wire::kBytes) return WrongType("precompiled_charsmap");
      file.charsmap = field.bytes;
    } else if (field.number >= 3 && field.number <= 5) {
      if (field.wire != Wire::kVarint) return WrongType("normalizer_spec");
      (field.number == 3   ? file.dummy_prefix
       : field.number == 4 ? file.remove_extra_spaces
                           : file.escape_spaces) = field.value != 0;
    }
  }
  return OkStatus();
}

}  // namespace

Result<SentencePieceFile> ParseSentencePieceFile(std::string_view bytes) {
  SentencePieceFile file;
  for (FieldReader reader(bytes); !reader.done();) {
    INGOT_ASSIGN(const Field field, reader.Next());
    if (field.number < 1 || field.number > 3) continue;
    if (field.wire != Wire::kBytes) return WrongType("a part of the model");
    if (field.number == 1) {
      INGOT_ASSIGN(const ScoredPiece piece, ParsePiece(field.bytes, file.pieces.size()));
      if (file.pieces.size() > static_cast<std::size_t>(kMaxTokenId))
        return LimitExceeded("more than " + std::to_string(kMaxTokenId + 1) + " pieces");
      file.pieces.push_back(piece);
    } else if (field.number == 2) {
      INGOT_TRY(ParseTrainer(field.bytes, file));
    } else {
      INGOT_TRY(ParseNormalizer(field.bytes, file));
    }
  }
  if (file.pieces.empty()) return Corruption("no SentencePiece model: it has no pieces");
  return file;
}

}  // namespace ingot::model
