#include "model/tokenizer/sentencepiece_model.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <map>
#include <queue>
#include <utility>

#include "model/text/utf8.h"

namespace ingot::model {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";
constexpr float kUnknownPenalty = 10;
constexpr float kUserDefinedScore = 0.1F;  // a byte but the first

std::size_t CharacterBytes(std::string_view text, std::size_t at) {
  return std::min(Utf8Length(static_cast<unsigned char>(text[at])), text.size() - at);
}

std::string ByteName(unsigned byte) {
  char name[8];
  std::snprintf(name, sizeof(name), "<0x%02X>", byte);
  return name;
}

}  // namespace

Result<std::unique_ptr<SentencePieceModel>> SentencePieceModel::Parse(std::string bytes) {
  auto made = std::make_unique<SentencePieceModel>();
  made->bytes_ = std::move(bytes);
  INGOT_ASSIGN(made->file_, ParseSentencePieceFile(made->bytes_));
  if (!made->file_.charsmap.empty()) {
    INGOT_ASSIGN(made->charsmap_, Charsmap::Parse(made->file_.charsmap).At("normalizer_spec"));
  }
  INGOT_TRY(made->Fill());
  return made;
}

Status SentencePieceModel::Fill() {
  std::vector<VocabularyItem> items;
  items.reserve(file_.pieces.size());
  std::optional<TokenId> unknown;
  lowest_ = std::numeric_limits<float>::max();
  byte_ids_.fill(-1);
  for (const ScoredPiece& piece : file_.pieces) {
    const auto id = static_cast<TokenId>(items.size());
    items.push_back({piece.text, id});
    if (!IsUtf8(piece.text))
      return Corruption("piece " + std::to_string(id) + " is not UTF-8");
    switch (piece.type) {
      case PieceType::kNormal:
        lowest_ = std::min(lowest_, piece.score);
        INGOT_TRY(pieces_.Add(piece.text, id));
        break;
      case PieceType::kUserDefined:
        has_user_defined_ = true;
        INGOT_TRY(user_defined_.Add(piece.text, id));
        INGOT_TRY(pieces_.Add(piece.text, id));
        break;
      case PieceType::kUnused:
        INGOT_TRY(pieces_.Add(piece.text, id));
        break;
      case PieceType::kUnknown:
        if (unknown) return Corruption("two pieces are the unknown one");
        unknown = id;
        break;
      case PieceType::kByte:
        for (unsigned b = 0; b < 256; ++b)
          if (piece.text == ByteName(b)) byte_ids_[b] = id;
        break;
      case PieceType::kControl:
        break;
    }
  }
  if (!unknown) return Corruption("no piece is the unknown one");
  unknown_ = *unknown;
  if (file_.byte_fallback && std::find(byte_ids_.begin(), byte_ids_.end(), -1) != byte_ids_.end())
    return Corruption("byte_fallback without a piece for every byte");
  return vocabulary_.Fill(items);
}

unsigned char SentencePieceModel::byte(TokenId id) const {
  const auto at = std::find(byte_ids_.begin(), byte_ids_.end(), id);
  return static_cast<unsigned char>(at == byte_ids_.end() ? 0 : at - byte_ids_.begin());
}

std::size_t SentencePieceModel::UserDefinedPrefix(std::string_view text) const {
  std::size_t longest = 0;
  if (has_user_defined_)
    user_defined_.ForEachPrefix(text, 0, [&](std::size_t end, TokenId) { longest = end; });
  return longest;
}

std::string_view SentencePieceModel::NormalizedPrefix(std::string_view text,
                                                      std::size_t& taken) const {
  if ((taken = UserDefinedPrefix(text)) > 0) return text.substr(0, taken);
  if (charsmap_)
    if (const auto found = charsmap_->FindLongest(text, taken)) return *found;
  taken = CharacterBytes(text, 0);
  return text.substr(0, taken);
}

