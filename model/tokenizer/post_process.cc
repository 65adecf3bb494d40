#include "model/tokenizer/post_process.h"

#include "model/text/json_fields.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/sequence_limits.h"
#include "model/tokenizer/vocabulary.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxTemplatePieces = 256;

// Puts more tokens around what is there.
Status Enclose(const Surroundings& outer, Surroundings& all) {
  all.before.insert(all.before.begin(), outer.before.begin(), outer.before.end());
  all.after.insert(all.after.end(), outer.after.begin(), outer.after.end());
  if (all.before.size() > kMaxTemplatePieces || all.after.size() > kMaxTemplatePieces) {
    return LimitExceeded("more than " + std::to_string(kMaxTemplatePieces) + " surrounding tokens");
  }
  return OkStatus();
}

Status AppendSpecial(const Json& specials, const std::string& name, std::vector<TokenId>& out) {
  const Json* special = FindField(specials, name);
  if (special == nullptr) return Corruption("template token " + name + " is not defined");
  INGOT_ASSIGN(const Json* ids, ArrayField(*special, "ids", kMaxTemplatePieces));
  for (const Json& id : *ids) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > kMaxTokenId) {
      return Corruption("template token " + name + " has a bad id");
    }
    out.push_back(id.get<TokenId>());
  }
  return OkStatus();
}

Result<Surroundings> ParseTemplate(const Json& spec) {
  INGOT_ASSIGN(const Json* pieces, ArrayField(spec, "single", kMaxTemplatePieces));
  static const Json kNone = Json::object();
  const Json* specials = FindField(spec, "special_tokens");
  Surroundings around;
  bool text_seen = false;
  for (const Json& piece : *pieces) {
    if (const Json* special = FindField(piece, "SpecialToken")) {
      INGOT_ASSIGN(const std::string name, StringField(*special, "id"));
      INGOT_TRY(AppendSpecial(specials == nullptr ? kNone : *specials, name,
                              text_seen ? around.after : around.before));
    } else if (FindField(piece, "Sequence") != nullptr && !text_seen) {
      text_seen = true;
    } else {
      return Corruption("\"single\" is not special tokens around one sequence");
    }
  }
  if (!text_seen) return Corruption("\"single\" has no sequence");
  return around;
}

// BERT's and RoBERTa's [token, id] pair.
Result<TokenId> PairId(const Json& spec, std::string_view key) {
  const Json* pair = FindField(spec, key);
  if (pair == nullptr || !pair->is_array() || pair->size() != 2 ||
      !(*pair)[1].is_number_unsigned() || (*pair)[1].get<std::uint64_t>() > kMaxTokenId) {
    return Corruption("\"" + std::string(key) + "\" is not a token and its id");
  }
  return (*pair)[1].get<TokenId>();
}

Status ParseInto(const Json& spec, int depth, Surroundings& all) {
  INGOT_ASSIGN(const std::string type, StringField(spec, "type"));
  if (type == "ByteLevel") return OkStatus();  // concerns offsets only
  if (type == "TemplateProcessing") {
    INGOT_ASSIGN(const Surroundings around, ParseTemplate(spec));
    return Enclose(around, all);
  }
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    INGOT_ASSIGN(const TokenId cls, PairId(spec, "cls"));
    INGOT_ASSIGN(const TokenId sep, PairId(spec, "sep"));
    return Enclose({{cls}, {sep}}, all);
  }
  if (type != "Sequence") return Unsupported("post-processor " + type + " is not supported");
  if (depth >= kMaxSequenceDepth) return LimitExceeded("Sequence is nested too deeply");
  INGOT_ASSIGN(const Json* members, ArrayField(spec, "processors", kMaxSequenceSteps));
  for (const Json& member : *members) INGOT_TRY(ParseInto(member, depth + 1, all));
  return OkStatus();
}

}  // namespace

Result<Surroundings> ParsePostProcessor(const Json* spec) {
  Surroundings all;
  if (spec != nullptr && !spec->is_null()) INGOT_TRY(ParseInto(*spec, 0, all));
  return all;
}

}  // namespace ingot::model