Result<std::string> SentencePieceModel::Normalize(std::string_view text, TextGrowth& growth) const {
  const std::string_view whole = text;
  const std::string_view space = file_.escape_spaces ? kSpaceMark : std::string_view(" ");
  std::string out;
  std::size_t taken = 0;
  while (file_.remove_extra_spaces && !text.empty() && NormalizedPrefix(text, taken) == " ")
    text.remove_prefix(taken);
  if (text.empty()) return out;
  out.reserve(text.size() + text.size() / 2 + space.size());
  if (file_.dummy_prefix && !file_.space_as_suffix) out += space;
  bool after_space = file_.remove_extra_spaces;
  while (!text.empty() && growth.Fits(whole.size(), out.size())) {
    std::string_view part = NormalizedPrefix(text, taken);
    text.remove_prefix(taken);
    while (after_space && part.starts_with(' ')) part.remove_prefix(1);
    for (const char c : part) {
      if (c == ' ') {
        out += space;
      } else {
        out += c;
      }
    }
    if (!part.empty()) after_space = part.ends_with(' ');
    if (!file_.remove_extra_spaces) after_space = false;
  }
  while (file_.remove_extra_spaces && out.ends_with(space)) out.resize(out.size() - space.size());
  if (file_.dummy_prefix && file_.space_as_suffix) out += space;
  INGOT_TRY(growth.Take(whole.size(), out.size()));
  return out;
}

Status SentencePieceModel::Encode(std::string_view text, TextGrowth& growth,
                                  std::vector<TokenId>& ids) const {
  INGOT_ASSIGN(const std::string normalized, Normalize(text, growth));
  WordCache none;
  Tokenize(normalized, none, ids);
  return OkStatus();
}

void SentencePieceModel::Tokenize(std::string_view normalized, WordCache& /*cache*/,
                                  std::vector<TokenId>& out) const {
  if (normalized.empty()) return;
  std::vector<Cut> cuts;
  switch (file_.kind) {
    case SegmentKind::kUnigram:
      CutUnigram(normalized, cuts);
      break;
    case SegmentKind::kBpe:
      CutBpe(normalized, cuts);
      break;
    case SegmentKind::kWord:
      CutWords(normalized, cuts);
      break;
    case SegmentKind::kChar:
      CutCharacters(normalized, cuts);
      break;
  }
  bool after_unknown = false;
  for (const Cut& cut : cuts) {
    const bool unknown = cut.id == unknown_;
    if (unknown && file_.byte_fallback) {
      for (const char c : normalized.substr(cut.begin, cut.end - cut.begin))
        out.push_back(byte_ids_[static_cast<unsigned char>(c)]);
    } else if (!unknown || !after_unknown) {  // a run of unknown pieces is one
      out.push_back(cut.id);
    }
    after_unknown = unknown;
  }
}

TokenId SentencePieceModel::IdOf(std::string_view piece) const {
  const TokenId id = vocabulary_.Find(piece);
  return id < 0 ? unknown_ : id;
}

// Viterbi's algorithm from left to right, in float as the library's; of equal sums the first stays.
void SentencePieceModel::CutUnigram(std::string_view text, std::vector<Cut>& cuts) const {
  struct Best {
    std::size_t begin = std::string_view::npos;
    TokenId id = -1;
    float score = 0;
  };
  std::vector<Best> best(text.size() + 1);
  const float unknown_score = lowest_ - kUnknownPenalty;
  const auto offer = [&](std::size_t begin, std::size_t end, TokenId id, float candidate) {
    Best& there = best[end];
    if (there.begin != std::string_view::npos && !(candidate > there.score)) return;
    there = {begin, id, candidate};
  };
  for (std::size_t begin = 0; begin < text.size();) {
    const float here = best[begin].score;
    const std::size_t character = CharacterBytes(text, begin);
    bool has_character = false;
    pieces_.ForEachPrefix(text, begin, [&](std::size_t end, TokenId id) {
      const ScoredPiece& piece = file_.pieces[static_cast<std::size_t>(id)];
      if (piece.type == PieceType::kUnused) return;
      // A piece of the user's own has no score of the file's: as in sentencepiece 0.2.
      const float score = piece.type == PieceType::kUserDefined
                              ? static_cast<float>(end - begin - 1) * kUserDefinedScore
                              : piece.score;
      offer(begin, end, id, score + here);
      has_character = has_character || end - begin == character;
    });
    if (!has_character) offer(begin, begin + character, unknown_, unknown_score + here);
    begin += character;
  }
  for (std::size_t end = text.size(); end > 0; end = best[end].begin)
    cuts.push_back({best[end].begin, end, best[end].id});
  std::reverse(cuts.begin(), cuts.end());
}

// Merges the pair whose piece scores highest, the leftmost of equals, until none is left. A merge
// that only leads to an unused piece is undone at the end.
void SentencePieceModel::CutBpe(std::string_view text, std::vector<Cut>& cuts) const {
  struct Symbol {
    std::ptrdiff_t previous, next;
    bool frozen;  // a user-defined symbol: it merges with nothing
    std::string_view piece;
  };
  struct Pair {
    std::ptrdiff_t left, right;
    float score;
    std::size_t bytes;
    bool operator<(const Pair& other) const {
      return score < other.score || (score == other.score && left > other.left);
    }
  };
  std::vector<Symbol> symbols;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t defined = UserDefinedPrefix(rest);
    const std::size_t bytes = defined > 0 ? defined : CharacterBytes(rest, 0);
    const auto index = static_cast<std::ptrdiff_t>(symbols.size());
    symbols.push_back(
        {index - 1, bytes == rest.size() ? -1 : index + 1, defined > 0, rest.substr(0, bytes)});
    rest.remove_prefix(bytes);
  }
  std::priority_queue<Pair> agenda;
  std::map<std::string_view, std::pair<std::string_view, std::string_view>> merged_from;
  const auto offer = [&](std::ptrdiff_t left, std::ptrdiff_t right) {
    if (left < 0 || right < 0) return;
    const Symbol& a = symbols[static_cast<std::size_t>(left)];
    const Symbol& b = symbols[static_cast<std::size_t>(right)];
    if (a.frozen || b.frozen) return;
    const std::string_view piece(a.piece.data(), a.piece.size() + b.piece.size());
    const TokenId id = vocabulary_.Find(piece);
    if (id < 0) return;
    const PieceType kind = type(id);
    if (kind != PieceType::kNormal && kind != PieceType::kUserDefined && kind != PieceType::kUnused)
      return;
    agenda.push({left, right, file_.pieces[static_cast<std::size_t>(id)].score, piece.size()});
    if (kind == PieceType::kUnused) merged_from[piece] = {a.piece, b.piece};
  };
  for (std::size_t i = 1; i < symbols.size(); ++i)
    offer(static_cast<std::ptrdiff_t>(i) - 1, static_cast<std::ptrdiff_t>(i));
  while (!agenda.empty()) {
    const Pair top = agenda.top();
    agenda.pop();
    Symbol& left = symbols[static_cast<std::size_t>(top.left)];
    Symbol& right = symbols[static_cast<std::size_t>(top.right)];
    if (left.piece.empty() || right.piece.empty() ||
        left.piece.size() + right.piece.size() != top.bytes)
      continue;  // one of them has merged since
    left.piece = {left.piece.data(), top.bytes};
    left.next = right.next;
    if (right.next >= 0) symbols[static_cast<std::size_t>(right.next)].previous = top.left;
    right.piece = {};
    offer(left.previous, top.left);
    offer(top.left, left.next);
  }
  std::vector<std::string_view> undo;
  for (std::ptrdiff_t i = symbols.empty() ? -1 : 0; i >= 0;
       i = symbols[static_cast<std::size_t>(i)].next) {
    undo.assign(1, symbols[static_cast<std::size_t>(i)].piece);
    while (!undo.empty()) {
      const std::string_view piece = undo.back();
      undo.pop_back();
      const TokenId id = IdOf(piece);
      const auto from =
          type(id) == PieceType::kUnused ? merged_from.find(piece) : merged_from.end();
      if (from != merged_from.end()) {
        undo.push_back(from->second.second);
        undo.push_back(from->second.first);
        continue;
      }
      const auto begin = static_cast<std::size_t>(piece.data() - text.data());
      cuts.push_back({begin, begin + piece.size(), id});
    }
  }
}

void SentencePieceModel::CutWords(std::string_view text, std::vector<Cut>& cuts) const {
  std::size_t begin = 0;
  const auto emit = [&](std::size_t end) {
    if (end > begin) cuts.push_back({begin, end, IdOf(text.substr(begin, end - begin))});
    begin = end;
  };
  for (std::size_t at = 0; at < text.size();) {
    const bool mark = text.substr(at, kSpaceMark.size()) == kSpaceMark;
    if (mark && !file_.space_as_suffix) emit(at);
    at += CharacterBytes(text, at);
    if (mark && file_.space_as_suffix) emit(at);
  }
  emit(text.size());
}

void SentencePieceModel::CutCharacters(std::string_view text, std::vector<Cut>& cuts) const {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t defined = UserDefinedPrefix(text.substr(at));
    const std::size_t bytes = defined > 0 ? defined : CharacterBytes(text, at);
    cuts.push_back({at, at + bytes, IdOf(text.substr(at, bytes))});
    at += bytes;
  }
}

}  // namespace ingot::model
